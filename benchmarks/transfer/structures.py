"""Study 4: names in Chinese (Weibo), chunks (CoNLL-2000) and trees (UD English EWT)."""

from collections.abc import Iterator, Mapping
from functools import partial
from statistics import mean, stdev
from typing import Any

from benchmarks.studies import home, table
from benchmarks.transfer.files import blocks, component
from benchmarks.transfer.scale import Work
from quire.finetune import solve
from quire.shift import compare_paradigms

FORMS: Mapping[str, Mapping[str, Any]] = {
    "softmax": {"seqlab": {}},
    "crf": {"seqlab": {"crf": True}},
    "mrc": {"mrc": {}},
}
PUBLISHED: Mapping[str, str] = {"crf": "94.5 (BiLSTM-CRF)"}
"""Chunks, all sentences (Huang et al. 2015)."""


def run(work: Work) -> Iterator[str]:
    """A table for chunks, one for names, and the figures of trees."""
    # Of Weibo's 270 dev texts 32 stand in train, so that dev is drawn from train for both.
    scale = work.scale
    weibo, conll = home("seqlab", "weibo_ner"), home("seqlab", "conll2000")
    sets = {
        "chunks": blocks(
            work.files,
            "chunks",
            train=(conll / "train.txt.gz", scale.sentences),
            test=(conll / "test.txt.gz", scale.tested),
        ),
        "names": blocks(
            work.files,
            "names",
            train=(weibo / "weiboNER_2nd_conll.train", scale.sentences),
            test=(weibo / "weiboNER_2nd_conll.test", scale.tested),
        ),
    }
    forms = [component(work.files / f"{name}.yaml", form) for name, form in FORMS.items()]
    for name, paths in sets.items():
        [outcome] = compare_paradigms(
            forms,
            train=paths["train"],
            test=paths["test"],
            layout="conll-lenient",
            out=work.home / name,
            base=scale.base,
            batch=scale.batch,
            rates=scale.structure_rates,
            budget=scale.budget,
            length=scale.length,
            seeds=scale.seeds,
            progress=work.progress,
            stop=work.stop,
        )
        yield f"**{name}**\n"
        yield (
            "\n".join(table(outcome.study, against="softmax", published=PUBLISHED if name == "chunks" else None)) + "\n"
        )
    yield from trees(work)


def trees(work: Work) -> Iterator[str]:
    """UAS and LAS; the rate is that whose first seed is best on dev."""
    scale, ewt = work.scale, home("seqlab", "ud_english_ewt")
    counts = {"train": 2 * scale.sentences, "dev": scale.dev, "test": scale.tested}
    paths = blocks(
        work.files, "trees", **{split: (ewt / f"en_ewt-ud-{split}.conllu.xz", count) for split, count in counts.items()}
    )

    def learnt(rate: float, seed: int) -> Any:
        return learn(lr=rate, seed=seed, out=work.home / "trees" / f"rate-{rate:g}-seed-{seed}")

    learn = partial(
        solve,
        paths["train"],
        paradigm="seq2aseq",
        dev=paths["dev"],
        test=paths["test"],
        base=scale.base,
        epochs=scale.passes,
        batch=scale.batch,
        length=scale.length,
        progress=work.progress,
        stop=work.stop,
    )
    best = max(scale.structure_rates, key=lambda rate: learnt(rate, 0).scores["dev"]["las"])
    found = [learnt(best, seed) for seed in range(scale.seeds)]
    yield f"**trees**, {found[0].problems['train']:,} sentences to learn from, rate {best:g}\n"
    yield "| | dev | test | training, s |\n|---|---|---|---|"
    for name in ("uas", "las"):
        cells = [_spread([100 * solved.scores[split][name] for solved in found]) for split in ("dev", "test")]
        yield f"| {name.upper()} | {' | '.join(cells)} | {mean(s.seconds for s in found):.0f} |"
    yield ""


def _spread(values: list[float]) -> str:
    return f"{mean(values):.1f} ± {stdev(values):.1f}" if len(values) > 1 else f"{mean(values):.1f}"
