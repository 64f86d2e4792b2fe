"""(f) Greedy writing: tokens a second, fp32 and int8, against transformers' generate with its cache, on a model of
GPT-2's kind.

Legend: S texts that are written together, L tokens of a prompt, T written tokens of each.
"""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks import fidelity, peers
from benchmarks.harness import Agreement, Result, Row, Scale, Side, agree, timed, versus
from benchmarks.text import Labelled
from quire.compress.quantize import DynamicInt8
from quire.core.example import Example
from quire.core.heads import TokenHead
from quire.core.random import rng
from quire.core.search import Search
from quire.core.spec import Backbone
from quire.core.visibility import Causal
from quire.nn.model import Model
from quire.nn.search import write
from quire.train.machine import counted
from quire.train.start import Base

PEER = "transformers generate"
PROMPT = 32
REMARKS = (
    f"Writing: random weights, prompts of {PROMPT} random tokens and no end token, greedy, fp32 but for "
    "Quire where int8 is told, both sides with keys "
    "and values kept. The prompts are as long as each other, so that the peer pads nothing. A turn is a whole call: "
    "reading the prompts is in it.",
)


def measure(text: list[Labelled], base: Base, scale: Scale, folder: Path) -> Result:
    """Each number of texts in turn; of the base only the tokenizer's files play a part, of the text in the remark."""
    peers.require("transformers")
    model = _model(scale)
    small = DynamicInt8().apply(model, DynamicInt8().plan(model))
    theirs = peers.opened(peers.write(folder / "generation", model, base.tokenizer), "AutoModelForCausalLM")
    rows: list[Row] = []
    agreements: list[Agreement] = []
    for texts in scale.writers:
        prompts = [_prompt(i, scale.vocabulary) for i in range(texts)]
        shown = torch.from_numpy(np.stack([prompt.tokens for prompt in prompts]))
        ours, peer = partial(_ours, model, prompts, scale.written), partial(_theirs, theirs, shown, scale.written)
        found, flops = counted(ours)
        agreements.append(agree(f"writing, {texts} at once: tokens", found, peer()))
        for title, side in (("writing", ours), ("writing in int8", partial(_ours, small, prompts, scale.written))):
            rows += versus(
                f"{title}, {texts} at once",
                Side("quire", timed(side)),
                [Side(PEER, timed(peer))],
                pairs=scale.pairs,
                unit="tokens",
                work=texts * scale.written,
                flops=flops,
            )
    return Result(tuple(rows), tuple(agreements), (*REMARKS, fidelity.remark(text, scale)))


def _model(scale: Scale) -> Model:
    """The largest size of the scale as GPT-2 would have it; weights large enough to write more than one token."""
    size = list(scale.backbones.values())[-1]
    spec = Backbone(
        vocab=scale.vocabulary,
        depth=size.depth,
        width=size.width,
        heads=size.heads,
        ffn=size.ffn,
        positions=PROMPT + scale.written,
        segments=0,
        activation="gelu_tanh",
        norm_first=True,
        embedding_norm=False,
        norm_eps=1e-5,
        init="gpt2",
        init_std=0.1,
    )
    return Model(spec, {"lm": TokenHead(transform=False, bias=False)}, seed=0).eval()


def _prompt(number: int, vocabulary: int) -> Example:
    ids = rng("generation", number).integers(vocabulary, size=PROMPT)
    free, zeros = np.ones(PROMPT, dtype=bool), np.zeros(PROMPT, dtype=np.int64)
    return Example(ids, ids, free, free, zeros, sees=Causal())


def _ours(model: Model, prompts: list[Example], written: int) -> Tensor:
    """[S, T]"""
    found = write(model, prompts, head="lm", search=Search(limit=written))
    return torch.from_numpy(np.stack([one.tokens for one in found]))


def _theirs(model: Any, shown_SL: Tensor, written: int) -> Tensor:
    """[S, T]"""
    settings = {"do_sample": False, "use_cache": True, "eos_token_id": None, "pad_token_id": 0}
    everyone = torch.ones_like(shown_SL)
    found: Tensor = model.generate(shown_SL, attention_mask=everyone, max_new_tokens=written, **settings)
    return found[:, shown_SL.shape[1] :]
