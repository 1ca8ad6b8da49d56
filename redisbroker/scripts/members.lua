return { epoch, text(version), redis.call('ZRANGE', members, 0, -1), redis.call('HGETALL', infos) }
