-- keep keeps a stream within count and age, at a cost that does not grow with what is published: by count
-- each time when a tenth more has come, by age each time when a sixteenth of it has passed. Readers judge by
-- offset and age themselves. The entries before were there already.
local function keep(meta, stream, before, newest, expires, count, age)
	local step = math.max(1, math.min(100, math.floor(count / 10)))
	if math.floor(newest / step) > math.floor(before / step) then
		call('XTRIM', stream, 'MINID', math.max(1, newest - count + 1))
	end
	if expires >= now + age * 17 / 16 then
		call('HSET', meta, 'o', newest)
		return
	end
	call('XTRIM', stream, 'MINID', oldest(stream, newest, 1, age))
	expires = now + math.floor(age * 9 / 8)
	call('HSET', meta, 'o', newest, 'x', expires)
	call('PEXPIREAT', stream, expires)
	call('PEXPIREAT', meta, expires + 86400000)
end
