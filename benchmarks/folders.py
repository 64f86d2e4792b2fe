"""A model there and back: transformers saves it, Quire reads, computes and writes it, transformers opens it again."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.twins import Twin
from benchmarks.zoo import END, LENGTH, PAD, VOCAB
from quire.core.example import Vocab
from quire.core.heads import TokenHead
from quire.text.tokenizers import Tokenizer
from quire.train.weights import ModelFiles, read_model, save_model

AUTO = {
    "ForMaskedLM": "AutoModelForMaskedLM",
    "WithLMHeadModel": "AutoModelForMaskedLM",
    "ForPreTraining": "AutoModelForPreTraining",
    "ForNextSentencePrediction": "AutoModelForNextSentencePrediction",
    "ForSequenceClassification": "AutoModelForSequenceClassification",
    "ForQuestionAnswering": "AutoModelForQuestionAnswering",
    "ForTokenClassification": "AutoModelForTokenClassification",
    "ForConditionalGeneration": "AutoModelForSeq2SeqLM",
    "LMHeadModel": "AutoModelForCausalLM",
    "Model": "AutoModel",
}
"""How the name of a class ends, and which of their doors leads to it; the first that fits counts."""
IDS = Vocab(size=VOCAB, pad=PAD, unk=3, cls=0, sep=END, mask=4, special=frozenset(range(5)))
"""The tokens of the models; the tokenizer that goes with them, which pads with token 0, has no part in the figures."""


@dataclass(frozen=True)
class Trip:
    """What was read before and after Quire wrote it, what transformers opened, and how far apart values are."""

    files: ModelFiles
    again: ModelFiles
    opened: Any
    lost: frozenset[str]  # tensors that transformers missed in our folder, or could not place
    read: float  # ours and theirs
    loss: float
    written: float  # theirs and what our folder makes of it


def tokenizer() -> Tokenizer:
    """Of as few tokens as the models have."""
    return Tokenizer.train(["a b c d e f g"], kind="wordpiece", size=VOCAB, lowercase=True, longest=LENGTH)


def round_trip(twin: Twin, folder: Path, *, dtype: torch.dtype) -> Trip:
    """A model through files of `dtype`, and from them through ours."""
    twin.saved(folder / "theirs", dtype=dtype)
    files = read_model(folder / "theirs")
    bare = not twin.heads and not twin.family.causal  # a head that costs nothing stays away from a body
    heads = {slot: head for slot, head in files.heads.items() if not (bare and isinstance(head, TokenHead))}
    state = {n: t for n, t in files.state.items() if not n.startswith("heads.") or n.split(".")[1] in heads}
    save_model(
        folder / "ours",
        backbone=files.backbone,
        heads=heads,
        state=state,
        labels=None,
        tokenizer_saver=tokenizer().save,
        card="",
        extra={},
        vocab=IDS,
        pooler=files.pooler,
    )
    opened, lost = _opened(folder / "ours")
    with torch.no_grad():
        answered, back = twin.answers(), twin.answers(opened if twin.heads else opened.base_model)
        before, after, losses = twin.told(answered), twin.told(back), twin.losses(answered)
    return Trip(
        files,
        read_model(folder / "ours"),
        opened,
        lost,
        read=max(apart(told.ours, told.theirs) for told in before.values()),
        loss=0.0 if losses is None else apart(*losses),
        written=max(apart(before[slot].theirs, after[slot].theirs) for slot in before),
    )


def apart(one: Tensor, other: Tensor) -> float:
    """The largest difference."""
    return float((one - other).detach().abs().max())


def _opened(folder: Path) -> tuple[Any, frozenset[str]]:
    import transformers

    (name,) = json.loads((folder / "config.json").read_text())["architectures"]
    auto = getattr(transformers, next(door for end, door in AUTO.items() if name.endswith(end)))
    opened, report = auto.from_pretrained(folder, output_loading_info=True, local_files_only=True)
    return opened.eval(), frozenset(str(lost) for names in report.values() for lost in names)
