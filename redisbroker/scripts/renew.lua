-- Renews the lease of a life. KEYS are the lease, and the mark that the life has been ended by others;
-- ARGV[1] is for how long, in milliseconds. PEXPIRE comes first since it is allowed while memory is full.
if redis.call('EXISTS', KEYS[2]) == 1 then return 'ended' end
if redis.call('PEXPIRE', KEYS[1], ARGV[1]) == 1 then return 'renewed' end
redis.call('SET', KEYS[1], '1', 'PX', ARGV[1])
return 'begun'
