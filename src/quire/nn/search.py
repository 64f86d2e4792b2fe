"""Search for text: the likeliest token each time, a beam, or a draw; and how likely a given text is.

    write(model, prompts, head="lm", search=Search(limit=40), end=vocab.sep)            a text for each
    for sequence, token in stream(model, prompts, ...): ...                             tokens as they come

Whatever tells log-probabilities token by token can be searched: see `Writer`.

Legend: S sources, R rows (a text each that is being written), V vocabulary, L tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from quire.core.errors import BadInput
from quire.core.example import Example, Ints, Passage, Vocab
from quire.core.search import Search, Written
from quire.nn.beam import beams
from quire.nn.model import Model
from quire.nn.ruled import Rule, Ruled
from quire.nn.sampling import draw
from quire.nn.stepwise import Stepwise
from quire.nn.writer import Ends, Writer


class Token(NamedTuple):
    """A token, and the sequence that it was written in, counted from 0."""

    sequence: int
    token: int


def prompts(vocab: Vocab, passages: Sequence[Passage]) -> list[Example]:
    """`[CLS] text`, which what was trained as `Lm` goes on from. BadInput for an empty text.

    To write from nothing, hand an example with [CLS] alone to `write`.
    """
    for number, passage in enumerate(passages, start=1):
        if not len(passage):
            raise BadInput(f"prompt {number} is empty: there is nothing to go on from; write at least a word")
    return [Example.laid(vocab, (vocab.cls, 0), (passage, 0)) for passage in passages]


def write(
    model: Model,
    sources: Sequence[Example],
    *,
    head: str,
    search: Search,
    end: int | None = None,
    decode: Callable[[Sequence[int]], str] | None = None,
    numbers: Sequence[int] | None = None,
    rules: Sequence[Rule] | None = None,
) -> list[Written]:
    """What the search finds for each source, in their order; who else is there does not matter.

    With a head on the backbone the sources are what the texts begin with (`prompts`), read causally. With a head on
    its decoder they are what the decoder looks at, and `target` of each is what its text begins with, which is often
    one token (`Example.written`). `end` is the token that ends a text. What is drawn for a source is a function of its
    number, by default its place among the sources. With `rules`, one for each source, only what these allow is found.
    BadInput for a source without a token, for one that leaves no room in the model's positions, and for stop strings
    without the tokenizer's `decode`.
    """
    ends = Ends(search, end, decode)
    _check(sources, search, model)
    if not sources:
        return []
    writer: Writer = Stepwise(model, sources, head=head)
    return found(writer if rules is None else Ruled(writer, rules), ends, numbers=numbers)


def stream(
    model: Model,
    sources: Sequence[Example],
    *,
    head: str,
    search: Search,
    end: int | None = None,
    decode: Callable[[Sequence[int]], str] | None = None,
    numbers: Sequence[int] | None = None,
) -> Iterator[Token]:
    """The same, each token as soon as it is known, those that end a text included; the texts take turns.

    A beam knows no token before the end, so that it is BadInput here, beside what `write` refuses.
    """
    ends = Ends(search, end, decode)
    _check(sources, search, model)
    if search.beam > 1:
        raise BadInput(f"beam {search.beam}: its tokens are known at the end alone; stream with a beam of 1")
    steps = _steps(Stepwise(model, sources, head=head), ends, numbers) if sources else iter(())
    return (Token(sequence, token) for sequence, token, _ in steps)


def found(writer: Writer, ends: Ends, *, numbers: Sequence[int] | None = None) -> list[Written]:
    """What the search finds for each of a writer's sources: see `write`."""
    if ends.search.beam > 1:
        return beams(writer, ends)
    tokens: dict[int, list[int]] = {}
    log_p: dict[int, float] = {}
    for sequence, token, gained in _steps(writer, ends, numbers):
        tokens.setdefault(sequence, []).append(token)
        log_p[sequence] = log_p.get(sequence, 0.0) + gained
    return [ends.written(tokens[sequence], log_p[sequence]) for sequence in sorted(tokens)]


@torch.inference_mode()
def likelihoods(writer: Writer, answers: Sequence[Sequence[Ints]]) -> list[list[float]]:
    """log p of each token of given texts [L] behind the writer's sources: answers[s] are those of source s.

    What stands before them is read once for all answers of a source. Their order is that of `answers`, source by
    source; none may be empty.
    """
    asked = [(source, answer.tolist()) for source, of_one in enumerate(answers) for answer in of_one]
    told = writer.start()
    rows = torch.tensor([source for source, _ in asked], dtype=torch.int64, device=told.device)
    told, live = told[rows], list(range(len(asked)))
    found: list[list[float]] = [[] for _ in asked]
    while live:
        place = len(found[live[0]])
        tokens = torch.tensor([asked[i][1][place] for i in live], device=told.device)
        for i, value in zip(live, told.gather(1, tokens[:, None]).squeeze(1).tolist(), strict=True):
            found[i].append(value)
        going = [row for row, i in enumerate(live) if len(asked[i][1]) > place + 1]
        live = [live[row] for row in going]
        if live:
            kept = torch.tensor(going, device=told.device)
            writer.reorder(rows[kept])
            rows, told = torch.arange(len(live), device=told.device), writer.next(tokens[kept])
    return found


@torch.inference_mode()
def _steps(writer: Writer, ends: Ends, numbers: Sequence[int] | None) -> Iterator[tuple[int, int, float]]:
    """(sequence, token, log p) of one text a source, until all have ended."""
    search = ends.search
    told = writer.start()
    live, written = list(range(len(told))), [list[int]() for _ in told]
    named = live if numbers is None else numbers
    for t in range(search.limit):
        told = ends.barred(told, t)
        if search.sample is None:
            tokens = _likeliest(told)
        else:
            tokens = draw(told, search.sample, sequences=[named[sequence] for sequence in live], t=t)
        gained = told.gather(1, tokens[:, None]).squeeze(1).tolist()
        for sequence, token, log_p in zip(live, tokens.tolist(), gained, strict=True):
            written[sequence].append(token)
            yield sequence, token, log_p
        going = [row for row, sequence in enumerate(live) if ends.cut(written[sequence]) is None]
        if t + 1 == search.limit or not going:
            return
        if len(going) < len(live):
            kept = torch.tensor(going, device=told.device)
            writer.reorder(kept)
            live, tokens = [live[row] for row in going], tokens[kept]
        told = writer.next(tokens)


def _likeliest(told_RV: Tensor) -> Tensor:
    """[R]: the first of the largest of each row. On a CPU by numpy, in whose search 8 rows of 50,257 take 0.03 ms for
    torch's 0.5."""
    return told_RV.argmax(dim=-1) if told_RV.is_cuda else torch.from_numpy(told_RV.numpy().argmax(axis=-1))


def _check(sources: Sequence[Example], search: Search, model: Model) -> None:
    places = model.spec.positions
    for number, source in enumerate(sources, start=1):
        begun = source if source.target is None else source.target
        if not len(source) or not len(begun):
            raise BadInput(f"prompt {number} has no token; let it begin with one, which may be [CLS] alone")
        if len(source) > places:
            raise BadInput(f"source {number} has {len(source)} tokens, the model {places} positions: cut it")
        if (needed := len(begun) + search.limit) > places:
            raise BadInput(
                f"prompt {number} has {len(begun)} tokens, which with {search.limit} to write are {needed}; the model "
                f"has {places} positions: cut the prompt or lower `limit`"
            )
