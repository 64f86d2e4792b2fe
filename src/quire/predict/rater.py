"""A model that is asked about every category whether a review speaks of it, and how it is liked: in pairs of the review
and an auxiliary sentence (Sun et al. 2019).

Legend: B reviews, A categories, C labels: polarities, and `none`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal, Self, TypeAlias

import numpy as np
from pydantic import Field, model_validator

from quire.core.config import Settings, parse
from quire.core.errors import BadInput, nearest
from quire.core.opinions import POLARITIES, Opinion, Polarity, Review
from quire.predict import solver
from quire.predict.saving import save_network
from quire.predict.solver import Solver
from quire.predict.teller import Teller
from quire.text.auxiliary import Floats, Scheme, Sheet, scheme_of, sheet
from quire.text.problems import items
from quire.train.weights import ModelFiles

EXTRA = "rating"
"""Where a model folder keeps its `Rating`, beside the `Solving` of its pairs."""
Pairs: TypeAlias = Literal["nli_m", "qa_m", "nli_b", "qa_b"]
"""The forms of `quire.text.auxiliary` that one model answers. Those of nli name a category, in whatever language it is
named; those of qa ask about it in English."""


class Rating(Settings):
    """What is asked about each review."""

    categories: Annotated[tuple[str, ...], Field(min_length=1)]
    polarities: tuple[Polarity, ...] = ()
    """Those that are told; without any, only whether a category is spoken of."""
    form: Pairs = "nli_m"

    @model_validator(mode="after")
    def _apart(self) -> Self:
        named: dict[str, str] = {}
        for category in self.categories:
            if (other := named.setdefault(self.scheme.aspects[category], category)) != category:
                raise ValueError(f"the categories {other!r} and {category!r} are the same in words; rename one")
        if len({*self.categories}) < len(self.categories) or len({*self.polarities}) < len(self.polarities):
            raise ValueError("a category or a polarity is there twice; name each once")
        return self

    @property
    def scheme(self) -> Scheme:
        return scheme_of(self.categories, self.polarities)

    def sheet(self, reviews: Sequence[Review]) -> Sheet:
        """What is asked about reviews; BadInput for one that tells a category or a polarity which is not asked for."""
        for review in reviews:
            for said in review.opinions:
                if said.category is not None and said.category not in self.categories:
                    hint = nearest(said.category, self.categories)
                    raise BadInput(f"{review.where}: the category {said.category!r:.60} was not learnt{hint}")
        return sheet(reviews, scheme=self.scheme, form=self.form)

    @property
    def answers(self) -> tuple[str, ...]:
        """What each pair is answered with."""
        return self.sheet(()).labels


class Rater(Teller):
    """What labels the pairs, and what they ask."""

    def __init__(self, solver: Solver, plan: Rating) -> None:
        self.solver, self.plan = solver, plan
        self.model, self.tokenizer, self.length = solver.model, solver.tokenizer, solver.plan.length

    def answered(self, reviews: Sequence[Review]) -> list[Review]:
        blank = [replace(review, opinions=()) for review in reviews]  # what they say may never have been learnt
        told = self.opinions(self.shares(self.plan.sheet(blank)))
        return [replace(review, opinions=said) for review, said in zip(blank, told, strict=True)]

    def shares(self, asked: Sheet) -> Floats:
        """[B, A, C] what is given to each label."""
        return asked.shares(self.solver.probabilities(asked.problems))

    def opinions(self, shares_BAC: Floats) -> list[tuple[Opinion, ...]]:
        """What is said of each review by its largest shares: categories in their order, without words."""
        scheme, polarities = self.plan.scheme, {name: name for name in POLARITIES}
        labels = [[scheme.labels[best] for best in row] for row in shares_BAC.argmax(axis=-1).tolist()]
        return [
            tuple(
                Opinion(category=category, polarity=polarities.get(label))
                for category, label in zip(self.plan.categories, row, strict=True)
                if label != scheme.absent
            )
            for row in labels
        ]

    def cut_share(self, texts: Sequence[str]) -> float:
        """Beside the longest auxiliary sentence."""
        asked = items(self.plan.sheet([Review("", (), (), "")]).problems, self.tokenizer)
        room = self.length - 3 - max(sum(map(len, item.passages)) for item in asked)  # [CLS] and two [SEP]
        return float(np.mean([len(passage) > room for passage in self.tokenizer.encode(texts)]))

    def save(self, folder: Path, *, card: str = "") -> None:
        plans = {EXTRA: self.plan, solver.EXTRA: self.solver.plan}
        extra = {name: plan.model_dump(mode="json") for name, plan in plans.items()}
        save_network(folder, self.model, self.tokenizer, labels=self.plan.answers, card=card, extra=extra)

    @classmethod
    def of(cls, folder: Path, files: ModelFiles) -> Rater:
        """What a model folder holds; BadInput where it does not fit what it says of itself."""
        plan = parse(Rating, files.extra[EXTRA], where=f"{folder}: {EXTRA}")
        found = Solver.of(folder, files)
        if found.paradigm.labels != plan.answers:
            raise BadInput(f"{folder}: {EXTRA}: the pairs are not answered with {plan.answers}; write the folder again")
        return cls(found, plan)
