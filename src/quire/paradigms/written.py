"""Sequence to sequence with one body: y = DEC(ENC(x)), where the encoder writes (survey: Seq2Seq).

    [CLS] text [SEP] first name [SEP] second name [SEP] ... [SEP]  written ... [SEP]

L = - mean over what is written, its end among it, of log p(token | prompt, what was written before it)

The prompt sees itself, and what is written sees the prompt and what stands before it: a prefix language model (Dong et
al. 2019, UniLM, section 2.2), taught each next token as in Raffel et al. 2020, section 3.2.1. All that may be written
stands in the prompt, the names of labels or tokens of the text, so that a batch alone says what can be answered.

Legend: L positions of one sequence, N of all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from pydantic import model_validator
from torch import Tensor

from quire.core.example import IGNORE, Example, Ints, Passage, World
from quire.core.heads import HeadSpec, TokenHead
from quire.core.spec import Backbone
from quire.core.visibility import Prefix
from quire.nn.losses import cross_entropy, token_health
from quire.nn.model import Step
from quire.nn.stepwise import check
from quire.paradigms.base import Paradigm
from quire.paradigms.words import called, spelled


class Written(Paradigm):
    """A paradigm whose answers are written behind a prompt."""

    names: Mapping[str, str] = {}
    """What labels are called, in the prompt and where they are written; without it by their own names, in words."""
    head: str = "mlm"
    """The head that writes: that of pre-training, where the base has one."""

    @model_validator(mode="after")
    def _of_labels(self) -> "Written":
        called(self.labels, self.names)
        return self

    def parts(self, backbone: Backbone, world: World) -> Mapping[str, HeadSpec]:
        check(backbone, head=self.head)
        self.spelled(world)
        return {self.head: TokenHead()}

    def loss(self, step: Step) -> Tensor:
        return cross_entropy(step.lazy(self.slot, head=self.head), step.answers(self.slot))

    def health(self, step: Step) -> Mapping[str, float]:
        return token_health(step.logits(self.slot, head=self.head), step.answers(self.slot))

    def spelled(self, world: World) -> list[Passage]:
        """The names as tokens. BadInput for one that has none, or the same as another."""
        return spelled(self.labels, called(self.labels, self.names), world)

    def taken(self, world: World) -> int:
        """Tokens of a prompt beside those of its texts and their [SEP]."""
        return int(world.vocab.begins) + sum(len(name) + 1 for name in self.spelled(world))

    def laid(self, texts: Sequence[Passage], written: Sequence[int] | None, world: World) -> Example:
        """A prompt about texts, and what is to be written behind it, if that is known."""
        vocab = world.vocab
        parts: list[tuple[Passage | int, int]] = [(vocab.cls, 0)] if vocab.begins else []
        for passage, segment in [*((text, 0) for text in texts), *((name, 1) for name in self.spelled(world))]:
            parts += [(passage, segment), (vocab.sep, segment)]
        prompt = Example.laid(vocab, *parts)
        prefix = Prefix(len(prompt))
        if written is None:
            return replace(prompt, sees=prefix)
        target = Passage(np.array(written, dtype=np.int64), np.ones(len(written), dtype=bool))
        whole = Example.laid(vocab, *parts, (target, 1))
        return replace(whole.foretell(self.slot, np.arange(len(whole)) >= len(prompt)), sees=prefix)

    def target(self, example: Example) -> list[int]:
        """What is to be written behind a prompt."""
        answers = example.answers[self.slot]
        return [int(token) for token in answers[answers != IGNORE]]


def prompts(step: Step) -> list[Example]:
    """The prompts of a step, in the order the examples came in. ValueError for a sequence that begins with none."""
    batch, found = step.batch, list[Example]()
    tokens_N, positions_N, segments_N = (t.cpu().numpy() for t in (batch.tokens, batch.positions, batch.segments))
    languages_N = None if batch.languages is None else batch.languages.cpu().numpy()
    for run in batch.layout.runs:
        if not isinstance(run.sees, Prefix):
            raise ValueError(f"a sequence that is {run.sees} does not begin with a prompt")
        for first in range(run.here.start, run.here.stop, run.length):
            here = slice(first, first + run.sees.size)
            tokens, special = tokens_N[here], np.zeros(run.sees.size, dtype=bool)
            prompt = Example(tokens, tokens, ~special, special, segments_N[here], sees=run.sees)
            languages = None if languages_N is None else languages_N[here]
            found.append(replace(prompt, positions=positions_N[here], languages=languages))
    return [found[place] for place in np.argsort(batch.order)]


def names_of(prompt: Example) -> list[tuple[int, ...]]:
    """The names in a prompt, in the order of the labels; its last token is what parts them."""
    options: Ints = prompt.tokens[prompt.segments == 1]
    ends = np.flatnonzero(options == options[-1])
    return [tuple(piece[:-1].tolist()) for piece in np.split(options, ends[:-1] + 1)]
