"""What a person may have meant by a name that is not known."""

from collections.abc import Callable, Iterable

SIMILARITY = 0.5  # of `difflib`, from 0 to 1: lets two or three wrong letters of a word pass


def did_you_mean(name: str, known: Iterable[str], otherwise: str, shown: Callable[[str], str] = repr) -> str:
    """The end of a message about an unknown name.

    Args:
        name: what was found.
        known: names that there are.
        otherwise: what to say where none of them is near, e.g. all of them.
        shown: how the nearest name is written out.

    Returns:
        `did you mean 'NEAREST'?`, or `otherwise`.
    """
    from difflib import get_close_matches  # start-up: only errors need it

    near = get_close_matches(name, list(known), n=1, cutoff=SIMILARITY)
    return f"did you mean {shown(near[0])}?" if near else otherwise
