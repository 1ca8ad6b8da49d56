-- What changes a room. The cost grows with the changes alone.
local channel, command = ARGV[2], ARGV[3]
local before, changes = version, {}
local ADDED, UPDATED, REMOVED = 1, 2, 3

if redis.call('HGET', held, '') ~= epoch then
	redis.call('DEL', held)
	redis.call('HSET', held, '', epoch)
end

local function say(kind, id, info)
	version = version + 1
	changes[#changes + 1] = struct.pack('>BI4I4', kind, #id, #info) .. id .. info
end

local function count(signed, id, n)
	if signed and redis.call('HINCRBY', signers, id, n) <= 0 then redis.call('HDEL', signers, id) end
end

local function add(id, info, signed)
	local had = redis.call('HGET', held, id)
	if not had and redis.call('HINCRBY', holders, id, 1) == 1 then
		come = come + 1
		redis.call('ZADD', members, text(come), id)
		redis.call('HSET', infos, id, info)
		say(ADDED, id, info)
	elseif redis.call('HGET', infos, id) ~= info then
		redis.call('HSET', infos, id, info)
		say(UPDATED, id, info)
	end
	if had ~= signed then
		count(had == '1', id, -1)
		count(signed == '1', id, 1)
		redis.call('HSET', held, id, signed)
	end
end

local function remove(id)
	local had = redis.call('HGET', held, id)
	if not had then return end
	redis.call('HDEL', held, id)
	count(had == '1', id, -1)
	if redis.call('HINCRBY', holders, id, -1) <= 0 then
		redis.call('HDEL', holders, id)
		redis.call('HDEL', infos, id)
		redis.call('ZREM', members, id)
		say(REMOVED, id, '')
	end
end

-- done tells of the changes and returns how many members this life has here.
local function done()
	local there, mine = redis.call('ZCARD', members), redis.call('HLEN', held) - 1
	if mine == 0 then redis.call('DEL', held) end
	if version > before then
		redis.call('HSET', room, 'v', text(version), 's', text(come), 'n', there)
		redis.call(command, channel, 'm' .. epoch .. text(before + 1) .. ';' .. table.concat(changes))
	end
	-- The version outlives the last member by an hour, for those who come back.
	if there == 0 then redis.call('EXPIRE', room, 3600) else redis.call('PERSIST', room) end
	return mine
end
