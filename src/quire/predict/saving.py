"""What answers, as a model folder: one way for all of them, so that none forgets a part of its model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from quire.nn.model import Model
from quire.text.tokenizers import Tokenizer
from quire.train.weights import save_model


def save_network(
    folder: Path,
    model: Model,
    tokenizer: Tokenizer,
    *,
    labels: Sequence[str] | None = None,
    card: str = "",
    extra: Mapping[str, Any],
) -> None:
    """Write weights, low-rank updates and tokenizer; `extra` says what they answer and how texts are read."""
    save_model(
        folder,
        backbone=model.spec,
        heads=model.head_specs,
        state=model.state_dict(),
        labels=labels,
        tokenizer_saver=tokenizer.save,
        vocab=tokenizer.vocab,
        card=card,
        extra=extra,
        updates=model.updates,
    )
