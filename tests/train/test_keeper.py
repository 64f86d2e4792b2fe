"""The best moments of a run: what is written of them."""

from pathlib import Path

import pytest
from safetensors.torch import load_file

from quire.core.heads import SequenceHead
from quire.core.spec import Backbone
from quire.nn.model import Model
from quire.train.keeper import Keeper
from quire.tuning.distil import Sda


@pytest.mark.parametrize("heads", [None, {"one": "one"}])
def test_what_a_strategy_remembers_is_not_kept(tiny: Backbone, tmp_path: Path, heads: dict[str, str] | None) -> None:
    model = Model(tiny, {"one": SequenceHead(outputs=2), "two": SequenceHead(outputs=2)})
    own = {name for name in model.state_dict() if heads is None or not name.startswith("heads.two.")}
    Sda(window=3).prepare(model)
    keeper = Keeper(model, tmp_path, lambda: {"one": 0.5}, heads=heads)
    keeper(0)
    assert load_file(keeper.weights_of("one")).keys() == own
