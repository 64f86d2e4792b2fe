"""What tests of parity share: theirs is padded and masked, ours is packed; values are compared at real positions.

Legend: S sequences, L longest, N positions of all sequences.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor, nn

from quire.core.example import Batch
from quire.core.random import seed_of
from quire.nn.model import Model
from quire.train.convert import import_tensors


def drawn(theirs: Any, key: int, *, but: str = "") -> Any:
    """Their model with every parameter drawn large, but one that is fixed."""
    draw = torch.Generator().manual_seed(seed_of("parity", key))
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            if not but.endswith(name):
                parameter.normal_(std=0.3, generator=draw)
    return theirs.eval()


def mirrored(theirs: Any) -> Model:
    """Ours with their weights, all of which found a place."""
    found = import_tensors(theirs.state_dict(), theirs.config.to_dict(), where=Path("theirs"))
    assert all("pooler" in name for name in found.unused)  # RoBERTa's, which no head of theirs takes
    model = Model(found.backbone, found.heads).eval()
    model.load_state_dict(found.state)
    return model


def padded(rows: Sequence[npt.NDArray[Any]], fill: int, *, length: int) -> Tensor:
    """[L] arrays -> [S, L], always to the full width, so that padding is there."""
    return torch.tensor([[*row.tolist(), *[fill] * (length - len(row))] for row in rows])


def close(batch: Batch, ours: Tensor, theirs_SL: Tensor) -> None:
    """Our values [N, ...] against their padded ones [S, L, ...] at real positions."""
    pieces = batch.unpack(ours.detach().numpy())
    for piece, row in zip(pieces, theirs_SL.detach(), strict=True):
        torch.testing.assert_close(torch.as_tensor(piece), row[: len(piece)], atol=1e-5, rtol=1e-5)


def same_gradients(
    model: Model, theirs: nn.Module, losses: tuple[Tensor, Tensor], config: dict[str, Any], *, fixed: str = ""
) -> None:
    """Our loss and theirs are one, and so are the gradients of all parameters; `fixed` is one that has none."""
    torch.testing.assert_close(*losses, atol=1e-5, rtol=1e-5)
    for loss in losses:
        loss.backward()  # type: ignore[no-untyped-call]
    named = dict(theirs.named_parameters())
    grads = {name: torch.zeros_like(p) if p.grad is None else p.grad for name, p in named.items()}
    grads |= {fixed: named[fixed]} if fixed else {}
    buffers = {name: buffer for name, buffer in theirs.named_buffers() if name == "final_logits_bias"}  # BART's
    expected = import_tensors({**grads, **buffers}, config, where=Path("theirs")).state
    for name, parameter in model.named_parameters():
        if buffers and name.startswith("heads."):
            continue
        ours_grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        torch.testing.assert_close(ours_grad, expected[name], atol=1e-5, rtol=1e-4, msg=f"gradient of {name}")
