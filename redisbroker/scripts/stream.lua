-- A stream: KEYS are its meta hash, its entries and the ids of its publications. ARGV[1] is the epoch to
-- begin where none goes on. The meta hash has the epoch e, the newest offset o, and the time x, in
-- milliseconds, at which the entries expire. An entry's id is <offset>-<milliseconds>.
local meta, stream, ids = KEYS[1], KEYS[2], KEYS[3]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local found = redis.call('HMGET', meta, 'e', 'o', 'x')
local epoch, newest, expires = found[1], tonumber(found[2] or 0), tonumber(found[3] or 0)

-- Tostring would write large numbers as 1e+15.
local function text(n) return string.format('%.0f', n) end

-- Entries without their meta hash have no place in an order, and one that lacks its entries before they
-- expired would claim that there were none.
if not epoch or (expires > now and redis.call('EXISTS', stream) == 0) then
	redis.call('DEL', meta, stream, ids)
	epoch, newest, expires = ARGV[1], 0, 0
	redis.call('HSET', meta, 'e', epoch, 'o', 0)
	redis.call('EXPIRE', meta, 3600)
end

local function parsed(entry)
	local offset, ms = string.match(entry[1], '^(%d+)-(%d+)$')
	return tonumber(offset), tonumber(ms)
end

-- oldest finds the first offset, from the one given on, whose entry is no older than age. Entries have no
-- holes, so halving finds it.
local function oldest(from, age)
	local first = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
	if not first then return newest + 1 end
	local low, high = math.max(from, (parsed(first))), newest + 1
	while low < high do
		local middle = math.floor((low + high) / 2)
		local entry = redis.call('XRANGE', stream, text(middle), text(middle), 'COUNT', 1)[1]
		local _, ms = parsed(entry or { '0-0' })
		if ms >= now - age then high = middle else low = middle + 1 end
	end
	return low
end
