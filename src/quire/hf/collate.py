"""Objectives as labels: for models that compute their own loss."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from quire.core.errors import BadInput
from quire.core.example import IGNORE, Batch, Ints
from quire.core.heads import TokenHead
from quire.core.spec import Backbone
from quire.core.visibility import Causal, Full
from quire.hf.padding import Rectangle, counted
from quire.hf.rows import Asked, Damage, Row
from quire.nn.model import Packed
from quire.objectives.lm import Lm
from quire.objectives.writes import Writes
from quire.train.loop import planned


class Collator:
    """Rows to padded tensors: `input_ids`, `attention_mask` and `labels`, with `decoder_input_ids` where a decoder
    writes and `token_type_ids` where there are pairs and the tokenizer's model takes them.

    Serves one objective whose answers are tokens that the model's own head tells: `mlm` for a ForMaskedLM, `lm` for a
    ForCausalLM, `denoise` and `translate` for a ForConditionalGeneration. All others are refused and go by a `Bridge`.
    """

    def __init__(
        self,
        tokenizer: Any,
        objectives: Asked,
        *,
        length: int | None = None,
        corpus: Sequence[str] = (),
        start: Literal["sep", "pad", "cls"] = "sep",
        seed: int = 0,
    ) -> None:
        """The arguments are those of `Damage`. BadInput where labels are not enough; the message says why."""
        self.damage = Damage(tokenizer, objectives, length=length, corpus=corpus, start=start, seed=seed)
        if len(self.damage.objectives) != 1:
            raise BadInput("labels are for one objective alone; train quire.hf.Bridge(model, ...) with several")
        (self.objective,) = self.damage.objectives
        world = self.damage.world
        decoder = 1 if isinstance(self.objective, Writes) else None
        plain = Backbone(vocab=world.vocab.size, positions=world.length, decoder=decoder)
        parts = planned([self.objective], plain, world)
        self.native = Causal() if isinstance(self.objective, Lm) else Full()
        named = getattr(tokenizer, "model_input_names", ("token_type_ids",))
        self.typed = "token_type_ids" in named and self.native == Full()  # GPT-2 would take them for tokens
        if others := [name for name, part in parts.items() if not isinstance(part, TokenHead)]:
            self._refuse(f"asks for {', '.join(others)}, which labels cannot feed")
        if getattr(self.objective, "smoothing", 0) or self.objective.weight != 1:
            self._refuse("has smoothing or a weight, which labels cannot say")

    def __call__(self, rows: Sequence[Row]) -> dict[str, Tensor]:
        batch = Batch.pack(self.damage(rows))
        packed, back = Packed(batch), torch.from_numpy(np.argsort(batch.order))
        if any(sees != self.native for sees in batch.sees) or batch.languages is not None:
            self._refuse("comes with masks or languages that are not the model's own")
        if batch.hidden is not None or not torch.equal(packed.positions, counted(packed)):
            self._refuse("hides tokens from the decoder, or has positions that do not count from 0")
        rectangle = Rectangle.of(packed)
        made = {
            "input_ids": rectangle.laid(packed.tokens, blank=self.damage.world.vocab.pad),
            "attention_mask": rectangle.there(),
        }
        if self.typed and batch.segments.any():
            made["token_type_ids"] = rectangle.laid(packed.segments)
        if packed.target is None or batch.target is None:
            made["labels"] = rectangle.laid(self._answers(batch), blank=IGNORE)
        else:
            written = Rectangle.of(packed.target)
            made["decoder_input_ids"] = written.laid(packed.target.tokens, blank=self.damage.world.vocab.pad)
            made["labels"] = written.laid(self._answers(batch.target), blank=IGNORE)
        return {name: tensor[back] for name, tensor in made.items()}

    def _answers(self, batch: Batch) -> Tensor:
        """[N] what is asked where; of a language model at the token itself, for transformers asks one place before."""
        answers: Ints = batch.answers.get(self.objective.slot, np.full(len(batch.tokens), IGNORE))
        if isinstance(self.objective, Lm):
            answers = np.append(IGNORE, answers[:-1])  # the last position of a sequence asks for nothing
        return torch.from_numpy(answers)

    def _refuse(self, why: str) -> None:
        raise BadInput(f"{self.objective.slot} {why}; train quire.hf.Bridge(model, ...) in place of the model")
