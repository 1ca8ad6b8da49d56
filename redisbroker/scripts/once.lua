-- Tells of the frames ARGV[4], ARGV[6]… whose ids, which follow them, are not known, and keeps none of
-- them. KEYS[1] is the ids, ARGV[1] the channel, ARGV[2] the command and ARGV[3] what the payload begins
-- with. The answer has 0 for each, or -1 for a duplicate.
local ids, said, marks = KEYS[1], {}, {}
local time = redis.call('TIME')
local score = string.format('%.0f', time[1] * 1000000 + time[2])
for i = 4, #ARGV, 2 do
	local id = ARGV[i + 1]
	if id ~= '' and redis.call('ZADD', ids, 'NX', score, id) == 0 then
		marks[#marks + 1] = '-1'
	else
		said[#said + 1], marks[#marks + 1] = ARGV[i], '0'
	end
end
if #said > 0 then
	redis.call('ZREMRANGEBYRANK', ids, 0, -100001)
	redis.call('EXPIRE', ids, 3600)
	redis.call(ARGV[2], ARGV[1], ARGV[3] .. table.concat(said))
end
return { '', marks }
