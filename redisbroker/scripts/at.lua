-- KEYS are one stream; ARGV[1] is the epoch to begin where none goes on. One that goes on does so for an hour
-- more: whoever is told where the stream stands may come back with that.
local meta, stream, ids = unpack(KEYS)
local epoch, newest, expires = find(meta)
if not epoch or (expires > now and call('EXISTS', stream) == 0) then
	epoch, newest, expires = begin(ARGV[1], meta, stream, ids)
else
	call('EXPIRE', meta, 3600, 'GT')
end
