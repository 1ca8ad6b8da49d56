-- Appends the frames ARGV[6…] and tells of them.
local before, ms = newest, '-' .. text(now)
for i = 6, #ARGV do
	newest = newest + 1
	redis.call('XADD', stream, text(newest) .. ms, 'b', ARGV[i])
end
keep(before)
redis.call(command, channel, header(before + 1) .. table.concat(ARGV, '', 6))
return { epoch, text(before + 1) }
