"""A Bag is a Backbone of any width, in YAML and back, with nothing of a layer."""

import pytest
import yaml

from quire.core.bodies import Bag
from quire.core.config import parse, write_yaml
from quire.core.errors import BadInput
from quire.core.spec import Backbone
from quire.recipe import Recipe

LEAST = {"cite": "me 2026", "survey": "x", "train": {"steps": 5}}


def test_a_recipe_with_a_bag_survives_yaml_and_shrinking() -> None:
    found = parse(Recipe, {**LEAST, "backbone": {"kind": "bag", "width": 99}}, where="x")
    assert found.backbone == Bag(width=99)
    for recipe in (found, found.shrunk()):
        assert isinstance(recipe.backbone, Bag)
        assert (recipe.backbone.depth, recipe.backbone.heads, recipe.backbone.dropout) == (0, 1, 0.0)
        assert parse(Recipe, yaml.safe_load(write_yaml(recipe)), where="x") == recipe


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"depth": 2}, "x: depth: a bag of tokens has none; leave it out"),
        ({"embedding_norm": True}, "x: embedding_norm: a bag of tokens has none; leave it out"),
        ({"position": "learned"}, "x.position: Input should be 'none', got 'learned'"),
    ],
)
def test_what_only_layers_have_is_refused(change: dict[str, object], says: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse(Backbone, {"kind": "bag", **change}, where="x")
    assert str(caught.value) == says
