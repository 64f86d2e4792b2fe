"""A model is a backbone with heads; a step is one batch on its way through it.

Legend: N positions of all sequences, S sequences, M asked positions, W width, C classes or vocabulary.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from quire.core.example import IGNORE, Batch
from quire.core.spec import Backbone, HeadSpec
from quire.nn.attention import runs
from quire.nn.heads import build_head
from quire.nn.transformer import Encoder


class Model(nn.Module):
    """Backbone and heads as their specs say, with BERT's initialisation drawn from `seed`."""

    def __init__(self, backbone: Backbone, heads: Mapping[str, HeadSpec], *, seed: int = 0) -> None:
        super().__init__()
        self.spec, self.head_specs = backbone, dict(heads)
        with torch.device("meta"):  # torch's own initialisation would be drawn twice
            self.backbone = Encoder(backbone)
            self.heads = nn.ModuleDict({name: build_head(spec, backbone) for name, spec in heads.items()})
        self.to_empty(device="cpu")
        initialise(self, std=backbone.init_std, seed=seed)

    def forward(self, batch: "Packed") -> Tensor:
        """States [N, W] of a packed batch."""
        states: Tensor = self.backbone(batch.tokens, batch.positions, batch.segments, batch.layout)
        return states

    def parameter_count(self) -> int:
        return sum(p.numel() for p in self.parameters())


def initialise(module: nn.Module, *, std: float, seed: int) -> None:
    """Weights from N(0, std), biases 0, norms 1 and 0 (google-research/bert), independent of torch's global state."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
            elif "norm" in name:
                parameter.fill_(1.0)
            else:
                parameter.normal_(std=std, generator=generator)


class Packed:
    """A Batch as tensors on a device, with its attention layout."""

    def __init__(self, batch: Batch, device: torch.device | str = "cpu") -> None:
        def move(values: object) -> Tensor:
            return torch.as_tensor(values).to(device, non_blocking=True)

        self.tokens, self.positions, self.segments = map(move, (batch.tokens, batch.positions, batch.segments))
        self.first = move(batch.offsets[:-1].astype("int64"))  # [S] where each sequence begins
        self.lengths = move(batch.lengths.astype("int64"))  # [S]
        self.layout = runs(batch.lengths.tolist(), batch.sees, device=device)
        self.asked = {slot: move((values != IGNORE).nonzero()[0]) for slot, values in batch.answers.items()}
        self.answers = {slot: move(values[values != IGNORE]) for slot, values in batch.answers.items()}
        self.order = batch.order


class Step:
    """One forward pass, shared by all who ask: states are computed once, scores only at asked positions."""

    def __init__(self, model: Model, batch: Packed) -> None:
        self.model, self.batch = model, batch
        self._states: Tensor | None = None

    def encode(self) -> Tensor:
        """States [N, W], computed at the first call."""
        if self._states is None:
            self._states = self.model(self.batch)
        return self._states

    def scores(self, head: str, at_M: Tensor) -> Tensor:
        """The scores [M, C] that `head` gives at positions `at_M`."""
        found: Tensor = self.model.heads[head](self.encode()[at_M], self.model.backbone.embeddings.tokens)
        return found

    def logits(self, slot: str) -> Tensor:
        """Scores [M, C] of the head called `slot`, where that slot asks; M may be 0."""
        return self.scores(slot, self.batch.asked.get(slot, self.batch.first[:0]))

    def answers(self, slot: str) -> Tensor:
        """The answers [M] of a slot, in the order of `logits`."""
        return self.batch.answers.get(slot, self.batch.first[:0])
