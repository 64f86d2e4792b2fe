"""The directory is the catalogue: every member of every kind is found, built and written without being asked."""

import importlib
import pkgutil
from collections.abc import Callable

import pytest
import yaml

import quire
from quire.compress import Compressor
from quire.core.catalogue import Component, catalogue, find
from quire.core.config import Settings, parse, write_yaml
from quire.core.errors import BadInput
from quire.data.formats import Format
from quire.noise.reorder import Reorder
from quire.noise.rewrite import InPlace, Mask, Rewrite
from quire.noise.select import Exact, Select
from quire.objectives import Objective
from quire.paradigms import Paradigm
from quire.strategies.compound import Compound
from quire.train.sampling import Sampling
from quire.tuning import Strategy
from quire.tuning.adversarial import Attacking
from quire.tuning.base import Over
from quire.tuning.branches import Branching
from quire.tuning.distil import Taught
from quire.tuning.inserts import Inserting
from quire.tuning.past import Remembering
from quire.tuning.prompts import Prompting

KINDS: tuple[type[Component], ...] = (
    *(Objective, Paradigm, Select, Rewrite, InPlace, Reorder),
    *(Sampling, Strategy, Inserting, Branching, Over, Attacking, Remembering, Taught, Prompting),
    *(Compound, Compressor, Format),
)
MEMBERS = [(kind, name) for kind in KINDS for name in catalogue(kind)]
Build = Callable[[type[Component], str], Component]


class Every(Select):
    """A person's own component."""

    step: int = 2

    def choose(self, free, starts, rng):  # type: ignore[no-untyped-def]
        return free


def test_no_kind_is_left_out_here() -> None:
    for module in pkgutil.walk_packages(quire.__path__, "quire."):
        if "report" not in module.name and not module.name.endswith("__main__"):
            importlib.import_module(module.name)

    def below(cls: type) -> set[type]:
        return {cls}.union(*map(below, cls.__subclasses__()))

    found = {cls for cls in below(Component) if "home" in cls.__dict__ and cls.__module__.startswith("quire.")}
    assert found == set(KINDS), "a new kind of component needs its contract test; then name it in KINDS"


def test_the_catalogues_hold_what_stands_in_their_homes() -> None:
    names = {kind: list(catalogue(kind)) for kind in KINDS}
    assert {"mlm", "pair"} <= set(names[Objective])
    assert "classify" in names[Paradigm]
    assert {"bernoulli", "exact", "whole_word"} <= set(names[Select])
    assert "every" not in names[Select]  # a person's own stands elsewhere
    assert "classify" not in names[Objective]
    assert all(names[kind] == sorted(names[kind]) for kind in KINDS)
    assert all(names.values())


@pytest.mark.parametrize(("kind", "name"), MEMBERS)
def test_every_member_can_be_built_and_survives_yaml(kind: type[Component], name: str, member: Build) -> None:
    built = member(kind, name)  # fails? name its required fields in tests/conftest.py
    assert built.name() == name

    class Holder(Settings):
        part: kind  # type: ignore[valid-type]

    text = write_yaml(Holder.model_validate({"part": built}))
    assert yaml.safe_load(text)["part"].keys() == {name}
    assert parse(Holder, yaml.safe_load(text), where="x").part == built


@pytest.mark.parametrize(("kind", "name"), MEMBERS)
def test_every_member_refuses_an_unknown_field(kind: type[Component], name: str) -> None:
    with pytest.raises(BadInput, match="unknown field 'no_such'"):
        parse(find(kind, name), {"no_such": 1}, where="x")


def test_a_member_reads_what_it_writes() -> None:
    mask = Mask(mask=0.5, random=0.25)
    assert Mask.model_validate(mask.model_dump(mode="json")) == mask  # `mask` is also its first field
    assert Exact.model_validate({"exact": {"rate": 0.3}}) == Exact(rate=0.3)


def test_a_bare_value_is_the_first_field_and_a_bare_name_means_defaults() -> None:
    assert Select.model_validate({"exact": 0.3}) == Exact(rate=0.3)
    assert Select.model_validate("exact") == Exact()
    assert Select.model_validate({"exact": None}) == Exact()
    assert Rewrite.model_validate({"mask": {"mask": 0.5}}) == Mask(mask=0.5)


def test_a_persons_own_class_is_found_by_its_place_and_survives() -> None:
    place = f"{Every.__module__}:Every"
    built = Select.model_validate({place: {"step": 5}})
    assert isinstance(built, Every)
    assert built.model_dump(mode="json") == {place: {"step": 5}}


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("quire.noise.select:Nothing", "cannot import"),
        ("no_such_module:X", "cannot import"),
        ("quire.noise.rewrite:Mask", "not a select"),
        ("builtins:int", "not a select"),
    ],
)
def test_what_is_no_component_is_refused(name: str, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        Select.model_validate(name)


@pytest.mark.parametrize("data", [3, {}, {"exact": 0.1, "bernoulli": 0.1}, None, ["exact"]])
def test_data_of_the_wrong_shape_is_one_line(data: object) -> None:
    with pytest.raises(BadInput, match="expected a select as a name or as") as caught:
        parse(Select, data, where="x")  # type: ignore[type-abstract]
    assert "\n" not in str(caught.value)
