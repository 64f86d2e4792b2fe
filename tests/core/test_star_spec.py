"""A Star is a Backbone in YAML, in JSON and in the errors' paths."""

import pytest
import yaml

from quire.core.bodies import Star
from quire.core.config import parse, write_yaml
from quire.core.errors import BadInput
from quire.core.spec import Backbone
from quire.recipe import Recipe

LEAST = {"cite": "me 2026", "survey": "x", "train": {"steps": 5}}


def test_data_with_its_kind_becomes_a_star_where_a_backbone_is_expected() -> None:
    found = parse(Backbone, {"kind": "star", "depth": 2, "ring": True}, where="x")
    assert found == Star(depth=2, ring=True)
    assert type(parse(Backbone, {"kind": "transformer"}, where="x")) is type(parse(Backbone, {}, where="x")) is Backbone


def test_a_recipe_with_a_star_survives_yaml_and_shrinking() -> None:
    found = parse(Recipe, {**LEAST, "backbone": {"kind": "star", "ring": True}}, where="x")
    for recipe in (found, found.shrunk()):
        assert isinstance(recipe.backbone, Star)
        assert recipe.backbone.ring
        assert parse(Recipe, yaml.safe_load(write_yaml(recipe)), where="x") == recipe


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"ffn": 64}, "x.backbone: ffn: a Star-Transformer has none; leave it out"),
        (
            {"position": "rotary"},
            "x.backbone.position: Input should be 'learned', 'sinusoidal' or 'none', got 'rotary'",
        ),
        ({"heads": 5}, "x.backbone: width 768 is not a multiple of heads 5"),
        ({"depth": 0}, "x.backbone.depth: Input should be greater than 0, got '0'"),
        ({"rung": True}, "x.backbone: unknown field 'rung'; did you mean 'ring'?"),
        ({"kind": "str"}, "x.backbone: no kind of backbone named 'str'; did you mean 'star'?"),
    ],
)
def test_mistakes_keep_their_path(change: dict[str, object], says: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse(Recipe, {**LEAST, "backbone": {"kind": "star", **change}}, where="x")
    assert str(caught.value) == says


def test_what_the_relay_would_tell_is_refused_when_planning() -> None:
    modes = {"shape": "sentence-pairs", "modes": [{"sees": "full"}, {"sees": "causal", "segments": [1]}]}
    with pytest.raises(
        BadInput, match=r"x: data\.modes: everyone sees everyone through the relay, whatever a mode hides; leave"
    ):
        parse(Recipe, {**LEAST, "backbone": {"kind": "star"}, "data": modes}, where="x")
