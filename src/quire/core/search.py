"""How text is searched for, as data, and what was found. `quire.nn.search` does it.

Legend: L tokens written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from quire.core.config import Settings
from quire.core.example import Ints
from quire.core.spec import Count, Size

Sequences: TypeAlias = tuple[Annotated[tuple[int, ...], Field(min_length=1)], ...]


class Sample(Settings):
    """Draw each token instead of taking the likeliest.

    p(token) is proportional to p^(1 / temperature), over the `top_k` likeliest tokens, and of these over the fewest
    that have `top_p` of what is left between them (Fan et al. 2018; Holtzman et al. 2020, section 3.1), in this order.
    Token t of sequence s is a function of (seed, s, t) and of what the model tells: who else is in the batch does not
    matter.
    """

    temperature: Annotated[float, Field(allow_inf_nan=False)] = 1.0
    top_k: Size | None = None
    top_p: float = 1.0
    seed: int = 0

    @model_validator(mode="after")
    def _is_a_distribution(self) -> Self:
        if self.temperature <= 0:
            raise ValueError(
                f"temperature {self.temperature}: take more than 0, or do not draw (no temperature, top_k, top_p)"
            )
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p {self.top_p}: a share above 0, 1 at most, which keeps all")
        return self


class Search(Settings):
    """Greedy by default; with a beam, the best of several texts that grow side by side; or drawn.

    A text's score is the sum of log p of its tokens, its end included, over a penalty of its length n:

        length  n^length_penalty                 (transformers' generate)
        gnmt    ((5 + n) / 6)^length_penalty     (Wu et al. 2016, section 7; UniLM, T5, GPT-3)
    """

    limit: Size
    """Tokens written at most."""
    least: Count = 0
    """Tokens before which the end is forbidden."""
    beam: int = 1
    length_penalty: Annotated[float, Field(allow_inf_nan=False)] = 0.0
    penalty: Literal["length", "gnmt"] = "length"
    stop: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """A text that holds one of these is at its end."""
    stop_tokens: Sequences = ()
    """So is one whose last tokens are these."""
    sample: Sample | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.beam < 1:
            raise ValueError(f"beam {self.beam}: take 1, which is greedy, or more")
        if self.beam > 1 and self.sample:
            raise ValueError(f"beam {self.beam} with sample: a beam searches, a sample is drawn; leave one of them out")
        if self.least > self.limit:
            raise ValueError(f"least {self.least}: more than the limit of {self.limit}; lower it, or raise the limit")
        return self

    def score(self, log_p: float, tokens: int) -> float:
        """The score of a text of so many tokens."""
        base = tokens if self.penalty == "length" else (5 + tokens) / 6
        found: float = log_p / base**self.length_penalty
        return found


@dataclass(frozen=True)
class Written:
    """What was written: tokens [L] without their end, their score, and whether an end came in time.

    A stop sequence is left out. A stop string need not begin where a token does: its tokens are there, for
    the caller to cut their text.
    """

    tokens: Ints
    score: float
    finished: bool
