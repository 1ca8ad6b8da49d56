-- Appends frames with ids to a stream and tells of it, but for those whose id is known. ARGV are the epoch,
-- the command to publish with, channel, count, age, and each frame with its id, which is '' where it has
-- none. The answer has the offset of each, or -1 for a duplicate. The ids are scored by offset.
local before, ms, said, offsets = newest, '-' .. now, {}, {}
for i = 6, #ARGV, 2 do
	local frame, id = ARGV[i], ARGV[i + 1]
	if id ~= '' and call('ZADD', ids, 'NX', newest + 1, id) == 0 then
		offsets[#offsets + 1] = -1
	else
		newest = newest + 1
		call('XADD', stream, newest .. ms, 'b', frame, 'i', id)
		said[#said + 1], offsets[#offsets + 1] = frame, newest
	end
end
if newest > before then
	call('HSET', meta, 'o', newest)
	keep(meta, stream, newest, newest - before, expires, tonumber(ARGV[4]), tonumber(ARGV[5]))
	call('ZREMRANGEBYRANK', ids, 0, -100001)
	call('EXPIRE', ids, 3600)
	call(ARGV[2], ARGV[3], 'k' .. epoch .. (before + 1) .. ',' .. now .. ';' .. table.concat(said))
end
return { epoch, offsets }
