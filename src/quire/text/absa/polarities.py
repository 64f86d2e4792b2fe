"""What releases and people call a polarity."""

from collections.abc import Mapping

from quire.core.errors import BadInput, nearest
from quire.core.opinions import POLARITIES, Polarity

_CALLED: Mapping[str, Polarity] = {
    **{name: name for name in POLARITIES},
    "pos": "positive",
    "neg": "negative",
    "neu": "neutral",
    "con": "conflict",
    "正面": "positive",
    "负面": "negative",
    "中性": "neutral",
    "矛盾": "conflict",
}


def polarity(name: object, where: str) -> Polarity:
    """The polarity of this name, in any case; BadInput, with the place, where it is none."""
    known = _CALLED.get(name.strip().casefold()) if isinstance(name, str) else None
    if known is None:
        raise BadInput(f"{where}: the polarity {name!r:.40} is not known{nearest(str(name).casefold(), POLARITIES)}")
    return known
