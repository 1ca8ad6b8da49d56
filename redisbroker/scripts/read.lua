-- Reads a part of a history: ARGV[2…7] are count, age, the offset after which, or how many of the newest, how
-- many at most, and how many bytes. Redis does nothing else meanwhile, so a part whose entries are large is shorter.
-- It has two of them all the same, so that a reader whose part begins with one that he has gets on. They are read a
-- few at a time, since how large they are is only known then.
local count, age, after, last, limit, bytes = unpack(ARGV, 2, 7)
local first = oldest(stream, newest, math.max(1, newest - count + 1), tonumber(age))
local from = math.max(first, after + 1)
if tonumber(last) > 0 then from = math.max(first, newest - last + 1) end
local entries, step = {}, 1
limit, bytes = tonumber(limit), tonumber(bytes)
while from <= newest and #entries < limit and (bytes > 0 or #entries < 2) do
	local some = call('XRANGE', stream, from, '+', 'COUNT', math.min(step, limit - #entries))
	if #some == 0 then break end
	for _, entry in ipairs(some) do
		bytes = bytes - #entry[2][2]
		if bytes < 0 and #entries >= 2 then break end
		entries[#entries + 1] = entry
	end
	from, step = from + #some, math.min(2 * step, 16)
end
return { epoch, newest, first, entries }
