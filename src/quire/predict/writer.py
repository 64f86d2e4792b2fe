"""A model that writes: a text for a text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict, overload

from quire.core.config import Settings, parse
from quire.core.errors import BadInput
from quire.core.example import Example, Passage, World
from quire.core.heads import TokenHead
from quire.core.search import Search, Written
from quire.core.spec import Backbone, Size
from quire.nn.model import Model
from quire.nn.search import stream, write
from quire.paradigms.write import Write
from quire.predict.saving import save_network
from quire.text.cut import Piece, cut
from quire.text.pairs import TextPair
from quire.text.tokenizers import Tokenizer
from quire.train.start import tokenizer_of
from quire.train.weights import ModelFiles

AT_ONCE = 64
"""Texts written side by side."""
UNFINISHED = "\ufffd"
"""What bytes decode to that are no whole character."""
EXTRA = "writing"
"""Where a model folder keeps its `Writing`."""


class Writing(Settings):
    """How a model writes: what it was taught, how much it reads, and how it searches."""

    task: Write
    length: Size
    """Tokens of a source, special ones included, and of a target."""
    cut: Piece = "head"
    search: Search = Search(limit=64)
    prompt: str = ""
    """What stands before every source."""

    def sources(self, texts: Sequence[str], tokenizer: Tokenizer) -> list[Passage]:
        """Texts as they are read: behind the prompt, cut to what there is room for."""
        room = self.length - self.task.specials
        return [cut(p, limit=room, how=self.cut) for p in tokenizer.encode([self.prompt + text for text in texts])]

    def examples(self, pairs: Sequence[TextPair], tokenizer: Tokenizer) -> list[Example]:
        """Pairs as examples to learn from."""
        world, room = World(tokenizer.vocab, length=self.length), self.length - 1
        targets = tokenizer.encode([pair.target for pair in pairs])
        return [
            self.task.format(source, target[:room], world, whole=len(target) <= room)
            for source, target in zip(self.sources([p.source for p in pairs], tokenizer), targets, strict=True)
        ]

    def check_room(self, backbone: Backbone) -> None:
        """BadInput where a source and its target are longer than the model's positions."""
        needed = self.length if self.task.by == "decoder" else 2 * self.length
        if needed > backbone.positions:
            run = "" if self.task.by == "decoder" else f" for each of two texts in one run are {needed}, but"
            raise BadInput(
                f"length {self.length}:{run} the model has {backbone.positions} positions; take "
                f"{backbone.positions * self.length // needed} or fewer"
            )


@dataclass(frozen=True)
class Text:
    """What was written, the sum of log p of its tokens after the length penalty, and whether its end came in time."""

    text: str
    score: float
    finished: bool


class _How(TypedDict):
    head: str
    search: Search
    end: int
    decode: Callable[[Sequence[int]], str]


class Writer:
    """Model, tokenizer and a plan; called with texts, it writes."""

    def __init__(self, model: Model, tokenizer: Tokenizer, plan: Writing) -> None:
        self.model, self.tokenizer, self.plan = model, tokenizer, plan
        self.world = World(tokenizer.vocab, length=plan.length)

    @overload
    def __call__(self, texts: str) -> Text: ...
    @overload
    def __call__(self, texts: list[str] | tuple[str, ...]) -> list[Text]: ...

    def __call__(self, texts: str | list[str] | tuple[str, ...]) -> Text | list[Text]:
        """A text for a text, or one for each of several."""
        if isinstance(texts, str):
            return self([texts])[0]
        prompts = self._prompts(texts)
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))  # equal lengths need no masks
        found: dict[int, Text] = {}
        for begin in range(0, len(order), AT_ONCE):
            here = order[begin : begin + AT_ONCE]
            written = write(self.model, [prompts[i] for i in here], numbers=here, **self._how)
            found |= {i: self._text(one) for i, one in zip(here, written, strict=True)}
        return [found[i] for i in range(len(prompts))]

    def stream(self, text: str, *, number: int = 0) -> Iterator[str]:
        """The pieces of what is written for a text, as soon as nothing can change them any more.

        Where tokens are drawn, they are those of the text with this number among others.
        """
        tokens: list[int] = []
        shown, whole = 0, ""
        for _, token in stream(self.model, self._prompts([text]), numbers=[number], **self._how):
            tokens.append(token)
            whole = self._decoded(tokens)
            sure = len(whole) - self._unsure(whole)
            if sure > shown:
                yield whole[shown:sure]
                shown = sure
        if whole[shown:]:
            yield whole[shown:]

    def _unsure(self, text: str) -> int:
        """Characters at the end that the next token may change: a part of a character, or of a stop string."""
        whole = text.rstrip(UNFINISHED)
        begun = (n for stop in self.plan.search.stop for n in range(1, len(stop)) if whole.endswith(stop[:n]))
        return len(text) - len(whole) + max(begun, default=0)

    def searching(self, changes: Mapping[str, Any]) -> Writer:
        """The same writer with other settings of its search; a draw leaves the beam."""
        if not changes:
            return self
        alone = {"beam": 1} if "sample" in changes and "beam" not in changes else {}
        search = parse(Search, {**self.plan.search.model_dump(), **alone, **changes}, where="search")
        return Writer(self.model, self.tokenizer, self.plan.model_copy(update={"search": search}))

    @property
    def _how(self) -> _How:
        return {
            "head": self.plan.task.head,
            "search": self.plan.search,
            "end": self.world.vocab.sep,
            "decode": self.tokenizer.decode,
        }

    def _prompts(self, texts: Sequence[str]) -> list[Example]:
        for number, text in enumerate(texts, start=1):
            if not text.strip():
                raise BadInput(f"text {number} is empty: there is nothing to write for; give at least a word")
        sources = self.tokenizer.encode(texts) if self.plan.task.goes_on else self.plan.sources(texts, self.tokenizer)
        self._check_windows(sources)
        return [self.plan.task.format(source, None, self.world) for source in sources]

    def _check_windows(self, sources: Sequence[Passage]) -> None:
        """BadInput for a text that leaves no room for its continuation: cut, it would be another text."""
        limit, positions = self.plan.search.limit, self.model.spec.positions
        room = positions - limit - self.plan.task.specials
        for number, source in enumerate(sources, start=1):
            if self.plan.task.goes_on and len(source) > room:
                raise BadInput(
                    f"text {number} has {len(source)} tokens; with {limit} to write the model's {positions} positions "
                    f"have room for {room}: shorten it, or write fewer"
                )

    def _text(self, found: Written) -> Text:
        return Text(self._decoded(found.tokens.tolist()), found.score, found.finished)

    def _decoded(self, tokens: Sequence[int]) -> str:
        """The text of tokens, up to where it should stop; one that goes on with a run of text keeps its first blank."""
        text = self.tokenizer.decode(tokens)
        text = text if self.plan.task.goes_on else text.lstrip()
        cuts = [place for stop in self.plan.search.stop if (place := text.find(stop)) >= 0]
        return text[: min(cuts)] if cuts else text

    def cut_share(self, texts: Sequence[str], *, targets: bool = False) -> float:
        """The share of texts that are longer than what is read; or of targets, than what is learnt of them."""
        if self.plan.task.goes_on:
            return 0.0
        room = self.plan.length - (1 if targets else self.plan.task.specials)
        return sum(len(passage) > room for passage in self.tokenizer.encode(texts)) / len(texts)

    def save(self, folder: Path, *, card: str) -> None:
        """Write a model folder that `quire.load_writer` opens."""
        extra = {EXTRA: self.plan.model_dump(mode="json")}
        save_network(folder, self.model, self.tokenizer, card=card, extra=extra)

    @classmethod
    def of(cls, folder: Path, files: ModelFiles) -> Writer:
        """What a model folder holds; BadInput where nothing in it writes."""
        if EXTRA in files.extra:
            plan = parse(Writing, files.extra[EXTRA], where=f"{folder}: {EXTRA}")
            plan.check_room(files.backbone)
            if not isinstance(files.heads.get(plan.task.head), TokenHead):
                raise BadInput(f"{folder}: {EXTRA}: no head {plan.task.head!r:.40} that writes; write the folder again")
        else:
            half = max(files.backbone.positions // 2, 2)
            plan = Writing(task=task_of(files, where=str(folder)), length=half, search=Search(limit=min(64, half - 1)))
        model = Model.of(files.backbone, {plan.task.head: files.heads[plan.task.head]}, files.state)
        return cls(model.eval(), tokenizer_of(folder, files.backbone), plan)


def task_of(files: ModelFiles, *, where: str) -> Write:
    """How the writer in these files goes on with a text as it stands; BadInput where nothing writes."""
    found = writing_head(files)
    if found is None:
        raise BadInput(
            f"{where}: nothing in this model writes: it has no decoder and no language model's head; pre-train one "
            "with `quire pretrain`, for instance bart-base or gpt2"
        )
    head, spec = found
    if spec.of != "decoder":
        return Write(head=head, spec=spec, by="body", parted=False)
    return Write(head=head, spec=spec, parted=False, start=spec.start, opening=spec.start != "pad")  # T5 has no [CLS]


def task_to_learn(files: ModelFiles, *, where: str, smoothing: float) -> Write:
    """What is learnt from pairs: with the head that writes already, or a new one where there is a decoder or nothing
    at all (`where` is empty)."""
    if writing_head(files) is None and (files.backbone.decoder or not where):
        return Write(by="decoder" if files.backbone.decoder else "body", smoothing=smoothing)
    return task_of(files, where=where).model_copy(update={"parted": True, "smoothing": smoothing})


def writing_head(files: ModelFiles) -> tuple[str, TokenHead] | None:
    """The head of these files that writes: one of the decoder, or of a language model."""
    for slot, head in files.heads.items():
        if isinstance(head, TokenHead) and head.of == "decoder":
            return slot, head
    lm = files.heads.get("lm")
    return ("lm", lm) if isinstance(lm, TokenHead) else None
