"""What a model is made of, as data: a backbone and the heads that objectives ask for."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, model_validator

from quire.core.config import Settings

Rate: TypeAlias = Annotated[float, Field(ge=0, lt=1)]
Size: TypeAlias = Annotated[int, Field(gt=0)]


class Backbone(Settings):
    """An encoder of the BERT family (Devlin et al. 2019, section 3); fields hold the base size."""

    vocab: Size = 30_522
    depth: Size = 12
    width: Size = 768
    heads: Size = 12
    ffn: Size = 3072
    positions: Size = 512
    segments: Annotated[int, Field(ge=0)] = 2
    activation: Literal["gelu", "gelu_tanh", "relu"] = "gelu"
    dropout: Rate = 0.1
    attention_dropout: Rate = 0.1
    norm_eps: float = 1e-12
    init_std: float = 0.02

    @model_validator(mode="after")
    def _heads_divide_width(self) -> "Backbone":
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        return self


class TokenHead(Settings):
    """Scores over the vocabulary at asked positions: dense, activation, norm, decoder tied to the embeddings."""

    kind: Literal["token"] = "token"


class SequenceHead(Settings):
    """Scores over `outputs` classes from the first position: pooler (dense, tanh), dropout, linear."""

    kind: Literal["sequence"] = "sequence"
    outputs: Size
    dropout: Rate = 0.1


HeadSpec: TypeAlias = Annotated[TokenHead | SequenceHead, Field(discriminator="kind")]
