"""transformers is the oracle: the same weights give the same states, scores, losses and gradients to 1e-5 in fp32.

Theirs is padded and masked, ours is packed; lengths are mixed and hold 1 and the maximum. Sizes are odd on purpose:
what holds for 64 wide heads may fail for 5. Legend: S sequences, L longest, N positions of all sequences.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from quire.core.example import IGNORE, Batch, Example
from quire.core.random import rng, seed_of
from quire.nn.losses import cross_entropy
from quire.nn.model import Model, Packed, Step
from quire.train.convert import import_tensors

transformers = pytest.importorskip("transformers")
VOCAB, POSITIONS, PAD = 23, 11, 1


@dataclass(frozen=True)
class Sizes:
    """What hypothesis draws of a model."""

    heads: int = 3
    head_width: int = 5
    depth: int = 2
    ffn: int = 13
    segments: int = 2
    act: str = "gelu"
    eps: float = 1e-12
    key: int = 0

    def config(self, family: str) -> Any:
        offset = PAD + 1 if family == "Roberta" else 0
        return getattr(transformers, f"{family}Config")(
            vocab_size=VOCAB,
            hidden_size=self.heads * self.head_width,
            num_hidden_layers=self.depth,
            num_attention_heads=self.heads,
            intermediate_size=self.ffn,
            max_position_embeddings=POSITIONS + offset,
            type_vocab_size=self.segments,
            hidden_act=self.act,
            layer_norm_eps=self.eps,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            pad_token_id=PAD,
            num_labels=3,
        )


SIZES = st.builds(
    Sizes,
    heads=st.sampled_from([1, 3, 5]),
    head_width=st.sampled_from([1, 3, 8]),
    depth=st.integers(1, 3),
    ffn=st.sampled_from([7, 16, 33]),
    segments=st.sampled_from([1, 2]),
    act=st.sampled_from(["gelu", "gelu_new", "relu"]),
    eps=st.sampled_from([1e-12, 1e-5, 1e-2]),
    key=st.integers(0, 99),
)
FEW = settings(max_examples=8)


class Twin:
    """One model of theirs with every parameter drawn, and ours with the same weights; one batch for both."""

    def __init__(self, family: str, task: str, sizes: Sizes) -> None:
        config = sizes.config(family)
        self.theirs = getattr(transformers, family + task)(config).eval()
        draw = torch.Generator().manual_seed(seed_of("parity", sizes.key))
        with torch.no_grad():
            for parameter in self.theirs.parameters():
                parameter.normal_(std=0.3, generator=draw)
        self.config = config.to_dict()
        found = import_tensors(self.theirs.state_dict(), self.config, where=Path("theirs"))
        self.model = Model(found.backbone, found.heads).eval()
        self.model.load_state_dict(found.state)
        self.examples = _examples(sizes)
        self.batch = Batch.pack(self.examples)
        self.step = Step(self.model, Packed(self.batch))

    def ask(self, **labels: Tensor) -> Any:
        """Their outputs for the padded batch."""
        ids, segments, mask = (_padded([getattr(e, name) for e in self.examples], fill) for name, fill in _FIELDS)
        return self.theirs(input_ids=ids, token_type_ids=segments, attention_mask=(mask != IGNORE).long(), **labels)

    def close(self, ours: Tensor, theirs_SL: Tensor) -> None:
        """Our values [N, ...] against their padded ones [S, L, ...] at real positions."""
        pieces = self.batch.unpack(ours.detach().numpy())
        for piece, padded in zip(pieces, theirs_SL.detach(), strict=True):
            torch.testing.assert_close(torch.as_tensor(piece), padded[: len(piece)], atol=1e-5, rtol=1e-5)

    def same_gradients(self, ours: Tensor, theirs: Tensor) -> None:
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
        theirs.backward()  # type: ignore[no-untyped-call]
        ours.backward()  # type: ignore[no-untyped-call]
        named = dict(self.theirs.named_parameters())
        grads = {name: torch.zeros_like(p) if p.grad is None else p.grad for name, p in named.items()}
        expected = import_tensors(grads, self.config, where=Path("theirs")).state
        for name, parameter in self.model.named_parameters():
            torch.testing.assert_close(parameter.grad, expected[name], atol=1e-5, rtol=1e-4, msg=f"gradient of {name}")


_FIELDS = (("tokens", PAD), ("segments", 0), ("truth", IGNORE))


def _examples(sizes: Sizes) -> list[Example]:
    draw = rng("parity", sizes.key)
    lengths = [*draw.integers(1, POSITIONS + 1, size=3), POSITIONS, 1]
    made = []
    for length in draw.permutation(lengths):
        tokens, segments = draw.integers(2, VOCAB, size=length), draw.integers(sizes.segments, size=length)
        free = np.ones(length, dtype=bool)
        example = Example(tokens, draw.integers(2, VOCAB, size=length), free, free, segments)
        example = example.ask("mlm", draw.random(length) < 0.4, tokens)
        made.append(example.label("pair", int(draw.integers(2))).label("classify", int(draw.integers(3))))
    return made


def _padded(rows: list[Any], fill: int) -> Tensor:
    """[L] arrays -> [S, L], always to the full width, so that padding is there."""
    return torch.tensor([[*row.tolist(), *[fill] * (POSITIONS - len(row))] for row in rows])


def _labels(twin: Twin, slot: str) -> Tensor:
    return _padded([example.answers[slot] for example in twin.examples], IGNORE)


def _first(twin: Twin, slot: str) -> Tensor:
    return torch.tensor([int(example.answers[slot][0]) for example in twin.examples])


@pytest.mark.parametrize("family", ["Bert", "Roberta"])
@given(sizes=SIZES)
@FEW
def test_states(family: str, sizes: Sizes) -> None:
    twin = Twin(family, "Model", _fit(family, sizes))
    twin.close(twin.step.encode(), twin.ask().last_hidden_state)


@pytest.mark.parametrize("family", ["Bert", "Roberta"])
@given(sizes=SIZES)
@FEW
def test_masked_tokens(family: str, sizes: Sizes) -> None:
    twin = Twin(family, "ForMaskedLM", _fit(family, sizes))
    theirs = twin.ask(labels=_labels(twin, "mlm"))
    twin.close(twin.step.scores("mlm", torch.arange(len(twin.batch.tokens))), theirs.logits)
    twin.same_gradients(cross_entropy(twin.step.logits("mlm"), twin.step.answers("mlm")), theirs.loss)


@pytest.mark.parametrize("family", ["Bert", "Roberta"])
@given(sizes=SIZES)
@FEW
def test_classes(family: str, sizes: Sizes) -> None:
    twin = Twin(family, "ForSequenceClassification", _fit(family, sizes))
    theirs = twin.ask(labels=_first(twin, "classify"))
    back = torch.from_numpy(np.argsort(twin.batch.order))
    torch.testing.assert_close(twin.step.logits("classify")[back], theirs.logits, atol=1e-5, rtol=1e-5)
    twin.same_gradients(cross_entropy(twin.step.logits("classify"), twin.step.answers("classify")), theirs.loss)


@given(sizes=SIZES)
@FEW
def test_masked_tokens_and_next_sentences_in_one_pass(sizes: Sizes) -> None:
    twin = Twin("Bert", "ForPreTraining", sizes)
    theirs = twin.ask(labels=_labels(twin, "mlm"), next_sentence_label=_first(twin, "pair"))
    back = torch.from_numpy(np.argsort(twin.batch.order))
    torch.testing.assert_close(twin.step.logits("pair")[back], theirs.seq_relationship_logits, atol=1e-5, rtol=1e-5)
    ours = [cross_entropy(twin.step.logits(slot), twin.step.answers(slot)) for slot in ("mlm", "pair")]
    twin.same_gradients(ours[0] + ours[1], theirs.loss)


def _fit(family: str, sizes: Sizes) -> Sizes:
    """RoBERTa's masked-token head is gelu whatever the body is, so only gelu can be read."""
    return Sizes(**{**vars(sizes), "act": "gelu"}) if family == "Roberta" else sizes
