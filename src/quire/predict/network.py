"""A fine-tuned network, in fp32 or int8."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any, Literal

import torch

from quire.compress.quantize import DynamicInt8, Int8Plan
from quire.core.config import parse
from quire.core.errors import BadInput
from quire.core.example import World
from quire.core.heads import LayerMix, PrivateHead, SequenceHead, Windows
from quire.core.spec import Backbone, Pool, Size
from quire.nn.model import Model
from quire.paradigms.classify import Classify
from quire.predict.base import Floats, Predictor
from quire.predict.encode import Reading, encode
from quire.predict.folder import RECORD, Facts, read_own, write_own
from quire.predict.saving import save_network
from quire.text.cut import Cut
from quire.text.tokenizers import Tokenizer
from quire.train.convert import within_memory
from quire.train.evaluate import predict
from quire.train.families.base import shapes
from quire.train.start import tokenizer_of
from quire.train.weights import ModelFiles, read_model


class Network(Predictor):
    """Backbone, classification head, tokenizer, and how long texts are cut."""

    kind = "network"

    def __init__(self, model: Model, task: Classify, tokenizer: Tokenizer, *, length: int, how: Cut) -> None:
        self.model, self.task, self.tokenizer = model.eval(), task, tokenizer
        self.labels, self.length, self.how = task.labels, length, how

    def probabilities(self, texts: Sequence[str]) -> Floats:
        examples = encode(self.task, self.tokenizer, texts, length=self.length, how=self.how)
        return predict(self.model, self.task, examples)

    def parameter_count(self) -> int:
        return self.model.parameter_count()

    def save(self, folder: Path, *, card: str = "") -> None:
        extra = {"length": self.length, "cut": self.how, **({"pairs": True} if self.pairs else {})}
        save_network(folder, self.model, self.tokenizer, labels=self.labels, card=card, extra=extra)

    @classmethod
    def load(cls, folder: Path) -> Network:
        return cls.of(folder, read_model(folder))

    @classmethod
    def of(cls, folder: Path, files: ModelFiles) -> Network:
        """What a model folder holds; BadInput where it has no classifier."""
        head = files.heads.get("classify")
        if not isinstance(head, SequenceHead | PrivateHead):
            raise BadInput(f"{folder}: has no classification head; train one with `quire adapt --base {folder}`")
        labels = tuple(files.labels or (f"LABEL_{i}" for i in range(head.outputs)))
        if isinstance(head, PrivateHead):
            how: dict[str, Any] = {"private": head.width}
        else:
            head = head.model_copy(update={"windows": head.windows or "mean"})
            how = head.model_dump(include={"pool", "mix", "activation", "windows"})
        task = parse(Classify, {"labels": labels, "dropout": head.dropout, **how}, where=str(folder))
        model = Model.of(files.backbone, {task.slot: head}, files.state)
        model.updates = files.updates
        read = Reading.of(files.extra, files.backbone, where=f"{folder}: extra")
        network = cls(model, task, tokenizer_of(folder, files.backbone), length=read.length, how=read.cut)
        network.pairs = read.pairs
        return network


class _Facts(Facts):
    backbone: Backbone
    plan: Int8Plan
    length: int
    cut: Cut
    pool: Pool | Literal["auto"] = "auto"
    mix: LayerMix = "none"
    activation: Literal["tanh", "relu"] = "tanh"
    private: Size | None = None
    windows: Windows = "mean"


class Int8Network(Network):
    """The same network with int8 weights, for a CPU."""

    kind = "int8"

    def __init__(
        self, model: Model, task: Classify, tokenizer: Tokenizer, *, length: int, how: Cut, plan: Int8Plan
    ) -> None:
        super().__init__(model, task, tokenizer, length=length, how=how)
        self.plan = plan

    @classmethod
    def quantised(cls, network: Network) -> Int8Network:
        """Quantise; the network stays as it is."""
        plan = DynamicInt8().plan(network.model)
        small = DynamicInt8().apply(network.model, plan)
        made = cls(small, network.task, network.tokenizer, length=network.length, how=network.how, plan=plan)
        made.pairs = network.pairs
        return made

    def parameter_count(self) -> int:
        """Entries of weights of any type; the scales of int8 rows are not counted."""
        return sum(
            tensor.numel()
            for name, tensor in self.model.state_dict().items()
            if not name.endswith((".scale", ".spellings"))
        )

    def save(self, folder: Path, *, card: str = "") -> None:
        facts = {
            "backbone": self.model.spec.model_dump(),
            "pool": self.task.pool,
            "mix": self.task.mix,
            "activation": self.task.activation,
            "private": self.task.private,
            "windows": self.task.windows,
            "plan": self.plan.model_dump(),
            "length": self.length,
            "cut": self.how,
        }
        arrays = {name: tensor.numpy() for name, tensor in self.model.state_dict().items()}
        write_own(folder, self, arrays=arrays, facts=facts, card=card, also=self.tokenizer.save)

    @classmethod
    def load(cls, folder: Path) -> Int8Network:
        facts, arrays = read_own(folder, _Facts)
        where = str(folder / RECORD)
        told = {"labels", "pool", "mix", "activation", "private", "windows"}
        how = facts.model_dump(include=told, exclude_unset=True)
        task, backbone = parse(Classify, how, where=where), facts.backbone
        read = Reading.of(facts.model_dump(include={"length", "cut"}), backbone, where=where)
        tokenizer = tokenizer_of(folder, backbone)
        parts = task.parts(backbone, World(tokenizer.vocab))
        heads = {slot: part for slot, part in parts.items() if not isinstance(part, Backbone)}
        with within_memory(folder / RECORD):
            sizes = sum(prod(shape) for shape in shapes(backbone, heads).values())
        if sizes > sum(array.size for array in arrays.values()):
            raise BadInput(f"{folder}: {RECORD} asks for more weights than there are; write the folder again")
        model = Model(backbone, parts, seed=None)
        if not DynamicInt8().can(model, facts.plan):
            raise BadInput(f"{where}: the plan names what the model does not have; write the folder again")
        model = DynamicInt8().apply(model, facts.plan)
        try:
            model.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
        except RuntimeError as error:
            raise BadInput(f"{folder}: the weights do not fit {RECORD}; write the folder again") from error
        return cls(model, task, tokenizer, length=read.length, how=read.cut, plan=facts.plan)
