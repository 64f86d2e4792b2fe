"""Sequence-to-sequence denoising: T5, BART, MASS (survey: Seq2Seq MLM, DAE).

L = - mean over what is written of log p(y_t | damaged text, y_1, ..., y_{t-1})

    [CLS] damaged text [SEP]   ->   y [SEP]

A system is which tokens (`select`), what is shown in their place (`rewrite`) and what is asked for (`write`):

    T5, random spans     random_spans   sentinels     sentinels      BART   poisson    infill   text
    prefix LM            suffix         drop          hidden         MASS   fragment   mask     fragment
    deshuffling          everything     shuffle       text

Legend: L positions of a text without its first and last special token, K spans.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import model_validator

from quire.core.errors import BadInput
from quire.core.example import Bools, Example, Ints, Vocab, World
from quire.core.heads import HeadSpec, TokenHead
from quire.core.random import Rng
from quire.core.spec import Backbone
from quire.core.visibility import Full
from quire.noise.reorder import Reorder
from quire.noise.rewrite import Infill, InPlace, Rewrite, Sentinels
from quire.noise.select import Poisson, Select
from quire.noise.spans import covered
from quire.objectives.writes import Writes

ENOUGH = 1.5
"""Times as many spans as there are marks for: more is no accident of one text, but a wrong setting."""


class Denoise(Writes):
    """Damage a text, and let a decoder write it, or what is missing of it (Raffel et al. 2020, section 3.3; Lewis et
    al. 2020, section 2.2; Song et al. 2019, section 3.2).

    BART's order: reorder sentences, damage, rotate. The middle [SEP] of a pair is never chosen.
    """

    alone: ClassVar[bool] = True
    reorder: tuple[Reorder, ...] = ()
    select: Select = Poisson()
    rewrite: Rewrite = Infill()
    write: Literal["text", "hidden", "sentinels", "fragment"] = "text"
    """`text`: all of it, as it was. `hidden`: the chosen tokens in order.
    `sentinels`: each mark and what it stands for, and one more mark where the text ends visible (T5's code, where the
    marks of a text that begins hidden are one off). `fragment`: the chosen tokens, each told from the true one before
    it, at their own positions, by a decoder that does not look at the masks; no [SEP] (MASS)."""
    opening: bool = True
    """Whether [CLS] stands before the damaged text (T5: no)."""
    start: Literal["sep", "pad", "cls"] = "sep"
    """What stands before the first token that the decoder writes (BART: sep, T5: pad)."""
    bias: bool = False
    """Whether each token has a bias in its score."""
    scaled: bool = False
    """Whether states are times width^-0.5 before they meet the table (T5)."""

    @model_validator(mode="after")
    def _in_place(self) -> Self:
        if self.write == "fragment" and not (isinstance(self.rewrite, InPlace) and not self.reorder):
            raise ValueError("write fragment: tokens must stay in their places: take rewrite mask, and no reorder")
        return self

    @property
    def marks(self) -> bool:
        """Whether it uses sentinels."""
        return isinstance(self.rewrite, Sentinels) or self.write == "sentinels"

    def parts(self, backbone: Backbone, world: World) -> Mapping[str, HeadSpec | Backbone]:
        if not backbone.decoder:
            raise BadInput("a decoder writes, but the backbone has none: set backbone.decoder to its number of layers")
        if world.length > backbone.positions:
            raise BadInput(
                f"a text and what is written beside it have up to {world.length} tokens, the backbone "
                f"{backbone.positions} positions: lower data.length, or raise backbone.positions"
            )
        if self.marks and len(world.vocab.sentinels) < 2:
            raise BadInput("the tokenizer has no sentinels: set data.tokenizer.sentinels, for instance to 100")
        how = {"project": backbone.embedding_width != backbone.width, "bias": self.bias, "scaled": self.scaled}
        return {self.head: TokenHead(of="decoder", transform=False, start=self.start, **how)}

    def corrupt(self, example: Example, world: World, rng: Rng) -> Example:
        if example.sees != Full():
            raise BadInput(f"objectives: {self.slot} wants texts that see all of themselves: take another data.shape")
        vocab = world.vocab
        inner = slice(int(example.tokens[0] == vocab.cls), len(example) - 1)
        clean, free, starts = example.truth[inner], example.free[inner], example.starts[inner]
        text = clean
        for reorder in (r for r in self.reorder if not r.last):
            order = reorder.order(text, vocab, rng)
            text, free, starts = text[order], free[order], starts[order]
        spans = self._fitting(self.select.spans(free, starts, rng), len(text), world)
        shown = self.rewrite.recast(text, spans, vocab, rng)
        for reorder in (r for r in self.reorder if r.last):
            shown = shown[reorder.order(shown, vocab, rng)]
        opened = [vocab.cls] if self.opening and vocab.begins else []
        source = np.concatenate([opened, shown, [vocab.sep]]).astype(np.int64)
        hidden = source == vocab.masking() if self.write == "fragment" else None
        made = example.recast(source, self._target(clean, text, spans, vocab), hidden=hidden)
        return made if example.languages is None else self._in_language(made, example.languages)

    def _fitting(self, spans: Ints, length: int, world: World) -> Ints:
        """As many as fit into the window: the last empty ones are left out, and the last that no mark is left for."""
        sizes = spans[:, 1] - spans[:, 0]
        if self.marks:
            there = len(world.vocab.sentinels) - 1
            if len(spans) > ENOUGH * there:
                raise BadInput(
                    f"objectives: {self.slot} hides {len(spans)} spans of a text of {length} tokens, but there are "
                    f"marks for {there}: set data.tokenizer.sentinels to {len(spans) + 1} or more, or lower data.length"
                )
            asked = (sizes + 1).cumsum() + 2  # with the mark and the [SEP] behind
            return spans[: min(int(asked.searchsorted(world.length, side="right")), there)]
        excess = length + int((1 - sizes).sum()) + 1 + self.opening - world.length
        return np.delete(spans, np.flatnonzero(sizes == 0)[-excess:], axis=0) if excess > 0 else spans

    def _target(self, clean: Ints, text: Ints, spans: Ints, vocab: Vocab) -> Example:
        start = {"sep": vocab.sep, "pad": vocab.pad, "cls": vocab.cls}[self.start]
        match self.write:
            case "text":
                asked = clean
            case "sentinels":
                asked = marked(text, spans, vocab)
            case "fragment" if (where := covered(spans, len(text))).any():
                return _fragment(self.slot, text, where, start)
            case _:
                asked = text[covered(spans, len(text))]
        return Example.written(self.slot, np.append(asked, vocab.sep), start=start)

    def _in_language(self, made: Example, languages: Ints) -> Example:
        """Both sides in the language of the text."""
        if (languages != languages[0]).any():
            raise BadInput(f"objectives: {self.slot} wants texts of one language each: take data.shape streams")
        assert made.target is not None
        target = replace(made.target, languages=np.full(len(made.target), languages[0]))
        return replace(made, languages=np.full(len(made), languages[0]), target=target)


def marked(text: Ints, spans: Ints, vocab: Vocab) -> Ints:
    """The vocabulary's first K sentinels, each before its span; one more where the text ends outside of them."""
    sizes = spans[:, 1] - spans[:, 0]
    marks = np.array(vocab.sentinels[: len(spans) + 1], dtype=np.int64)
    asked = np.insert(text[covered(spans, len(text))], sizes.cumsum() - sizes, marks[: len(spans)])
    ends_visible = spans[-1, 1] < len(text) if len(spans) else len(text) > 0
    return np.append(asked, marks[-1]) if ends_visible else asked


def _fragment(slot: str, text: Ints, where: Bools, start: int) -> Example:
    """The tokens at `where`, each from the one before it. Positions are those of the tokens shown, which begin with 0
    for `start`: in the source the same tokens stand there, behind [CLS]."""
    before = np.concatenate([[start], text[:-1]])
    written = Example.written(slot, text[where], start=start)
    return replace(written, tokens=before[where], positions=np.flatnonzero(where))
