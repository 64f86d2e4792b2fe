"""How likely each label is behind a prompt, by three rules (Brown et al. 2020, section 2.4).

sum     log p(label | prompt)
mean    the same, over the tokens of the label
prior   log p(label | prompt) - log p(label | neutral prompt): what the prompt adds to a label that is likely anyway

Legend: Q questions, C labels.
"""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from quire.incontext.prompt import Question
from quire.nn.model import Model
from quire.nn.search import likelihoods
from quire.nn.stepwise import Stepwise
from quire.train.evaluate import TOKENS, batches

HEAD = "lm"
RULES = ("sum", "mean", "prior")
Floats: TypeAlias = npt.NDArray[np.float64]


def log_likelihoods(model: Model, questions: Sequence[Question]) -> Floats:
    """log p [Q, C] of each label's own tokens. A prompt is read once for all its labels."""
    found = np.empty((len(questions), len(questions[0].answers)))
    for indices in batches([question.prompt for question in questions], TOKENS // found.shape[1]):
        taken = [questions[i] for i in indices]
        writer = Stepwise(model, [question.prompt for question in taken], head=HEAD)
        told = iter(likelihoods(writer, [question.answers for question in taken]))
        for i, question in zip(indices, taken, strict=True):
            found[i] = [sum(next(told)[-own:]) for own in question.counted]
    return found


def by_rule(log_p_QC: Floats, neutral_C: Floats, questions: Sequence[Question]) -> Mapping[str, Floats]:
    """The scores [Q, C] of each rule."""
    lengths_QC = np.array([question.counted for question in questions])
    return {"sum": log_p_QC, "mean": log_p_QC / lengths_QC, "prior": log_p_QC - neutral_C}
