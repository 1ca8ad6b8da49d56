-- Applies changes: ARGV[4…] are triples of what is done (s: a signed member comes, c: a claimed one, g: it
-- goes), id and info. The answer has the indices of those that are refused.
local refused = {}
for i = 4, #ARGV, 3 do
	local what, id, info = ARGV[i], ARGV[i + 1], ARGV[i + 2]
	if what == 'g' then
		remove(id)
	elseif what == 'c' and redis.call('HEXISTS', signers, id) == 1 then
		refused[#refused + 1] = (i - 4) / 3
	else
		add(id, info, what == 's' and '1' or '0')
	end
end
local mine = done()
return { epoch, text(version), mine, refused }
