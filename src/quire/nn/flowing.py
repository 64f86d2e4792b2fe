"""Packed sequences of any lengths in one call without a blank: FlashAttention over their ends, on a GPU in half
precision (Dao 2023, arXiv:2307.08691, through `torch.nn.attention.varlen`).

It has no dropout, no bias and no mask beside left to right, so that it serves what asks for none of them: modern
bodies in training, every body in use. On one H100 see `benchmarks/cuda.md`.

Legend: N positions of all sequences, S sequences, H heads, D width of a head.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

WIDEST = 256
"""Of a head, of which it takes multiples of 8."""


def flows(q_NHD: Tensor) -> bool:
    """Whether queries like these can be asked so."""
    return q_NHD.is_cuda and q_NHD.element_size() == 2 and q_NHD.shape[2] % 8 == 0 and q_NHD.shape[2] <= WIDEST


def flowing(
    q_NHD: Tensor, k_NHD: Tensor, v_NHD: Tensor, lengths: Sequence[int], *, causal: bool, scale: float | None
) -> Tensor:
    """softmax(scale q k) v within each sequence: [N, H, D]."""
    from torch.nn.attention.varlen import varlen_attn  # on a CPU there is nothing behind it

    ends = torch.tensor([0, *lengths]).cumsum(0).to(q_NHD.device, torch.int32, non_blocking=True)
    longest = max(lengths)
    found = varlen_attn(
        q_NHD.contiguous(),
        k_NHD.contiguous(),
        v_NHD.contiguous(),
        ends,
        ends,
        longest,
        longest,
        scale=scale,
        window_size=(-1, 0 if causal else -1),
    )
    assert isinstance(found, Tensor)  # a pair of them where more is asked
    return found
