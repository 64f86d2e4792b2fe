"""What a comparison of further pre-training was asked to do: written to the run folder, so that the command goes on.

A set is a task with its training text, or text alone; sets of one domain are neighbours. A source is the text of one
set or of several, and a row of the table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, Self, TypeAlias, get_args

from pydantic import Field, model_validator

from quire.adapt.settings import AdaptSettings, Budget, Inputs, Trials
from quire.core.errors import BadInput, nearest
from quire.recipe import FineTune, Recipe

Kind: TypeAlias = Literal["sets", "domains", "all"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Relation: TypeAlias = Literal["within-task", "in-domain", "cross-domain", "mixed"]
RELATIONS: tuple[Relation, ...] = get_args(Relation)
NONE = "none"
"""The row without further pre-training."""


class StageSettings(Trials):
    """Everything that decides the outcome."""

    recipe: Recipe
    """The base, what it goes on with, and how labels are learnt."""
    tasks: Annotated[Mapping[str, Inputs], Field(min_length=1)]
    corpora: Mapping[str, str] = {}
    """Files of text alone, by the names of sets."""
    domains: Mapping[str, str] = {}
    """Of sets; one that is not named here is a domain of its own."""
    kinds: tuple[Kind, ...] = KINDS
    budget: Budget
    """Of pre-training, for each source."""
    per_class: Annotated[int, Field(gt=0)] | None = None
    """Labels of a class to fine-tune on; the text is that of all."""

    @model_validator(mode="after")
    def _can_go_on(self) -> Self:
        if self.recipe.finetune is None:
            raise ValueError("the recipe has no `finetune` section, which says how labels are learnt")
        if self.recipe.base is None:
            raise ValueError("the recipe has no base to go on from; give --base")
        if self.recipe.data.extend:
            raise ValueError("data.extend: words of each source would make another tokenizer; leave it out")
        if self.budget.unit not in ("tokens", "steps"):
            raise ValueError(f"budget: sources count tokens or steps of pre-training, not {self.budget.unit}")
        if twice := self.tasks.keys() & self.corpora.keys():
            raise ValueError(f"{min(twice)!r} is a task and a corpus; rename one")
        for name in self.domains:
            if name not in self.sets:
                raise ValueError(f"--domain: no set called {name!r}{nearest(name, self.sets)}")
        if not self._sources():
            raise ValueError("--further domains: no domain has two sets; say which do with --domain NAME=DOMAIN")
        names = [NONE, *(name for name, _ in self._sources())]
        if taken := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"two rows would be called {taken[0]!r}; rename the set or the domain")
        return self

    @property
    def finetune(self) -> FineTune:
        """How labels are learnt."""
        assert self.recipe.finetune
        return self.recipe.finetune

    @property
    def sets(self) -> tuple[str, ...]:
        """Tasks, then corpora."""
        return (*self.tasks, *self.corpora)

    def domain(self, name: str) -> str:
        """The domain of a set."""
        return self.domains.get(name, name)

    @property
    def sources(self) -> dict[str, tuple[str, ...]]:
        """The sets of each source, by its name; those of several sets have several."""
        return dict(self._sources())

    def _sources(self) -> list[tuple[str, tuple[str, ...]]]:
        found: list[tuple[str, tuple[str, ...]]] = []
        if "sets" in self.kinds:
            found += [(name, (name,)) for name in self.sets]
        if "domains" in self.kinds:
            domains = dict.fromkeys(map(self.domain, self.sets))
            members = {domain: tuple(s for s in self.sets if self.domain(s) == domain) for domain in domains}
            found += [(f"all-{domain}", several) for domain, several in members.items() if len(several) > 1]
        if "all" in self.kinds and len(self.sets) > 1:
            found.append(("all", self.sets))
        return found

    def relation(self, source: str, task: str) -> Relation:
        """What a source is to a task: its own text, text of its domain (its own may be in it), of others, or both."""
        own, sets = self.domain(task), self.sources[source]
        if sets == (task,):
            return "within-task"
        near = [self.domain(name) == own for name in sets]
        return "in-domain" if all(near) else "mixed" if any(near) else "cross-domain"

    def jobs(self) -> dict[str, AdaptSettings]:
        """The same as settings of one job on each task."""
        told = {name: f"{self.title}: {name}" if self.title else name for name in self.tasks}
        return {
            name: self.model_copy(update={"title": told[name]}).job(files, self.recipe)
            for name, files in self.tasks.items()
        }


def kinds_of(text: str) -> tuple[Kind, ...]:
    """`sets,domains,all`, or some of them; BadInput for another."""
    given = [part.strip() for part in text.split(",") if part.strip()]
    for part in given:
        if part not in KINDS:
            raise BadInput(f"--further: no kind of source called {part!r}{nearest(part, KINDS)}")
    if not given:
        raise BadInput(f"--further: give one or more of {', '.join(KINDS)}")
    return tuple(kind for kind in KINDS if kind in given)


def named(texts: Sequence[str], *, option: str, example: str) -> dict[str, str]:
    """`NAME=VALUE` each, by name; BadInput for another form."""
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not value or not name.replace("-", "").replace("_", "").isalnum():
            raise BadInput(f"{option} {text}: expected {example}")
        if name in found:
            raise BadInput(f"{option}: {name!r} stands there twice; give it once")
        found[name] = value
    return found
