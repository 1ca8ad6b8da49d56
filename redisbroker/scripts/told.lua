-- An epoch that somebody is told of goes on for an hour: he may come back with that. What adds to a stream does not
-- do this: Redis lets a script that has written go on writing though its memory is full.
call('EXPIRE', meta, 3600, 'GT')
