"""Which form a task takes in each of the survey's seven paradigms (survey: Seven Main Paradigms; Sun et al. 2021,
"Paradigm Shift in Natural Language Processing")."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quire.core.answers import Task
from quire.core.catalogue import catalogue
from quire.core.config import Settings, parse, read_yaml
from quire.core.errors import BadInput, nearest
from quire.paradigms.base import Paradigm

FORMS: Mapping[str, Mapping[Task, str]] = {
    "class": {"label": "classify", "number": "regress"},
    "matching": {"label": "match"},
    "seqlab": {"spans": "label"},
    "mrc": {"label": "extract_label", "spans": "extract_spans", "reading": "extract"},
    "seq2seq": {"label": "write_label", "spans": "write_spans"},
    "seq2aseq": {"spans": "nest", "tree": "parse"},
    "mlm": {"label": "prompt"},
}
"""The survey's name of a paradigm -> task -> the component that puts one into the other."""

OWN = ("cut", "head_steps", "length", "strategy")
"""What a form may say of how it is learnt: nothing that would give it more updates than another."""


class Form(Settings):
    """A paradigm by its component, with its fields but for labels."""

    name: str
    fields: Mapping[str, Any] = {}
    how: Mapping[str, Any] = {}
    """What is its own of `quire.finetune.course.How`: the strategy, how long texts are cut."""


def forms_of(task: Task) -> list[str]:
    """The paradigms that a task can be put into, by the survey's names."""
    return [name for name, forms in FORMS.items() if task in forms]


def named(given: str, task: Task) -> Form:
    """What `given` means for this task: the survey's name of a paradigm, or the component's own, or a YAML file that
    holds one with its fields, and perhaps `how` it is learnt."""
    written = given.endswith((".yaml", ".yml"))
    data = read_yaml(Path(given)) if written else {given: {}}
    how = data.get("how") or {} if isinstance(data, Mapping) else {}
    if not isinstance(data, Mapping) or len({*data} - {"how"}) != 1:
        raise BadInput(f"{given}: expected one paradigm with its fields, for instance `match: {{by: bi}}`")
    if odd := sorted({*map(str, how)} - {*OWN}):
        raise BadInput(f"{given}: how.{odd[0]} is no form's own; known: {', '.join(OWN)}")
    [(name, fields)] = ((name, fields) for name, fields in data.items() if name != "how")
    name = FORMS.get(str(name), {}).get(task, str(name))
    known = catalogue(Paradigm)  # type: ignore[type-abstract]
    if name in FORMS:
        raise BadInput(f"paradigm {name}: has no form for a {task}; it can be {', '.join(forms_of(task))}")
    if name not in known:
        raise BadInput(f"no paradigm is called {name!r}{nearest(name, [*FORMS, *known])}")
    if known[name].answers != ("spans" if task == "reading" else task):
        raise BadInput(f"paradigm {name}: answers with {known[name].answers}, and a {task} is asked for")
    return Form(name=name, fields=fields or {}, how=how)


def built(name: str, fields: Mapping[str, Any], of: Mapping[str, Any], *, where: str) -> Paradigm:
    """The component with those of the facts `of` a data set that it has fields for: `labels`, `low` and `high`."""
    kind = catalogue(Paradigm)[name]  # type: ignore[type-abstract]
    known = {field: value for field, value in of.items() if field in kind.model_fields and value is not None}
    if not kind.model_fields["labels"].is_required():
        known.pop("labels", None)
    return parse(kind, {name: {**known, **fields}}, where=where)
