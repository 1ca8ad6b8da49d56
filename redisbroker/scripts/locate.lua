-- Finds a kept publication by its id: ARGV[2…4] are count, age and the id.
local count, age, id = unpack(ARGV, 2, 4)
local at = tonumber(call('ZSCORE', ids, id) or 0)
local first = oldest(stream, newest, math.max(1, newest - count + 1), tonumber(age))
if at < first or at > newest then return { epoch, 0 } end
local entry = call('XRANGE', stream, at, at, 'COUNT', 1)[1]
if not entry or entry[2][4] ~= id then return { epoch, 0 } end
return { epoch, at }
