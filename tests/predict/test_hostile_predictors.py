"""What Quire wrote beside its models, and somebody changed: one line, whatever it says."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.predict.test_predictors import LABELS, TEXTS, make, network, tokenizer

import quire
from quire.core.errors import BadInput
from quire.predict.folder import ARRAYS, RECORD
from quire.predict.network import Network
from quire.train.safe import read_tensors, write_tensors

__all__ = ["network", "tokenizer"]  # fixtures

GONE = object()


def put(name: str, path: tuple[Any, ...], value: Any) -> Callable[[Path], None]:
    """Another value in a JSON file, or none."""

    def change(folder: Path) -> None:
        whole = content = json.loads((folder / name).read_text("utf-8"))
        for key in path[:-1]:
            content = content[key]
        if value is GONE:
            del content[path[-1]]
        else:
            content[path[-1]] = value
        (folder / name).write_text(json.dumps(whole), encoding="utf-8")

    return change


def spoilt(name: str, *, shorter: bool = False) -> Callable[[Path], None]:
    """An array with a NaN, or a row less."""

    def change(folder: Path) -> None:
        arrays = read_tensors(folder / ARRAYS)
        if shorter:
            arrays[name] = arrays[name][:-1]
        else:
            arrays[name].view(-1)[0] = np.nan
        write_tensors(folder / ARRAYS, arrays)

    return change


OWN = "quire.json"
CASES: list[tuple[str, Callable[[Path], None], str]] = [
    ("majority", put(RECORD, ("predictor",), ["x"]), "unknown predictor"),
    ("majority", put(RECORD, ("labels", 0), ["x"]), "labels.0: Input should be a valid string"),
    ("majority", put(RECORD, ("labels",), []), "labels: Tuple should have at least 1 item"),
    ("majority", put(RECORD, ("labels",), ["a", "a", "b"]), "labels: a name that stands there twice"),
    ("majority", put(RECORD, ("labels",), ["a", "b"]), r"'shares' has the shape \[3\], predictor.json asks for \[2\]"),
    ("majority", spoilt("shares"), "'shares' holds NaN or infinity"),
    ("tfidf", put(RECORD, ("vocabulary",), GONE), "vocabulary: Field required"),
    ("tfidf", put(RECORD, ("vocabulary", 3), -1), "vocabulary.3: Input should be a valid string"),
    ("tfidf", put(RECORD, ("analyzer",), "os:system"), "analyzer: Input should be 'word' or 'char'"),
    ("tfidf", spoilt("idf", shorter=True), "'idf' has the shape"),
    ("features", put(RECORD, ("length",), "x"), "length: Input should be a valid integer"),
    ("features", put(RECORD, ("length",), 10**9), "length: 1000000000, and the model has 40 positions"),
    ("features", put(RECORD, ("cut",), "middle"), "cut: Input should be 'head'"),
    ("features", spoilt("coef", shorter=True), "'coef' has the shape"),
    ("int8", put(RECORD, ("plan",), GONE), "plan: Field required"),
    ("int8", put(RECORD, ("plan", "linears", 0), "os:system"), "the plan names what the model does not have"),
    ("int8", put(RECORD, ("plan", "tables", 0), "heads.classify"), "the plan names what the model does not have"),
    ("int8", put(RECORD, ("backbone", "ffn"), 2**31 - 1), "asks for more weights than there are"),
    ("int8", put(RECORD, ("backbone", "ffn"), 19), "the weights do not fit predictor.json"),
    ("int8", put(RECORD, ("backbone", "depth"), 10**9), "depth: Input should be less than or equal to 1000"),
    ("int8", spoilt("heads.classify.out.weight"), "holds NaN or infinity"),
    ("vote", put(RECORD, ("labels",), ["a", "b", "c"]), "member-0: has other labels than predictor.json"),
    ("vote", put(RECORD, ("members",), 4), "member-3.*no such"),
    ("vote", put(RECORD, ("members",), 10**9), "members: Input should be less than or equal to 100"),
    ("vote", put(RECORD, ("members",), 0), "members: Input should be greater than or equal to 1"),
    ("network", put(OWN, ("extra", "length"), 1), "length: Input should be greater than or equal to 2"),
    ("network", put(OWN, ("extra", "length"), 41), "length: 41, and the model has 40 positions"),
    ("network", put(OWN, ("extra", "cut"), []), "cut: Input should be 'head'"),
    ("network", put(OWN, ("labels",), ["a", "b"]), "2 different labels for 3 outputs"),
    ("network", put(OWN, ("labels",), ["a", "b", "a"]), "2 different labels for 3 outputs"),
    ("network", put(OWN, ("heads", "classify", "kind"), "token"), "classify.token"),
    ("network", put(OWN, ("backbone", "init_std"), -1), "init_std: Input should be greater than 0"),
    ("network", put(OWN, ("backbone", "kind"), "os:system"), "no kind of backbone named 'os:system'"),
    ("network", put(OWN, ("heads", "more"), {"kind": "token", "of": "x"}), "head 'more' stands on 'x', which is not"),
    ("network", put(OWN, ("heads", "more"), {"kind": "token", "of": "decoder"}), "'more' stands on 'decoder', which"),
]


@pytest.mark.parametrize(("kind", "change", "message"), CASES, ids=[f"{k}: {m[:30]}" for k, _, m in CASES])
def test_a_changed_folder_of_ours_is_one_line(
    kind: str, change: Callable[[Path], None], message: str, network: Network, tmp_path: Path
) -> None:
    make(kind, network).save(tmp_path / "m")
    assert quire.load(tmp_path / "m")(TEXTS[0]).label in LABELS
    change(tmp_path / "m")
    with pytest.raises(BadInput, match=message) as caught:
        quire.load(tmp_path / "m")
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)
