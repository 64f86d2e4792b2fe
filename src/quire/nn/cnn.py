"""Convolutions over packed sequences (Kim 2014, section 2; survey: 卷积模型).

h_i = activation(W_k [x_{i-l}; ...; x_{i+r}] + b) for each span k, joined to the width; l + r + 1 = k, l <= r

Beyond either end of a sequence there are zeros, so that there are as many states as tokens and a text may be shorter
than a span; Kim has as many states as whole spans. All sequences stand on one line with gaps of zeros between them, as
wide as the longest reach, which neighbours share: one product a span for the whole batch.

Legend: N positions of all sequences, G of the line, S sequences, W width, E width of the embeddings.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from quire.core.bodies import Cnn
from quire.nn.activations import activate
from quire.nn.attention import Layout
from quire.nn.body import Body
from quire.nn.dropout import Dropout


class Convolution(nn.Module):
    """Filters of several spans side by side; the width is shared out among them, the first ones get the rest."""

    def __init__(self, spec: Cnn) -> None:
        super().__init__()
        share, rest = divmod(spec.width, len(spec.windows))
        self.activation = spec.activation
        self.filters = nn.ModuleList(
            nn.Conv1d(spec.width, share + (i < rest), span, bias=spec.bias) for i, span in enumerate(spec.windows)
        )
        self.spans = spec.windows

    def forward(self, line_GW: Tensor, gap: int) -> Tensor:
        """A line that begins and ends with a gap -> what the filters say at each place between, [G - 2 gap, W]."""
        line_1WG = line_GW.T[None]
        said = []
        for convolve, span in zip(self.filters, self.spans, strict=True):
            left = (span - 1) // 2
            reached_1WG = line_1WG[:, :, gap - left : line_GW.shape[0] - gap + span - 1 - left]
            said.append(activate(self.activation, convolve(reached_1WG)))
        return torch.cat(said, dim=1)[0].T


class CnnEncoder(Body):
    """`depth` convolutions, with residuals from the second on."""

    def __init__(self, spec: Cnn, *, shares_embeddings: bool = False) -> None:
        super().__init__(spec, shares_embeddings=shares_embeddings)
        self.blocks = nn.ModuleList(Convolution(spec) for _ in range(spec.depth))
        self.dropout = Dropout(spec.dropout)
        self.gap, self.residual = max(spec.windows) // 2, spec.residual

    def layers(self, x_NE: Tensor, layout: Layout) -> Iterator[Tensor]:
        x_NW = self.projected(x_NE)
        yield x_NW
        lengths_S = torch.tensor(layout.lengths, device=x_NW.device)
        number_N = torch.arange(len(lengths_S), device=x_NW.device).repeat_interleave(lengths_S, output_size=len(x_NW))
        place_N = torch.arange(len(x_NW), device=x_NW.device) + self.gap * number_N  # behind the first gap
        inner = len(x_NW) + self.gap * (len(lengths_S) - 1)
        for number, block in enumerate(self.blocks):
            line_GW = x_NW.new_zeros(inner + 2 * self.gap, x_NW.shape[1]).index_copy(0, place_N + self.gap, x_NW)
            said_NW = block(line_GW, self.gap)[place_N]
            x_NW = x_NW + self.dropout(said_NW) if self.residual and number else said_NW
            yield x_NW
