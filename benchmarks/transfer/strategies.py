"""Study 1: SST-2 sentences at few labels and at all, strategies side by side."""

from collections.abc import Iterator, Mapping
from functools import partial

from benchmarks.studies import table
from benchmarks.transfer.files import component, sst2
from benchmarks.transfer.scale import Work
from quire.strategies import compare_strategies

SINGLE = ("full", "head", "lora", "houlsby", "pfeiffer", "pals", "sda", "sdv", "self_ensemble")
TOGETHER = ("further", "vote", "average")
"""What is made of several fits or stages: each fit at the rate of `full`."""
PAST = ("sda", "sdv")
"""By default they have a window of 1, with which they are one algorithm."""
OVER = {"full": {"layer_decay": 0.9}}
"""What the recipe has."""
PUBLISHED: Mapping[str, str] = {
    "lora": "+0.8 (GLUE, RoBERTa-base)",
    "houlsby": "-0.4 (GLUE, BERT-large)",
    "pals": "+0.5 over shared (GLUE, BERT-base)",
    "sda": "+0.5 (IMDb, BERT-base)",
    "sdv": "+0.5 (IMDb, BERT-base)",
    "self_ensemble": "0.0 (IMDb, BERT-base)",
    "vote": "+0.2 (IMDb, BERT-base)",
    "average": "+0.1 (IMDb, BERT-base)",
    "further": "+1.0 (IMDb, BERT-base)",
}
"""Against full fine-tuning, all labels: Hu et al. 2021; Houlsby et al. 2019; Stickland and Murray 2019; Xu et al. 2020;
Sun et al. 2019."""


def run(work: Work) -> Iterator[str]:
    """Rates first, chosen on dev at one number of labels; then all numbers of labels, with these."""
    scale, paths = work.scale, sst2(work.files, dev=work.scale.dev, test=work.scale.short_tested)
    compared = partial(
        compare_strategies,
        task=paths["train"],
        dev=paths["dev"],
        test=paths["test"],
        base=scale.base,
        changes=("finetune.epochs=1", f"finetune.train.batch={scale.batch}", f"data.length={scale.length}"),
        progress=work.progress,
        stop=work.stop,
    )
    [tuned] = compared(SINGLE, out=work.home / "rates", rates=scale.rates, per_class=(scale.tuned_on,), seeds=1)
    rates = {arm.name: (arm.rate,) for arm in tuned.study.arms if arm.rate}
    rates |= dict.fromkeys(TOGETHER, rates["full"])
    further = component(work.files / "further.yaml", {"further": {"steps": scale.further, "over": OVER}})
    yield "Rates: " + ", ".join(f"{name} {rate:g}" for name, (rate,) in rates.items()) + ".\n"
    for few in scale.strategies_per_class:
        home = work.home / f"labels-{'-'.join(map(str, few))}"
        outcomes = compared(
            (*SINGLE, further, "vote", "average"), out=home, rates=rates, per_class=few, seeds=scale.seeds
        )
        for labels, outcome in zip(few, outcomes, strict=True):
            yield f"**{_told(labels)}**\n"
            yield "\n".join(table(outcome.study, against="full", published=PUBLISHED)) + "\n"
    wider = {name: component(work.files / f"{name}-5.yaml", {name: {"window": 5, "over": OVER}}) for name in PAST}
    own = {"full": rates["full"]} | {f"{name}-5": rates[name] for name in PAST}
    few = scale.strategies_per_class[0]
    outcomes = compared(("full", *wider.values()), out=work.home / "wider", rates=own, per_class=few, seeds=scale.seeds)
    for labels, outcome in zip(few, outcomes, strict=True):
        yield f"**The last five students, {_told(labels)}**\n"
        yield "\n".join(table(outcome.study, against="full")) + "\n"


def _told(labels: int | None) -> str:
    return "all labels" if labels is None else f"{2 * labels} labels"
