"""Text from text: fine-tuning a generator for translation or summarisation (survey: Seq2Seq).

L = - mean over target tokens of log p(y_t | source, y_1, ..., y_{t-1}), its end among them, with label smoothing

decoder   `[CLS] source [SEP]` is read, and a decoder writes `target [SEP]` behind its start token
body      `[CLS] source [SEP] target [SEP]` in one run, read left to right, of which the target is asked for (Radford et
          al. 2018, section 3.3, for tasks; a decoder-only model has no other place for a source)
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import numpy as np

from quire.core.errors import BadInput
from quire.core.example import Example, Passage, World
from quire.core.heads import HeadSpec, TokenHead
from quire.core.spec import Backbone
from quire.core.visibility import Causal
from quire.objectives.writes import Writes


class Write(Writes):
    """Ask for a target, token by token. What was learnt is written with `quire.nn.search`."""

    head: str = "write"
    """The head that writes: that of pre-training, where a model was pre-trained for writing."""
    spec: TokenHead | None = None
    """That head, where it is not a plain one tied to the embeddings."""
    by: Literal["decoder", "body"] = "decoder"
    opening: bool = True
    """Whether [CLS] stands before the source (T5: no)."""
    parted: bool = True
    """Of a body: whether [SEP] stands between source and target. A language model goes on without."""
    start: Literal["sep", "pad", "cls"] = "sep"
    """What stands before the first token that a decoder writes (BART: sep, T5: pad)."""

    def format(self, source: Passage, target: Passage | None, world: World, *, whole: bool = True) -> Example:
        """A pair with its answers; or what `quire.nn.search` goes on from, a source and how its target begins.

        Behind a target that was cut, which is not `whole`, no end is asked for.
        """
        vocab, end = world.vocab, [world.vocab.sep] if whole else []
        opened: list[tuple[Passage | int, int]] = [(vocab.cls, 0)] if self.opening else []
        if self.by == "body":
            between: list[tuple[Passage | int, int]] = [(vocab.sep, 0)] if self.parted else []
            behind: list[tuple[Passage | int, int]] = [] if target is None else [(target, 0), *((t, 0) for t in end)]
            laid = Example.laid(vocab, *opened, (source, 0), *between, *behind)
            if target is None:
                return replace(laid, sees=Causal())
            return laid.foretell(self.slot, np.arange(len(laid)) >= len(source) + self.specials)
        laid = Example.laid(vocab, *opened, (source, 0), (vocab.sep, 0))
        tokens = np.array([vocab.sep] if target is None else [*target.tokens, *end], dtype=np.int64)
        start = {"sep": vocab.sep, "pad": vocab.pad, "cls": vocab.cls}[self.start]
        asked = np.full(len(tokens), target is not None)
        return laid.recast(laid.tokens, Example.written(self.slot, tokens, start=start, asked=asked))

    @property
    def goes_on(self) -> bool:
        """Whether what is written goes on with the text itself, as a language model does."""
        return self.by == "body" and not self.parted

    @property
    def specials(self) -> int:
        """Special tokens around a source."""
        return int(self.opening) + int(self.by == "decoder" or self.parted)

    def parts(self, backbone: Backbone, world: World) -> Mapping[str, HeadSpec | Backbone]:
        if self.by == "decoder" and not backbone.decoder:
            raise BadInput(
                "a decoder writes, but the backbone has none: set backbone.decoder to its number of layers, start from "
                "a model with a decoder, or let the body write (`by: body`)"
            )
        if self.by == "body" and backbone.decoder:
            raise BadInput("`by: body`: the backbone has a decoder, which would never be used; leave `by` out")
        of = "decoder" if self.by == "decoder" else "backbone"
        narrow = backbone.embedding_width != backbone.width
        plain = TokenHead(of=of, start=self.start, transform=False, project=narrow, bias=False)
        return {self.head: self.spec or plain}
