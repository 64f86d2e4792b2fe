"""Scores of the seven subtasks: exact matches of what is asked for, over all reviews together (Yan et al. 2021).

`official` is the released code of BARTABSA, `corrected` the same without its quirks:

                        official                                        corrected
ae, aesc of `wang`      aspects that are in conflict are left out, and  all aspects, and all that is said of them
                        what is said of them; of an aspect said twice
                        the last polarity counts
alsc                    of `wang`: precision and recall of each          macro F1 over all true aspects: one that was
                        polarity over aspects that were found,          not found is missed
                        averaged, then F1
everything else         sets of tuples                                  sets of tuples
malformed output        is dropped                                      is said, and wrong (not of alsc)

Duplicates count once.

Legend: E reviews, or aspects of reviews where a subtask is asked about one.
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from quire.core.example import Ints
from quire.core.opinions import Opinion, Polarity, Words
from quire.core.subtasks import OF_ASPECT, PARTS, Part, Subtask
from quire.scoring.base import Scores, harmonic, micro, share

Release: TypeAlias = Literal["wang", "fan", "peng"]
"""Whose scores are the official ones: the code for the data of Wang et al. 2017, of Fan et al. 2019, and of both Peng
et al. 2020 and Xu et al. 2020."""
Said: TypeAlias = Sequence[Sequence[Opinion]]
Marks: TypeAlias = npt.NDArray[np.float64]
Liked: TypeAlias = Mapping[Words, Polarity]


def opinion_scores(
    subtask: Subtask, truth: Said, said: Said, *, release: Release = "peng", invalid: Sequence[int] | None = None
) -> Scores:
    """Precision, recall and f1 of what a subtask asks for, from all opinions of each item and what was said of it.

    Parts that the subtask does not ask for are passed over, and so are opinions that lack one it asks for; but the
    official `ae` and `alsc` of `wang` are read from answers to `aesc`, so polarities belong there. What is said stands
    in the order it was said in. `invalid` [E] are pieces of output that say nothing.
    """
    counts = _counts(subtask, truth, said)
    right, told, true = map(int, counts.sum(axis=0))
    official = micro(right, told, true)
    if release == "wang" and subtask in ("ae", "alsc", "aesc"):
        official = _wang(subtask, truth, said)
    if subtask == "alsc":
        return Scores(official, _macro(truth, said))
    return Scores(official, micro(right, told + sum(invalid or ()), true))


def marks(subtask: Subtask, truth: Said, said: Said, *, invalid: Sequence[int] | None = None) -> Marks:
    """[E, 2]: twice what is right, and what is said and true together. The ratio of their sums is the corrected F1, but
    of `alsc`, whose micro F1 it is; so resampling items resamples it."""
    right_E, told_E, true_E = _counts(subtask, truth, said).T
    more_E = np.array(invalid or [0] * len(right_E))
    return np.stack([2 * right_E, told_E + more_E + true_E], axis=1).astype(np.float64)


def _counts(subtask: Subtask, truth: Said, said: Said) -> Ints:
    """[E, 3]: what is right, said and true."""
    sets = [(_asked(subtask, t), _asked(subtask, s)) for t, s in zip(truth, said, strict=True)]
    return np.array([(len(t & s), len(s), len(t)) for t, s in sets], dtype=np.int64).reshape(-1, 3)


def _asked(subtask: Subtask, opinions: Iterable[Opinion]) -> frozenset[tuple[Hashable, ...]]:
    """What of opinions a subtask asks for; with the aspect, where it is asked about one."""
    parts: tuple[Part, ...] = (*(("aspect",) if subtask in OF_ASPECT else ()), *PARTS[subtask])
    found = {tuple(getattr(opinion, part) for part in parts) for opinion in opinions}
    return frozenset(one for one in found if None not in one)


def _wang(subtask: Subtask, truth: Said, said: Said) -> dict[str, float]:
    """As `AESCSpanMetric` counts."""
    pairs = [_settled(t, s) for t, s in zip(truth, said, strict=True)]
    if subtask == "ae":
        return micro(*_added((len(t.keys() & s.keys()), len(s), len(t)) for t, s in pairs))
    if subtask == "aesc":
        return micro(*_added((len(t.items() & s.items()), len(s), len(t)) for t, s in pairs))
    both = [(t[aspect], s[aspect]) for t, s in pairs for aspect in t.keys() & s.keys()]
    kinds = sorted({kind for pair in both for kind in pair})
    right = Counter(true for true, found in both if true == found)
    precision = _mean([share(right[kind], sum(found == kind for _, found in both)) for kind in kinds])
    recall = _mean([share(right[kind], sum(true == kind for true, _ in both)) for kind in kinds])
    return {"precision": precision, "recall": recall, "f1": harmonic(precision, recall)}


def _settled(truth: Sequence[Opinion], said: Sequence[Opinion]) -> tuple[Liked, Liked]:
    """The last polarity of each aspect, without conflicts, and without what is said of aspects that are in conflict."""
    conflicts = {opinion.aspect for opinion in truth if opinion.polarity == "conflict"}
    return _last(truth), {aspect: liked for aspect, liked in _last(said).items() if aspect not in conflicts}


def _last(opinions: Sequence[Opinion]) -> dict[Words, Polarity]:
    return {o.aspect: o.polarity for o in opinions if o.aspect and o.polarity and o.polarity != "conflict"}


def _macro(truth: Said, said: Said) -> dict[str, float]:
    """Of the polarities of all true aspects; one of which nothing is said is missed, and what is said of others is
    passed over."""
    right: Counter[Polarity] = Counter()
    told: Counter[Polarity] = Counter()
    true: Counter[Polarity] = Counter()
    for opinions, found in zip(truth, said, strict=True):
        t = {(o.aspect, o.polarity) for o in opinions if o.aspect and o.polarity}
        asked = {aspect for aspect, _ in t}
        s = {(o.aspect, o.polarity) for o in found if o.aspect in asked and o.polarity}
        for counter, pairs in ((right, t & s), (told, s), (true, t)):
            counter.update(polarity for _, polarity in pairs)
    rows = [micro(right[kind], told[kind], true[kind]) for kind in sorted(true)]
    return {name: _mean([row[name] for row in rows]) for name in ("precision", "recall", "f1")}


def _added(rows: Iterable[tuple[int, int, int]]) -> tuple[int, int, int]:
    right, told, true = np.array([*rows], dtype=np.int64).reshape(-1, 3).sum(axis=0).tolist()
    return right, told, true


def _mean(numbers: Sequence[float]) -> float:
    return share(sum(numbers), len(numbers))
