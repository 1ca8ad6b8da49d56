-- A stream is a meta hash (the epoch e, the newest offset o, and the time x, in milliseconds, at which the
-- entries expire), its entries, whose ids are <offset>-<milliseconds>, and the ids of its publications. Lua
-- writes whole numbers below 1e14 as they are, which is enough for both. A meta hash expires an hour after anybody
-- was told of it: nodes that are subscribed see to it that it stays.
local call = redis.call
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- find returns epoch, newest offset and expiry; the epoch is false where there is none.
local function find(meta)
	local found = call('HMGET', meta, 'e', 'o', 'x')
	return found[1], tonumber(found[2] or 0), tonumber(found[3] or 0)
end

-- begin begins an epoch. Entries without their meta hash have no place in an order, and a meta hash that
-- lacks its entries before they expired would claim that there were none.
local function begin(epoch, meta, ...)
	call('DEL', meta, ...)
	call('HSET', meta, 'e', epoch, 'o', 0)
	call('EXPIRE', meta, 3600)
	return epoch, 0, 0
end

local function parsed(entry)
	local offset, ms = string.match(entry[1], '^(%d+)-(%d+)$')
	return tonumber(offset), tonumber(ms)
end

-- oldest finds the first offset, from the one given on, whose entry is no older than age. Entries have no
-- holes, so halving finds it.
local function oldest(stream, newest, from, age)
	local first = call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
	if not first then return newest + 1 end
	local low, high = math.max(from, (parsed(first))), newest + 1
	while low < high do
		local middle = math.floor((low + high) / 2)
		local entry = call('XRANGE', stream, middle, middle, 'COUNT', 1)[1]
		local _, ms = parsed(entry or { '0-0' })
		if ms >= now - age then high = middle else low = middle + 1 end
	end
	return low
end
