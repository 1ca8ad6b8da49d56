-- Ends a life whose lease has run out, so that it never goes on, and returns some of the channels on which
-- it may have members. ARGV[1] is 'now' where it ends itself.
if ARGV[1] == 'now' then redis.call('DEL', KEYS[1]) end
if redis.call('EXISTS', KEYS[1]) == 1 then return false end
redis.call('SET', KEYS[2], '1', 'EX', 86400)
return redis.call('SRANDMEMBER', KEYS[3], 100)
