"""Model folders of every kind of backbone and head: a family of transformers' where one says all, else our names."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.nn.parity import drawn as drawn_parameters
from tests.train.folders import BERT, POOLER, QUIET, VOCAB, same, save, there_and_back

from quire.core.bodies import Bottleneck, Star
from quire.core.errors import BadInput
from quire.core.example import Batch, Example, Passage, Vocab
from quire.core.heads import (
    BoundaryHead,
    ChainHead,
    DetectionHead,
    HeadSpec,
    Parts,
    PositionHead,
    QueryHead,
    SequenceHead,
    TokenHead,
    VectorHead,
)
from quire.core.spec import Backbone
from quire.nn.model import Model, Packed, Step
from quire.train.families import read_config
from quire.train.start import started
from quire.train.weights import read_model, standing

MODERN = Backbone(
    vocab=37, depth=3, width=12, heads=3, ffn=20, positions=11, segments=0, dropout=0, attention_dropout=0,
    position="rotary", norm_first=True, gated=True, bias=False, window=2, global_every=2, norm_eps=1e-5,
    rotary_base=160_000, rotary_base_local=10_000,
)  # fmt: skip
LINGUAL = Backbone(vocab=37, depth=3, width=12, heads=3, ffn=48, positions=11, segments=0, languages=3)
MOBILE = Bottleneck(vocab=37, depth=3, width=12, heads=3, ffn=20, positions=11, bottleneck=9, embedding=5)
MPNET = BERT.model_copy(update={"position": "learned_bucketed", "segments": 0})
RELATIVE = BERT.model_copy(update={"position": "relative", "embedding_norm": False})
BACKBONES: dict[str, tuple[Backbone, str]] = {
    "BERT": (BERT, "bert"),
    "ReLU": (BERT.model_copy(update={"activation": "relu"}), "bert"),
    "ALBERT": (BERT.model_copy(update={"groups": 1, "embedding": 8, "activation": "gelu_tanh"}), "albert"),
    "DistilBERT": (BERT.model_copy(update={"segments": 0}), "bert"),
    "narrow tables": (BERT.model_copy(update={"embedding": 8}), "electra"),
    "sharing, wide": (BERT.model_copy(update={"groups": 3}), "bert"),
    "sharing, wide, one block": (BERT.model_copy(update={"groups": 1}), "quire"),
    "ModernBERT": (MODERN, "modernbert"),
    "ModernBERT, all global": (MODERN.model_copy(update={"window": None, "global_every": None}), "modernbert"),
    "ModernBERT, all local": (MODERN.model_copy(update={"global_every": None}), "modernbert"),
    "ModernBERT with ReLU": (MODERN.model_copy(update={"activation": "relu"}), "modernbert"),
    "ModernBERT with tanh's GELU": (MODERN.model_copy(update={"activation": "gelu_tanh"}), "modernbert"),
    "ModernBERT, rare global": (MODERN.model_copy(update={"global_every": 9}), "modernbert"),
    "ModernBERT with RMSNorm": (MODERN.model_copy(update={"norm": "rms"}), "quire"),
    "ModernBERT with shared blocks": (MODERN.model_copy(update={"groups": 1}), "quire"),
    "MobileBERT": (MOBILE, "mobilebert"),
    "MobileBERT without segments": (MOBILE.model_copy(update={"segments": 0}), "mobilebert"),
    "MobileBERT, tiny": (MOBILE.model_copy(update={"apart": False, "feeds": 1, "trigrams": False}), "mobilebert"),
    "MobileBERT with norms": (MOBILE.model_copy(update={"norm": "layer", "norm_eps": 1e-5}), "mobilebert"),
    "MobileBERT with other norms": (MOBILE.model_copy(update={"norm": "layer"}), "quire"),
    "MobileBERT with RMSNorm": (MOBILE.model_copy(update={"norm": "rms"}), "quire"),
    "MobileBERT without biases": (MOBILE.model_copy(update={"bias": False}), "quire"),
    "MobileBERT with a wide table": (MOBILE.model_copy(update={"embedding": 12}), "quire"),
    "BERT that only scales": (BERT.model_copy(update={"norm": "affine"}), "quire"),
    "MPNet, token 1 not the padding": (MPNET, "quire"),
    "XLM": (LINGUAL, "xlm"),
    "XLM, sinusoids": (LINGUAL.model_copy(update={"position": "sinusoidal"}), "xlm"),
    "XLM with segments": (LINGUAL.model_copy(update={"segments": 2}), "quire"),
    "XLNet": (RELATIVE, "xlnet"),
    "XLNet with many segments": (RELATIVE.model_copy(update={"segments": 4}), "xlnet"),
    "XLNet without segments": (RELATIVE.model_copy(update={"segments": 0}), "quire"),
    "no positions": (BERT.model_copy(update={"position": "none"}), "quire"),
    "scores": (BERT.model_copy(update={"score": "additive"}), "quire"),
    "a window": (BERT.model_copy(update={"window": 2}), "quire"),
    "BERT, drawn otherwise": (BERT.model_copy(update={"init": "t5", "head_width": 4, "buckets": 8}), "bert"),
    "BERT, heads of another width": (BERT.model_copy(update={"head_width": 5}), "quire"),
    "a star": (Star(vocab=37, depth=2, width=12, heads=3, positions=11, ring=True, segments=0), "quire"),
}
EVERY_HEAD: dict[str, HeadSpec] = {
    "mlm": TokenHead(),
    "lm": TokenHead(transform=False, bias=False),
    "own": TokenHead(tied=False),
    "plain": TokenHead(transform=False),
    "pair": SequenceHead(outputs=2),
    "order": SequenceHead(outputs=3),
    "rectified": SequenceHead(outputs=3, activation="relu"),
    "rtd": DetectionHead(),
    "boundary": BoundaryHead(longest=4, place_width=5),
    "vector": VectorHead(),
    "pooled": VectorHead(pool="attention"),
    "state": VectorHead(dense=False),
    "query": QueryHead(),
    "extract": PositionHead(outputs=2, dropout=0.3),
    "tags": PositionHead(outputs=3),
    "label": PositionHead(outputs=5),
    "label_chain": ChainHead(tags=5),
}


@pytest.mark.parametrize("heads", [{}, EVERY_HEAD], ids=["bare", "every head"])
@pytest.mark.parametrize("name", BACKBONES)
def test_every_backbone_and_head_reads_back_equal(tmp_path: Path, name: str, heads: dict[str, HeadSpec]) -> None:
    backbone, model_type = BACKBONES[name]
    state = save(tmp_path / "m", backbone, heads)
    files = read_model(tmp_path / "m")
    if not heads:  # else the family with the most places for them
        assert json.loads((tmp_path / "m" / "config.json").read_text())["model_type"] == model_type
    assert (files.backbone, dict(files.heads)) == (backbone, heads)
    assert same(files.state, state)
    assert heads or same(files.pooler, POOLER)
    assert not any("not used" in note for note in files.notes)
    Model(files.backbone, files.heads).load_state_dict(dict(files.state))  # names are the model's own


@pytest.mark.parametrize(
    ("change", "architecture"),
    [
        ({}, "BertForSequenceClassification"),
        ({"pool": "mean"}, "BertModel"),
        ({"mix": "plain"}, "BertModel"),
        ({"activation": "relu"}, "BertModel"),
    ],
)
def test_a_classifier_goes_to_transformers_from_the_last_first_state_alone(
    tmp_path: Path, change: dict[str, str], architecture: str
) -> None:
    heads: dict[str, HeadSpec] = {"classify": SequenceHead(outputs=3).model_copy(update=change)}
    state = save(tmp_path / "m", BERT, heads)
    assert json.loads((tmp_path / "m" / "config.json").read_text())["architectures"] == [architecture]
    files = read_model(tmp_path / "m")
    assert (files.backbone, dict(files.heads)) == (BERT, heads)
    assert same(files.state, state)


def test_a_folder_in_our_names_without_its_record_says_so(tmp_path: Path) -> None:
    save(tmp_path / "m", BACKBONES["a star"][0], {})
    (tmp_path / "m" / "quire.json").unlink()
    with pytest.raises(BadInput, match=r"m: no quire\.json, which describes a model in Quire's own names"):
        read_model(tmp_path / "m")


def test_a_generator_is_a_folder_of_its_own(tmp_path: Path) -> None:
    small = BERT.model_copy(update={"embedding": 12, "width": 6, "ffn": 5, "depth": 1})
    parts: Parts = {"generator": small, "guess": TokenHead(of="generator"), "rtd": DetectionHead()}
    model = Model(BERT, parts, seed=3)
    for body, model_type in (("backbone", "ElectraForPreTraining"), ("generator", "ElectraForMaskedLM")):
        backbone, heads, state = standing(model, body)
        save(tmp_path / body, backbone, heads, state=state)
        assert json.loads((tmp_path / body / "config.json").read_text())["architectures"] == [model_type]
        files = read_model(tmp_path / body)
        assert (files.backbone, files.heads) == (backbone, heads)
        alone = Model(files.backbone, files.heads)
        alone.load_state_dict(dict(files.state))
        batch = Packed(Batch.pack([Example.of(VOCAB, Passage(np.array([7, 8, 9]), np.ones(3, dtype=bool)))]))
        head, slot = ("rtd", "rtd") if body == "backbone" else ("guess", "guess")
        ours = Step(model.eval(), batch, by=body).scores(head, torch.arange(5))
        torch.testing.assert_close(Step(alone.eval(), batch).scores(slot, torch.arange(5)), ours, atol=0, rtol=0)


SIZES: dict[str, Any] = {
    "vocab_size": 37, "hidden_size": 12, "num_hidden_layers": 3, "num_attention_heads": 3, "intermediate_size": 20,
    "max_position_embeddings": 11, "pad_token_id": 0,
}  # fmt: skip
ROBERTA_SIZES = {**SIZES, "pad_token_id": 1}
OTHER: dict[str, Any] = {"vocab_size": 37, "pad_token_id": 0}
XLM_SIZES = {**OTHER, "emb_dim": 12, "n_layers": 3, "n_heads": 3}
XLNET_SIZES = {**OTHER, "d_model": 12, "n_layer": 3, "n_head": 3, "d_inner": 20}
DISTIL = {**OTHER, "dim": 15, "n_layers": 3, "n_heads": 3, "hidden_dim": 20, "max_position_embeddings": 11}
MOBILE_SIZES = {**SIZES, "embedding_size": 5, "intra_bottleneck_size": 9}
TINY = {"use_bottleneck_attention": True, "key_query_shared_bottleneck": False, "num_feedforward_networks": 2}
THEIRS: list[tuple[str, dict[str, Any]]] = [
    ("RobertaForMaskedLM", ROBERTA_SIZES),
    ("XLMRobertaForMaskedLM", ROBERTA_SIZES),
    ("XLMRobertaForSequenceClassification", ROBERTA_SIZES),
    ("AlbertForPreTraining", {**SIZES, "embedding_size": 8}),
    ("AlbertForMaskedLM", {**SIZES, "embedding_size": 8, "num_hidden_groups": 3}),
    ("ElectraForPreTraining", {**SIZES, "embedding_size": 8}),
    ("ElectraForMaskedLM", {**SIZES, "embedding_size": 12}),
    ("ModernBertForMaskedLM", {**SIZES, "local_attention": 4}),
    ("MobileBertModel", MOBILE_SIZES),
    ("MobileBertModel", {**MOBILE_SIZES, "classifier_activation": False}),
    ("MobileBertForMaskedLM", MOBILE_SIZES),
    ("MobileBertForPreTraining", MOBILE_SIZES),
    ("MobileBertForPreTraining", {**MOBILE_SIZES, "classifier_activation": False, "num_feedforward_networks": 1}),
    ("MobileBertForSequenceClassification", {**MOBILE_SIZES, **TINY}),
    ("XLMWithLMHeadModel", {**XLM_SIZES, "n_langs": 3}),
    ("XLMWithLMHeadModel", {**XLM_SIZES, "sinusoidal_embeddings": True}),
    ("XLNetLMHeadModel", XLNET_SIZES),
    ("DistilBertModel", DISTIL),
    ("DistilBertForMaskedLM", DISTIL),
    ("DistilBertForSequenceClassification", DISTIL),
    ("MPNetModel", SIZES),
    ("MPNetForMaskedLM", SIZES),
    ("MPNetForSequenceClassification", SIZES),
    ("BertForTokenClassification", {**SIZES, "num_labels": 5}),
    ("RobertaForTokenClassification", {**ROBERTA_SIZES, "num_labels": 5}),
    ("XLMRobertaForTokenClassification", {**ROBERTA_SIZES, "num_labels": 5}),
    ("DistilBertForTokenClassification", {**DISTIL, "num_labels": 5}),
    ("ElectraForTokenClassification", {**SIZES, "embedding_size": 8, "num_labels": 5}),
    ("AlbertForTokenClassification", {**SIZES, "embedding_size": 8, "num_labels": 5}),
    ("MobileBertForTokenClassification", {**MOBILE_SIZES, "num_labels": 5}),
    ("MPNetForTokenClassification", {**SIZES, "num_labels": 5}),
]


@QUIET
@pytest.mark.parametrize(("name", "sizes"), THEIRS, ids=[f"{name}-{i}" for i, (name, _) in enumerate(THEIRS)])
def test_a_folder_of_transformers_is_a_start_and_goes_back(tmp_path: Path, name: str, sizes: dict[str, Any]) -> None:
    back, tensors = there_and_back(tmp_path, name, sizes)
    if sizes.get("sinusoidal_embeddings"):  # theirs is from fp64
        tables = [found.pop("transformer.position_embeddings.weight") for found in (back, tensors)]
        torch.testing.assert_close(*tables, atol=1e-4, rtol=0)
    assert same(back, tensors)


UNTIED: list[tuple[str, dict[str, Any]]] = [
    ("BertForMaskedLM", SIZES),
    ("BertForPreTraining", SIZES),
    ("RobertaForMaskedLM", ROBERTA_SIZES),
    ("XLMRobertaForMaskedLM", ROBERTA_SIZES),
    ("AlbertForMaskedLM", {**SIZES, "embedding_size": 8}),
    ("ElectraForMaskedLM", {**SIZES, "embedding_size": 8}),
    ("DistilBertForMaskedLM", DISTIL),
    ("MPNetForMaskedLM", SIZES),
    ("ModernBertForMaskedLM", SIZES),
    ("XLMWithLMHeadModel", XLM_SIZES),
    ("XLNetLMHeadModel", XLNET_SIZES),
]


@QUIET
@pytest.mark.parametrize(("name", "sizes"), UNTIED, ids=[name for name, _ in UNTIED])
def test_a_head_with_a_matrix_of_its_own_computes_the_same_and_goes_back(
    tmp_path: Path, name: str, sizes: dict[str, Any]
) -> None:
    """Where theirs has its bias twice, the second one is what it adds; what is trained further keeps the matrix."""
    kind = getattr(pytest.importorskip("transformers"), name)
    theirs = drawn_parameters(kind(kind.config_class(**sizes, tie_word_embeddings=False)), 3)
    theirs.save_pretrained(tmp_path / "theirs")
    files = read_model(tmp_path / "theirs")
    assert files.heads["mlm"].tied is False  # type: ignore[union-attr]
    assert not any("not used" in note for note in files.notes)
    ours = started(files, {**files.heads, "mlm": files.heads["mlm"].model_copy(update={"tied": True})}, seed=1).cpu()
    assert same(ours.state_dict(), files.state)  # what is trained further keeps it
    passage = Passage(np.array([7, 8, 9, 10, 11, 12]), np.ones(6, dtype=bool))
    packed = Packed(Batch.pack([Example.of(VOCAB, passage)]))
    scores = Step(ours.eval(), packed).scores("mlm", torch.arange(8))
    answered = theirs(input_ids=packed.tokens[None])
    logits = answered["prediction_logits" if "prediction_logits" in answered else "logits"][0]
    torch.testing.assert_close(scores, logits, atol=1e-5, rtol=1e-5)
    back, tensors = there_and_back(tmp_path, name, {**sizes, "tie_word_embeddings": False})
    assert same(back, tensors)


TOKEN, PLAIN, PAIR = TokenHead(), TokenHead(transform=False), SequenceHead(outputs=2)
BARE, TAGS = SequenceHead(outputs=2, activation="none"), PositionHead(outputs=5, dropout=0.3)
OURS: list[tuple[str, dict[str, HeadSpec], str, str]] = [
    ("BERT", {"mlm": TOKEN, "pair": PAIR}, "AutoModelForPreTraining", "prediction_logits"),
    ("MobileBERT", {"mlm": TOKEN, "pair": BARE}, "AutoModelForPreTraining", "prediction_logits"),
    ("MobileBERT, tiny", {"pair": BARE}, "AutoModelForNextSentencePrediction", "logits"),
    ("MobileBERT with norms", {"classify": PAIR}, "AutoModelForSequenceClassification", "logits"),
    ("ALBERT", {"mlm": TOKEN, "pair": PAIR}, "AutoModelForPreTraining", "prediction_logits"),
    ("ALBERT", {"mlm": TOKEN}, "AutoModelForMaskedLM", "logits"),
    ("narrow tables", {"mlm": TOKEN}, "AutoModelForMaskedLM", "logits"),
    ("narrow tables", {"rtd": DetectionHead()}, "AutoModelForPreTraining", "logits"),
    ("BERT", {"rtd": DetectionHead()}, "AutoModelForPreTraining", "logits"),
    ("ModernBERT", {"mlm": TOKEN}, "AutoModelForMaskedLM", "logits"),
    ("ModernBERT, rare global", {"span": TOKEN}, "AutoModelForMaskedLM", "logits"),
    ("ModernBERT, all local", {"mlm": TOKEN}, "AutoModelForMaskedLM", "logits"),
    ("XLM, sinusoids", {"tlm": PLAIN}, "AutoModelForMaskedLM", "logits"),
    ("XLM", {"mlm": PLAIN}, "AutoModelForMaskedLM", "logits"),
    ("XLNet", {"plm": PLAIN, "query": QueryHead()}, "AutoModelForCausalLM", "logits"),
    ("BERT", {"label": TAGS}, "AutoModelForTokenClassification", "logits"),
    ("BERT", {"label": TAGS, "label_chain": ChainHead(tags=5)}, "AutoModelForTokenClassification", "logits"),
    ("ALBERT", {"label": TAGS}, "AutoModelForTokenClassification", "logits"),
    ("narrow tables", {"label": TAGS}, "AutoModelForTokenClassification", "logits"),
    ("MobileBERT with norms", {"label": TAGS}, "AutoModelForTokenClassification", "logits"),
]


@QUIET
@pytest.mark.parametrize(
    ("name", "heads", "auto", "logits"), OURS, ids=[f"{name}-{'-'.join(heads)}" for name, heads, *_ in OURS]
)
def test_transformers_opens_what_we_write_and_computes_the_same(
    tmp_path: Path, name: str, heads: dict[str, HeadSpec], auto: str, logits: str
) -> None:
    theirs = pytest.importorskip("transformers")
    backbone = BACKBONES[name][0]
    state = save(tmp_path / "m", backbone, heads)
    opened, report = getattr(theirs, auto).from_pretrained(tmp_path / "m", output_loading_info=True)
    assert not any(report.values()), report
    ours = Model(backbone, heads)
    ours.load_state_dict(state)
    passage = Passage(np.array([7, 8, 9, 10, 11, 12]), np.ones(6, dtype=bool))
    packed = Packed(Batch.pack([Example.of(VOCAB, passage)]))
    first = next(iter(heads))
    places = torch.arange(1 if isinstance(heads[first], SequenceHead) else 8)
    scores = Step(ours.eval(), packed).scores(first, places)
    more = {"langs": torch.zeros(1, 8, dtype=torch.int64)} if backbone.languages else {}
    answered = getattr(opened.eval()(input_ids=packed.tokens[None], **more), logits)
    found = answered if len(places) == 1 else answered[0]
    torch.testing.assert_close(scores, found, atol=1e-4, rtol=1e-4)  # states of unit normal weights are large


@QUIET
@pytest.mark.parametrize(("name", "kind"), [("BERT", "Bert"), ("ALBERT", "Albert"), ("narrow tables", "Electra")])
def test_a_reader_of_passages_goes_to_transformers_whole(tmp_path: Path, name: str, kind: str) -> None:
    theirs = pytest.importorskip("transformers")
    heads: dict[str, HeadSpec] = {"extract": PositionHead(outputs=2, dropout=0.3)}
    backbone = BACKBONES[name][0]
    state = save(tmp_path / "m", backbone, heads)
    opened, report = theirs.AutoModelForQuestionAnswering.from_pretrained(tmp_path / "m", output_loading_info=True)
    assert (type(opened).__name__, any(report.values())) == (f"{kind}ForQuestionAnswering", False)
    ours = Model(backbone, heads)
    ours.load_state_dict(state)
    packed = Packed(Batch.pack([Example.of(VOCAB, Passage(np.array([7, 8, 9]), np.ones(3, dtype=bool)))]))
    scores = Step(ours.eval(), packed).scores("extract", torch.arange(5))
    answered = opened.eval()(packed.tokens[None])
    both = torch.stack([answered.start_logits[0], answered.end_logits[0]], dim=-1)
    torch.testing.assert_close(scores, both, atol=1e-4, rtol=1e-4)
    (tmp_path / "m" / "quire.json").unlink()
    files = read_model(tmp_path / "m")
    assert (files.backbone, files.heads) == (backbone, heads)
    assert same(files.state, state)


@QUIET
def test_a_classifier_with_relu_is_distilberts(tmp_path: Path) -> None:
    theirs = pytest.importorskip("transformers")
    backbone = BERT.model_copy(update={"segments": 0})
    heads: dict[str, HeadSpec] = {"classify": SequenceHead(outputs=3, activation="relu", dropout=0.3)}
    state = save(tmp_path / "m", backbone, heads)
    opened, report = theirs.AutoModelForSequenceClassification.from_pretrained(tmp_path / "m", output_loading_info=True)
    assert not any(report.values()), report
    assert (type(opened).__name__, opened.dropout.p) == ("DistilBertForSequenceClassification", 0.3)
    ours = Model(backbone, heads)
    ours.load_state_dict(state)
    packed = Packed(Batch.pack([Example.of(VOCAB, Passage(np.array([7, 8, 9]), np.ones(3, dtype=bool)))]))
    scores = Step(ours.eval(), packed).scores("classify", torch.tensor([0]))
    torch.testing.assert_close(scores, opened(packed.tokens[None]).logits, atol=1e-4, rtol=1e-4)
    (tmp_path / "m" / "quire.json").unlink()
    files = read_model(tmp_path / "m")
    assert (files.backbone, files.heads) == (backbone, heads)
    assert same(files.state, state)


def test_a_pooler_made_for_relu_does_not_start_one_for_tanh(tmp_path: Path) -> None:
    relu = SequenceHead(outputs=3, activation="relu")
    state = save(tmp_path / "m", BERT, {"classify": relu})
    name = "heads.classify.pooler.weight"
    files = read_model(tmp_path / "m")
    assert started(files, {"classify": relu}, seed=1).get_parameter(name).cpu().equal(state[name])
    other = started(files, {"classify": SequenceHead(outputs=3)}, seed=1)
    assert other.get_parameter(name).cpu().equal(torch.eye(12))
    joined = started(files, {"classify": SequenceHead(outputs=3, pool="last+max+mean")}, seed=1).get_parameter(name)
    assert joined.cpu().equal(torch.eye(12).repeat(1, 3) / 3), "a fresh pooler passes on the mean of its parts"


MPNETS: list[tuple[dict[str, HeadSpec], str, str]] = [
    ({}, "AutoModel", "last_hidden_state"),
    ({"mlm": TokenHead()}, "AutoModelForMaskedLM", "logits"),
    ({"classify": SequenceHead(outputs=3)}, "AutoModelForSequenceClassification", "logits"),
]


@QUIET
@pytest.mark.parametrize(("heads", "auto", "answer"), MPNETS, ids=[auto for _, auto, _ in MPNETS])
def test_a_model_that_pads_with_token_1_is_mpnets(
    tmp_path: Path, heads: dict[str, HeadSpec], auto: str, answer: str
) -> None:
    theirs = pytest.importorskip("transformers")
    vocab = Vocab(size=37, pad=1, unk=3, cls=0, sep=2, mask=4, special=frozenset(range(5)))
    state = save(tmp_path / "m", MPNET, heads, vocab=vocab)
    opened, report = getattr(theirs, auto).from_pretrained(tmp_path / "m", output_loading_info=True)
    assert not any(report.values()), report
    ours = Model(MPNET, heads)
    ours.load_state_dict(state)
    packed = Packed(Batch.pack([Example.of(vocab, Passage(np.array([7, 8, 9]), np.ones(3, dtype=bool)))]))
    step, places = Step(ours.eval(), packed), torch.arange(1 if "classify" in heads else 5)
    found = step.scores(next(iter(heads)), places) if heads else step.encode()
    answered = getattr(opened.eval()(packed.tokens[None]), answer)
    torch.testing.assert_close(found, answered if "classify" in heads else answered[0], atol=1e-4, rtol=1e-4)
    (tmp_path / "m" / "quire.json").unlink()
    files = read_model(tmp_path / "m")
    assert (files.backbone, files.heads) == (MPNET, heads)
    assert same(files.state, state)
    assert heads or same(files.pooler, POOLER)


MOBILEBERT = {"model_type": "mobilebert", **MOBILE_SIZES}
MODERNBERT = {"model_type": "modernbert", **SIZES}
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({**MODERNBERT, "hidden_activation": "tanh"}, "hidden_activation 'tanh' is not supported; known: gelu, "),
    ({**MODERNBERT, "classifier_activation": "relu"}, "classifier_activation is not hidden_activation"),
    ({**MODERNBERT, "norm_bias": True}, "biases in some layers and not in others"),
    ({**MODERNBERT, "decoder_bias": False}, "decoder_bias False is not supported, only True"),
    ({**MODERNBERT, "layer_types": ["sliding_attention", "full_attention"]}, "layer_types: only a global layer and"),
    ({**MODERNBERT, "layer_types": 3}, "a value of another type than expected"),
    ({**MODERNBERT, "rope_parameters": {"full_attention": {"rope_type": "yarn"}}}, "rope_type 'yarn' is not supported"),
    ({**MOBILEBERT, "normalization_type": "rms"}, "normalization_type 'rms' is not supported; known: no_norm, layer_n"),
    ({**MOBILEBERT, "normalization_type": "layer_norm"}, "layer_norm_eps is not 1e-5"),
    ({**MOBILEBERT, "key_query_shared_bottleneck": False}, "neither use_bottleneck_attention nor key_query_shared_bo"),
    ({**MOBILEBERT, "use_bottleneck": False}, "use_bottleneck False is not supported, only True"),
    ({**MOBILEBERT, "embedding_size": 12}, "embedding_size is not less than hidden_size"),
    ({**MOBILEBERT, "num_feedforward_networks": 10**9}, "feeds: .* less than or equal to 16"),
    ({**MOBILEBERT, "intra_bottleneck_size": 10}, "width 10 is not a multiple of heads 3"),
    ({"model_type": "roberta", **SIZES}, "pad_token_id 0 is not supported, only 1"),
    ({"model_type": "albert", **SIZES, "inner_group_num": 2}, "inner_group_num 2 is not supported, only 1"),
    ({"model_type": "albert", **SIZES, "embedding_size": 12}, "embedding_size is hidden_size"),
    ({"model_type": "albert", **SIZES, "num_hidden_groups": 2}, "depth 3 is not a multiple of groups 2"),
    ({"model_type": "electra", **SIZES, "hidden_act": "relu"}, "hidden_act 'relu' is not supported"),
    ({"model_type": "electra", **SIZES, "position_embedding_type": "relative_key"}, "'relative_key' is not supported"),
    ({"model_type": "xlm", **XLM_SIZES, "max_position_embeddings": 9, "causal": True}, "causal True"),
    ({"model_type": "xlm", **XLM_SIZES, "max_position_embeddings": 9, "asm": True}, "asm True"),
    ({"model_type": "xlm", **XLM_SIZES}, "max_position_embeddings is missing"),
    ({"model_type": "xlnet", **XLNET_SIZES, "attn_type": "uni"}, "attn_type 'uni' is not supported, only 'bi'"),
    ({"model_type": "xlnet", **XLNET_SIZES, "untie_r": False}, "untie_r False"),
    ({"model_type": "xlnet", **XLNET_SIZES, "d_model": 9}, "make it even"),
    (
        {"model_type": "mpnet", **SIZES, "relative_attention_num_buckets": 16},
        "num_buckets 16 is not supported, only",
    ),
]


@pytest.mark.parametrize(("config", "message"), REFUSED)
def test_what_would_be_computed_wrongly_is_refused_in_one_line(config: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        read_config(config, where=Path("config.json"))
    assert "\n" not in str(caught.value)


def test_older_files_of_modernbert_say_the_same() -> None:
    old = {"global_attn_every_n_layers": 2, "local_attention": 4, "global_rope_theta": 160.0, "local_rope_theta": 10.0}
    _, backbone = read_config({**MODERNBERT, **old, "position_embedding_type": "absolute"}, where=Path("config.json"))
    assert [backbone.sees_locally(i) for i in range(3)] == [False, True, False]
    assert (backbone.window, backbone.rotary_base, backbone.rotary_base_local) == (2, 160.0, 10.0)


@QUIET
@pytest.mark.parametrize(
    ("name", "sizes"), [case for case in THEIRS if case[0].endswith("TokenClassification")], ids=lambda case: str(case)
)
def test_their_tags_are_our_labels(tmp_path: Path, name: str, sizes: dict[str, Any]) -> None:
    """A folder of theirs as the head `label`: the same scores at every token, and the names of the tags."""
    kind = getattr(pytest.importorskip("transformers"), name)
    tags = dict(enumerate(["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]))
    config = kind.config_class(**sizes, id2label=tags, label2id={tag: i for i, tag in tags.items()})
    theirs = drawn_parameters(kind(config), 3).eval()
    theirs.save_pretrained(tmp_path / "theirs")
    files = read_model(tmp_path / "theirs")
    assert list(files.heads) == ["label"]
    assert list(files.labels or ()) == list(tags.values())
    assert not any("not used" in note for note in files.notes)
    ours = Model(files.backbone, files.heads)
    ours.load_state_dict(dict(files.state))
    packed = Packed(Batch.pack([Example.of(VOCAB, Passage(np.array([7, 8, 9, 10, 11]), np.ones(5, dtype=bool)))]))
    scores = Step(ours.eval(), packed).scores("label", torch.arange(7))
    torch.testing.assert_close(scores, theirs(input_ids=packed.tokens[None]).logits[0], atol=1e-4, rtol=1e-4)


def test_the_names_of_tags_are_kept(tmp_path: Path) -> None:
    heads: dict[str, HeadSpec] = {"label": PositionHead(outputs=3, dropout=0.3)}
    tags = ["O", "B-X", "I-X"]
    save(tmp_path / "m", BERT, heads, labels=tags)
    for _ in range(2):  # with our record, and as a foreign folder
        files = read_model(tmp_path / "m")
        assert (dict(files.heads), list(files.labels or ())) == (heads, tags)
        (tmp_path / "m" / "quire.json").unlink(missing_ok=True)
