"""Models on padded batches, for graphs that others run: ids and masks [B, L] go in, scores or states come out.

Our own modules do the work, on a layout of one run whose mask hides the padding: nothing is written a second time, and
every number of sequences and every length is the same graph. Padding stands behind the texts.

Legend: B sequences, L the longest of them, N = B * L, W width, C classes.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from quire.core.errors import BadInput
from quire.core.heads import SequenceHead
from quire.core.visibility import Full
from quire.nn.attention import Layout, Run
from quire.nn.bottleneck import BottleneckEncoder
from quire.nn.embeddings import Embeddings
from quire.nn.heads import SequenceScores
from quire.nn.model import Model
from quire.nn.pooling import Attentive, End, Joined, Max, Mean
from quire.nn.positions import Rotation, sinusoids
from quire.nn.transformer import Encoder

LOWEST = torch.finfo(torch.float32).min
"""What hides: not -inf, since padding behind a window sees nobody, and its states must not become NaN."""


class PaddedLayout(Layout):
    """Everyone sees the tokens of his sequence, or those within `radius`; `bias` [H, L, L] is added to the scores."""

    def __init__(
        self,
        real_BL: Tensor,
        segments_N: Tensor,
        *,
        radius: int | None = None,
        bias_HLL: Tensor | None = None,
        rotations: dict[tuple[float, int], Rotation] | None = None,
    ) -> None:
        (sequences, length), place_L = real_BL.shape, torch.arange(real_BL.shape[1], device=real_BL.device)
        seen = real_BL[:, None, None]
        if radius is not None:
            seen = seen & ((place_L[:, None] - place_L).abs() <= radius)
        mask = torch.where(seen, 0.0, LOWEST)
        run = Run(0, sequences, length, Full(), real_BL.device, mask if bias_HLL is None else mask + bias_HLL)
        positions_N = place_L.expand(sequences, length).flatten()
        super().__init__([run], positions_N, segments_N, radius=radius, rotations=rotations)
        self.real_BL, self.bias_HLL = real_BL, bias_HLL

    def within(self, radius: int) -> Layout:
        if radius not in self._local:
            self._local[radius] = PaddedLayout(
                self.real_BL, self.segments, radius=radius, bias_HLL=self.bias_HLL, rotations=self._rotations
            )
        return self._local[radius]

    def after(self, count: int) -> Layout:
        segments_BL = self.segments.view(self.real_BL.shape)
        first_BP = segments_BL[:, :1].expand(-1, count)
        real = nn.functional.pad(self.real_BL, (count, 0), value=True)
        return PaddedLayout(real, torch.cat([first_BP, segments_BL], dim=1).flatten())

    def masked(self, masks: Sequence[Tensor]) -> Layout:
        (bias_HLL,) = masks
        return PaddedLayout(
            self.real_BL, self.segments, radius=self.radius, bias_HLL=bias_HLL, rotations=self._rotations
        )

    def grid(self, inner: int) -> None:
        """It is one already."""


class PaddedModel(nn.Module):
    """input_ids, attention_mask and, where the body has segments, token_type_ids [B, L], whole numbers, to tensors.

    With a `head` over sequences its scores [B, C]; without, the states [B, L, W] and their means [B, W]. `outputs`
    names them as others do. The model is copied and stays as it is.
    """

    def __init__(self, model: Model, *, head: str | None = None) -> None:
        super().__init__()
        check(model, head)
        self.model = copy.deepcopy(model).cpu().eval().requires_grad_(False)
        self.head = head
        tabled(self.model)

    @property
    def inputs(self) -> tuple[str, ...]:
        spec = self.model.spec
        typed = spec.segments > (0 if spec.position == "relative" else 1)
        return ("input_ids", "attention_mask", *(["token_type_ids"] if typed else []))

    @property
    def outputs(self) -> tuple[str, ...]:
        return ("last_hidden_state", "sentence_embedding") if self.head is None else ("logits",)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Ids, 1 for a token and 0 for padding, and segments [B, L] -> what `outputs` names."""
        ids_N, real_BL = input_ids.flatten(), attention_mask > 0
        segments_N = torch.zeros_like(ids_N) if token_type_ids is None else token_type_ids.flatten()
        layout, body = PaddedLayout(real_BL, segments_N), self.model.backbone
        x_NE = body.embeddings(ids_N, layout.positions, segments_N, None)
        x_NE = x_NE * real_BL.view(-1, 1)  # neighbours may look at each other's embeddings (MobileBERT)
        if self.head is not None:
            return (self._scores(x_NE, layout),)
        states_BLW = body(x_NE, layout).unflatten(0, real_BL.shape)
        return states_BLW, pooled(states_BLW, real_BL, Mean())

    def _scores(self, x_NE: Tensor, layout: PaddedLayout) -> Tensor:
        head, body, shape = self.model.heads[str(self.head)], self.model.backbone, layout.real_BL.shape
        assert isinstance(head, SequenceScores)
        if head.mix is None and head.pool is None:  # the last layer for nobody else
            vector_BW = body(x_NE, layout, torch.arange(shape[0], device=x_NE.device) * shape[1])
        else:
            states_NW = body(x_NE, layout) if head.mix is None else head.mix(list(body.layers(x_NE, layout)))
            vector_BW = pooled(states_NW.unflatten(0, shape), layout.real_BL, head.pool)
        scores_BC: Tensor = head(vector_BW, body.embeddings.tokens)
        return scores_BC


def check(model: Model, head: str | None) -> None:
    """BadInput for what has no padded form, with what to do."""
    kind, found = type(model.backbone), None if head is None else model.head_specs[head]
    if kind not in (Encoder, BottleneckEncoder) or model.spec.decoder:
        what = "a decoder" if model.spec.decoder else model.spec.called
        raise BadInput(f"{what} has no ONNX form here, only Transformer encoders do; serve it with `quire predict`")
    if model.spec.branch:
        raise BadInput("a body with branches (PALs) has no ONNX form here; serve it with `quire predict`")
    if found is not None and not isinstance(found, SequenceHead):
        raise BadInput(f"a head of kind {found.kind!r} has no ONNX form here; take classify without `private`")
    if isinstance(found, SequenceHead) and found.windows == "transformer":
        raise BadInput("a layer over windows has no ONNX form here; serve it with `quire predict`")
    if isinstance(found, SequenceHead) and found.mix == "norm":
        raise BadInput("a mix of normed layers depends on the whole batch and has no ONNX form; take mix: plain")


def tabled(model: Model) -> None:
    """Sinusoids as the table that they are for sequences no longer than `spec.positions`."""
    spec = model.spec
    for module in model.backbone.modules():
        if isinstance(module, Embeddings) and module.sinusoidal:
            wide = isinstance(model.backbone, BottleneckEncoder)
            rows = sinusoids(torch.arange(spec.positions), width=spec.width if wide else spec.embedding_width)
            module.sinusoidal, module.positions = False, nn.Embedding(len(rows), rows.shape[1], _weight=rows)


def pooled(states_BLW: Tensor, real_BL: Tensor, pool: nn.Module | None) -> Tensor:
    """What `pool` makes of the states of each sequence, their first without one: [B, W], or three times as wide."""
    real_BL1 = real_BL.unsqueeze(-1)
    match pool:
        case None:
            return states_BLW[:, 0]
        case End():
            place_B = real_BL.sum(dim=1) - 1 if pool.last else real_BL.new_zeros(len(real_BL), dtype=torch.int64)
            return states_BLW[torch.arange(len(real_BL), device=real_BL.device), place_B]
        case Joined():
            return torch.cat([pooled(states_BLW, real_BL, part) for part in pool.parts], dim=1)
        case Max():
            return torch.where(real_BL1, states_BLW, LOWEST).amax(dim=1)
        case Attentive():
            a_BL = torch.where(real_BL, states_BLW @ pool.query, LOWEST).softmax(dim=1)
        case _:
            a_BL = real_BL.float() / real_BL.sum(dim=1, keepdim=True)
    return (states_BLW * a_BL.unsqueeze(-1)).sum(dim=1)
