"""Two models with the same weights, theirs and ours, and one batch for both: theirs is padded and masked, ours packed.

Legend: S sequences, L longest, N positions of all sequences.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.zoo import CLASSES, END, LENGTH, PAD, VOCAB, Sizes, fitting, fixed, model
from quire.core.example import IGNORE, Batch, Example
from quire.core.heads import DetectionHead, HeadSpec, QueryHead, SequenceHead
from quire.core.random import rng
from quire.nn.losses import cross_entropy
from quire.nn.model import Model, Packed, Step
from quire.paradigms.extract import Extract
from quire.train.convert import import_tensors

EXTRACT = Extract()


@dataclass(frozen=True)
class Told:
    """What both say of one thing: our values at all its real positions, and theirs there."""

    ours: Tensor
    theirs: Tensor


class Twin:
    """A model of theirs of the class `name`, with weights as a file of `dtype` holds them, and ours.

    Lengths of the batch are mixed, with 1 and the maximum, in no order.
    """

    def __init__(self, name: str, sizes: Sizes, *, dtype: torch.dtype = torch.float32) -> None:
        self.name, self.family = name, CLASSES[name]
        self.sizes = fitting(self.family, sizes)
        self.theirs, self.fixed = model(name, sizes), fixed(name, sizes)
        self.rounded(dtype)
        self.model = mirrored(self.theirs)
        heads = self.model.head_specs.items() if "For" in name or "LMHead" in name else ()
        self.heads: Mapping[str, HeadSpec] = {slot: head for slot, head in heads if not isinstance(head, QueryHead)}
        self.examples = list(_examples(self.model, self.sizes, start=_start(self.theirs.config)))
        self.batch = Batch.pack(self.examples)
        self.step = Step(self.model, Packed(self.batch))

    def rounded(self, dtype: torch.dtype) -> None:
        """Their weights as a file of `dtype` holds them, but for a table that is computed, which stays exact."""
        with torch.no_grad():
            for name, tensor in self.theirs.state_dict().items():
                if name != self.fixed:
                    tensor.copy_(tensor.to(dtype))

    def saved(self, folder: Path, *, dtype: torch.dtype) -> None:
        """Their model as a folder."""
        twin = model(self.name, self.sizes)
        twin.load_state_dict(self.theirs.state_dict())
        twin.to(dtype).save_pretrained(folder)

    @property
    def writes(self) -> bool:
        """Whether it has a decoder."""
        return self.batch.target is not None

    def answers(self, theirs: Any = None) -> Any:
        """What their model says, or another with its heads, to the padded batch and its labels."""
        return (theirs or self.theirs)(**self.inputs(), **self._labels())

    def inputs(self) -> dict[str, Tensor]:
        """[S, L] each, to the full length, so that padding is there."""
        found = {"input_ids": self._padded("tokens", PAD), "attention_mask": self._padded("truth", IGNORE).ne(IGNORE)}
        found["attention_mask"] = found["attention_mask"].long()
        if self.family.typed:
            found["token_type_ids"] = self._padded("segments", 0)
        if self.family.model_type == "xlm":
            found["langs"] = self._padded("languages", 0)
        if self.writes and not self.heads:  # else they make it from the labels
            found["decoder_input_ids"] = padded([example.tokens for example in self.targets()], PAD)
        return found

    def targets(self) -> list[Example]:
        """What is written beside each."""
        return [example.target for example in self.examples if example.target is not None]

    def told(self, answered: Any) -> dict[str, Told]:
        """The states of a body, or what each head says, from both."""
        if not self.heads:
            name = "encoder_last_hidden_state" if self.writes else "last_hidden_state"
            found = {"states": self._real(self.batch, self.step.encode(), answered[name])}
            if self.batch.target is not None:
                written = self.step.target.encode()
                found["written"] = self._real(self.batch.target, written, answered["last_hidden_state"])
            return found
        return {slot: self._scores(slot, head, answered) for slot, head in self.heads.items()}

    def losses(self, answered: Any) -> tuple[Tensor, Tensor] | None:
        """Ours and theirs, the sum of what the heads ask; a body has none."""
        ours = [self._loss(slot, head) for slot, head in self.heads.items()]
        theirs = self._pointing(answered) if "start_logits" in answered else answered.get("loss")
        return (torch.stack(ours).sum(), theirs) if ours else None

    def _scores(self, slot: str, head: HeadSpec, answered: Any) -> Told:
        if isinstance(head, SequenceHead):
            name = next(name for name in ("seq_relationship_logits", "sop_logits", "logits") if name in answered)
            back = torch.from_numpy(np.argsort(self.batch.order))
            return Told(self.step.logits(slot)[back], answered[name])
        if "start_logits" in answered:
            scores = self.step.scores(slot, torch.arange(len(self.batch.tokens)))
            both = torch.stack([answered["start_logits"], answered["end_logits"]], dim=-1)
            return self._real(self.batch, scores, both)
        side, batch = (self.step.target, self.batch.target) if self.batch.target else (self.step, self.batch)
        scores = side.scores(slot, torch.arange(len(batch.tokens)))
        return self._real(batch, scores, answered["prediction_logits" if "prediction_logits" in answered else "logits"])

    def _pointing(self, answered: Any) -> Tensor:
        """What their loss would be if it did not count the padding."""
        shown_SL = self.inputs()["attention_mask"].bool()
        sides = []
        for name, slot in (("start_logits", EXTRACT.slot), ("end_logits", EXTRACT.ends)):
            at_S = torch.tensor([int(np.argmax(example.answers[slot] != IGNORE)) for example in self.examples])
            sides.append(cross_entropy(answered[name].masked_fill(~shown_SL, -torch.inf), at_S))
        return torch.stack(sides).mean()

    def _loss(self, slot: str, head: HeadSpec) -> Tensor:
        step = self.step.target if self.writes else self.step
        if slot == EXTRACT.slot:
            return EXTRACT.loss(step)
        if isinstance(head, DetectionHead):
            return F.binary_cross_entropy_with_logits(step.logits(slot), step.answers(slot).float())
        return cross_entropy(step.logits(slot), step.answers(slot))

    def _labels(self) -> dict[str, Tensor]:
        """By the names that their class has for them."""
        found = {}
        for slot, head in self.heads.items():
            match slot, head:
                case _, SequenceHead():
                    name = "labels"
                    if len(self.heads) > 1:
                        name = "sentence_order_label" if self.family.model_type == "albert" else "next_sentence_label"
                    found[name] = torch.tensor([int(example.answers[slot][0]) for example in self.examples])
                case "extract", _:  # theirs would count the padding
                    continue
                case "rtd", _:  # all real tokens count, the padding does not
                    found["labels"] = padded([example.answers[slot] for example in self.examples], 0)
                case "write", _:
                    found["labels"] = padded([example.truth for example in self.targets()], IGNORE)
                case "lm", _:  # theirs are moved by one inside
                    asked = [np.append(True, example.answers[slot][:-1] != IGNORE) for example in self.examples]
                    rows = [
                        np.where(one, example.truth, IGNORE) for one, example in zip(asked, self.examples, strict=True)
                    ]
                    found["labels"] = padded(rows, IGNORE)
                case _:
                    found["labels"] = padded([example.answers[slot] for example in self.examples], IGNORE)
        return found

    def _padded(self, field: str, fill: int) -> Tensor:
        return padded([getattr(example, field) for example in self.examples], fill)

    def _real(self, batch: Batch, ours: Tensor, theirs_SL: Tensor) -> Told:
        """Our values [N, ...] and theirs, at real positions, sequence by sequence as they were handed in."""
        first = np.concatenate([[0], np.cumsum(batch.lengths)[:-1]])
        back = np.argsort(batch.order)
        places = np.concatenate([np.arange(first[s], first[s] + batch.lengths[s]) for s in back])
        rows = [row[: batch.lengths[s]] for row, s in zip(theirs_SL, back, strict=True)]
        return Told(ours[torch.from_numpy(places)], torch.cat(rows))


def mirrored(theirs: Any) -> Model:
    """Ours with their weights, all of which found a place."""
    config = {**theirs.config.to_dict(), "architectures": [type(theirs).__name__]}  # as it is saved
    found = import_tensors(theirs.state_dict(), config, where=Path("theirs"))
    assert all("pooler" in name for name in found.unused)  # RoBERTa's, which no head of theirs takes
    ours = Model(found.backbone, found.heads).eval()
    ours.load_state_dict(found.state)
    return ours


def padded(rows: Sequence[npt.NDArray[Any]], fill: int, *, length: int = LENGTH) -> Tensor:
    """[L] arrays -> [S, L], always to the full length, so that padding is there."""
    return torch.tensor([[*row.tolist(), *[fill] * (length - len(row))] for row in rows])


def _start(config: Any) -> int:
    found = getattr(config, "decoder_start_token_id", None)
    return END if found is None else int(found)


def _examples(ours: Model, sizes: Sizes, *, start: int) -> Iterator[Example]:
    """With something for every head to answer."""
    draw = rng("parity", sizes.key)
    for length in draw.permutation([*draw.integers(1, LENGTH + 1, size=3), LENGTH, 1]):
        tokens, free = draw.integers(END + 1, VOCAB, size=length), np.ones(length, dtype=bool)
        segments = draw.integers(max(ours.spec.segments, 1), size=length)
        languages = draw.integers(max(ours.spec.languages, 1), size=length)
        truth = draw.integers(END + 1, VOCAB, size=length)
        example = Example(tokens, truth, free, free, segments, languages=languages)
        if ours.spec.decoder:
            target = Example.written(
                "write", draw.integers(END + 1, VOCAB, size=draw.integers(1, LENGTH + 1)), start=start
            )
            yield example.recast(tokens, target)
        elif "lm" in ours.head_specs:
            yield Example(tokens, tokens, free, free, 0 * tokens).foretell("lm", draw.random(length) < 0.7)
        else:
            example = example.ask("mlm", draw.random(length) < 0.4, tokens)
            example = example.label("pair", int(draw.integers(2))).label("classify", int(draw.integers(3)))
            example = EXTRACT.pointed(example, *draw.integers(length, size=2).tolist())
            example = example.label("label", draw.integers(3, size=length), at=free)
            yield example.label("rtd", draw.integers(2, size=length), at=free)
