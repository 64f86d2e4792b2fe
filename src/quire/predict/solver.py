"""A model that answers in one of the paradigms: labels, numbers, spans, trees.

One that labels texts is a `Predictor` like any other; the others are called with texts and give `Answered`.

Legend: E problems, C labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from pydantic import model_validator

from quire.core.answers import Answer, Inexpressible, Item, Task
from quire.core.config import Settings, parse
from quire.core.errors import BadInput
from quire.core.example import Example
from quire.core.heads import MOST
from quire.core.spec import Backbone, Size
from quire.nn.model import Model
from quire.paradigms import Paradigm
from quire.paradigms.base import Labelling, Said
from quire.paradigms.classify import Classify
from quire.paradigms.extract import Extract
from quire.predict.base import Floats, Predictor
from quire.predict.encode import fitted
from quire.predict.saving import save_network
from quire.text.cut import KEPT, Cut
from quire.text.joined import parts
from quire.text.problems import Problem, items
from quire.text.tokenizers import Tokenizer
from quire.text.words import word_places
from quire.train.evaluate import said
from quire.train.start import tokenizer_of
from quire.train.weights import ModelFiles, read_model

EXTRA = "solving"
"""Where a model folder keeps its `Solving`."""


class Solving(Settings):
    """What is asked, in which form, and how much of a text is read."""

    task: Task
    paradigm: Paradigm
    length: Size
    """Tokens of an example, special ones included."""
    pairs: bool | None = None
    """Whether it is asked about two texts at a time: a pair, or a question and a passage; None where nobody said."""
    cut: Cut = "head"
    """What is kept of a text that is longer, where it is read whole; windows are for `classify`, and single texts."""

    @model_validator(mode="after")
    def _windows_can_be_read(self) -> Self:
        if self.cut == "windows" and not isinstance(self.paradigm, Classify):
            raise ValueError(f"cut windows: {self.paradigm.name()} reads a text in one piece; take head or head+tail")
        return self


@dataclass(frozen=True)
class Answered:
    """The answer to what was asked, on its words; `told` is the same as JSON holds it, with characters and texts."""

    answer: Answer
    problem: Problem

    @property
    def told(self) -> Any:
        return self.problem.told(self.answer)


class Solver:
    """Model, tokenizer and plan."""

    def __init__(self, model: Model, tokenizer: Tokenizer, plan: Solving) -> None:
        self.model, self.tokenizer, self.plan = model.eval(), tokenizer, plan
        self.world = tokenizer.world(length=plan.length)

    @property
    def paradigm(self) -> Paradigm:
        return self.plan.paradigm

    def __call__(self, *texts: str) -> Answered:
        """The answer about a text, a pair, or a question and a passage."""
        (problem,) = self.problems([texts])
        return Answered(self.answers([problem])[0], problem)

    def problems(self, rows: Sequence[Sequence[str]]) -> list[Problem]:
        """Texts as problems; words are runs of letters or digits, single Han characters, and other signs."""
        task = self.plan.task
        pairs = task == "reading" or self.plan.pairs
        wanted = "a question and a passage" if task == "reading" else "two texts" if pairs else "one text"
        by_words = task in ("spans", "reading", "tree")
        found = []
        for number, texts in enumerate(rows, start=1):
            where = f"text {number}"
            if not all(text.strip() for text in texts) or pairs not in (None, len(texts) == 2):
                raise BadInput(f"{where}: give {wanted}, not blank")
            found.append(Problem(tuple(texts), None, where, word_places(texts[-1]) if by_words else None))
        return found

    def answers(self, problems: Sequence[Problem]) -> list[Answer]:
        """An answer for each."""
        return [self.paradigm.decode(item, of_item, self.world) for item, of_item in self.said(problems)]

    def probabilities(self, problems: Sequence[Problem]) -> Floats:
        """[E, C] of a paradigm whose answers are labels; ValueError for another."""
        if not isinstance(self.paradigm, Labelling):
            raise ValueError(f"{self.paradigm.name()} has no labels")
        rows = [self.paradigm.probabilities(of_item) for _, of_item in self.said(problems)]
        return np.stack(rows) if rows else np.zeros((0, len(self.paradigm.labels)), dtype=np.float32)

    def said(self, problems: Sequence[Problem]) -> list[tuple[Item, list[Said]]]:
        """Each problem as it is read, and what the model says of its examples."""
        posed = self.items(problems)
        examples = [self.paradigm.format(item, None, self.world) for item in posed]
        flat = iter(said(self.model, self.paradigm, [example for of_item in examples for example in of_item]))
        return [(item, [next(flat) for _ in of_item]) for item, of_item in zip(posed, examples, strict=True)]

    def items(self, problems: Sequence[Problem]) -> list[Item]:
        """The problems as tokens; what is read whole is cut to what there is room for."""
        found = items(problems, self.tokenizer)
        if self.plan.task not in ("label", "number"):
            return found
        return fitted(found, self.paradigm, self.world, how=self.plan.cut)

    def cut_in_words(self, problems: Sequence[Problem], *, which: str) -> tuple[str, ...]:
        """How many of the problems have more tokens than are read, and what is kept: a line, or none where none has."""
        if self.plan.task not in ("label", "number"):
            return ()
        whole = items(problems, self.tokenizer)
        how = "head" if self.plan.pairs and self.plan.cut == "windows" else self.plan.cut
        windows = MOST if how == "windows" else 1
        room = [self.paradigm.room(item, self.world) * windows for item in whole]
        longer = sum(sum(map(len, item.passages)) > most for item, most in zip(whole, room, strict=True))
        told = f"{longer} of {len(whole)} {which} are longer than {self.plan.length} tokens hold; kept is {KEPT[how]}"
        return (told,) if longer else ()

    def best(self, *texts: str, count: int) -> list[tuple[Any, float]]:
        """Of a question, the `count` best answers as `Answered.told` has them, an empty one where there may be none.

        Their probabilities are shares among themselves. BadInput of what is no question.
        """
        if not isinstance(self.paradigm, Extract):
            raise BadInput(f"{self.paradigm.name()} has one answer and no others; only questions have several")
        (problem,) = self.problems([texts])
        ((item, of_item),) = self.said([problem])
        listed = self.paradigm.candidates(item, of_item, self.world, count=count)[:count]
        total = sum(one.probability for one in listed)
        return [(problem.told(frozenset([one.span] if one.span else [])), one.probability / total) for one in listed]

    def examples(self, problems: Sequence[Problem]) -> tuple[list[Example], list[str]]:
        """What is learnt from, and for each problem whose answer this form cannot hold, its place and why."""
        learnt: list[Example] = []
        lost: list[str] = []
        for problem, item in zip(problems, self.items(problems), strict=True):
            if problem.answer is None:
                lost.append(f"{problem.where}: the answer begins or ends inside a word")
                continue
            try:
                learnt += self.paradigm.format(item, problem.answer, self.world)
            except Inexpressible as why:
                lost.append(f"{problem.where}: {why}")
        return learnt, lost

    def save(self, folder: Path, *, card: str = "") -> None:
        """Write a model folder that `quire.load` opens."""
        extra = {EXTRA: self.plan.model_dump(mode="json")}
        save_network(folder, self.model, self.tokenizer, labels=self.paradigm.outputs, card=card, extra=extra)

    @classmethod
    def of(cls, folder: Path, files: ModelFiles) -> Solver:
        """What a model folder holds; BadInput where it does not fit what it says of itself."""
        plan = parse(Solving, files.extra[EXTRA], where=f"{folder}: {EXTRA}")
        if plan.length > files.backbone.positions:
            raise BadInput(f"{folder}: {EXTRA}.length: {plan.length}, and the model has {files.backbone.positions}")
        tokenizer = tokenizer_of(folder, files.backbone)
        parts = plan.paradigm.parts(files.backbone, tokenizer.world(length=plan.length))
        missing = [slot for slot, part in parts.items() if not isinstance(part, Backbone) and slot not in files.heads]
        if missing:
            raise BadInput(f"{folder}: {EXTRA}: no head {missing[0]!r}; write the folder again")
        model = Model.of(files.backbone, {slot: files.heads[slot] for slot in parts}, files.state)
        model.updates = files.updates
        return cls(model, tokenizer, plan)


class Cast(Predictor):
    """A solver whose answers are labels of texts."""

    kind = "network"

    def __init__(self, solver: Solver) -> None:
        self.solver, self.labels, self.pairs = solver, solver.paradigm.labels, solver.plan.pairs

    def probabilities(self, texts: Sequence[str]) -> Floats:
        return self.solver.probabilities(self.solver.problems([parts(text) for text in texts]))

    def parameter_count(self) -> int:
        return self.solver.model.parameter_count()

    def save(self, folder: Path, *, card: str = "") -> None:
        self.solver.save(folder, card=card)

    @classmethod
    def load(cls, folder: Path) -> Cast:
        return cls(Solver.of(folder, read_model(folder)))
