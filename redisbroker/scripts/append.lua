-- Appends to streams and tells of it. KEYS are meta hash and entries of each. ARGV[1] is the epoch to begin
-- where none goes on, ARGV[2] the command to publish with; then come, for each stream, its channel, its count,
-- its age, how many frames there are, and these. The answer has epoch and first offset for each.
local fresh, publish, i, answer, ms = ARGV[1], ARGV[2], 3, {}, '-' .. now
for k = 1, #KEYS, 2 do
	local meta, stream, channel, first = KEYS[k], KEYS[k + 1], ARGV[i], i + 4
	local last = i + 3 + ARGV[i + 3]
	local epoch, newest, expires = find(meta)
	local before, from = newest, first
	if epoch and expires > now then
		if call('XADD', stream, 'NOMKSTREAM', (newest + 1) .. ms, 'b', ARGV[first]) then
			newest, from = newest + 1, first + 1
		else
			epoch = false -- its entries are lost
		end
	end
	if not epoch then
		epoch, newest, expires = begin(fresh, meta, stream)
		before = 0
	end
	for j = from, last do
		newest = newest + 1
		call('XADD', stream, newest .. ms, 'b', ARGV[j])
	end
	keep(meta, stream, before, newest, expires, tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2]))
	local frames = first == last and ARGV[first] or table.concat(ARGV, '', first, last)
	call(publish, channel, 'k' .. epoch .. (before + 1) .. ',' .. now .. ';' .. frames)
	answer[#answer + 1], answer[#answer + 2] = epoch, before + 1
	i = last + 1
end
return answer
