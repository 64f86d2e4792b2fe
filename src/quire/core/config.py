"""YAML or plain data to frozen records; every error carries its path and the nearest known name."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from quire.core.errors import BadInput, nearest


class Settings(BaseModel):
    """Base of all settings: frozen, and an unknown field is an error that names the nearest known one."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    @model_validator(mode="before")
    @classmethod
    def _known_fields(cls, data: Any) -> Any:
        for field in data if isinstance(data, Mapping) else ():
            if field not in cls.model_fields:
                raise ValueError(f"unknown field {field!r}{nearest(str(field), cls.model_fields)}")
        return data


Model = TypeVar("Model", bound=BaseModel)


def read_yaml(path: Path) -> Any:
    """The content of a YAML file, safely loaded; numbers like `1e-4`, text in YAML 1.1, are made floats later."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadInput(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise BadInput(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error


def write_yaml(record: BaseModel) -> str:
    """The record as YAML that `parse` reads back to an equal record."""
    return yaml.safe_dump(record.model_dump(mode="json", exclude_none=True), sort_keys=False, allow_unicode=True)


def parse(model: type[Model], data: Any, *, where: str) -> Model:
    """Validate `data` as `model`; a BadInput names each wrong path and, for a name, the nearest known one."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise BadInput("; ".join(_explain(error, where))) from error


def _explain(error: ValidationError, where: str) -> Iterator[str]:
    for issue in error.errors():
        path = ".".join([where, *map(str, issue["loc"])])
        cause = issue.get("ctx", {}).get("error")
        if isinstance(cause, ValidationError):  # a component inside: its own paths go on from here
            yield from _explain(cause, path)
        else:
            message = issue["msg"].removeprefix("Value error, ")
            yield f"{path}: {message}" if cause else f"{path}: {message}, got {str(issue['input'])[:60]!r}"


def override(data: Any, assignments: list[str]) -> Any:
    """Apply `a.b=value` assignments (values are YAML) to nested data, as `--set` does; returns new data."""
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals or not path:
            raise BadInput(f"--set {assignment}: expected path=value, for instance train.steps=100")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise BadInput(f"--set {assignment}: not valid YAML: {' '.join(str(error).split())}") from error
        data = _assigned(data, path.split("."), value, assignment)
    return data


def _assigned(data: Any, path: list[str], value: Any, assignment: str) -> Any:
    if not path:
        return value
    head, *rest = path
    if isinstance(data, list):
        if not head.isdigit() or int(head) >= len(data):
            raise BadInput(f"--set {assignment}: {head!r} is no index of a list of {len(data)}")
        return [_assigned(v, rest, value, assignment) if i == int(head) else v for i, v in enumerate(data)]
    if not isinstance(data, Mapping | None):
        raise BadInput(f"--set {assignment}: nothing lies under {data!r}")
    return {**(data or {}), head: _assigned((data or {}).get(head), rest, value, assignment)}
