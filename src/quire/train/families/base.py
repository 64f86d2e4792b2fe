"""What a family of Hugging Face models is: its names and settings against ours, as data that is read both ways.

Shapes are nowhere in it: our own modules know them, and which tensors there are.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn

from quire.core.heads import DetectionHead, HeadSpec, PositionHead, QueryHead, SequenceHead, TokenHead
from quire.core.spec import Backbone
from quire.nn.heads import build_head
from quire.nn.model import build_body

Names: TypeAlias = Mapping[str, str]
"""Our name -> theirs. `#` is the number of a block, or of a part of it, a trailing `*` weight or bias; several of
theirs, stacked in this order, make one of ours. After a colon stands their shape, where it is another: V vocabulary, W
width, H heads, D width of a head; and a quote where theirs, flattened behind its first axis, is ours transposed, if it
is a matrix."""
REGRESS = "regress"
"""What we call a head of theirs for classes that has one output, a number."""
Activation: TypeAlias = Literal["gelu", "gelu_tanh", "relu", "silu"]
Shape: TypeAlias = tuple[int, ...]


@dataclass(frozen=True)
class Row:
    """One tensor of ours and the tensors of theirs it is made of, all of one shape."""

    ours: str
    shape: Shape
    theirs: tuple[str, ...]
    their_shape: Shape
    prefixed: bool  # whether theirs stand under the family's prefix in a model with heads
    transposed: bool
    skipped: int  # first rows of theirs, which no token ever reaches: zeros where we write them

    def joined(self, parts: Sequence[Tensor]) -> Tensor:
        """Ours from theirs."""
        rows = [part.flatten(1).T for part in parts] if self.transposed else parts
        whole = torch.cat(list(rows)) if len(rows) > 1 else rows[0]
        return whole[self.skipped :].reshape(self.shape).contiguous()

    def parted(self, ours: Tensor) -> list[Tensor]:
        """Theirs from ours."""
        whole = ours.detach()
        if self.skipped:
            whole = torch.cat([whole.new_zeros(self.skipped, *whole.shape[1:]), whole])
        parts = whole.chunk(len(self.theirs))
        return [(part.T if self.transposed else part).reshape(self.their_shape).contiguous() for part in parts]


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
    """By place: `mlm`, `lm` or `write`; `pair`, `classify`, `label`, `extract`, `rtd`, `query`. The last name tells
    whether it is there."""
    tied: Mapping[str, str]
    """Second copies of tensors, and the names that are kept. The matrix that a head can have for its own may differ,
    and a bias, which then is the copy."""
    gated: Names = field(default_factory=dict)
    """Names of the body that are others where it is gated."""
    scores: tuple[TokenHead, ...] = (TokenHead(tied=False), TokenHead())
    """What its head over the vocabulary can be. A folder's is the first whose tensors are there; one without any of its
    own is always there."""
    scaled: tuple[str, ...] = ()
    """Their fields that say whether that head is scaled; the first that is there counts."""
    pooled: Literal["tanh", "relu"] = "tanh"
    """The activation of its heads over sequences."""
    pooling: str = ""
    """Their field that says whether there is a pooler, where that is not always so."""
    typed: bool = True
    """Whether its models take `token_type_ids` for what we call segments; others refuse them, or add something else."""
    ids: Mapping[str, str] = field(default_factory=lambda: {"pad_token_id": "pad"})
    """Their fields with the ids of tokens, and what `Vocab` calls them."""
    start: Literal["sep", "pad"] = "sep"
    """What its decoders begin with, where the configuration does not say."""
    causal: bool = False
    """Whether its bodies always read left to right: only one with its head over the vocabulary is known to be such."""
    lent: Names = field(default_factory=dict)
    """What belongs to their body and to our heads: the pooler, XLNet's query."""
    fixed: Mapping[str, Any] = field(default_factory=dict)
    """Our fields that are the same in all of its models, where they are not our defaults."""
    fine: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    """Their fields and the values that we compute rightly; an absent field is fine."""
    activation: str = "hidden_act"
    default_activation: str = "gelu"
    activations: tuple[Activation, ...] = ("gelu", "gelu_tanh", "relu")
    offset: int = 0
    """Rows before position 0 in their tables of positions."""
    padding: int | None = None
    """The id of the token that its code takes for padding, where that is not the configuration's."""
    dropout: str = "classifier_dropout"
    """Their field with the dropout of the heads named in `dropped`."""
    dropped: tuple[str, ...] = ("classify", "label")
    unowned: tuple[str, ...] = ("embeddings.position_ids", "embeddings.token_type_ids")
    """Buffers without learnt values; `#` is the number of a block."""
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

    @property
    def over_vocabulary(self) -> str:
        """The place of its head over the vocabulary."""
        return next(place for place in ("lm", "write", "mlm") if place in self.heads)

    def places(self, heads: Mapping[str, HeadSpec]) -> dict[str, str]:
        """Which head of the family each of our heads would be: those over classes by name, others by their kinds."""
        found: dict[str, str] = {}
        for slot in sorted(heads, key=lambda slot: slot not in self.heads):
            match heads[slot]:
                case TokenHead() as head if head.model_copy(update={"start": "sep"}) in self.scores:
                    place = self.over_vocabulary
                case DetectionHead():
                    place = "rtd"
                case QueryHead():
                    place = "query"
                case PositionHead(outputs=outputs) if slot == "label" or (slot == "extract" and outputs == 2):
                    place = slot
                case SequenceHead(
                    outputs=outputs, pool="first", mix="none", activation=how, windows=None | "mean" | "max"
                ) if how in (
                    self.pooled,
                    "none" if self.pooling else None,
                ) and (slot != "pair" or outputs == 2):  # theirs has two, always
                    place = "classify" if slot == REGRESS and outputs == 1 else slot
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
        places, body = self.places(heads), {**self.body, **(self.gated if backbone.gated else {})}
        for ours, shape in shapes(backbone, heads).items():
            if ours.startswith("heads."):
                _, slot, inner = ours.split(".", 2)
                own = self.heads[places[slot]]
                lent = stem(inner, own) not in own
                yield self._row(ours, shape, inner, self.lent if lent else own, backbone, prefixed=lent)
            else:
                yield self._row(ours, shape, ours.removeprefix("backbone."), body, backbone, prefixed=True)

    def pooler_rows(self, backbone: Backbone) -> Iterator[Row]:
        """A pooler without a head."""
        if "pooler.*" in self.lent:
            for ours, shape in pooler_shapes(backbone).items():
                yield self._row(ours, shape, ours, self.lent, backbone, prefixed=True)

    def _row(self, ours: str, shape: Shape, inner: str, names: Names, backbone: Backbone, *, prefixed: bool) -> Row:
        theirs, layout = translated(inner, names)
        skipped = self.offset if inner.endswith("embeddings.positions.weight") else 0
        transposed = layout.endswith("'") and len(shape) > 1
        sizes = {"V": backbone.vocab, "W": backbone.width, "H": backbone.heads, "D": backbone.head}
        own = tuple(sizes.get(letter) or int(letter) for letter in layout.rstrip("'"))
        plain = (shape[0] // len(theirs) + skipped, *shape[1:])
        return Row(ours, shape, theirs, own or (plain[::-1] if transposed else plain), prefixed, transposed, skipped)


def shapes(backbone: Backbone, heads: Mapping[str, HeadSpec]) -> dict[str, Shape]:
    """Names and shapes of our tensors, without their values; RuntimeError for sizes beyond all memory."""
    with torch.device("meta"):
        parts = {slot: build_head(spec, backbone, backbone) for slot, spec in heads.items()}
        model = nn.ModuleDict({"backbone": build_body(backbone), "heads": nn.ModuleDict(parts)})
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def their_activation(backbone: Backbone) -> str:
    """What they call the activation."""
    return "gelu_pytorch_tanh" if backbone.activation == "gelu_tanh" else backbone.activation


def pooler_shapes(backbone: Backbone) -> dict[str, Shape]:
    """Of a pooler without a head."""
    return {"pooler.weight": (backbone.width, backbone.width), "pooler.bias": (backbone.width,)}


def numberless(name: str) -> str:
    """A name with `#` for the number of its block."""
    return re.sub(r"(?<=\.)\d+(?=\.)", "#", name)


def stem(ours: str, names: Names) -> str:
    """The entry of a table that a name of ours belongs to, be it there or not."""
    plain = numberless(ours)
    return plain if plain in names else re.sub(r"\.(weight|bias)$", ".*", plain)


def translated(ours: str, names: Names) -> tuple[tuple[str, ...], str]:
    """Their names of one of ours, and the letters of their shape; KeyError where the table has none."""
    numbers, last = re.findall(r"(?<=\.)\d+(?=\.)", ours), ours.rpartition(".")[2]
    pairs = [name.partition(":") for name in names[stem(ours, names)].replace("*", last).split()]
    return tuple(reduce(_numbered, numbers, name) for name, _, _ in pairs), pairs[0][2]


def _numbered(name: str, number: str) -> str:
    return name.replace("#", number, 1)
