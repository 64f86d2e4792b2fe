"""What a language model is shown in place of training (survey: GPT-3; Brown et al. 2020, section 2).

    Translate English to French:          a description of the task, where there is one
    sea otter => loutre de mer            K examples: none is zero-shot, one is one-shot
    cheese =>                             the question, without its answer

Legend: K examples, C labels, L tokens.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from quire.core.config import Settings
from quire.core.errors import BadInput
from quire.core.example import Example, Ints, Passage, Vocab
from quire.core.random import rng
from quire.nn.search import prompts
from quire.text.records import Record
from quire.text.tokenizers import Tokenizer


class Form(Settings):
    """How a task is written down. Line ends and runs of blanks in a text become one blank: a line is a line."""

    description: str = ""
    arrow: str = " =>"
    """Stands behind the input. A blank follows before an answer, which tokenizers take as a part of the answer."""

    def prompt(self, examples: Sequence[Record], question: str) -> str:
        """The description, a line for each example, and an open one."""
        lines = [self.description] if self.description else []
        lines += [f"{self.open(example.text)} {_line(example.label or '')}" for example in examples]
        return "\n".join([*lines, self.open(question)])

    def open(self, text: str) -> str:
        """A line without its answer."""
        return _line(text) + self.arrow

    @property
    def neutral(self) -> str:
        """A prompt that tells nothing of a question: the arrow alone."""
        return self.arrow.strip()


def _line(text: str) -> str:
    return " ".join(text.split())


def drawn(records: Sequence[Record], *, shots: int, balanced: bool, seed: int) -> list[Record]:
    """K examples by seed, in a random order; all there are, where there are fewer.

    Balanced, the labels take turns, in an order that is drawn too; else each record is as likely as any other.
    """
    draw = rng(seed, "shots")
    order = [records[i] for i in draw.permutation(len(records))]
    if not balanced:
        return order[:shots]
    turns: defaultdict[str, int] = defaultdict(int)  # label -> how many of it stand before
    place = []
    for record in order:
        turns[record.label or ""] += 1
        place.append(turns[record.label or ""])
    chosen = sorted(range(len(order)), key=place.__getitem__)[:shots]
    return [order[chosen[i]] for i in draw.permutation(len(chosen))]


@dataclass(frozen=True)
class Question:
    """One question, ready to be read: what its answers have in common, and what follows in each."""

    prompt: Example
    answers: tuple[Ints, ...]
    """[C] of [L] tokens behind the prompt."""
    counted: tuple[int, ...]
    """[C] how many of these, from the end, are the label's own."""
    used: int
    """Examples that it shows."""


@dataclass(frozen=True)
class Asking:
    """Questions about the same labels in the same form, for a model of so many positions."""

    form: Form
    labels: tuple[str, ...]
    tokenizer: Tokenizer
    positions: int

    def question(self, record: Record, examples: Sequence[Record]) -> Question:
        """The question with as many of the examples as fit, the last ones; BadInput where it does not fit alone."""
        for first in range(len(examples) + 1):
            asked = self.about(self.form.prompt(examples[first:], record.text), used=len(examples) - first)
            needed = len(asked.prompt) + max(map(len, asked.answers))
            if needed <= self.positions:
                return asked
        raise BadInput(
            f"{record.where}: the question alone has {needed} tokens with its longest label, the model "
            f"{self.positions} positions; shorten the text or the description"
        )

    def about(self, prompt: str, *, used: int = 0) -> Question:
        """Every label behind a prompt. Both are cut into tokens together, for a token may begin with the blank between
        them; the label's are those that reach beyond the prompt."""
        found = self.tokenizer.located(f"{prompt} {_line(label)}" for label in self.labels)
        begins = [int((offsets[:, 1] <= len(prompt)).sum()) for _, offsets in found]
        for label, begin, (tokens, _) in zip(self.labels, begins, found, strict=True):
            if begin == len(tokens):
                raise BadInput(f"label {label!r}: the tokenizer has no token for it; write it otherwise")
        shared = min(begins)
        while not all((tokens[:shared] == found[0][0][:shared]).all() for tokens, _ in found):
            shared -= 1
        answers = tuple(tokens[shared:] for tokens, _ in found)
        counted = tuple(len(tokens) - begin for begin, (tokens, _) in zip(begins, found, strict=True))
        return Question(_begun(self.tokenizer.vocab, found[0][0][:shared]), answers, counted, used)


def _begun(vocab: Vocab, tokens: Ints) -> Example:
    if not len(tokens):  # the first token of a label holds the whole prompt
        return Example.laid(vocab, (vocab.cls, 0))
    (example,) = prompts(vocab, [Passage(tokens, tokens >= 0)])
    return example
