"""Any objective of ours as the loss of a model of transformers."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from quire.core.errors import BadInput
from quire.core.example import Batch
from quire.hf.host import Host, HostStep, described
from quire.hf.rows import Asked, Damage, Row
from quire.nn.model import Packed
from quire.objectives import Objective
from quire.objectives.denoise import Denoise
from quire.objectives.plm import Plm
from quire.objectives.point import Point
from quire.train.loop import planned

REFUSED: Mapping[type[Objective], str] = {
    Plm: "its second stream runs inside the backbone; train it with `quire pretrain --base`, which reads and writes "
    "folders of XLNet, or take another objective",
    Point: "it asks about reviews, which rows of text do not hold; see quire.predict.pointer",
}
"""What works on no model of transformers, whatever its kind, and why."""


class Bridge(nn.Module):
    """Their model under our objectives: for a Trainer, or for a loop of one's own.

    Objectives use its embeddings and, where it has one, its head over the vocabulary; all other heads, and ELECTRA's
    generator, stand beside it while it learns and are no part of `model.save_pretrained`. The loss is the sum of the
    objectives' losses, each times its weight. Who sees whom (UniLM, language models) goes as a mask [S, 1, L, L] where
    their model follows one, which is tried out and not believed.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        objectives: Asked,
        *,
        length: int | None = None,
        corpus: Sequence[str] = (),
        start: Literal["sep", "pad", "cls"] = "sep",
        seed: int = 0,
    ) -> None:
        """The arguments are those of `Damage`; `seed` draws the heads as well. BadInput where an objective and this
        model do not go together, and for a tokenizer that has more tokens than the model."""
        super().__init__()
        self.damage = Damage(tokenizer, objectives, length=length, corpus=corpus, start=start, seed=seed)
        self.objectives, world = self.damage.objectives, self.damage.world
        family, backbone = described(model)
        if world.vocab.size > model.get_input_embeddings().num_embeddings:
            raise BadInput(
                f"the tokenizer has {world.vocab.size} tokens, {type(model).__name__} has "
                f"{model.get_input_embeddings().num_embeddings}; call model.resize_token_embeddings"
            )
        if world.length > backbone.positions:
            raise BadInput(f"length {world.length}: {type(model).__name__} has {backbone.positions} positions")
        for objective in self.objectives:
            if type(objective) in REFUSED:
                raise BadInput(f"{objective.slot}: {REFUSED[type(objective)]}")
        parts = planned(self.objectives, backbone, world)
        self.host = Host(model, (family, backbone), parts, world.vocab, seed=seed)
        self._check_start(model.config)
        self.register_state_dict_post_hook(_once)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_post_hook(_not_missing)  # type: ignore[no-untyped-call]

    @property
    def model(self) -> Any:
        """Their model, to be saved by its `save_pretrained`."""
        return self.host.backbone

    def collate(self, rows: Sequence[Row]) -> dict[str, Any]:
        """Rows to what `forward` takes."""
        return {"batch": Batch.pack(self.damage(rows))}

    def forward(self, batch: Batch, return_loss: bool = True) -> dict[str, Tensor]:
        """The loss, a scalar; `return_loss` tells the Trainer that there is one without labels."""
        step = HostStep(self.host, Packed(batch, self.model.device))
        return {"loss": torch.stack([o.weight * o.loss(step) for o in self.objectives]).sum()}

    def _check_start(self, config: Any) -> None:
        """Whether texts begin as the model's own generation will begin them."""
        asked = getattr(config, "decoder_start_token_id", None)
        for objective in self.objectives:
            role = objective.start if isinstance(objective, Denoise) else self.damage.start
            if self.host.spec.decoder and asked not in (None, getattr(self.damage.world.vocab, role)):
                raise BadInput(
                    f"{objective.slot}: start {role} is token {getattr(self.damage.world.vocab, role)}, the model's "
                    f"decoder_start_token_id is {asked}; set another start (T5: pad), or that"
                )


def _once(module: nn.Module, state: dict[str, Tensor], prefix: str, local: Any) -> None:
    """Tied weights under one name: a Trainer's checkpoint cannot hold them under two."""
    seen: set[tuple[int, torch.Size]] = set()
    for name, tensor in list(state.items()):
        place = (tensor.data_ptr(), tensor.shape)
        if tensor.numel() and place in seen:
            del state[name]
        seen.add(place)


def _not_missing(module: nn.Module, keys: Any) -> None:
    """Nor does one lack the other names."""
    kept = module.state_dict().keys()
    keys.missing_keys[:] = [name for name in keys.missing_keys if name in kept]
