-- Room that is taken and given back, to find out whether there is any. It is not compressed, or would need none.
ALTER TABLE herald_probe ADD COLUMN ballast TEXT NOT NULL DEFAULT '';
ALTER TABLE herald_probe ALTER COLUMN ballast SET STORAGE EXTERNAL;
