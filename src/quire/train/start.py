"""Where a model starts: the embedded small base, a model folder, or nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from quire.core.config import parse
from quire.core.errors import BadInput
from quire.core.heads import HeadSpec, PointerHead, SequenceHead, TokenHead
from quire.core.spec import Backbone
from quire.nn.model import Model
from quire.nn.pointing import PointerScores
from quire.text.tokenizers import Tokenizer
from quire.train.embedded import EMBEDDED, home_of
from quire.train.lora import tokenizer_home
from quire.train.machine import device
from quire.train.weights import ModelFiles, read_model


@dataclass(frozen=True)
class Base:
    """Weights and tokenizer to start from."""

    name: str
    files: ModelFiles
    tokenizer: Tokenizer

    @classmethod
    def load(cls, name: str) -> Base:
        """The base called `name`: an embedded one, or the path of a model folder, or of a run that holds one."""
        folder = home_of(name)
        if not folder.is_dir():
            known = ", ".join([*EMBEDDED, "none"])
            raise BadInput(f"base {name}: no such folder, and no embedded base of this name; known: {known}")
        files = read_model(folder)
        return cls(name, files, tokenizer_of(folder, files.backbone))


def tokenizer_of(folder: Path, backbone: Backbone) -> Tokenizer:
    """The tokenizer of a model folder; BadInput when it has tokens that the model lacks."""
    tokenizer = Tokenizer.load(tokenizer_home(folder))
    if tokenizer.vocab.size > backbone.vocab:
        raise BadInput(
            f"{folder}: the tokenizer has {tokenizer.vocab.size} tokens, the model {backbone.vocab}; "
            f"take the tokenizer that belongs to the model"
        )
    return tokenizer


def started(files: ModelFiles, parts: Mapping[str, HeadSpec | Backbone], *, seed: int) -> Model:
    """A model with the backbone of `files`, and its heads where name, shape and pooler agree; the rest is drawn from
    `seed`.

    A fresh sequence head starts from a pooler that passes the state on (the identity before its tanh): with a few
    labels a random pooler has to be unlearnt first. The labels of a fresh pointer start as what their names mean.
    BadInput for a body that reads left to right where nobody asks for the next token: it would see what it never saw.
    """
    if files.causal and not any(isinstance(part, TokenHead) and not part.transform for part in parts.values()):
        raise BadInput(
            "base: this model reads left to right (its head is `lm`), and nothing here asks for the next token; "
            "train it with the objective lm, or take a base that reads both ways"
        )
    parts = {slot: _tied_as_it_was(files.heads.get(slot), part) for slot, part in parts.items()}
    model = Model(files.backbone, parts, seed=seed)
    wanted = model.state_dict()
    others = tuple(f"heads.{slot}." for slot, part in parts.items() if _is_another(files.heads.get(slot), part))
    usable = {
        name: t
        for name, t in files.state.items()
        if name in wanted and wanted[name].shape == t.shape and not name.startswith(others)
    }
    model.load_state_dict(usable, strict=False)
    with torch.no_grad():
        for name, spec in parts.items():
            own = f"heads.{name}.pooler.weight"
            if isinstance(spec, SequenceHead) and own in wanted and own not in usable:
                pooler = model.get_parameter(own)
                side_by_side = pooler.shape[1] // len(pooler)  # states, of which it begins as the mean
                pooler.copy_(torch.eye(len(pooler)).repeat(1, side_by_side) / side_by_side)
            if isinstance(spec, PointerHead) and f"heads.{name}.labels.weight" not in usable:
                pointer = model.heads[name]
                assert isinstance(pointer, PointerScores)
                pointer.call(model.table)
    return model.to(device())


def alone(backbone: Backbone, head: HeadSpec, state: Mapping[str, Tensor], *, slot: str, name: str) -> Model:
    """A body with one of the heads that stand on it: what is called `slot` in `state` gets another name."""
    renamed = {key.replace(f"heads.{slot}.", f"heads.{name}.", 1): tensor for key, tensor in state.items()}
    return Model.of(backbone, {name: head}, renamed)


def _tied_as_it_was(was: HeadSpec | None, part: HeadSpec | Backbone) -> HeadSpec | Backbone:
    """A head over the vocabulary keeps the matrix that it has of its own."""
    if isinstance(was, TokenHead) and isinstance(part, TokenHead):
        return was if was.model_copy(update={"tied": part.tied}) == part else part
    return part


def _is_another(was: HeadSpec | None, part: HeadSpec | Backbone) -> bool:
    """Whether a head was made for something else: a pooler with another activation (DistilBERT's), other labels."""
    if isinstance(was, PointerHead) and isinstance(part, PointerHead):
        return was.labels != part.labels
    return isinstance(was, SequenceHead) and isinstance(part, SequenceHead) and was.activation != part.activation


def with_decoder(files: ModelFiles, layers: int) -> ModelFiles:
    """The same weights under a decoder of so many layers, which are then drawn: `started` does. BadInput where the body
    can have none, or has one."""
    if files.backbone.decoder:
        raise BadInput(f"the base has a decoder of {files.backbone.decoder} layers; leave out the fresh one")
    backbone = parse(Backbone, {**files.backbone.model_dump(), "decoder": layers}, where="base under a fresh decoder")
    return replace(files, backbone=backbone)


def widened(files: ModelFiles, pieces: Sequence[Sequence[int]]) -> ModelFiles:
    """The same weights with a row more for each entry of `pieces`: the mean of the rows of those old tokens.

    The bias of a token head goes along, and its own table, if any. What a new word means to the model is then what its
    pieces meant.
    """
    state = dict(files.state)
    for name, tensor in files.state.items():
        if name == "backbone.embeddings.tokens.weight" or re.fullmatch(r"heads\.[^.]+\.(bias|weight)", name):
            rows = torch.stack([tensor[list(old)].mean(dim=0) for old in pieces])
            state[name] = torch.cat([tensor, rows])
    backbone = files.backbone.model_copy(update={"vocab": files.backbone.vocab + len(pieces)})
    return replace(files, backbone=backbone, state=state)
