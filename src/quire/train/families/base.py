"""What a family of Hugging Face models is: its names and settings against ours, as data that is read both ways.

Shapes are nowhere in it: our own modules know them, and which tensors there are.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn

from quire.core.spec import Backbone, DetectionHead, HeadSpec, SequenceHead, TokenHead
from quire.nn.heads import build_head
from quire.nn.model import build_body

Names: TypeAlias = Mapping[str, str]
"""Our name -> theirs. `#` is the number of a block, a trailing `*` weight or bias; several of theirs, stacked in this
order, make one of ours."""
Activation: TypeAlias = Literal["gelu", "gelu_tanh", "relu", "silu"]
Shape: TypeAlias = tuple[int, ...]

POSITIONS = "backbone.embeddings.positions.weight"
SEGMENTS = "backbone.embeddings.segments.weight"
POOLER = "pooler.*"


@dataclass(frozen=True)
class Row:
    """One tensor of ours and the tensors of theirs it is made of, all of one shape."""

    ours: str
    theirs: tuple[str, ...]
    shape: Shape
    prefixed: bool  # whether theirs stand under the family's prefix in a model with heads


@dataclass(frozen=True)
class Family:
    """How one `model_type` names its settings and its tensors."""

    model_type: str
    prefix: str
    """What the body's names begin with in a model with heads."""
    architectures: tuple[tuple[str, tuple[str, ...]], ...]
    """Their classes and the heads they have, the last none; the first that fits is written."""
    fields: Mapping[str, str]
    """Our fields and theirs that hold the same."""
    body: Names
    heads: Mapping[str, Names]
    """`mlm`, `pair`, `classify`, `rtd`: the last name of each tells whether it is there."""
    tied: Mapping[str, str]
    """Second copies of tensors, and the names that are kept."""
    pooler: str = ""
    """Their name of the pooler's weight and bias, which belongs to their body and to our sequence heads."""
    fixed: Mapping[str, Any] = field(default_factory=dict)
    """Our fields that are the same in all of its models, where they are not our defaults."""
    fine: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    """Their fields and the values that we compute rightly; an absent field is fine."""
    activation: str = "hidden_act"
    activations: tuple[Activation, ...] = ("gelu", "gelu_tanh", "relu")
    offset: int = 0
    """Rows before position 0 in their table of positions."""
    dropout: str = "classifier_dropout"
    """Their field with the dropout of the heads named in `dropped`."""
    dropped: tuple[str, ...] = ("classify",)
    unowned: tuple[str, ...] = ("embeddings.position_ids", "embeddings.token_type_ids")
    """Buffers without learnt values."""
    read: Callable[[Mapping[str, Any]], dict[str, Any]] = field(default=lambda config: {})
    """Our fields that are not one of theirs; ValueError for what we would compute wrongly."""
    write: Callable[[Backbone], dict[str, Any]] = field(default=lambda backbone: {})
    """Their fields that `read` reads."""
    computed: Mapping[str, Callable[[Backbone], Tensor | None]] = field(default_factory=dict)
    """Tables of positions in their body that hold no learnt values, or None where they do."""

    def held(self, backbone: Backbone) -> Backbone:
        """The backbone as its files hold it: those with segments always have one, be it of zeros."""
        if backbone.segments or "segments" not in self.fields:
            return backbone
        return backbone.model_copy(update={"segments": 1})

    def places(self, heads: Mapping[str, HeadSpec]) -> dict[str, str]:
        """Which head of the family each of our heads would be: sequence heads by their names, others by their kinds."""
        found: dict[str, str] = {}
        for slot in sorted(heads, key=lambda slot: slot not in self.heads):
            match heads[slot]:
                case TokenHead(transform=transform) if transform == ("dense.*" in self.heads.get("mlm", {})):
                    place = "mlm"
                case DetectionHead():
                    place = "rtd"
                case SequenceHead(outputs=outputs) if slot != "pair" or outputs == 2:  # theirs has two, always
                    place = slot
                case _:
                    continue
            if place in self.heads and place not in found.values():
                found[slot] = place
        return found

    def architecture(self, heads: Mapping[str, HeadSpec]) -> tuple[str, dict[str, HeadSpec]]:
        """Their class for a backbone with these heads, and the heads that it has a place for."""
        places = self.places(heads)
        for name, wanted in self.architectures:
            if set(wanted) <= set(places.values()):
                return name, {slot: heads[slot] for slot in heads if places.get(slot) in wanted}
        raise AssertionError("the last needs no head")

    def rows(self, backbone: Backbone, heads: Mapping[str, HeadSpec]) -> Iterator[Row]:
        """Every tensor of a model, in our order: body, then heads. KeyError for one that the family does not know."""
        places = self.places(heads)
        for ours, shape in shapes(backbone, heads).items():
            _, slot, inner = ours.split(".", 2)
            if not ours.startswith("heads."):
                names, prefixed, inner = self.body, True, ours.removeprefix("backbone.")
            elif inner.startswith("pooler.") and self.pooler:
                names, prefixed = {POOLER: self.pooler}, True
            else:
                names, prefixed = self.heads[places[slot]], False
            theirs = _translated(inner, names)
            full = (shape[0] // len(theirs) + (self.offset if ours == POSITIONS else 0), *shape[1:])
            yield Row(ours, theirs, full, prefixed)

    def pooler_rows(self, backbone: Backbone) -> Iterator[Row]:
        """A pooler without a head."""
        if self.pooler:
            for ours, shape in pooler_shapes(backbone).items():
                yield Row(ours, _translated(ours, {POOLER: self.pooler}), shape, prefixed=True)


def shapes(backbone: Backbone, heads: Mapping[str, HeadSpec]) -> dict[str, Shape]:
    """Names and shapes of our tensors, without their values; RuntimeError for sizes beyond all memory."""
    with torch.device("meta"):
        parts = {slot: build_head(spec, backbone, backbone) for slot, spec in heads.items()}
        model = nn.ModuleDict({"backbone": build_body(backbone), "heads": nn.ModuleDict(parts)})
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def pooler_shapes(backbone: Backbone) -> dict[str, Shape]:
    """Of a pooler without a head."""
    return {"pooler.weight": (backbone.width, backbone.width), "pooler.bias": (backbone.width,)}


def _translated(ours: str, names: Names) -> tuple[str, ...]:
    number = re.search(r"(?<=blocks\.)\d+", ours)
    stem = re.sub(r"(?<=blocks\.)\d+", "#", ours)
    head, _, end = stem.rpartition(".")
    theirs = names[stem] if stem in names else names[f"{head}.*"]
    return tuple(theirs.replace("#", number[0] if number else "").replace("*", end).split())
