"""Where releases mean a run of words: by characters, which may split a word, or by its text."""

from collections.abc import Sequence

from quire.core.errors import BadInput
from quire.core.opinions import Words


def covering(places: Sequence[tuple[int, int]], start: int, end: int) -> Words | None:
    """The words that have a character from `start` to `end` - 1, the outermost as wholes; None where there are none."""
    held = [word for word, (a, b) in enumerate(places) if a < end and start < b]
    return (held[0], held[-1] + 1) if held else None


def quoted(
    text: str, places: Sequence[tuple[int, int]], wanted: str, *, where: str, split: bool = False, once: bool = False
) -> Words:
    """The words of `text` that read `wanted`: the first such run.

    BadInput where it does not stand there as whole words, unless words may be `split`, which are then taken whole, or
    where it stands there more than once and must not.
    """
    wanted, starts, ends = wanted.strip(), {a for a, _ in places}, {b for _, b in places}
    found = [at for at in range(len(text)) if wanted and text.startswith(wanted, at)]
    whole = [at for at in found if at in starts and at + len(wanted) in ends]
    if not whole and not (split and found):
        raise BadInput(f"{where}: {wanted!r:.60} does not stand in the text as whole words; correct one of the two")
    if once and len(whole) > 1:
        raise BadInput(
            f"{where}: {wanted!r:.60} stands in the text {len(whole)} times; give [start, end] in characters"
        )
    at = (whole or found)[0]
    run = covering(places, at, at + len(wanted))
    assert run is not None
    return run
