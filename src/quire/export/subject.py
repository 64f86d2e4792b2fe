"""What is exported: a network with its tokenizer, as a padded graph beside its packed self.

Legend: B sequences, L the longest of them, N tokens of all, W width, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from quire.core.answers import Item
from quire.core.errors import BadInput
from quire.core.example import Batch, Example, Ints, Passage, World
from quire.nn.model import Model, Packed, Step
from quire.nn.padded import PaddedModel
from quire.nn.pooling import Mean
from quire.paradigms.classify import Classify
from quire.predict import opened
from quire.predict.base import Floats
from quire.predict.encode import encode
from quire.predict.features import ENCODER, Features
from quire.predict.network import Int8Network, Network
from quire.predict.solver import Cast, Solver
from quire.predict.vote import Voting
from quire.predict.writer import EXTRA, writing_head
from quire.text.cut import Cut
from quire.text.tokenizers import Tokenizer
from quire.train.embedded import EMBEDDED, embedded
from quire.train.lora import is_lora
from quire.train.start import tokenizer_of
from quire.train.weights import ModelFiles, read_model

Answer: TypeAlias = Callable[[Step], tuple[Tensor, ...]]
Padded: TypeAlias = "PaddedModel | PaddedFeatures"
MOST_PARAMETERS = 450_000_000
"""An ONNX file holds less than 2 GB."""


@dataclass(frozen=True)
class Subject:
    """`graph` is to say of a padded batch what `answer` says of a packed one, sequence by sequence in its order."""

    folder: Path
    """Of config.json and the tokenizer's files."""
    model: Model
    graph: Padded
    answer: Answer
    tokenizer: Tokenizer
    length: int
    cut: Cut
    labels: tuple[str, ...] = ()
    """Without any it is an encoder."""

    def examples(self, texts: Sequence[str]) -> list[Example]:
        """As ours reads them."""
        return encode(Classify(labels=()), self.tokenizer, texts, length=self.length, how=self.cut)

    def of_lengths(self, texts: Sequence[str], lengths: Sequence[int]) -> list[Example]:
        """Examples of so many tokens, special ones included, from the texts laid end to end."""
        joined = np.concatenate([passage.tokens for passage in self.tokenizer.encode(texts)])
        world, task = World(self.tokenizer.vocab, length=max(lengths)), Classify(labels=())

        def passage(size: int) -> Passage:
            tokens: Ints = np.resize(joined, size)
            return Passage(tokens, np.ones(size, dtype=bool))

        return [task.format(Item((passage(length - 2),)), None, world)[0] for length in lengths]

    @torch.inference_mode()
    def truth(self, batch: Batch) -> tuple[Floats, ...]:
        """What ours says: scores [B, C], or states [N, W] and their means [B, W], in the packed order."""
        return tuple(found.numpy() for found in self.answer(Step(self.model, Packed(batch))))


class PaddedFeatures(nn.Module):
    """The means of a padded model's states, and a linear layer on them."""

    outputs = ("logits",)

    def __init__(self, padded: PaddedModel, found: Features) -> None:
        super().__init__()
        self.padded, self.inputs = padded, padded.inputs
        self.coef = nn.Parameter(torch.from_numpy(found.linear.coef))
        self.intercept = nn.Parameter(torch.from_numpy(found.linear.intercept))

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        _, means_BW = self.padded(input_ids, attention_mask, token_type_ids)
        return (nn.functional.linear(means_BW, self.coef, self.intercept),)


def subject(path: str | Path) -> Subject:
    """From a run folder, a model folder or an embedded base; BadInput for what has no padded form."""
    found = _subject(path)
    if found.cut == "windows":
        raise BadInput(f"{found.folder}: reads in windows, which has no ONNX form here; serve it with `quire predict`")
    return found


def _subject(path: str | Path) -> Subject:
    folder = embedded(str(path)) if str(path) in EMBEDDED else network_of(Path(path))
    if is_lora(folder):
        raise BadInput(f"{folder}: holds updates over a base and no graph's weights; export the run that learnt them")
    if (folder / "config.json").is_file() and "classify" not in (files := read_model(folder)).heads:
        return _encoder(folder, files)
    match opened(folder):
        case Int8Network():
            raise BadInput(f"{folder}: holds int8 weights of ours; export the fp32 folder beside it, with --int8")
        case Network() as found:
            return _classifier(folder, found)
        case Cast(solver=Solver(paradigm=Classify() as task) as found):
            how = found.plan.cut
            network = Network(found.model, task, found.tokenizer, length=found.plan.length, how=how)
            return _classifier(folder, network)
        case Features() as found:
            return _features(folder / ENCODER, found)
        case Voting(members=members):
            raise BadInput(
                f"{folder}: {len(members)} networks that vote, which no one graph holds; export one of them, "
                f"{folder / 'member-0'}, or take the strategy average, which deploys one"
            )
        case _:
            raise BadInput(f"{folder}: holds no network, so it has no ONNX form; serve it with `quire predict`")


def network_of(path: Path) -> Path:
    """The fp32 network of a run: what it deploys, or the best network beside it; or the folder itself."""
    for inner in ("model", "network"):
        if (path / inner / "config.json").is_file() or (path / inner / ENCODER).is_dir():
            return path / inner
    return path / "model" if (path / "model").is_dir() else path


def _classifier(folder: Path, found: Network) -> Subject:
    slot = found.task.slot
    graph = PaddedModel(found.model, head=slot)
    return Subject(
        folder,
        _sized(found.model, folder),
        graph,
        lambda step: (step.scores(slot, step.batch.first),),
        found.tokenizer,
        min(found.length, found.model.spec.positions),
        found.how,
        found.labels,
    )


def _features(folder: Path, found: Features) -> Subject:
    graph = PaddedFeatures(PaddedModel(found.model), found)
    length = min(found.length, found.model.spec.positions)

    def answer(step: Step) -> tuple[Tensor, ...]:
        return (torch.from_numpy(found.linear(_means(step, step.encode()).numpy())),)

    model = _sized(found.model, folder)
    return Subject(folder, model, graph, answer, found.tokenizer, length, found.how, found.labels)


def _encoder(folder: Path, files: ModelFiles) -> Subject:
    if files.causal or EXTRA in files.extra or writing_head(files):
        raise BadInput(f"{folder}: writes texts, which has no ONNX form here; serve it with `quire predict`")
    model = Model.of(files.backbone, {}, files.state).eval()
    graph = PaddedModel(model)
    length = min(files.extra.get("length", files.backbone.positions), files.backbone.positions)

    def answer(step: Step) -> tuple[Tensor, ...]:
        states_NW = step.encode()
        return states_NW, _means(step, states_NW)

    tokenizer, how = tokenizer_of(folder, files.backbone), files.extra.get("cut", "head")
    return Subject(folder, _sized(model, folder), graph, answer, tokenizer, length, how)


def _means(step: Step, states_NW: Tensor) -> Tensor:
    lengths_B = step.batch.lengths
    owner_N = torch.repeat_interleave(torch.arange(len(lengths_B)), lengths_B)
    means_BW: Tensor = Mean()(states_NW, owner_N, len(lengths_B))
    return means_BW


def _sized(model: Model, folder: Path) -> Model:
    if model.parameter_count() > MOST_PARAMETERS:
        raise BadInput(f"{folder}: {model.parameter_count():,} parameters do not fit into one ONNX file of 2 GB")
    return model
