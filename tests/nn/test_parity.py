"""transformers is the oracle: the same weights give the same states, scores, losses and gradients to 1e-5 in fp32.

Theirs is padded and masked, ours is packed; lengths are mixed and hold 1 and the maximum. Sizes are odd on purpose:
what holds for 64 wide heads may fail for 5. Legend: S sequences, L longest, N positions of all sequences.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.nn.parity import close, drawn, mirrored, padded, same_gradients
from torch import Tensor

from quire.core.example import IGNORE, Batch, Example
from quire.core.random import rng
from quire.nn.losses import cross_entropy
from quire.nn.model import Packed, Step

transformers = pytest.importorskip("transformers")
VOCAB, POSITIONS, PAD = 23, 11, 1


@dataclass(frozen=True)
class Sizes:
    """What hypothesis draws of a model; each family takes what it has."""

    heads: int = 3
    head_width: int = 5
    depth: int = 2
    ffn: int = 13
    segments: int = 2
    act: str = "gelu"
    eps: float = 1e-12
    embedding: int = 4
    shared: bool = True
    languages: int = 3
    sinusoidal: bool = False
    reach: int = 2
    every: int = 2
    trigrams: bool = True
    apart: bool = True
    pooled: bool = True
    key: int = 0

    @property
    def width(self) -> int:
        return self.heads * self.head_width


SIZES = st.builds(
    Sizes,
    heads=st.sampled_from([1, 3, 5]),
    head_width=st.sampled_from([1, 3, 8]),
    depth=st.integers(1, 3),
    ffn=st.sampled_from([7, 16, 33]),
    segments=st.sampled_from([1, 2]),
    act=st.sampled_from(["gelu", "gelu_new", "relu"]),
    eps=st.sampled_from([1e-12, 1e-5, 1e-2]),
    embedding=st.sampled_from([4, 7]),
    shared=st.booleans(),
    languages=st.sampled_from([1, 3]),
    sinusoidal=st.booleans(),
    reach=st.integers(1, 4),
    every=st.integers(1, 3),
    trigrams=st.booleans(),
    apart=st.booleans(),
    pooled=st.booleans(),
    key=st.integers(0, 99),
)
FEW = settings(max_examples=8)
FAMILIES = ("Bert", "Roberta", "Albert", "Electra", "DistilBert", "MPNet", "MobileBert", "ModernBert", "XLM", "XLNet")
UNTYPED = ("DistilBert", "MPNet", "ModernBert")
TASKS = {"XLM": "WithLMHeadModel", "XLNet": "LMHeadModel"}


def _fit(family: str, sizes: Sizes) -> Sizes:
    """What the family can have. Heads of RoBERTa, ELECTRA and MPNet have gelu always, so only gelu is read."""
    if family in ("Roberta", "Electra", "MPNet"):
        sizes = replace(sizes, act="gelu")
    if family == "Albert" and sizes.width == sizes.embedding:
        sizes = replace(sizes, embedding=sizes.embedding + 1)
    if family in ("ModernBert", "XLNet") and sizes.head_width % 2:  # pairs are turned; as many sines as cosines
        sizes = replace(sizes, head_width=2 * sizes.head_width)
    return sizes


def _config(family: str, sizes: Sizes) -> Any:
    """Their configuration."""
    common = {"vocab_size": VOCAB, "max_position_embeddings": POSITIONS, "pad_token_id": PAD}
    body = {
        "hidden_size": sizes.width,
        "num_hidden_layers": sizes.depth,
        "num_attention_heads": sizes.heads,
        "intermediate_size": sizes.ffn,
    }
    bert = {
        **body,
        "type_vocab_size": sizes.segments,
        "hidden_act": sizes.act,
        "layer_norm_eps": sizes.eps,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    }
    own: dict[str, dict[str, Any]] = {
        "Bert": bert,
        "Roberta": {**bert, "max_position_embeddings": POSITIONS + PAD + 1},
        "Electra": {**bert, "embedding_size": sizes.embedding},
        "Albert": {
            **bert,
            "embedding_size": sizes.embedding,
            "num_hidden_groups": 1 if sizes.shared else sizes.depth,
        },
        "MPNet": {**bert, "max_position_embeddings": POSITIONS + PAD + 1},
        "MobileBert": {  # all of its norms have 1e-5 where they are norms
            **bert,
            "hidden_size": sizes.width + sizes.embedding,
            "intra_bottleneck_size": sizes.width,
            "embedding_size": sizes.embedding,
            "num_feedforward_networks": sizes.every,
            "trigram_input": sizes.trigrams,
            "use_bottleneck_attention": not sizes.apart,
            "key_query_shared_bottleneck": sizes.apart,
            "normalization_type": "layer_norm" if sizes.eps == 1e-5 else "no_norm",
            "classifier_activation": sizes.pooled,
        },
        "DistilBert": {
            "dim": sizes.width,
            "n_layers": sizes.depth,
            "n_heads": sizes.heads,
            "hidden_dim": sizes.ffn,
            "activation": sizes.act,
            "sinusoidal_pos_embds": sizes.sinusoidal,
            "seq_classif_dropout": 0.0,
        },
        "ModernBert": {
            **body,
            "hidden_activation": sizes.act,
            "classifier_activation": sizes.act,
            "norm_eps": sizes.eps,
            "local_attention": 2 * sizes.reach,
            "layer_types": ["sliding_attention" if i % sizes.every else "full_attention" for i in range(sizes.depth)],
            "rope_parameters": {
                "full_attention": {"rope_type": "default", "rope_theta": 160.0},
                "sliding_attention": {"rope_type": "default", "rope_theta": 10.0},
            },
        },
        "XLM": {
            "emb_dim": sizes.width,
            "n_layers": sizes.depth,
            "n_heads": sizes.heads,
            "layer_norm_eps": sizes.eps,
            "gelu_activation": sizes.act != "relu",
            "sinusoidal_embeddings": sizes.sinusoidal,
            "n_langs": sizes.languages,
        },
        "XLNet": {
            "d_model": sizes.width,
            "n_layer": sizes.depth,
            "n_head": sizes.heads,
            "d_inner": sizes.ffn,
            "ff_activation": sizes.act,
            "layer_norm_eps": sizes.eps,
        },
    }
    if family == "XLNet":  # has no limit
        del common["max_position_embeddings"]
    return getattr(transformers, f"{family}Config")(**{**common, **own[family]})


class Twin:
    """One model of theirs with every parameter drawn, and ours with the same weights; one batch for both."""

    def __init__(self, family: str, task: str, sizes: Sizes) -> None:
        sizes = _fit(family, sizes)
        config = _config(family, sizes)
        config.num_labels = 2 if task == "ForPreTraining" else 3
        self.family = family
        self.fixed = "transformer.position_embeddings.weight" if family == "XLM" and sizes.sinusoidal else ""
        self.theirs = drawn(getattr(transformers, family + task)(config), sizes.key, but=self.fixed)
        if family == "MobileBert":  # shows the padding to the last token
            self.theirs.get_input_embeddings().weight.data[PAD] = 0
        self.model = mirrored(self.theirs)
        self.examples = _examples(sizes)
        self.batch = Batch.pack(self.examples)
        self.step = Step(self.model, Packed(self.batch))

    def ask(self, **labels: Tensor) -> Any:
        """Their outputs for the padded batch."""
        ids, segments, languages, truth = (
            padded([getattr(e, name) for e in self.examples], fill, length=POSITIONS) for name, fill in _FIELDS
        )
        own = {"XLM": {"langs": languages}} | {family: {} for family in UNTYPED}
        more = own.get(self.family, {"token_type_ids": segments})
        return self.theirs(input_ids=ids, attention_mask=(truth != IGNORE).long(), **more, **labels)

    def close(self, ours: Tensor, theirs_SL: Tensor) -> None:
        close(self.batch, ours, theirs_SL)

    def close_first(self, ours: Tensor, theirs_SC: Tensor) -> None:
        """Our scores [S, C] of sequences against theirs, in the order of the examples."""
        back = torch.from_numpy(np.argsort(self.batch.order))
        torch.testing.assert_close(ours[back], theirs_SC, atol=1e-5, rtol=1e-5)

    def same_gradients(self, ours: Tensor, theirs: Tensor) -> None:
        same_gradients(self.model, self.theirs, (ours, theirs), self.theirs.config.to_dict(), fixed=self.fixed)


_FIELDS = (("tokens", PAD), ("segments", 0), ("languages", 0), ("truth", IGNORE))


def _examples(sizes: Sizes) -> list[Example]:
    draw = rng("parity", sizes.key)
    lengths = [*draw.integers(1, POSITIONS + 1, size=3), POSITIONS, 1]
    made = []
    for length in draw.permutation(lengths):
        tokens, segments = draw.integers(2, VOCAB, size=length), draw.integers(sizes.segments, size=length)
        free = np.ones(length, dtype=bool)
        languages = draw.integers(sizes.languages, size=length)
        example = Example(tokens, draw.integers(2, VOCAB, size=length), free, free, segments, languages=languages)
        example = example.ask("mlm", draw.random(length) < 0.4, tokens)
        example = example.label("pair", int(draw.integers(2))).label("classify", int(draw.integers(3)))
        made.append(example.label("rtd", draw.integers(2, size=length), at=free))
    return made


def _labels(twin: Twin, slot: str, *, pad: int = IGNORE) -> Tensor:
    return padded([example.answers[slot] for example in twin.examples], pad, length=POSITIONS)


def _first(twin: Twin, slot: str) -> Tensor:
    return torch.tensor([int(example.answers[slot][0]) for example in twin.examples])


@pytest.mark.parametrize("family", FAMILIES)
@given(sizes=SIZES)
@FEW
def test_states(family: str, sizes: Sizes) -> None:
    twin = Twin(family, "Model", sizes)
    twin.close(twin.step.encode(), twin.ask().last_hidden_state)


@pytest.mark.parametrize("family", FAMILIES)
@given(sizes=SIZES)
@FEW
def test_masked_tokens(family: str, sizes: Sizes) -> None:
    twin = Twin(family, TASKS.get(family, "ForMaskedLM"), sizes)
    theirs = twin.ask(labels=_labels(twin, "mlm"))
    twin.close(twin.step.scores("mlm", torch.arange(len(twin.batch.tokens))), theirs.logits)
    twin.same_gradients(cross_entropy(twin.step.logits("mlm"), twin.step.answers("mlm")), theirs.loss)


def test_far_distances_of_mpnet_share_their_buckets() -> None:
    config = transformers.MPNetConfig(
        vocab_size=VOCAB, hidden_size=15, num_hidden_layers=2, num_attention_heads=3, intermediate_size=13,
        max_position_embeddings=202,
    )  # fmt: skip
    theirs = drawn(transformers.MPNetModel(config), 3)
    tokens = rng("parity", "far").integers(2, VOCAB, size=200)
    free = np.ones(200, dtype=bool)
    step = Step(mirrored(theirs), Packed(Batch.pack([Example(tokens, tokens, free, free, 0 * tokens)])))
    expected = theirs(torch.from_numpy(tokens)[None]).last_hidden_state[0]
    torch.testing.assert_close(step.encode(), expected, atol=1e-5, rtol=1e-5)


@given(sizes=SIZES)
@FEW
def test_replaced_tokens(sizes: Sizes) -> None:
    twin = Twin("Electra", "ForPreTraining", sizes)
    theirs = twin.ask(labels=_labels(twin, "rtd", pad=0))  # all real tokens count, the padding does not
    scores = twin.step.logits("rtd")
    twin.close(scores, theirs.logits)
    twin.same_gradients(F.binary_cross_entropy_with_logits(scores, twin.step.answers("rtd").float()), theirs.loss)


@pytest.mark.parametrize("family", ["Bert", "Roberta", "Albert", "DistilBert", "MPNet", "MobileBert"])
@given(sizes=SIZES)
@FEW
def test_classes(family: str, sizes: Sizes) -> None:
    twin = Twin(family, "ForSequenceClassification", sizes)
    theirs = twin.ask(labels=_first(twin, "classify"))
    twin.close_first(twin.step.logits("classify"), theirs.logits)
    twin.same_gradients(cross_entropy(twin.step.logits("classify"), twin.step.answers("classify")), theirs.loss)


@pytest.mark.parametrize(
    ("family", "label", "scores"),
    [
        ("Bert", "next_sentence_label", "seq_relationship_logits"),
        ("MobileBert", "next_sentence_label", "seq_relationship_logits"),
        ("Albert", "sentence_order_label", "sop_logits"),
    ],
)
@given(sizes=SIZES)
@FEW
def test_masked_tokens_and_sentence_pairs_in_one_pass(family: str, label: str, scores: str, sizes: Sizes) -> None:
    twin = Twin(family, "ForPreTraining", sizes)
    theirs = twin.ask(labels=_labels(twin, "mlm"), **{label: _first(twin, "pair")})
    twin.close_first(twin.step.logits("pair"), getattr(theirs, scores))
    ours = [cross_entropy(twin.step.logits(slot), twin.step.answers(slot)) for slot in ("mlm", "pair")]
    twin.same_gradients(ours[0] + ours[1], theirs.loss)
