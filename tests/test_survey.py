"""Every heading of the survey that is built has something to show, and everything has its heading."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from quire import recipe, survey
from quire.compress.base import Compressor
from quire.core.catalogue import Component, catalogue
from quire.core.config import override, parse
from quire.core.errors import BadInput
from quire.noise.reorder import Reorder
from quire.noise.rewrite import Rewrite
from quire.noise.select import Select
from quire.objectives import Objective
from quire.paradigms.base import Paradigm
from quire.recipe import Recipe
from quire.strategies.compound import Compound
from quire.train.sampling import Sampling
from quire.tuning import Strategy

SURVEY = survey.load()
KINDS: dict[str, type[Component]] = {
    kind.name(): kind
    for kind in (Objective, Select, Rewrite, Reorder, Paradigm, Sampling, Strategy, Compound, Compressor)
}
HEADINGS = {(part, name): heading for part in SURVEY.parts for name, heading in SURVEY.parts[part].headings.items()}
COMPONENTS = sorted({component for heading in HEADINGS.values() for component in heading.components})
LEAST = {"cite": "x", "survey": "x", "train": {"steps": 1}, "backbone": {}}


def test_every_heading_that_is_built_has_a_recipe_or_a_component() -> None:
    recipes = survey.by_heading(SURVEY, recipe.names())
    built = [place for place, heading in HEADINGS.items() if heading.built]
    assert [place for place in built if not HEADINGS[place].components and place not in recipes] == []


def test_a_heading_with_something_to_show_is_built() -> None:
    recipes = survey.by_heading(SURVEY, recipe.names())
    shown = {place for place, heading in HEADINGS.items() if heading.components} | recipes.keys()
    assert {place for place, heading in HEADINGS.items() if heading.built} >= shown


@pytest.mark.parametrize("name", recipe.names())
def test_a_recipe_stands_under_headings_that_exist(name: str) -> None:
    assert SURVEY.places(recipe.load(name).survey)


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_component_that_is_named_exists(component: str) -> None:
    if "=" in component:
        kind = ["backbone.kind=star"] if component == "backbone.ring=true" else []
        path, _, value = component.partition("=")
        found = parse(Recipe, override(LEAST, [*kind, component]), where=component)
        assert getattr(found.backbone, path.removeprefix("backbone.")) == yaml.safe_load(value)
    else:
        kind_name, _, name = component.partition(" ")
        assert name in catalogue(KINDS[kind_name])


@pytest.mark.parametrize("kind", KINDS)
def test_every_component_stands_under_a_heading(kind: str) -> None:
    assert [name for name in catalogue(KINDS[kind]) if f"{kind} {name}" not in COMPONENTS] == []


@pytest.mark.parametrize(
    ("field", "says"),
    [
        ("预训练任务 / MLM, NPS", r"预训练任务 has no heading named 'NPS'; did you mean 'NSP'\?"),
        ("预训练任务 / MLM; 模型 / SOP", "no part named '模型'"),
        ("MLM", "expected `part / heading, heading`"),
    ],
)
def test_a_wrong_place_is_told(field: str, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        SURVEY.places(field)


def test_several_parts_are_read_in_order() -> None:
    assert SURVEY.places("预训练任务 / MLM, SOP; 模型压缩 / Parameter sharing") == [
        ("预训练任务", "MLM"),
        ("预训练任务", "SOP"),
        ("模型压缩", "Parameter sharing"),
    ]


def test_the_command_tells_what_stands_where() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("quire"), "list", "--by-survey"], capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("  NSP  Next sentence prediction"))
    assert "bert-base" in lines[at + 1]
    assert lines[at + 2].split() == ["components", "objective", "pair"]
    assert any(line.startswith("  CLIP  ") and line.endswith("(not built yet)") for line in lines)
