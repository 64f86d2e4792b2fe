"""Kinds of bodies beside the Transformer, as data: `kind` in a recipe's backbone."""

from collections.abc import Mapping
from typing import ClassVar, Literal, Self

from pydantic import model_validator

from quire.core.spec import Backbone


class Star(Backbone):
    """A Star-Transformer: neighbours see each other, and all meet in a relay (Guo et al. 2019; `quire.nn.star`).

    What only a Transformer has is refused: layers without a feed-forward part need no `ffn`, and so on.
    """

    meaningless: ClassVar[frozenset[str]] = frozenset(
        {"decoder", "head_width", "buckets", "furthest", "ffn", "groups", "gated", "norm_first", "rotary_base", "score"}
        | {"window", "global_every", "rotary_base_local", "attention_dropout"}
    )
    kind: Literal["star"] = "star"
    position: Literal["learned", "sinusoidal", "none"] = "none"
    """None is needed, for the neighbours tell the order."""
    embedding_norm: bool = False
    norm_eps: float = 1e-6
    ring: bool = False
    """The last token is the first one's neighbour, as in the paper; without it the chain is open, as in its code."""

    @model_validator(mode="after")
    def _nothing_of_a_transformer(self) -> Self:
        for field in sorted(self.meaningless):
            if getattr(self, field) != type(self).model_fields[field].default:
                raise ValueError(f"{field}: a Star-Transformer has none; leave it out")
        return self


KINDS: Mapping[str, type[Backbone]] = {"transformer": Backbone, "star": Star}
"""What `kind` may say."""
