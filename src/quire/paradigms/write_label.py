"""A class is written: text classification as sequence to sequence (survey: Seq2Seq; Raffel et al. 2020, section 2.4).

    [CLS] text [SEP] first name [SEP] second name [SEP] ... [SEP]  name [SEP]

p(label) = product over the tokens of its name and the [SEP] behind it of p(token | prompt, tokens before it), divided
by the sum of that over all labels. It is computed for each label, where T5 writes one text and counts any other as
wrong.

Legend: C labels.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.special import softmax

from quire.core.answers import Answer, Item
from quire.core.errors import BadInput
from quire.core.example import Example, World
from quire.core.heads import HeadSpec
from quire.core.spec import Backbone
from quire.nn.model import Step
from quire.nn.search import likelihoods
from quire.nn.stepwise import Stepwise
from quire.paradigms.base import Labelling, Said, certain
from quire.paradigms.written import Written, names_of, prompts

ROWS = 256
"""Names that are told at once: what is said does not depend on it, memory does."""
LEAST = 8
"""Tokens of a text that must have room beside the names."""


class WriteLabel(Written, Labelling):
    """One label for a text or a pair of texts, which have what room the names leave."""

    def parts(self, backbone: Backbone, world: World) -> Mapping[str, HeadSpec]:
        if (room := self._room(world, texts=1)) < LEAST:
            raise BadInput(
                f"{len(self.labels)} names take {world.length - room} of {world.length} tokens and leave no room for a "
                "text; shorten `names`"
            )
        return super().parts(backbone, world)

    def room(self, item: Item, world: World) -> int:
        """Tokens of the texts beside the names."""
        return self._room(world, texts=len(item.passages))

    def format(self, item: Item, answer: Answer | None, world: World) -> tuple[Example]:
        if answer is None:
            return (self.laid(item.passages, None, world),)
        name = self.spelled(world)[self.labels.index(str(answer))]
        return (self.laid(item.passages, [*name.tokens.tolist(), world.vocab.sep], world),)

    def gold(self, example: Example) -> Said:
        *name, _ = self.target(example)
        return certain(names_of(example).index(tuple(name)), len(self.labels))

    def says(self, step: Step) -> list[Said]:
        """[C] each: the probabilities of the labels."""
        begun, found = prompts(step), list[Said]()
        at_once = max(ROWS // len(self.labels), 1)
        for start in range(0, len(begun), at_once):
            some = begun[start : start + at_once]
            answers = [[np.array([*name, prompt.tokens[-1]]) for name in names_of(prompt)] for prompt in some]
            told = likelihoods(Stepwise(step.model, some, head=self.head), answers)
            log_p = np.array([sum(of_name) for of_name in told]).reshape(len(some), -1)
            found += [row.astype(np.float32) for row in softmax(log_p, axis=1)]
        return found

    def probabilities(self, said: Sequence[Said]) -> Said:
        (row,) = said
        return row

    def _room(self, world: World, *, texts: int) -> int:
        """Tokens that texts may have beside the names, of which the longest is written once more."""
        longest = max(map(len, self.spelled(world)))
        return world.length - self.taken(world) - texts - longest - 1
