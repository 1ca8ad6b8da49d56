-- Appends the frames ARGV[6], ARGV[8]… with the ids that follow them, but for those whose id is known. The
-- answer has the offset of each, or -1 for a duplicate. The ids are scored by offset.
local before, ms, said, offsets = newest, '-' .. text(now), {}, {}
for i = 6, #ARGV, 2 do
	local frame, id, at = ARGV[i], ARGV[i + 1], text(newest + 1)
	if id ~= '' and redis.call('ZADD', ids, 'NX', at, id) == 0 then
		offsets[#offsets + 1] = '-1'
	else
		newest = newest + 1
		redis.call('XADD', stream, at .. ms, 'b', frame, 'i', id)
		said[#said + 1], offsets[#offsets + 1] = frame, at
	end
end
if newest > before then
	keep(before)
	redis.call('ZREMRANGEBYRANK', ids, 0, -100001)
	redis.call('EXPIRE', ids, 3600)
	redis.call(command, channel, header(before + 1) .. table.concat(said))
end
return { epoch, offsets }
