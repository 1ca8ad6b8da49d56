-- Makes exactly these what this life holds: ARGV[4…] are triples as in apply.lua, of which none goes. A
-- claim changes nothing of a member that is signed elsewhere.
local kept = {}
for i = 4, #ARGV, 3 do kept[ARGV[i + 1]] = true end
for _, id in ipairs(redis.call('HKEYS', held)) do
	if id ~= '' and not kept[id] then remove(id) end
end
for i = 4, #ARGV, 3 do
	local what, id, info = ARGV[i], ARGV[i + 1], ARGV[i + 2]
	if what == 'c' then
		local had = redis.call('HGET', held, id)
		local signed = tonumber(redis.call('HGET', signers, id) or 0)
		if had == '1' then signed = signed - 1 end
		if signed > 0 then info = redis.call('HGET', infos, id) or info end
	end
	add(id, info, what == 's' and '1' or '0')
end
local mine = done()
return { epoch, text(version), mine, {} }
