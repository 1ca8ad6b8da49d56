-- Tells where a stream stands.
return { epoch, newest }
