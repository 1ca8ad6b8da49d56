-- Appends to streams and tells of it. KEYS are meta hash and entries of each. ARGV[1] is the epoch to begin
-- where none goes on, ARGV[2] the command to publish with; then come, for each stream, its channel, its count,
-- its age, how many frames there are, and these. The answer has epoch and first offset for each. Writing a
-- number as text is the most expensive thing here, so it is done once for each entry.
local fresh, publish, i, answer = ARGV[1], ARGV[2], 3, {}
local ms, after = '-' .. now, ',' .. now .. ';'
for k = 1, #KEYS, 2 do
	local meta, stream, frame = KEYS[k], KEYS[k + 1], i + 4
	local count = tonumber(ARGV[i + 3])
	local epoch, newest, expires = find(meta)
	local first, added = tostring(newest + 1), 0
	if epoch and expires > now then
		if call('XADD', stream, 'NOMKSTREAM', first .. ms, 'b', ARGV[frame]) then
			added = 1
		else
			epoch = false -- its entries are lost
		end
	end
	if not epoch then
		epoch, newest, expires = begin(fresh, meta, stream)
		first = '1'
	end
	local last = first
	for j = added, count - 1 do
		last = tostring(newest + j + 1)
		call('XADD', stream, last .. ms, 'b', ARGV[frame + j])
	end
	call('HSET', meta, 'o', last)
	keep(meta, stream, newest + count, count, expires, tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2]))
	local frames = count == 1 and ARGV[frame] or table.concat(ARGV, '', frame, frame + count - 1)
	call(publish, ARGV[i], 'k' .. epoch .. first .. after .. frames)
	answer[k], answer[k + 1] = epoch, first
	i = frame + count
end
return answer
