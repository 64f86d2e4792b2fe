"""Folders of GPT, GPT-2, BART and T5: transformers' where a class of it says all, and as it computes and writes."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.train.folders import BERT, QUIET, VOCAB, drawn, same, save, there_and_back

from quire.core.errors import BadInput
from quire.core.example import Batch, Example
from quire.core.heads import HeadSpec, SequenceHead, TokenHead
from quire.core.spec import Backbone
from quire.nn.model import Model, Packed, Step
from quire.predict.writer import task_of
from quire.text.tokenizers import Tokenizer
from quire.train.families import read_config
from quire.train.families.base import shapes
from quire.train.start import started
from quire.train.weights import read_model

GPT2 = BERT.model_copy(
    update={"segments": 0, "norm_first": True, "embedding_norm": False, "norm_eps": 1e-5, "init": "gpt2"}
)
GPT = GPT2.model_copy(update={"norm_first": False, "ffn": 48, "activation": "gelu_tanh", "init": "bert"})
BART = BERT.model_copy(update={"segments": 0, "decoder": 2, "norm_eps": 1e-5})
T5 = BERT.model_copy(
    update={"segments": 0, "decoder": 2, "norm": "rms", "norm_first": True, "norm_eps": 1e-6, "embedding_norm": False}
    | {"bias": False, "position": "bucketed", "score": "dot", "head_width": 5, "activation": "relu", "init": "t5"}
    | {"buckets": 8, "furthest": 9, "init_std": 0.3}
)
V11 = T5.model_copy(update={"gated": True, "activation": "gelu_tanh"})
NEXT = TokenHead(transform=False, bias=False)
WRITTEN = TokenHead(of="decoder", transform=False)
SCALED = TokenHead(of="decoder", transform=False, bias=False, scaled=True, start="pad")
OWN = TokenHead(of="decoder", transform=False, bias=False, tied=False, start="pad")
BODIES: dict[str, tuple[Backbone, str]] = {
    "BART": (BART, "bart"),
    "BART, tokens scaled": (BART.model_copy(update={"scale_embedding": True}), "bart"),
    "BART with segments": (BART.model_copy(update={"segments": 2}), "quire"),
    "BART, norms before": (BART.model_copy(update={"norm_first": True}), "quire"),
    "T5": (T5, "t5"),
    "T5, drawn otherwise": (T5.model_copy(update={"init": "bert", "head_width": None}), "t5"),
    "T5, two rates of dropout": (T5.model_copy(update={"attention_dropout": 0.2}), "quire"),
    "T5 v1.1": (V11, "t5"),
    "T5, gated with erf": (V11.model_copy(update={"activation": "gelu"}), "t5"),
    "T5, scores scaled": (T5.model_copy(update={"score": "scaled_dot"}), "quire"),
    "T5, tables narrow": (T5.model_copy(update={"embedding": 8}), "quire"),
    "GPT-2 without its head": (GPT2, "quire"),  # theirs would read it left to right
    "GPT without its head": (GPT, "quire"),
}


@pytest.mark.parametrize("name", BODIES)
def test_every_body_reads_back_equal(tmp_path: Path, name: str) -> None:
    backbone, model_type = BODIES[name]
    state = save(tmp_path / "m", backbone, {})
    files = read_model(tmp_path / "m")
    assert json.loads((tmp_path / "m" / "config.json").read_text())["model_type"] == model_type
    assert (files.backbone, dict(files.heads)) == (backbone, {})
    assert same(files.state, state)


GENERATORS: dict[str, tuple[Backbone, TokenHead, str]] = {
    "GPT-2": (GPT2, NEXT, "GPT2LMHeadModel"),
    "GPT-2, untied": (GPT2, NEXT.model_copy(update={"tied": False}), "GPT2LMHeadModel"),
    "GPT, untied": (GPT, NEXT.model_copy(update={"tied": False}), "OpenAIGPTLMHeadModel"),
    "GPT-2, gated": (GPT2.model_copy(update={"gated": True}), NEXT, "quire"),
    "GPT": (GPT, NEXT, "OpenAIGPTLMHeadModel"),
    "GPT, erf": (GPT.model_copy(update={"activation": "gelu"}), NEXT, "quire"),
    "GPT, narrow": (GPT.model_copy(update={"ffn": 20}), NEXT, "quire"),
    "GPT-2 with a bias": (GPT2, TokenHead(transform=False), "quire"),
    "BART": (BART, WRITTEN, "BartForConditionalGeneration"),
    "BART without a bias": (BART, WRITTEN.model_copy(update={"bias": False}), "BartForConditionalGeneration"),
    "BART, begun with [CLS]": (BART, WRITTEN.model_copy(update={"start": "cls"}), "BartForConditionalGeneration"),
    "BART, scaled": (BART, SCALED, "BartModel"),
    "T5": (T5, SCALED, "T5ForConditionalGeneration"),
    "T5 with a bias": (T5, WRITTEN, "T5Model"),
    "T5, begun with [SEP]": (T5, SCALED.model_copy(update={"start": "sep"}), "T5ForConditionalGeneration"),
    "T5 v1.1": (V11, OWN, "T5ForConditionalGeneration"),
    "T5 v1.1, tied": (V11, OWN.model_copy(update={"tied": True}), "T5ForConditionalGeneration"),
    "T5, own and scaled": (T5, OWN.model_copy(update={"scaled": True}), "T5ForConditionalGeneration"),
}


BARE = ("quire", "BartModel", "T5Model")
"""Where the head finds no place."""


@pytest.mark.parametrize("name", GENERATORS)
def test_every_generator_reads_back_equal(tmp_path: Path, name: str) -> None:
    backbone, head, expected = GENERATORS[name]
    heads: dict[str, HeadSpec] = {"told": head}
    state = save(tmp_path / "m", backbone, heads)
    files = read_model(tmp_path / "m")
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    assert config.get("architectures", [config["model_type"]]) == [expected]
    assert (files.backbone, dict(files.heads)) == (backbone, heads)
    assert same(files.state, state)
    if expected not in BARE:
        (tmp_path / "m" / "quire.json").unlink()
        foreign = read_model(tmp_path / "m")
        place = "write" if backbone.decoder else "lm"
        assert dict(foreign.heads) == {place: head}
        assert foreign.notes == ["no pooler in this folder"]
        assert same(foreign.state, {n.replace("heads.told.", f"heads.{place}."): tensor for n, tensor in state.items()})


@pytest.mark.parametrize(
    ("name", "begins", "start", "opening"),
    [
        ("T5", {}, "pad", False),
        ("T5", {"decoder_start_token_id": None}, "pad", False),
        ("BART", {}, "sep", True),
        ("BART", {"decoder_start_token_id": None}, "sep", True),
        ("BART", {"decoder_start_token_id": 2}, "cls", True),
    ],
)
def test_a_decoder_begins_as_its_settings_say(
    tmp_path: Path, name: str, begins: dict[str, int | None], start: str, opening: bool
) -> None:
    backbone, head, _ = GENERATORS[name]
    save(tmp_path / "m", backbone, {"told": head})
    (tmp_path / "m" / "quire.json").unlink()
    path = tmp_path / "m" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **begins}))
    task = task_of(read_model(tmp_path / "m"), where="here")
    assert (task.start, task.opening) == (start, opening)
    path.write_text(json.dumps({**json.loads(path.read_text()), "decoder_start_token_id": 9}))
    with pytest.raises(BadInput, match="decoder_start_token_id 9 is none of pad_token_id, eos_token_id, bos_token_id"):
        read_model(tmp_path / "m")


def test_what_reads_left_to_right_is_no_start_for_what_reads_both_ways(tmp_path: Path) -> None:
    save(tmp_path / "m", GPT2, {"lm": NEXT})
    files = read_model(tmp_path / "m")
    assert files.causal
    started(files, {"lm": NEXT, "classify": SequenceHead(outputs=2)}, seed=0)
    for parts in ({}, {"mlm": TokenHead()}, {"classify": SequenceHead(outputs=2)}):
        with pytest.raises(BadInput, match="reads left to right"):
            started(files, parts, seed=0)
    save(tmp_path / "both", BART, {"lm": WRITTEN})
    assert not read_model(tmp_path / "both").causal  # its encoder reads both ways


def test_without_a_matrix_of_scores_nobody_knows_what_a_body_of_gpt2_sees(tmp_path: Path) -> None:
    save(tmp_path / "m", GPT2, {"lm": NEXT})
    (tmp_path / "m" / "quire.json").unlink()
    path = tmp_path / "m" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "tie_word_embeddings": False}))
    with pytest.raises(BadInput, match="no matrix of scores, and none that is tied; choose another model"):
        read_model(tmp_path / "m")


@QUIET
@pytest.mark.parametrize("name", [name for name, (*_, kind) in GENERATORS.items() if kind not in BARE])
def test_transformers_opens_our_generators_and_writes_with_them(tmp_path: Path, name: str) -> None:
    theirs = pytest.importorskip("transformers")
    backbone, head, _ = GENERATORS[name]
    tokenizer = Tokenizer.train(["a b c d e f g"], kind="wordpiece", size=37, lowercase=True, longest=11)
    state = {n: tensor * 0.3 for n, tensor in drawn(shapes(backbone, {"lm": head})).items()}
    save(tmp_path / "m", backbone, {"lm": head}, state=state, saver=tokenizer.save)
    auto = theirs.AutoModelForSeq2SeqLM if backbone.decoder else theirs.AutoModelForCausalLM
    opened, report = auto.from_pretrained(tmp_path / "m", output_loading_info=True)
    assert not any(report.values()), report
    ours = Model(backbone, {"lm": head}).eval()
    ours.load_state_dict(state)
    ids = opened.config
    assert (ids.pad_token_id, ids.eos_token_id) == (VOCAB.pad, VOCAB.sep)
    read = np.array([2, 7, 8, 9, 10, 3])
    inputs = theirs.AutoTokenizer.from_pretrained(tmp_path / "m")(["a b"], return_tensors="pt")
    opened.eval()(**inputs, **({"decoder_input_ids": inputs["input_ids"]} if backbone.decoder else {}))
    written = opened.generate(torch.from_numpy(read)[None], max_new_tokens=4, do_sample=False, num_beams=1)[0].numpy()
    free = np.ones(6, dtype=bool)
    if backbone.decoder:
        start = getattr(VOCAB, head.start)
        assert written[0] == start
        example = Example(read, read, free, free, 0 * read)
        example = example.recast(read, Example.written("lm", written[1:], start=start))
        step, first = Step(ours, Packed(Batch.pack([example]))).target, 0
    else:
        example = Example(written, written, written > 0, written > 0, 0 * written).foretell("lm")
        step, first = Step(ours, Packed(Batch.pack([example]))), len(read) - 1
    logits, shown = step.scores("lm", torch.arange(len(step.batch.tokens))), step.batch.tokens[None]
    more = {"decoder_input_ids": shown} if backbone.decoder else {}
    answered = opened(input_ids=torch.from_numpy(read)[None] if backbone.decoder else shown, **more)
    torch.testing.assert_close(logits, answered.logits[0], atol=1e-4, rtol=1e-4)
    told = torch.from_numpy(written[first + 1 :])
    assert torch.equal(logits.argmax(dim=-1)[first:][: len(told)], told)


OTHER: dict[str, Any] = {"vocab_size": 37, "pad_token_id": 0}


def sides(layers: tuple[int, int], heads: int, ffn: int) -> dict[str, int]:
    """BART's sizes, which stand in its settings for either side."""
    each = [("encoder", layers[0]), ("decoder", layers[1])]
    return {f"{side}_layers": n for side, n in each} | {
        f"{side}_{field}": size for side, _ in each for field, size in (("attention_heads", heads), ("ffn_dim", ffn))
    }


SIDES = {"d_model": 12, **sides((3, 2), 3, 20)}
ENCODER: dict[str, Any] = {"d_model": 12, "d_kv": 5, "d_ff": 20, "num_layers": 3, "num_heads": 3}
GPT_SIZES = {**OTHER, "n_embd": 12, "n_layer": 3, "n_head": 3, "n_positions": 11}
BART_SIZES = {**OTHER, **SIDES, "max_position_embeddings": 11}
T5_SIZES = {**OTHER, **ENCODER}
THEIRS: list[tuple[str, dict[str, Any]]] = [
    ("GPT2LMHeadModel", GPT_SIZES),
    ("GPT2LMHeadModel", {**GPT_SIZES, "tie_word_embeddings": False}),
    ("GPT2Model", {**GPT_SIZES, "n_inner": 7}),
    ("OpenAIGPTLMHeadModel", GPT_SIZES),
    ("OpenAIGPTLMHeadModel", {**GPT_SIZES, "tie_word_embeddings": False}),
    ("OpenAIGPTModel", GPT_SIZES),
    ("BartForConditionalGeneration", BART_SIZES),
    ("BartModel", BART_SIZES),
    ("T5ForConditionalGeneration", {**T5_SIZES, "num_decoder_layers": 2}),
    ("T5Model", T5_SIZES),
    ("T5ForConditionalGeneration", {**T5_SIZES, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}),
]


@QUIET
@pytest.mark.parametrize(("name", "sizes"), THEIRS, ids=[f"{name}-{i}" for i, (name, _) in enumerate(THEIRS)])
def test_a_folder_of_transformers_is_a_start_and_goes_back(tmp_path: Path, name: str, sizes: dict[str, Any]) -> None:
    back, tensors = there_and_back(tmp_path, name, sizes)
    if name in ("GPT2Model", "OpenAIGPTModel", "BartModel"):  # their head costs nothing: they are written with it
        back = {tensor.removeprefix("transformer.").removeprefix("model."): value for tensor, value in back.items()}
    assert same(back, tensors)


PUBLISHED: dict[str, tuple[dict[str, Any], int]] = {
    "openai-gpt": ({"vocab_size": 40478, "n_embd": 768, "n_layer": 12, "n_head": 12, "n_positions": 512}, 116_534_784),
    "gpt2": ({"vocab_size": 50257, "n_embd": 768, "n_layer": 12, "n_head": 12, "n_positions": 1024}, 124_439_808),
    "bart": (
        {"vocab_size": 50265, "d_model": 768, "max_position_embeddings": 1024} | sides((6, 6), 12, 3072),
        139_420_416,
    ),
    "t5": ({"vocab_size": 32128, "d_model": 512, "d_ff": 2048, "num_layers": 6, "num_heads": 8}, 60_506_624),
    "t5 base": ({"vocab_size": 32128, "d_model": 768, "d_ff": 3072, "num_layers": 12, "num_heads": 12}, 222_903_552),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_sizes_have_their_published_number_of_parameters(name: str) -> None:
    config, parameters = PUBLISHED[name]
    family, backbone = read_config({"model_type": name.split()[0], **config}, where=Path(name))
    found = sum(math.prod(row.their_shape) * len(row.theirs) for row in family.rows(backbone, {}))
    assert found == parameters


GPT2_CONFIG = {"model_type": "gpt2", **GPT_SIZES}
BART_CONFIG = {"model_type": "bart", **BART_SIZES}
T5_CONFIG = {"model_type": "t5", **T5_SIZES}
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({**GPT2_CONFIG, "scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx True is not supported"),
    ({**GPT2_CONFIG, "reorder_and_upcast_attn": True}, "reorder_and_upcast_attn True is not supported, only False"),
    ({**GPT2_CONFIG, "scale_attn_weights": False}, "scale_attn_weights False is not supported, only True"),
    ({**GPT2_CONFIG, "add_cross_attention": True}, "add_cross_attention True is not supported"),
    ({**BART_CONFIG, "tie_word_embeddings": False}, "tie_word_embeddings False is not supported, only True"),
    ({**GPT2_CONFIG, "is_encoder_decoder": True}, "is_encoder_decoder True is not supported, only False"),
    ({**GPT2_CONFIG, "activation_function": "tanh"}, "activation_function 'tanh' is not supported"),
    ({**GPT2_CONFIG, "model_type": "openai-gpt", "afn": "gelu_new"}, "afn 'gelu_new' is not supported; known: gelu,"),
    (
        {**BART_CONFIG, "decoder_attention_heads": 4},
        "encoder_attention_heads 3 and decoder_attention_heads 4: ",
    ),
    ({**BART_CONFIG, "decoder_ffn_dim": 21}, "encoder_ffn_dim 20 and decoder_ffn_dim 21"),
    ({**BART_CONFIG, "is_encoder_decoder": False}, "is_encoder_decoder False is not supported, only True"),
    ({**BART_CONFIG, "normalize_before": True}, "normalize_before True is not supported"),
    ({**BART_CONFIG, "decoder_layers": 0}, "decoder: .* greater than 0"),
    ({k: v for k, v in BART_CONFIG.items() if k != "decoder_layers"}, "decoder_layers is missing"),
    ({**T5_CONFIG, "feed_forward_proj": "gated-tanh"}, "feed_forward_proj 'gated-tanh' with .* is not supported"),
    ({**T5_CONFIG, "feed_forward_proj": "double-relu"}, "feed_forward_proj 'double-relu' with .* is not supported"),
    ({**T5_CONFIG, "is_gated_act": True}, "feed_forward_proj 'relu' with .True, 'relu'. is not supported"),
    ({**T5_CONFIG, "dense_act_fn": "gelu"}, "feed_forward_proj 'relu' with .False, 'gelu'. is not supported"),
    ({**T5_CONFIG, "feed_forward_proj": 3}, "a value of another type than expected"),
    ({**T5_CONFIG, "relative_attention_num_buckets": 3}, "buckets: .* greater than or equal to 4"),
    ({**T5_CONFIG, "relative_attention_max_distance": 16}, "furthest 16: take more than half of the 32 buckets"),
    ({**T5_CONFIG, "is_decoder": True}, "is_decoder True"),
]


@pytest.mark.parametrize(("config", "message"), REFUSED)
def test_what_would_be_computed_wrongly_is_refused_in_one_line(config: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        read_config(config, where=Path("config.json"))
    assert "\n" not in str(caught.value)
