"""The one exception that people, not programmers, are meant to read."""


class Prior3dError(Exception):
    """A failure that a person can put right. Its message is one clear line: what, where, found, what to do."""
