-- Tells where a stream stands.
return { epoch, text(newest) }
