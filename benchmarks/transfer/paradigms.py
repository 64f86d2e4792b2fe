"""Study 2: TREC and SST-2 as Class, Matching and (M)LM, at few labels a class and at all."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from benchmarks.studies import table
from benchmarks.transfer.files import component, sst2, trec
from benchmarks.transfer.scale import Work
from quire.shift import compare_paradigms


@dataclass(frozen=True)
class Words:
    """What a class is called in a gap and in a description."""

    template: str
    words: Mapping[str, str]
    descriptions: Mapping[str, str]


WORDS = {
    "trec": Words(
        "{mask} : {text}",
        {"ABBR": "short", "DESC": "description", "ENTY": "thing", "HUM": "person", "LOC": "place", "NUM": "number"},
        {
            "ABBR": "what an abbreviation means",
            "DESC": "a description or a reason",
            "ENTY": "a thing",
            "HUM": "a person or a group",
            "LOC": "a place",
            "NUM": "a number or a date",
        },
    ),
    "sst2": Words(
        "{text} It was {mask} .",
        {"negative": "terrible", "positive": "great"},
        {"negative": "it was terrible", "positive": "it was great"},
    ),
}
"""Set once, before any score was seen."""


def run(work: Work) -> Iterator[str]:
    """A table for each task and number of labels."""
    scale = work.scale
    for name, files in (("trec", trec), ("sst2", sst2)):
        paths, said = files(work.files, dev=scale.dev, test=scale.short_tested), WORDS[name]
        forms = (
            "class",
            component(work.files / name / "matching.yaml", {"matching": {"descriptions": said.descriptions}}),
            component(work.files / name / "mlm.yaml", {"mlm": {"words": said.words, "template": said.template}}),
        )
        outcomes = compare_paradigms(
            forms,
            train=paths["train"],
            dev=paths["dev"],
            test=paths["test"],
            out=work.home / name,
            base=scale.base,
            epochs=1,
            batch=scale.batch,
            rates=scale.paradigm_rates,
            few=scale.paradigms_per_class,
            length=min(scale.length, 64),
            seeds=scale.seeds,
            progress=work.progress,
            stop=work.stop,
        )
        for labels, outcome in zip(scale.paradigms_per_class, outcomes, strict=True):
            told = "all labels" if labels is None else f"{labels} labels a class"
            yield f"**{name}, {told}**\n"
            yield "\n".join(table(outcome.study, against="class")) + "\n"
