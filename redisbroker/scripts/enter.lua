-- Writes down that a life is about to have members on the channel ARGV[1]. It must have a lease for
-- ARGV[2] ms more, so that whatever it does next is done before anybody may end it.
if redis.call('EXISTS', KEYS[2]) == 1 or redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then return 0 end
redis.call('SADD', KEYS[3], ARGV[1])
return 1
