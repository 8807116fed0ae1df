"""The one exception and the one warning that people, not programmers, are meant to read."""


class Prior3dError(Exception):
    """A failure that a person can put right. Its message is one clear line: what, where, found, what to do."""


class Prior3dWarning(UserWarning):
    """Something that goes on otherwise than was to be expected. Its message is one clear line, as an error's is."""
