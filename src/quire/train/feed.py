"""What batch t is: a pure function of (examples, objectives, seed, t), so that seeking costs nothing."""

from collections.abc import Sequence
from typing import Protocol

from quire.core.errors import BadInput
from quire.core.example import Batch, Example, Vocab, World
from quire.core.random import rng
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
        if len(objectives) > 1 and (alone := [objective.slot for objective in objectives if objective.alone]):
            raise BadInput(f"objectives: {alone[0]} writes the texts anew, so that no other can ask; list it alone")
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
        example = self.examples.example(index, epoch=epoch)
        for objective in self.objectives:
            example = objective.corrupt(example, self.world, draw)
        return example
