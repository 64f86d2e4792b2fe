"""Scores of labels for aspects: SentiHood (Saeidi et al. 2016) and SemEval-2014 Task 4, subtasks 3 and 4 (Pontiki et
al. 2014), as Sun et al. (2019, "Utilizing BERT for ABSA via Constructing Auxiliary Sentence") computed them.

`official` is their evaluation.py; beside it `corrected` has the same names:

SentiHood            official                                  corrected
strict               blocks whose labels are all right         blocks whose aspects are all right, whatever polarity
f1                   harmonic mean of mean precision and mean  F1 of aspects over all blocks together
                     recall over blocks that have an aspect:
                     what is said in others costs nothing
auc                  P(None), the mean over aspects            the same
sentiment_accuracy   of true aspects, Positive or Negative     of true aspects, what is said; None is wrong
sentiment_auc        of true aspects, P(neg) / P(pos or neg)   the same

SemEval              official                                  corrected
precision, recall,   of aspects over sentences that have one   over all sentences
f1
accuracy_4           of true aspects, the likeliest polarity   of true aspects, what is said; none is wrong
accuracy_3           the same without true conflicts           the same without true conflicts
accuracy_2           and without neutral ones                  and without neutral ones
joint_f1             is not scored                             of aspects with their polarities, over all sentences

Where the official ones divide 0 by 0 there is 0 here. An aspect without two classes has no AUC and is left out of the
mean, which is NaN where none has.

Legend: B blocks (a sentence, or one place of a sentence), A aspects, C labels, Q true aspects.
"""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from quire.core.example import Bools, Ints
from quire.scoring.base import Scores, harmonic, micro, share

Floats: TypeAlias = npt.NDArray[np.floating]
NONE, POSITIVE, NEGATIVE = range(3)
"""SentiHood's labels, in the order of their numbers."""
SEMEVAL = ("positive", "neutral", "negative", "conflict", "none")
"""SemEval's."""
_WAYS = {"accuracy_4": SEMEVAL[:4], "accuracy_3": SEMEVAL[:3], "accuracy_2": ("positive", "negative")}


def sentihood(truth_BA: Ints, shares_BAC: Floats) -> Scores:
    """Of labels and what a model gives to each: strict, f1, auc, sentiment_accuracy, sentiment_auc.

    Ties go to the lower label.
    """
    said_BA = shares_BAC.argmax(axis=-1)
    there_BA, found_BA = truth_BA != NONE, said_BA != NONE
    truth_Q, said_Q, liked_Q = truth_BA[there_BA], said_BA[there_BA], _negative(shares_BAC)[there_BA]
    aucs = {
        "auc": _auc(~there_BA, shares_BAC[..., NONE], np.ones_like(there_BA)),
        "sentiment_auc": _auc(truth_BA == NEGATIVE, _negative(shares_BAC), there_BA),
    }
    official = {
        "strict": share(right_blocks(truth_BA, said_BA).sum(), len(truth_BA)),
        "f1": _block_f1(there_BA, found_BA),
        "sentiment_accuracy": share(((liked_Q > 0.5) == (truth_Q == NEGATIVE)).sum(), len(truth_Q)),
    }
    corrected = {
        "strict": share(right_blocks(there_BA, found_BA).sum(), len(truth_BA)),
        "f1": micro((there_BA & found_BA).sum(), found_BA.sum(), there_BA.sum())["f1"],
        "sentiment_accuracy": share((truth_Q == said_Q).sum(), len(truth_Q)),
    }
    return Scores({**official, **aucs}, {**corrected, **aucs})


def semeval(truth_BA: Ints, shares_BAC: Floats, labels: Sequence[str] = SEMEVAL) -> Scores:
    """Of labels and what a model gives to each: precision, recall and f1 of aspects; accuracy_4, accuracy_3, accuracy_2
    of polarities; joint_f1. Ties go to the lower label.

    Other data may have fewer `labels`, `none` among them; where no polarity is one, there are no accuracies.
    """
    absent = labels.index("none")
    said_BA = shares_BAC.argmax(axis=-1)
    there_BA, found_BA, right_BA = truth_BA != absent, said_BA != absent, truth_BA == said_BA
    some_B = there_BA.any(axis=1)
    official = _aspects(there_BA[some_B], found_BA[some_B])
    corrected = _aspects(there_BA, found_BA)
    corrected["joint_f1"] = micro(int((there_BA & right_BA).sum()), int(found_BA.sum()), int(there_BA.sum()))["f1"]
    for name, names in _WAYS.items():
        if not (ways := [number for number, label in enumerate(labels) if label in names]):
            continue
        asked_BA = np.isin(truth_BA, ways)
        truth_Q, likeliest_Q = truth_BA[asked_BA], np.array(ways)[shares_BAC[..., ways].argmax(axis=-1)][asked_BA]
        official[name] = share((truth_Q == likeliest_Q).sum(), len(truth_Q))
        corrected[name] = share(right_BA[asked_BA].sum(), len(truth_Q))
    return Scores(official, corrected)


def right_blocks(truth_BA: Ints | Bools, said_BA: Ints | Bools) -> Bools:
    """[B] where all of a block is right: what two systems are compared by, block for block."""
    right: Bools = (truth_BA == said_BA).all(axis=1)
    return right


def _aspects(there_BA: Bools, found_BA: Bools) -> dict[str, float]:
    return micro(int((there_BA & found_BA).sum()), int(found_BA.sum()), int(there_BA.sum()))


def _block_f1(there_BA: Bools, found_BA: Bools) -> float:
    """Of means over blocks that have an aspect; a block in which nothing is right counts 0 for both."""
    rows: Sequence[tuple[Bools, Bools]] = [(t, f) for t, f in zip(there_BA, found_BA, strict=True) if t.any()]
    precision = sum(share((t & f).sum(), f.sum()) for t, f in rows)
    recall = sum(share((t & f).sum(), t.sum()) for t, f in rows)
    return harmonic(share(precision, len(rows)), share(recall, len(rows)))


def _negative(shares_BAC: Floats) -> Floats:
    """[B, A] P(neg) / P(pos or neg); a half where both are 0."""
    both_BA = shares_BAC[..., POSITIVE] + shares_BAC[..., NEGATIVE]
    halves: Floats = np.full(both_BA.shape, 0.5)
    return np.divide(shares_BAC[..., NEGATIVE], both_BA, out=halves, where=both_BA > 0)


def _auc(truth_BA: Bools, scores_BA: Floats, asked_BA: Bools) -> float:
    """The mean over aspects that have both classes among what is asked."""
    from sklearn.metrics import roc_auc_score

    columns = [(truth_BA[asked, a], scores_BA[asked, a]) for a, asked in enumerate(asked_BA.T)]
    found = [float(roc_auc_score(truth, scores)) for truth, scores in columns if len({*truth.tolist()}) == 2]
    return float(np.mean(found)) if found else float("nan")
