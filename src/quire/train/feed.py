"""What batch t is: a pure function of (examples, objectives, seed, t), so that seeking costs nothing."""

from collections.abc import Sequence
from typing import Protocol

from quire.core.errors import BadInput
from quire.core.example import Batch, Example, Vocab, World
from quire.core.random import Rng, rng
from quire.objectives import Objective
from quire.text.packing import Chunks, Plan, SentencePairs


class Examples(Protocol):
    """Something that gives example i, drawn anew for each epoch where it has choices."""

    @property
    def fingerprint(self) -> str: ...

    def __len__(self) -> int: ...

    def example(self, index: int, *, epoch: int) -> Example: ...


class Corpus:
    """Chunks or sentence pairs of a corpus as examples."""

    def __init__(self, chunks: Chunks | SentencePairs, vocab: Vocab) -> None:
        self.chunks, self.vocab = chunks, vocab
        self.fingerprint = f"{chunks.shards.fingerprint}/{type(chunks).__name__}/{chunks.length}/{len(chunks)}"

    def __len__(self) -> int:
        return len(self.chunks)

    def example(self, index: int, *, epoch: int) -> Example:
        if isinstance(self.chunks, SentencePairs):
            return Example.of(self.vocab, *self.chunks.pair(index, epoch=epoch))
        return Example.of(self.vocab, self.chunks.chunk(index))


class Fixed:
    """Examples that stand in memory: labelled data. `fingerprint` names their content."""

    def __init__(self, examples: Sequence[Example], fingerprint: str) -> None:
        self.examples, self.fingerprint = examples, fingerprint

    def __len__(self) -> int:
        return len(self.examples)

    def example(self, index: int, *, epoch: int) -> Example:
        return self.examples[index]


class Feed:
    """Batches of corrupted examples by step. `batch` counts the sequences of one update."""

    def __init__(
        self, examples: Examples, objectives: Sequence[Objective], world: World, *, batch: int, seed: int
    ) -> None:
        check_company(objectives)
        self.examples, self.objectives, self.world = examples, objectives, world
        self.size, self.seed = batch, seed
        self.plan = Plan(len(examples), seed=seed)

    def at(self, step: int, *, parts: int = 1) -> list[Batch]:
        """The examples of update `step`, corrupted and packed, in `parts` near-equal micro-batches."""
        made = [self._made(epoch, index) for epoch, index in self.plan.at(step, self.size)]
        return [Batch.pack(made[p::parts]) for p in range(min(parts, len(made)))]

    def asking(self, step: int) -> Sequence[Objective]:
        """Who asks in update `step`: here all, always."""
        return self.objectives

    def rehearse(self) -> None:
        """Make the first batch."""
        self.at(0)

    def _made(self, epoch: int, index: int) -> Example:
        draw = rng(self.seed, "corrupt", epoch, index)
        return corrupted(self.examples.example(index, epoch=epoch), self.objectives, self.world, draw)


def check_company(objectives: Sequence[Objective]) -> None:
    """BadInput where one that writes the texts anew is not alone."""
    if len(objectives) > 1 and (alone := [objective.slot for objective in objectives if objective.alone]):
        raise BadInput(f"objectives: {alone[0]} writes the texts anew, so that no other can ask; list it alone")


def corrupted(example: Example, objectives: Sequence[Objective], world: World, rng: Rng) -> Example:
    """The example once all objectives have damaged it and asked, in their order."""
    for objective in objectives:
        example = objective.corrupt(example, world, rng)
    return example
