"""Settings from YAML: what is read back is equal, and every mistake is one line with its path."""

from pathlib import Path

import pytest
from pydantic import Field

from quire.core.config import Settings, override, parse, read_yaml, write_yaml
from quire.core.errors import BadInput
from quire.noise.select import Select


class Inner(Settings):
    rate: float = 0.5
    sizes: tuple[int, ...] = (1, 2)


class Outer(Settings):
    name: str
    inner: Inner = Inner()
    select: Select | None = None
    steps: int = Field(default=3, gt=0)


def failure(data: object) -> str:
    with pytest.raises(BadInput) as caught:
        parse(Outer, data, where="my.yaml")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_record_survives_yaml(tmp_path: Path) -> None:
    record = parse(Outer, {"name": "中文", "inner": {"rate": 1e-4, "sizes": [3]}, "select": {"exact": 0.2}}, where="x")
    path = tmp_path / "a.yaml"
    path.write_text(write_yaml(record), encoding="utf-8")
    assert parse(Outer, read_yaml(path), where="x") == record
    assert "中文" in path.read_text(encoding="utf-8")


def test_a_number_that_yaml_reads_as_text_becomes_a_float(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("name: a\ninner: {rate: 1e-4}\nsteps: 1_000\n")
    record = parse(Outer, read_yaml(tmp_path / "a.yaml"), where="x")
    assert (record.inner.rate, record.steps) == (1e-4, 1000)


def test_mistakes_carry_path_and_nearest_name() -> None:
    assert failure({"name": "a", "inner": {"rat": 1}}) == "my.yaml.inner: unknown field 'rat'; did you mean 'rate'?"
    assert failure({"name": "a", "steps": 0}).startswith("my.yaml.steps: Input should be greater than 0, got '0'")
    assert "my.yaml.inner.sizes.1" in failure({"name": "a", "inner": {"sizes": [1, "x"]}})
    both = failure({"steps": 0})
    assert "my.yaml.name: Field required" in both
    assert "my.yaml.steps" in both


def test_mistakes_inside_a_component_carry_the_whole_path() -> None:
    assert "my.yaml.select: no select named 'exakt'; did you mean 'exact'?" in failure({"name": "a", "select": "exakt"})
    message = failure({"name": "a", "select": {"exact": {"rat": 1}}})
    assert "my.yaml.select" in message
    assert "unknown field 'rat'; did you mean 'rate'?" in message
    assert "rate: Input should be less than 1" in failure({"name": "a", "select": {"exact": 1.5}})


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Inner().rate = 1.0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("content", "says"), [(None, "no such file"), (b"a: [1", "not valid YAML"), (b"\xff\xfe\x00", "cannot be read")]
)
def test_files_that_cannot_be_read_are_one_line(tmp_path: Path, content: bytes | None, says: str) -> None:
    path = tmp_path / "a.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadInput, match=says) as caught:
        read_yaml(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_override_sets_deeply_and_leaves_the_original_alone() -> None:
    data = {"a": {"b": 1}, "list": [{"x": 1}, {"x": 2}]}
    changed = override(data, ["a.b=2", "a.c.d=[1, 2]", "list.1.x=null", "new=yes please"])
    assert changed == {
        "a": {"b": 2, "c": {"d": [1, 2]}},
        "list": [{"x": 1}, {"x": None}],
        "new": "yes please",
    }
    assert data == {"a": {"b": 1}, "list": [{"x": 1}, {"x": 2}]}


@pytest.mark.parametrize("wrong", ["a", "=1", "list.7=1", "list.x=1", "a.b.c=1", "a=[1"])
def test_override_refuses_in_one_line(wrong: str) -> None:
    with pytest.raises(BadInput, match="--set") as caught:
        override({"a": {"b": 1}, "list": [1]}, [wrong])
    assert "\n" not in str(caught.value)
