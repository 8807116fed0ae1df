"""The one exception that people, not programmers, are meant to read."""


class Prior3dError(Exception):
    """Something that a person can put right; the message is one line: what failed, where, what was found, what to do."""
