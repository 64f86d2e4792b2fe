"""T5's positions: a learned number for each head and bucket of distances (Raffel et al. 2020, section 2.1).

score(i, j) = q_i k_j + b[head, bucket(j - i)]

Near distances have a bucket each, far ones share buckets that grow logarithmically up to `furthest`; all beyond share
the last. An encoder has one half of the buckets for what stands before and one for what stands behind, a decoder all
for what stands before (google-research/text-to-text-transfer-transformer, and transformers' T5).

Legend: H heads, L positions of one sequence, Q that ask.
"""

import math

import torch
from torch import Tensor, nn

from quire.core.spec import Backbone
from quire.core.visibility import Full
from quire.nn.attention import Layout, Run, additive
from quire.nn.tables import new_table


def bucket(far: Tensor, *, buckets: int, furthest: int, two_sided: bool) -> Tensor:
    """The bucket of each distance j - i, of any shape: whole numbers in 0..buckets - 1."""
    shift = torch.zeros_like(far)
    if two_sided:
        buckets //= 2
        shift = (far > 0) * buckets
        far = far.abs()
    else:
        far = (-far).clamp(min=0)
    near = buckets // 2
    share = torch.log(far.clamp(min=1).float() / near) / math.log(furthest / near)
    grown = (near + (share * (buckets - near)).long()).clamp(max=buckets - 1)
    return shift + torch.where(far < near, far, grown)


class DistanceBias(nn.Module):
    """What a distance adds to the scores of each head; one table for all layers of a body."""

    def __init__(self, spec: Backbone, *, two_sided: bool) -> None:
        super().__init__()
        self.two_sided, self.furthest = two_sided, spec.furthest
        self.table = new_table(spec.buckets, spec.heads)

    def forward(self, far: Tensor) -> Tensor:
        """Distances j - i [...] -> [H, ...]."""
        place = bucket(far, buckets=self.table.num_embeddings, furthest=self.furthest, two_sided=self.two_sided)
        added: Tensor = self.table(place).movedim(-1, 0)
        return added

    def biased(self, layout: Layout) -> Layout:
        """The layout with masks that hold the bias of each distance as well."""
        longest = max((run.length for run in layout.runs), default=1)
        far = torch.arange(1 - longest, longest, device=layout.positions.device)
        place = torch.arange(longest, device=layout.positions.device)
        bias_HLL = self(far)[:, place - place[:, None] + longest - 1]

        def mask(run: Run) -> Tensor:
            corner: Tensor = bias_HLL[:, : run.length, : run.length]  # distances know nothing of lengths
            return corner if isinstance(run.sees, Full) else corner + additive(run.sees, run.length, run.device)

        return layout.masked([mask(run) for run in layout.runs])
