"""Nine ways of pre-training an encoder-decoder under one budget, each fine-tuned to translate: benchmarks/seq2seq.md.

Run: QUIRE_DATA=... python -m benchmarks.seq2seq --out runs/seq2seq            all that is still missing, then the table
     QUIRE_DATA=... python -m benchmarks.seq2seq --out runs/seq2seq --part 0/2  every second run: one process a core

A run that is finished is not made again, and one that was stopped goes on. Text comes from Multi30k (Elliott et al.
2016): the captions of its training split in both languages, without their pairing, are the corpus; its pairs are the
task.
"""

import gzip
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from statistics import mean, stdev
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import torch
import typer
from sacrebleu.metrics import CHRF

from quire import recipe
from quire.core.random import rng
from quire.core.spec import Backbone
from quire.finetune import finetune
from quire.judge import holm, p_value
from quire.objectives.denoise import Denoise
from quire.pretrain import Material
from quire.recipe import DataPlan, Recipe, TokenizerPlan
from quire.text.records import iter_texts
from quire.train.loop import fit
from quire.train.optim import TrainPlan

ARMS = (
    *("t5-prefix-lm", "t5-bert-style", "t5-deshuffling", "t5-iid-mask", "t5-iid-spans", "t5-iid-drop"),
    *("t5-random-spans", "bart-infill", "mass"),
)
CONTROLS = ("none", "none-longer")
SEEDS = (0, 1, 2)
BUDGET = 300_000
"""Tokens of pre-training for each arm and seed: those that are read and those that are written."""
EPOCHS: Mapping[int, int] = {1_000: 6, 29_000: 1}
"""Passes of fine-tuning over so many pairs."""
WATCHED = 200
"""Pairs of the dev split that are watched; nothing is chosen by them."""
LENGTH = 64
"""Tokens of a caption, of a source or of a target that are kept."""
CAPTIONS = 32
"""Of an update in pre-training: some 700 to 1,100 tokens."""
PAIRS: Mapping[int, int] = {1_000: 16, 29_000: 32}
"""Of an update in fine-tuning on so many pairs."""
TOKENIZER = TokenizerPlan(kind="bpe", size=4_000, lowercase=False, sentinels=32)
"""Cased and of bytes, so that what is written can be the reference to the letter."""
RESAMPLES = 10_000
RATE, FIRST = 2e-3, 0.05
"""The learning rate's peak; and the standard deviation of first weights: GPT-2's, which is 0.02 at width 768, for a
width of 128, with 1 / sqrt(width)."""
LOOKED_AT = 20
"""Updates whose tokens are counted to turn the budget into updates."""


def prepared(out: Path) -> None:
    """The tables and the corpus, once."""
    home = Path(os.environ["QUIRE_DATA"]) / "parallel" / "multi30k"
    out.mkdir(parents=True, exist_ok=True)
    splits = {split: _pairs(home, name) for split, name in _SPLITS.items()}
    del splits["dev"][WATCHED:]
    drawn = rng(0, "few pairs").permutation(len(splits["train-29000"]))[:1_000]
    splits["train-1000"] = [splits["train-29000"][i] for i in drawn.tolist()]
    captions = [pair[side] for side in (0, 1) for pair in splits["train-29000"]]
    (out / "corpus.txt").write_text("\n".join(captions) + "\n", encoding="utf-8")
    tokenizer = Material(recipe_of("none"), out, lambda: captions).tokenizer  # trained once, for all
    tokens = sum(map(len, tokenizer.encode(captions))) / len(splits["train-29000"]) + 3  # of a pair, special ones too
    for number, epochs in EPOCHS.items():
        few, count = splits[f"train-{number}"], epochs * number + round(BUDGET / tokens)
        splits[f"train-{number}-longer"] = [few[i % number] for i in range(count)]
    for name, rows in splits.items():
        lines = (json.dumps({"en": en, "de": de}, ensure_ascii=False) + "\n" for en, de in rows)
        (out / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")


_SPLITS = {"train-29000": "train", "dev": "val", "test": "test_2016_flickr"}


def _pairs(home: Path, name: str) -> list[tuple[str, str]]:
    sides = []
    for language in ("en", "de"):
        with gzip.open(home / f"{name}.{language}.gz", "rt", encoding="utf-8") as file:
            sides.append([line.strip() for line in file])
    return list(zip(*sides, strict=True))


def recipe_of(arm: str) -> Recipe:
    """The same network, text and optimiser for all; of a recipe only what is damaged and what is asked."""
    objective = recipe.load("bart-infill" if arm in CONTROLS else arm).objectives[0]
    same = {"opening": True, "start": "sep", "bias": False, "scaled": False}
    data = DataPlan(shape="documents", length=LENGTH, tokenizer=TOKENIZER)
    whole = Recipe(
        title=arm,
        cite="see the recipe",
        survey="",
        backbone=Backbone(decoder=2, norm_first=True, segments=0, init="gpt2", init_std=FIRST),
        data=data,
        objectives=(objective.model_copy(update=same),),
        train=TrainPlan(steps=1, batch=CAPTIONS, lr=RATE, checkpoint_every=1_000),
    )
    assert isinstance(whole.objectives[0], Denoise)
    return whole.sized("tiny", length=LENGTH, tokenizer=data.tokenizer)


def pretrained(arm: str, seed: int, *, out: Path) -> Path:
    """The model folder of this arm and seed, pre-trained now unless it stands already."""
    home = out / arm / f"seed-{seed}"
    if not (home / "base").is_dir():
        shutil.copytree(out / "tokenizer", home / "tokenizer", dirs_exist_ok=True)
        material = Material(recipe_of(arm), home, lambda: iter_texts(out / "corpus.txt"))
        job = material.job(steps=1, seed=seed)
        steps = 1
        if arm not in CONTROLS:
            feed = job.feed()
            tokens = [batch.size for t in range(LOOKED_AT) for batch in feed.at(t)]
            steps = max(round(BUDGET / (sum(tokens) / LOOKED_AT)), 1)
            job = material.job(steps=steps, seed=seed)
        model = material.model(job)
        if arm not in CONTROLS:
            log = fit(model, job, folder=home / "pretrain", title=f"{arm}, seed {seed}")
            facts = {"steps": steps, "tokens": sum(r["tokens"] for r in log), "seconds": sum(r["seconds"] for r in log)}
            (home / "pretrain.json").write_text(json.dumps({**facts, "first": log[0]["loss"], "last": log[-1]["loss"]}))
        material.save(model, home / "base", card=f"# {arm}\n")
    return home


def run(arm: str, seed: int, pairs: int, *, out: Path) -> None:
    """Pre-train, then fine-tune on so many pairs; `none-longer` reads some of them again, for the budget."""
    home, longer = pretrained(arm, seed, out=out), arm == "none-longer"
    finetune(
        out / f"train-{pairs}{'-longer' * longer}.jsonl",
        dev=out / "dev.jsonl",
        test=out / "test.jsonl",
        source_column="en",
        target_column="de",
        start=str(home / "base"),
        epochs=1 if longer else EPOCHS[pairs],
        batch=PAIRS[pairs],
        lr=RATE,
        length=LENGTH,
        limit=40,
        seed=seed,
        out=home / f"pairs-{pairs}",
    )


def table(out: Path, pairs: int) -> Iterator[str]:
    """The runs that are there: mean and standard deviation over seeds; p against `none` where no seed is missing."""
    yield f"| arm | updates | seeds | {pairs:,} pairs: BLEU | chrF | p |"
    yield "|---|---|---|---|---|---|"
    found = {arm: [r for seed in SEEDS if (r := _result(out, arm, seed, pairs))] for arm in (*CONTROLS, *ARMS)}
    tests = _p_values(out, [arm for arm, results in found.items() if len(results) == len(SEEDS)], pairs)
    for arm, results in found.items():
        facts = out / arm / "seed-0" / "pretrain.json"
        cells = [arm, str(json.loads(facts.read_text())["steps"]) if facts.exists() else "", str(len(results))]
        for name in ("bleu", "chrf"):
            values = [result["scores"]["test"][name] for result in results]
            spread = f" ± {stdev(values):.1f}" if len(values) > 1 else ""
            cells.append(f"{mean(values):.1f}{spread}" if values else "")
        cells.append(f"{tests[arm]:.3f}" if arm in tests else "")
        yield f"| {' | '.join(cells)} |"


def _result(out: Path, arm: str, seed: int, pairs: int) -> Any:
    path = out / arm / f"seed-{seed}" / f"pairs-{pairs}" / "results.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def _p_values(out: Path, arms: list[str], pairs: int) -> dict[str, float]:
    """Of chrF a sentence against `none`: a paired bootstrap over test sentences and seeds, corrected by Holm."""
    if "none" not in arms:
        return {}
    metric = CHRF()

    def scores(arm: str) -> npt.NDArray[np.float64]:  # [seeds, sentences]
        found = []
        for seed in SEEDS:
            text = (out / arm / f"seed-{seed}" / f"pairs-{pairs}" / "written.jsonl").read_text(encoding="utf-8")
            rows = [json.loads(line) for line in text.splitlines()]
            found.append([metric.sentence_score(row["written"], [row["reference"]]).score for row in rows])
        return np.array(found)

    others, none = [arm for arm in arms if arm != "none"], scores("none")
    draw = rng(0, "bootstrap")
    drawn = (max(none.shape[0] - 1, 1), none.shape[1])  # of R seeds R - 1, as in quire.judge
    seeds, sentences = (
        draw.multinomial(k, np.full(n, 1 / n), size=RESAMPLES) / k for k, n in zip(drawn, none.shape, strict=True)
    )
    values = [p_value(((seeds @ (scores(arm) - none)) * sentences).sum(axis=1)) for arm in others]
    return dict(zip(others, holm(values), strict=True))


def main(
    out: Annotated[Path, typer.Option()],
    part: Annotated[str, typer.Option(help="k/n: every n-th run from the k-th on.")] = "0/1",
) -> None:
    """Make what is missing, and print the table of what is there."""
    torch.set_num_threads(1)
    if not (out / "tokenizer").exists():
        prepared(out)
    which, of = map(int, part.split("/"))
    for number, (pairs, seed, arm) in enumerate(product(EPOCHS, SEEDS, (*CONTROLS, *ARMS))):
        if number % of == which:
            run(arm, seed, pairs, out=out)
            typer.echo(f"{pairs} pairs, seed {seed}, {arm}: done")
    for pairs in EPOCHS:
        typer.echo("\n".join(table(out, pairs)) + "\n")


if __name__ == "__main__":
    typer.run(main)
