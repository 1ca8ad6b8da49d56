-- Tells of frames whose ids are not known, and keeps none of them. KEYS[1] is the ids. ARGV are the command to
-- publish with, the channel, what the payload begins with, and each frame with its id. The answer has 0 for
-- each, or -1 for a duplicate.
local ids, said, marks = KEYS[1], {}, {}
local time = redis.call('TIME')
local score = string.format('%.0f', time[1] * 1000000 + time[2])
for i = 4, #ARGV, 2 do
	if redis.call('ZADD', ids, 'NX', score, ARGV[i + 1]) == 0 then
		marks[#marks + 1] = -1
	else
		said[#said + 1], marks[#marks + 1] = ARGV[i], 0
	end
end
if #said > 0 then
	redis.call('ZREMRANGEBYRANK', ids, 0, -100001)
	redis.call('EXPIRE', ids, 3600)
	redis.call(ARGV[1], ARGV[2], ARGV[3] .. table.concat(said))
end
return { '', marks }
