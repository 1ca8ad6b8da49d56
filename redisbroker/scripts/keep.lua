-- keep keeps a stream within count and age, at a cost that does not grow with what is published: by count
-- each time when sixteen more have come, by age each time when a sixteenth of it has passed. Readers judge by
-- offset and age themselves. Added is how many entries are new.
local function keep(meta, stream, newest, added, expires, count, age)
	if newest % 16 < added then
		call('XTRIM', stream, 'MINID', math.max(1, newest - count + 1))
	end
	if expires >= now + age * 17 / 16 then return end
	call('XTRIM', stream, 'MINID', oldest(stream, newest, 1, age))
	expires = now + math.floor(age * 9 / 8)
	call('HSET', meta, 'x', expires)
	call('PEXPIREAT', stream, expires)
	call('PEXPIREAT', meta, expires + 86400000)
end
