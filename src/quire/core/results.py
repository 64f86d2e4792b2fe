"""What a comparison found, as frozen records: written by `adapt`, judged by `judge`, shown by `report`.

Legend: R runs of one arm (one per seed), E test examples, C classes. Everything goes to JSON and back, so a
report can be rendered again from `results.json` alone.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self, TypeAlias, get_args

import numpy as np
import numpy.typing as npt
from pydantic import Field, PlainSerializer, PlainValidator, ValidationError, model_validator

from quire.core.config import Settings
from quire.core.errors import BadInput

Metric: TypeAlias = Literal["accuracy", "macro_f1"]
Measure: TypeAlias = Literal["accuracy", "macro_f1", "f1", "exact", "las", "uas"]
"""The metric of a study: of classes, or of structures (spans, answers in a passage, trees)."""
RIGHT = ("not wholly right", "wholly right")
"""The classes of a study of structures."""
Floats: TypeAlias = npt.NDArray[np.float32]


def _whole(value: Any) -> npt.NDArray[np.int64]:
    array = np.asarray(value)
    if array.size and array.dtype.kind not in "iu":
        raise ValueError(f"expected whole numbers, got {array.dtype}")
    return _frozen(array.astype(np.int64))


def _shares(value: Any) -> Floats:
    """Kept to six decimals, so that memory and file hold the same values."""
    return _frozen(np.round(np.asarray(value, dtype=np.float64), 6).astype(np.float32))


def _frozen_floats(value: Any) -> npt.NDArray[np.float64]:
    return _frozen(np.round(np.asarray(value, dtype=np.float64), 6))


def _frozen(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    array.flags.writeable = False
    return array


def _plain(array: npt.NDArray[Any]) -> list[Any]:
    values: list[Any] = (array if array.dtype.kind == "i" else np.round(array.astype(np.float64), 6)).tolist()
    return values


Classes: TypeAlias = Annotated[npt.NDArray[np.int64], PlainValidator(_whole), PlainSerializer(_plain)]
Marks: TypeAlias = Annotated[npt.NDArray[np.float64], PlainValidator(_frozen_floats), PlainSerializer(_plain)]
Probabilities: TypeAlias = Annotated[Floats, PlainValidator(_shares), PlainSerializer(_plain)]


class Latency(Settings):
    """Wall time of one text when `batch` texts go together: median and quartiles, in milliseconds per text."""

    batch: Annotated[int, Field(gt=0)]
    median: float
    lower: float
    upper: float


class Cost(Settings):
    """What one run took to train; steps are those of the optimiser, tokens those that went through the model."""

    seconds: float = 0.0
    tokens: int = 0
    steps: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        """Both, one after the other."""
        return Cost(
            seconds=self.seconds + other.seconds, tokens=self.tokens + other.tokens, steps=self.steps + other.steps
        )

    def shared(self, runs: int) -> "Cost":
        """The share of each of so many runs."""
        return Cost(seconds=self.seconds / runs, tokens=self.tokens // runs, steps=self.steps // runs)


class Point(Settings):
    """One moment of training; a field is None where nothing was measured then."""

    step: int
    loss: float | None = None
    dev: float | None = None
    rate: float | None = None


class Run(Settings):
    """One trained run of an arm, as `result.json` beside its model."""

    dev: float
    cost: Cost
    curve: tuple[Point, ...] = ()


class Arm(Settings):
    """One way to solve the task, run once per seed. A deterministic arm repeats its run for each seed."""

    name: str
    title: str
    how: str
    """One sentence: what was done."""
    seeds: tuple[int, ...]
    dev: tuple[float, ...]
    """The metric on dev, per run; 0 to 1."""
    predictions: Classes
    """[R, E] class ids on test; of structures, whether each is wholly right."""
    marks: Marks | None = None
    """[R, E, 2], of structures: the score of a run is the sum of the first over that of the second."""
    probabilities: Probabilities | None = None
    """[R, E, C], or None where the arm gives none."""
    parameters: int = 0
    trainable: int | None = None
    """How many numbers learnt, where that is compared."""
    rate: float | None = None
    """The learning rate, where arms may differ in it."""
    bytes: int = 0
    """Size on disk of what must be deployed."""
    latency: tuple[Latency, ...] = ()
    threads: int = 1
    """Threads that the latency was measured with."""
    cost: tuple[Cost, ...] = ()
    """Per run."""
    curves: tuple[tuple[Point, ...], ...] = ()
    """Per run."""
    notes: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _shapes_agree(self) -> Self:
        runs = len(self.seeds)
        if runs == 0 or len(set(self.seeds)) != runs:
            raise ValueError(f"arm {self.name}: needs at least one seed, each once, got {self.seeds}")
        if len(self.dev) != runs or self.predictions.ndim != 2 or len(self.predictions) != runs:
            raise ValueError(f"arm {self.name}: dev and predictions need one row per seed ({runs})")
        if any(len(rows) not in (0, runs) for rows in (self.cost, self.curves)):
            raise ValueError(f"arm {self.name}: cost and curves need one entry per seed ({runs}), or none")
        if self.marks is not None and self.marks.shape != (*self.predictions.shape, 2):
            raise ValueError(f"arm {self.name}: marks and predictions disagree in shape")
        if self.probabilities is not None and self.probabilities.shape[:-1] != self.predictions.shape:
            raise ValueError(f"arm {self.name}: probabilities and predictions disagree in shape")
        return self

    @property
    def best_run(self) -> int:
        """The run with the best dev score, the first among equals: the one that is deployed."""
        return int(np.argmax(self.dev))

    def latency_at(self, batch: int) -> Latency | None:
        """The latency measured at this batch size."""
        return next((latency for latency in self.latency if latency.batch == batch), None)


class MlmPoint(Settings):
    """One moment of masked-language-model training: nats per masked token on held-out or training text."""

    step: int
    loss: float
    seconds: float = 0.0


class Pretraining(Settings):
    """The masked-language-model run with the yardsticks of its corpus, all in nats per token."""

    points: tuple[MlmPoint, ...]
    unigram: float
    """Entropy of the token frequencies: what guessing by frequency alone reaches."""
    bigram: float
    """Entropy of a token given the one before it: what the left neighbour alone reaches."""
    most_frequent: float | None = None
    """Share of the most frequent token, 0 to 1: the accuracy of always guessing it."""
    corpus_tokens: int = 0
    text: str = "training"
    """Which text the loss was measured on."""


class HeldOut(Settings):
    """One moment of an arm's pre-training, on held-out text."""

    step: int
    tokens: int
    losses: Mapping[str, float]
    """Of each objective, by slot."""
    figures: Mapping[str, float] = {}
    """Of its health, as `slot.figure`; `slot.nats` is the loss of an asked token, which arms can be compared in."""


class Pretrained(Settings):
    """How one arm was pre-trained with one seed."""

    arm: str
    seed: int
    cost: Cost
    flops: float
    """Of its forward and backward passes, counted on some of its updates."""
    points: tuple[HeldOut, ...]
    alarms: tuple[str, ...] = ()
    """What looks broken, a sentence each."""


class SplitFacts(Settings):
    """One split: how many examples, and how many of each label."""

    name: str
    examples: int
    labels: Mapping[str, int] = {}
    sha256: str | None = None


class Histogram(Settings):
    """Counts between edges; `edges` has one entry more than `counts`."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


class DataFacts(Settings):
    """What the person should know of the data before believing a score."""

    splits: tuple[SplitFacts, ...]
    duplicates: int = 0
    """Training texts that occur more than once."""
    conflicts: int = 0
    """Training texts that occur with more than one label."""
    lengths: Histogram | None = None
    """Text lengths in tokens of the base's tokenizer."""
    limit: int | None = None
    """Tokens that the model reads at a time."""
    truncated: float = 0.0
    """Share of texts longer than `limit`, 0 to 1."""
    truncation: str = ""
    """What is kept of a longer text: its head, its tail, both, or windows of it."""
    proof: str = ""
    """The line which says that no test text is in the corpus."""
    notes: tuple[str, ...] = ()


class Quantisation(Settings):
    """The decision about the int8 arm."""

    arm: str
    kept: bool
    why: str
    speedup: float
    """Latency of the selected arm over that of the int8 arm, at batch 1."""
    loss: float
    """Points of the metric (0 to 100) lost on dev."""


class Environment(Settings):
    """Where and how the numbers were measured."""

    cpu: str
    cores: int
    threads: int
    accelerator: str = ""
    """The GPU on which networks were trained, where there was one; they are measured on the processor."""
    versions: Mapping[str, str] = {}
    """python, torch, numpy and whatever else matters."""
    seed: int = 0
    command: str = ""
    commit: str | None = None


class Study(Settings):
    """All that was measured. `leaked` are the test examples whose text is also in train.

    Where answers are structures, the classes are `RIGHT`, and the truth of every example is to be wholly right.
    """

    title: str
    labels: tuple[str, ...]
    truth: Classes
    """[E]"""
    metric: Measure
    arms: tuple[Arm, ...]
    selected: str
    """Name of the arm with the best dev score; test had no say."""
    budget: str
    data: DataFacts
    environment: Environment
    seconds: float
    leaked: tuple[int, ...] = ()
    texts: Mapping[int, str] = {}
    """Test example -> text, for those that a report prints; see `with_texts`."""
    pretraining: Pretraining | None = None
    pretrained: tuple[Pretrained, ...] = ()
    """Where arms were pre-trained each in its own way; `pretraining` then holds the yardsticks."""
    quantisation: Quantisation | None = None
    usage: Mapping[str, str] = {}
    """How to use what is deployed: "Command line" -> a line to copy."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [arm.name for arm in self.arms]
        if len(set(names)) != len(names):
            raise ValueError(f"arms need different names, got {names}")
        for name in [self.selected] + ([self.quantisation.arm] if self.quantisation else []):
            if name not in names:
                raise ValueError(f"no arm named {name!r} among {names}")
        for arm in self.arms:
            if (arm.marks is None) == self.of_structures:
                raise ValueError(f"arm {arm.name}: marks go with the metrics of structures, not with {self.metric}")
            if arm.predictions.shape[1] != len(self.truth):
                raise ValueError(f"arm {arm.name}: {arm.predictions.shape[1]} predictions for {len(self.truth)} truths")
            if arm.probabilities is not None and arm.probabilities.shape[2] != len(self.labels):
                raise ValueError(f"arm {arm.name}: probabilities of {arm.probabilities.shape[2]} classes")
            if _outside(arm.predictions, len(self.labels)):
                raise ValueError(f"arm {arm.name}: a prediction is no index of the {len(self.labels)} labels")
        if self.truth.ndim != 1 or not len(self.truth) or _outside(self.truth, len(self.labels)):
            raise ValueError(f"truth must be a row of indices of the {len(self.labels)} labels")
        return self

    @property
    def of_structures(self) -> bool:
        """Whether answers are more than classes."""
        return self.metric not in get_args(Metric)

    def arm(self, name: str) -> Arm:
        """The arm called `name`; KeyError when there is none."""
        return {arm.name: arm for arm in self.arms}[name]

    @property
    def deployed(self) -> Arm:
        """What goes to the person: the int8 arm where it was kept, else the selected one."""
        return self.arm(self.quantisation.arm if self.quantisation and self.quantisation.kept else self.selected)

    def worst(self, *, limit: int = 12) -> list[int]:
        """Test examples that the deployed run got wrong, the most confident first."""
        arm = self.deployed
        if arm.probabilities is None:
            return []
        predicted, probabilities_EC = arm.predictions[arm.best_run], arm.probabilities[arm.best_run]
        wrong = np.flatnonzero(predicted != self.truth)
        confidence = probabilities_EC[wrong, predicted[wrong]]
        return [int(i) for i in wrong[np.argsort(-confidence, kind="stable")][:limit]]

    def with_texts(self, texts: Sequence[str], *, limit: int = 12) -> Self:
        """The study with only those of the test `texts` [E] that a report prints: its worst mistakes."""
        return self.model_copy(update={"texts": {i: texts[i] for i in self.worst(limit=limit)}})

    def to_json(self) -> str:
        """One JSON document that `from_json` reads back to an equal study."""
        return self.model_dump_json()

    @classmethod
    def from_json(cls, text: str, *, where: str = "results.json") -> Self:
        """Read a study; BadInput when it is not one."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            path = ".".join(map(str, first["loc"]))
            raise BadInput(f"{where}: not the results of a study: {path}: {first['msg']}") from error


def _outside(classes: npt.NDArray[np.int64], count: int) -> bool:
    return bool(classes.size and (classes.min() < 0 or classes.max() >= count))
