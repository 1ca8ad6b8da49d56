-- Reads a part of a history: ARGV[2…6] are count, age, the offset after which, or how many of the newest, and
-- how many at most.
local count, age, after, last, limit = unpack(ARGV, 2, 6)
local first = oldest(stream, newest, math.max(1, newest - count + 1), tonumber(age))
local from = math.max(first, after + 1)
if tonumber(last) > 0 then from = math.max(first, newest - last + 1) end
local entries = {}
if from <= newest and tonumber(limit) > 0 then
	entries = call('XRANGE', stream, from, '+', 'COUNT', limit)
end
return { epoch, newest, first, entries }
