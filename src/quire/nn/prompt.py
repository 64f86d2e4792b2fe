"""Learned vectors that stand before each text as if they were tokens of it (Lester et al. 2021, section 2).

They are read like all others and their states are dropped: who asks for the states of a text does not see them. They
come in where tokens are embedded already, and have no place of their own; a text's positions stay what they were.

Legend: N positions of all sequences, S sequences, R of one run, L length of each, P length of the prompt, E width of
the embeddings, K = N + S * P.
"""

import torch
from torch import Tensor, nn

from quire.core.spec import Backbone
from quire.nn.attention import Layout


class Prompt(nn.Module):
    """The vectors [P, E]."""

    def __init__(self, spec: Backbone) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(spec.prompt or 0, spec.embedding_width))

    def before(self, x_NE: Tensor, layout: Layout) -> tuple[Tensor, Layout, Tensor]:
        """The batch with the prompt before each text, [K, E], who stands where in it, and where the text's own [N] do.

        BadInput where a position may not see all that stand before it.
        """
        count, longer = len(self.weight), layout.after(len(self.weight))
        laid, own, start = [], [], 0
        for run, piece in zip(layout.runs, torch.split(x_NE, layout.sizes), strict=True):
            x_RLE = piece.view(run.sequences, run.length, -1)
            laid.append(torch.cat([self.weight.to(x_RLE.dtype).expand(run.sequences, -1, -1), x_RLE], dim=1))
            size = run.sequences * (run.length + count)
            places = torch.arange(start, start + size, device=x_NE.device).view(run.sequences, -1)
            own.append(places[:, count:].flatten())
            start += size
        return torch.cat([x.flatten(0, 1) for x in laid]), longer, torch.cat(own)
