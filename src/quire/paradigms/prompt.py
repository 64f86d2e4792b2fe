"""A class as the word that fills a gap: (masked) language modelling with a verbaliser (survey: (M)LM; Schick & Schütze
2021, PET, section 3.1; Gao et al. 2021, LM-BFF, section 4).

    [CLS] a lovely lamp It was [MASK] . [SEP]        great -> positive, terrible -> negative

p(y) = exp z_v(y) / sum over y' of exp z_v(y')       z the MLM head's scores at [MASK], v(y) the word of y
L    = - mean of log p(y)

With `calibrate`, p(y) is divided by what the model says of an empty text in the same template, and normed to sum to 1
(Zhao et al. 2021, contextual calibration). That is asked beside each text, so answers cost a short text more.

A base without that head needs one first: `mlm` on the training text, the body frozen (strategy `head`). PET's further
loss is an `mlm` beside this one, with a small weight.

Legend: S sequences, M asked positions, C classes.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np
import torch
from pydantic import model_validator
from torch import Tensor

from quire.core.answers import Answer, Item
from quire.core.errors import BadInput
from quire.core.example import Example, Passage, World
from quire.core.heads import HeadSpec, TokenHead, WordsHead
from quire.core.spec import Backbone
from quire.nn.losses import cross_entropy
from quire.nn.model import Step
from quire.paradigms.base import Labelling, Said, certain, in_order
from quire.paradigms.words import called, spelled

PLACES = ("mask", "pair", "text")
_NONE = Passage(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=bool))


class Prompt(Labelling):
    """One label for a text or a pair, by the word that a masked language model puts into a template."""

    template: str = "{text} It was {mask} ."
    """Where the gap is and where the texts are: `{pair}` is the second, and without it `{text}` stands for all."""
    words: Mapping[str, str] = {}
    """The word for each label; without any, their names. Each must be one token."""
    calibrate: bool = False
    head: str = "mlm"
    """The head over the vocabulary: that of `mlm`, so that one which was trained with it goes on."""
    transform: bool = True
    """Whether that head has a dense layer of its own before the decoder."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        called(self.labels, self.words)
        places = re.findall(r"\{(.*?)\}", self.template)
        for place in places:
            if place not in PLACES:
                raise ValueError(f"template: no place is called {place!r}; known: {', '.join(PLACES)}")
        for place, least in (("mask", 1), ("text", 1), ("pair", 0)):
            if not least <= places.count(place) <= 1:
                wanted = "once" if least else "once at most"
                raise ValueError(f"template: {{{place}}} must be there {wanted}, found {places.count(place)} times")
        return self

    def parts(self, backbone: Backbone, world: World) -> Mapping[str, HeadSpec]:
        world.vocab.masking()
        if (least := len(self._filled((), world))) >= world.length:
            raise BadInput(f"template: has {least} of {world.length} tokens and leaves none for a text; shorten it")
        return {self.head: TokenHead(transform=self.transform), self.slot: WordsHead(words=self._verbaliser(world))}

    def _verbaliser(self, world: World) -> tuple[int, ...]:
        """The token of each label's word; a blank before the gap belongs to it."""
        blank = " " if " {mask}" in self.template else ""
        words = called(self.labels, self.words)
        pieces = spelled(self.labels, [blank + word for word in words], world)
        for label, word, piece in zip(self.labels, words, pieces, strict=True):
            if len(piece) != 1:
                raise BadInput(
                    f"words: {word!r} for {label!r} is {len(piece)} pieces here; name one that is one piece in a YAML "
                    f"file, as {{prompt: {{words: {{{label}: word, ...}}}}}}"
                )
            if piece.tokens[0] == world.vocab.unk:
                raise BadInput(f"words: {word!r} for {label!r} is unknown to the tokenizer; choose another")
        return tuple(int(piece.tokens[0]) for piece in pieces)

    def room(self, item: Item, world: World) -> int:
        """Tokens of the texts beside the template."""
        return world.length - len(self._filled((), world))

    def format(self, item: Item, answer: Answer | None, world: World) -> Sequence[Example]:
        example = self._filled(item.passages, world)
        if answer is not None:
            gap = example.tokens == world.vocab.mask
            return [example.label(self.slot, self.labels.index(str(answer)), at=gap)]
        return [example, self._filled([_NONE] * len(item.passages), world)] if self.calibrate else [example]

    def _filled(self, texts: Sequence[Passage], world: World) -> Example:
        """The template around these texts; where its gap is, is marked."""
        vocab = world.vocab
        if "{pair}" in self.template and len(texts) == 1:
            raise BadInput("template: has a place for a {pair}, and here is one text; leave it out")
        paired = "{pair}" in self.template and len(texts) > 1
        given: Mapping[str, Sequence[Passage | int]] = {
            "text": texts[:1] if paired else texts,
            "pair": texts[1:] if paired else (),
            "mask": (vocab.masking(),),
        }
        parts: list[Passage | int] = [vocab.cls] if vocab.begins else []
        for number, piece in enumerate(re.split(r"\{(.*?)\}", self.template)):
            parts += given[piece] if number % 2 else [world.spelled(piece.rstrip())]
        example = Example.laid(vocab, *((part, 0) for part in (*parts, vocab.sep)))
        return example.label(self._gap, 0, at=example.tokens == vocab.mask)

    @property
    def _gap(self) -> str:
        """The slot that marks the gap, asked or not."""
        return f"{self.slot}_gap"

    def gold(self, example: Example) -> Said:
        return certain(int(example.answers[self.slot].max()), len(self.labels))

    def loss(self, step: Step) -> Tensor:
        return cross_entropy(self._scores(step, self.slot), step.answers(self.slot))

    def says(self, step: Step) -> list[Said]:
        """[C] each: softmax of the scores of the words."""
        return in_order(step, torch.softmax(self._scores(step, self._gap).float(), dim=-1))

    def _scores(self, step: Step, slot: str) -> Tensor:
        scores_MC: Tensor = step.model.heads[self.slot](step.logits(slot, head=self.head))
        return scores_MC

    def probabilities(self, said: Sequence[Said]) -> Said:
        row, *blank = said
        shares = row / np.maximum(blank[0], np.finfo(np.float32).tiny) if blank else row
        normed: Said = (shares / shares.sum()).astype(np.float32)
        return normed
