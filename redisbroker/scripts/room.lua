-- Who is on a channel. KEYS are the room's hash (epoch e, version v, how many have come s, how many are
-- there n), its members by when they came, their infos, how many lives of nodes hold each, how many of these
-- hold it signed, and what this life holds: its members with 1 where signed, and the epoch under ''. ARGV[1]
-- is the epoch to begin where none goes on.
local room, members, infos, holders, signers, held = unpack(KEYS)
local epoch, version, come, there = unpack(redis.call('HMGET', room, 'e', 'v', 's', 'n'))
version, come = tonumber(version or 0), tonumber(come or 0)

local function text(n) return string.format('%.0f', n) end

if not epoch or tonumber(there) ~= redis.call('ZCARD', members) then
	redis.call('DEL', room, members, infos, holders, signers)
	epoch, version, come = ARGV[1], 0, 0
	redis.call('HSET', room, 'e', epoch, 'v', 0, 's', 0, 'n', 0)
	redis.call('EXPIRE', room, 3600)
end
