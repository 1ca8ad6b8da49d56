-- Finds a kept publication by its id: ARGV are count, age and the id.
local count, age, id = unpack(ARGV, 2, 4)
local at = tonumber(redis.call('ZSCORE', ids, id) or 0)
if at < oldest(math.max(1, newest - count + 1), tonumber(age)) or at > newest then return { epoch, '0' } end
local entry = redis.call('XRANGE', stream, text(at), text(at), 'COUNT', 1)[1]
if not entry or entry[2][4] ~= id then return { epoch, '0' } end
return { epoch, text(at) }
