"""Which form a task takes in each of the survey's seven paradigms (survey: Seven Main Paradigms; Sun et al. 2021,
"Paradigm Shift in Natural Language Processing")."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quire.core.answers import Task
from quire.core.catalogue import catalogue
from quire.core.config import parse, read_yaml
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


def forms_of(task: Task) -> list[str]:
    """The paradigms that a task can be put into, by the survey's names."""
    return [name for name, forms in FORMS.items() if task in forms]


def named(given: str, task: Task) -> tuple[str, Mapping[str, Any]]:
    """The component that `given` means for this task, and its fields: the survey's name of a paradigm, or the
    component's own, or a YAML file that holds one with its fields."""
    written = given.endswith((".yaml", ".yml"))
    data = read_yaml(Path(given)) if written else {given: {}}
    if not isinstance(data, Mapping) or len(data) != 1:
        raise BadInput(f"{given}: expected one paradigm with its fields, for instance `match: {{by: bi}}`")
    [(name, fields)] = data.items()
    name = FORMS.get(str(name), {}).get(task, str(name))
    known = catalogue(Paradigm)  # type: ignore[type-abstract]
    if name in FORMS:
        raise BadInput(f"paradigm {name}: has no form for a {task}; it can be {', '.join(forms_of(task))}")
    if name not in known:
        raise BadInput(f"no paradigm is called {name!r}{nearest(name, [*FORMS, *known])}")
    if known[name].answers != ("spans" if task == "reading" else task):
        raise BadInput(f"paradigm {name}: answers with {known[name].answers}, and a {task} is asked for")
    return name, fields or {}


def built(name: str, fields: Mapping[str, Any], of: Mapping[str, Any], *, where: str) -> Paradigm:
    """The component with those of the facts `of` a data set that it has fields for: `labels`, `low` and `high`."""
    kind = catalogue(Paradigm)[name]  # type: ignore[type-abstract]
    known = {field: value for field, value in of.items() if field in kind.model_fields and value is not None}
    if not kind.model_fields["labels"].is_required():
        known.pop("labels", None)
    return parse(kind, {name: {**known, **fields}}, where=where)
