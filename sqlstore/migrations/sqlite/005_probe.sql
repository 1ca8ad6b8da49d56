-- Room that is taken and given back, to find out whether there is any.
ALTER TABLE herald_probe ADD COLUMN ballast TEXT NOT NULL DEFAULT '';
