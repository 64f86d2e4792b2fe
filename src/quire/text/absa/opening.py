"""Reviews from a file whose format is told by what it holds, and the check that keeps test reviews out of training.

    <...                 SemEval's XML
    [{"words": ...       BARTABSA's JSON          [{"text": ..., "opinions": ...    SentiHood's JSON
    ...####[(            ASTE                     ...####[[                         ASQP
    {"text": ...         a person's own, a JSON object a line

A file packed with gzip is unpacked.
"""

import gzip
import json
import re
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from quire.core.errors import BadInput
from quire.core.opinions import Review
from quire.text.absa import bartabsa, bracketed, own, semeval, sentihood
from quire.text.audit import normalised
from quire.text.rows import decoded

POOLED = 0.05
"""The share of test reviews that may stand in training: 3 in 100 do within SentiHood, 258 of 322 across 15res and
16res."""


def read_reviews(path: str | Path, *, answered: bool = True) -> list[Review]:
    """The reviews of a file, in its order; without `answered`, a person's own need no `opinions`.

    BadInput for a file that cannot be read, is in none of the formats, or holds no reviews; and as the format's reader
    says.
    """
    name, content = str(path), _content(Path(path))
    match _format(content):
        case "semeval":
            found = semeval.read(content, name)
        case "bartabsa":
            found = bartabsa.read(content, name)
        case "sentihood":
            found = sentihood.read(content, name)
        case "aste":
            found = bracketed.read_aste(content, name)
        case "asqp":
            found = bracketed.read_asqp(content, name)
        case "own":
            found = own.read(content, name, answered=answered)
        case _:
            known = "SemEval's XML, BARTABSA's or SentiHood's JSON, ASTE, ASQP, or JSONL with text and opinions"
            raise BadInput(f"{name}: holds no reviews in a known format; give {known}")
    if not found:
        raise BadInput(f"{name}: holds no reviews; give a file with some")
    for review in found:
        try:
            review.text.encode()
        except UnicodeEncodeError:  # JSON can spell half of a surrogate pair
            raise BadInput(f"{review.where}: half of a surrogate pair, which is no character; remove it") from None
    return found


def refuse_pooled(train: Sequence[Review], held_out: Sequence[Review], *, name: str = "test") -> int:
    """How many of the held-out reviews stand in train, as `compared`; BadInput where these are more than `POOLED`.

    So it is where sub-sets of releases are pooled: 258 of the 322 test sentences of 15res stand in the training set of
    16res, since both were drawn from the same reviews.
    """
    learnt = {compared(review.text): review.where for review in reversed(train)}
    again = [review for review in held_out if compared(review.text) in learnt]
    if len(again) > POOLED * len(held_out):
        first = again[0]
        raise BadInput(
            f"{first.where}: stands in the training data too, at {learnt[compared(first.text)]}, as {len(again)} of "
            f"the {len(held_out)} {name} reviews do; releases share sentences (15res and 16res): train on the "
            f"{name}'s own sub-set"
        )
    return len(again)


def compared(text: str) -> str:
    """What two reviews have in common that are the same: letters and digits, or all signs where there are no others."""
    return re.sub(r"[\W_]+", "", text.casefold()) or normalised(text)


def _content(path: Path) -> str:
    try:
        raw = path.read_bytes()
        if raw.startswith(b"\x1f\x8b"):
            raw = gzip.decompress(raw)
    except OSError as error:  # gzip's own among them, which has no strerror
        raise BadInput(f"{path}: cannot be read: {error.strerror or error}") from error
    except (EOFError, zlib.error) as error:
        raise BadInput(f"{path}: a broken gzip file: {error}; fetch it again") from None
    return "".join(text for _, text in decoded(raw.splitlines(keepends=True), name=str(path)))


def _format(content: str) -> str | None:
    lines = [line for line in content.split("\n") if line.strip()]
    head = lines[0].lstrip() if lines else ""
    if head.startswith("<"):
        return "semeval"
    keys = _first_object(content) if head.startswith(("[", "{")) else {}
    if "words" in keys:
        return "bartabsa"
    if bracketed.PARTED in head and "text" not in keys:  # a text in JSON may hold the sign too
        first = next(filter(None, map(bracketed.first_opinion, lines)), None)
        return "aste" if isinstance(first, tuple) else "asqp"
    return {"[": "sentihood", "{": "own"}.get(head[:1])


def _first_object(content: str) -> Mapping[str, Any]:
    """Of a list or of lines in JSON; empty where there is none."""
    try:
        first, _ = json.JSONDecoder().raw_decode(content, content.index("{"))
    except (ValueError, RecursionError):
        return {}
    assert isinstance(first, dict)
    return first
