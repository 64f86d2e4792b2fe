"""A pair of texts for every aspect that a review may speak of (Sun et al. 2019, "Utilizing BERT for Aspect-Based
Sentiment Analysis via Constructing Auxiliary Sentence", section 3; survey: ABSA as Text Matching).

form     texts                 answer     SentiHood's second text, for the price of LOCATION1
single   review                label
qa_m     review, auxiliary     label      what do you think of the price of location - 1 ?
nli_m    review, auxiliary     label      location - 1 - price
qa_b     auxiliary, review     yes, no    the polarity of the aspect price of location - 1 is Positive .
nli_b    auxiliary, review     yes, no    Positive - location - 1 - price

A B form asks once for each label: P(label) = P(yes | label) / sum of P(yes), ties to the lower label. `single` asks
of a model of its own for each place and aspect. Orders and strings are those of the released code, in which, unlike in
the paper, nli_b begins with the label; its qa_b alone has one sign more, `location - 1 - is`, which the paper has not.
Text of SentiHood is in lower case, its words apart, and its places spelled as in the auxiliary sentence; the words are
ours (`word_places`) where the release cut them with NLTK, which a BERT vocabulary cuts alike but for contractions.

Legend: B blocks, a review or one of its places; A aspects; C labels; I problems; X answers of a problem.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from quire.core.errors import BadInput
from quire.core.example import Ints
from quire.core.opinions import Opinion, Review
from quire.core.random import Rng
from quire.text.problems import Problem

Form: TypeAlias = Literal["single", "qa_m", "nli_m", "qa_b", "nli_b"]
FORMS: tuple[Form, ...] = get_args(Form)
BINARY: frozenset[Form] = frozenset({"qa_b", "nli_b"})
"""Those that ask for each label whether it is so, and whose auxiliary sentence comes first."""
ANSWERS = ("no", "yes")
MENTIONED = "mentioned"
"""The label of what is spoken of, where nobody tells how it is liked."""
Floats: TypeAlias = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Scheme:
    """What is asked of the reviews of a data set, and in which words."""

    aspects: Mapping[str, str]
    """The categories asked for, and what they are called."""
    labels: tuple[str, ...]
    """In the order of their numbers: polarities, in any case, and `absent`."""
    absent: str
    sentences: Mapping[Form, str]
    """The auxiliary sentences, with the places of {aspect}, {target} and {label}."""
    targets: Mapping[str, str]
    """The hidden names of places, and what they are called; without any, a review is asked about as a whole."""

    def label(self, said: Opinion, where: str) -> int:
        """The number of an opinion's polarity; BadInput for one that is no label."""
        numbers = {label.casefold(): number for number, label in enumerate(self.labels) if label != self.absent}
        if (told := said.polarity or MENTIONED) not in numbers:
            has = f"the polarity {told}" if said.polarity else "no polarity"
            raise BadInput(f"{where}: {said.category} has {has}; it must be {', '.join(numbers)}")
        return numbers[told]

    def text(self, review: Review) -> str:
        """The review as it is read."""
        if not self.targets:
            return review.text
        text = " ".join(review.words).lower()
        for name, called in self.targets.items():
            text = text.replace(name.lower(), called)
        return text


SENTIHOOD = Scheme(
    aspects={"general": "general", "price": "price", "transit-location": "transit location", "safety": "safety"},
    labels=("None", "Positive", "Negative"),
    absent="None",
    sentences={
        "qa_m": "what do you think of the {aspect} of {target} ?",
        "nli_m": "{target} - {aspect}",
        "qa_b": "the polarity of the aspect {aspect} of {target} is {label} .",
        "nli_b": "{label} - {target} - {aspect}",
    },
    targets={"LOCATION1": "location - 1", "LOCATION2": "location - 2"},
)
"""Four of its twelve aspects, as all papers do."""
SEMEVAL_2014 = Scheme(
    aspects={
        "price": "price",
        "anecdotes/miscellaneous": "anecdotes",
        "food": "food",
        "ambience": "ambience",
        "service": "service",
    },
    labels=("positive", "neutral", "negative", "conflict", "none"),
    absent="none",
    sentences={
        "qa_m": "what do you think of the {aspect} of it ?",
        "nli_m": "{aspect}",
        "qa_b": "the polarity of the aspect {aspect} is {label} .",
        "nli_b": "{label} - {aspect}",
    },
    targets={},
)


def scheme_of(categories: Sequence[str], polarities: Sequence[str]) -> Scheme:
    """What is asked of a person's reviews, as it is of SemEval's: their categories in words, `DRINKS#PRICES` as `drinks
    prices`, and the polarities that are told, or none, and then only whether a category is mentioned."""
    aspects = {name: " ".join(re.split(r"[\W_]+", name.casefold())).strip() or name for name in categories}
    return replace(SEMEVAL_2014, aspects=aspects, labels=(*(polarities or (MENTIONED,)), SEMEVAL_2014.absent))


@dataclass(frozen=True)
class Sheet:
    """The problems of a form, and the blocks that they are asked for."""

    scheme: Scheme
    form: Form
    blocks: tuple[tuple[Review, str | None], ...]
    """[B] a review, and the hidden name of its place."""
    truth: Ints
    """[B, A] numbers of labels; the first opinion of an aspect counts."""
    problems: tuple[Problem, ...]
    """[I], block by block, aspect by aspect, and in a B form label by label."""

    @property
    def labels(self) -> tuple[str, ...]:
        """[X]."""
        return ANSWERS if self.form in BINARY else self.scheme.labels

    @property
    def parts(self) -> dict[str, list[int]]:
        """The problems that one model learns, by its name: all, or those of one place and aspect."""
        if self.form != "single":
            return {"all": [*range(len(self.problems))]}
        found: dict[str, list[int]] = {}
        for number in range(len(self.problems)):
            block, aspect = divmod(number, len(self.scheme.aspects))
            name = " ".join(filter(None, (self.blocks[block][1], [*self.scheme.aspects][aspect])))
            found.setdefault(name, []).append(number)
        return found

    def shares(self, said_IX: Floats) -> Floats:
        """[B, A, C], what is given to each label, from the probabilities of each problem's answers."""
        size = (*self.truth.shape, len(self.scheme.labels))
        if self.form not in BINARY:
            return said_IX.reshape(size)
        yes_BAC = said_IX[:, ANSWERS.index("yes")].reshape(size)
        total_BA1 = yes_BAC.sum(axis=-1, keepdims=True)
        even: Floats = np.full(size, 1 / size[-1])
        shares_BAC: Floats = np.divide(yes_BAC, total_BA1, out=even, where=total_BA1 > 0)
        return shares_BAC


def sheet(reviews: Sequence[Review], *, scheme: Scheme, form: Form, shuffled: Rng | None = None) -> Sheet:
    """Ask every review for all aspects, of each place that its text names.

    With `shuffled` the aspects of each block trade their auxiliary sentences: a control, in which the second text says
    nothing of what is asked. BadInput for a polarity that is no label.
    """
    blocks = [
        (review, target) for review in reviews for target in scheme.targets or (None,) if (target or "") in review.text
    ]
    count = len(scheme.aspects)
    truth: Ints = np.array([_labels(*block, scheme) for block in blocks], dtype=np.int64).reshape(-1, count)
    called, problems = [*scheme.aspects.values()], []
    for (review, target), labels in zip(blocks, truth, strict=True):
        order = range(count) if shuffled is None else shuffled.permutation(count)
        for aspect, label in zip(order, labels, strict=True):
            words = {"aspect": called[aspect], "target": scheme.targets.get(target or "", "")}
            problems += _asked(scheme, form, words, scheme.text(review), int(label), review.where)
    return Sheet(scheme, form, tuple(blocks), truth, tuple(problems))


def _labels(review: Review, target: str | None, scheme: Scheme) -> list[int]:
    first: dict[str | None, int] = {}
    for said in review.opinions:
        here = target is None or (said.aspect is not None and target in review.quoted(said.aspect))
        if here and said.category in scheme.aspects:
            first.setdefault(said.category, scheme.label(said, review.where))
    return [first.get(aspect, scheme.labels.index(scheme.absent)) for aspect in scheme.aspects]


def _asked(scheme: Scheme, form: Form, words: Mapping[str, str], text: str, label: int, where: str) -> list[Problem]:
    answer = scheme.labels[label]
    if form == "single":
        return [Problem((text,), answer, where)]
    sentence = scheme.sentences[form]
    if form not in BINARY:
        return [Problem((text, sentence.format_map(words)), answer, where)]
    return [
        Problem((sentence.format_map({**words, "label": other}), text), ANSWERS[other == answer], where)
        for other in scheme.labels
    ]
