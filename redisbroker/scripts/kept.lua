-- Keeps a stream within count and age, at a cost that does not grow with what is published: by count
-- each time when step more have come, by age each time when a sixteenth of it has passed. Readers judge by
-- offset and age themselves.
local channel, command, count, age = ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])

local function keep(before)
	redis.call('HSET', meta, 'o', text(newest))
	local step = math.max(1, math.min(100, math.floor(count / 10)))
	if math.floor(newest / step) > math.floor(before / step) then
		redis.call('XTRIM', stream, 'MINID', text(math.max(1, newest - count + 1)))
	end
	if expires < now + age * 17 / 16 then
		redis.call('XTRIM', stream, 'MINID', text(oldest(1, age)))
		expires = now + math.floor(age * 9 / 8)
		redis.call('PEXPIREAT', stream, text(expires))
		redis.call('HSET', meta, 'x', text(expires))
		redis.call('PEXPIREAT', meta, text(expires + 86400000))
	end
end

local function header(first)
	return 'k' .. epoch .. text(first) .. ',' .. text(now) .. ';'
end
