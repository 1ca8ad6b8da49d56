-- KEYS are one stream; ARGV[1] is the epoch to begin where none goes on.
local meta, stream, ids = unpack(KEYS)
local epoch, newest, expires = find(meta)
if not epoch or (expires > now and call('EXISTS', stream) == 0) then
	epoch, newest, expires = begin(ARGV[1], meta, stream, ids)
end
