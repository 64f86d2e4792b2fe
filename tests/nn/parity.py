"""What tests of parity share: sizes that hypothesis draws, and what counts as the same."""

from pathlib import Path

import torch
from benchmarks.twins import Told, Twin, mirrored
from benchmarks.zoo import CHOICES, Sizes, drawn
from hypothesis import strategies as st
from torch import Tensor

from quire.train.convert import import_tensors

__all__ = ["SIZES", "close", "drawn", "mirrored", "same_gradients"]

SIZES = st.builds(Sizes, **{name: st.sampled_from(options) for name, options in CHOICES.items()})


def close(both: Told) -> None:
    """Ours and theirs are one."""
    torch.testing.assert_close(both.ours, both.theirs, atol=1e-5, rtol=1e-5)


def same_gradients(twin: Twin, losses: tuple[Tensor, Tensor]) -> None:
    """Our loss and theirs are one, and so are the gradients of all parameters, but for a table that is computed."""
    torch.testing.assert_close(*losses, atol=1e-5, rtol=1e-5)
    for loss in losses:
        loss.backward()  # type: ignore[no-untyped-call]
    named = dict(twin.theirs.named_parameters())
    grads = {name: torch.zeros_like(p) if p.grad is None else p.grad for name, p in named.items()}
    grads |= {twin.fixed: named[twin.fixed]} if twin.fixed else {}
    buffers = {name: buffer for name, buffer in twin.theirs.named_buffers() if name == "final_logits_bias"}  # BART's
    config = twin.theirs.config.to_dict() | {"architectures": [type(twin.theirs).__name__]}
    expected = import_tensors({**grads, **buffers}, config, where=Path("theirs")).state
    for name, parameter in twin.model.named_parameters():
        if buffers and name.startswith("heads."):
            continue
        ours = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        torch.testing.assert_close(ours, expected[name], atol=1e-5, rtol=1e-4, msg=f"gradient of {name}")
