"""Real objects: the models of Debian's package sweethome3d-furniture, read, named, captioned and rendered."""
