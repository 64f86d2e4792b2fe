"""What can go wrong, as a tree; the command line turns each into one line and an exit code.

QuireError                 1
├── BadInput               2   the person's files or settings: what, where, what to do
├── Diverged               3   the loss became NaN or infinite
└── Stopped               75   Ctrl-C or SIGTERM: state is saved, the same command goes on
"""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import ClassVar


class QuireError(Exception):
    """Base of all errors that Quire raises on purpose."""

    exit_code: ClassVar[int] = 1


class BadInput(QuireError):
    """The input cannot be used: the message says what is wrong, where, and what to do."""

    exit_code = 2


class Diverged(QuireError):
    """Training produced a loss that is not a finite number."""

    exit_code = 3


class Stopped(QuireError):
    """A signal asked the run to stop; its state is on disk and the same command goes on."""

    exit_code = 75


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint `; did you mean 'x'?`, or the list of what is known, or nothing when nothing is."""
    names = sorted(set(known))
    close = get_close_matches(word, names, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(names)}" if names else ""
