"""Components, found by directory: no decorator, no registry, no import side effect.

A kind of component is an abstract class that names its `home`, a module or a package. What stands there is
the catalogue. In YAML and JSON a component is its name and its fields:

    select: {exact: 0.15}                      # a scalar goes to the first field
    rewrite: {mask: {mask: 0.8, random: 0.1}}
    select: whole_word                         # all fields at their defaults
    select: {"theirs.module:Class": {...}}     # a person's own class
"""

import inspect
import re
from abc import ABC
from collections.abc import Callable, Mapping
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, ClassVar, Self, TypeVar

from pydantic import model_serializer, model_validator

from quire.core.config import Settings
from quire.core.errors import BadInput, nearest


class Component(Settings, ABC):
    """A frozen record of settings with behaviour. Subclasses that set `home` are kinds; the rest are members."""

    home: ClassVar[str]

    @classmethod
    def name(cls) -> str:
        """The class name in snake case: what recipes and the command line call it."""
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()

    @model_validator(mode="wrap")
    @classmethod
    def _from_data(cls, data: Any, build: Callable[[Any], Self]) -> Self:
        if isinstance(data, cls):
            return data
        if "home" in cls.__dict__:  # a kind: the data names the member
            name, fields = _one_key(cls, data)
            return find(cls, name).model_validate(fields)
        if isinstance(data, Mapping) and [*data] == [cls.name()] and isinstance(data[cls.name()], Mapping):
            data = data[cls.name()]  # a member: what it writes
        if not isinstance(data, Mapping):  # a bare value is its first field
            data = {next(iter(cls.model_fields), "value"): data}
        return build(data)

    @model_serializer(mode="plain")
    def _to_data(self) -> dict[str, Any]:
        cls = type(self)
        name = cls.name() if cls.__module__.startswith("quire.") else f"{cls.__module__}:{cls.__qualname__}"
        return {name: {field: getattr(self, field) for field in cls.model_fields}}


Kind = TypeVar("Kind", bound=Component)


def _one_key(kind: type[Component], data: Any) -> tuple[str, Any]:
    if isinstance(data, str):
        return data, {}
    if isinstance(data, Mapping) and len(data) == 1:
        [(name, fields)] = data.items()
        return str(name), {} if fields is None else fields
    raise ValueError(f"expected a {kind.name()} as a name or as {{name: fields}}, got {data!r}")


def catalogue(kind: type[Kind]) -> dict[str, type[Kind]]:
    """All concrete members of `kind` that stand in its home, by name, sorted."""
    home = import_module(kind.home)
    modules = [home]
    for entry in iter_modules(getattr(home, "__path__", [])):
        modules.append(import_module(f"{kind.home}.{entry.name}"))
    found = {
        member.name(): member
        for module in modules
        for member in vars(module).values()
        if inspect.isclass(member)
        and issubclass(member, kind)
        and member.__module__ == module.__name__
        and "home" not in member.__dict__
        and not inspect.isabstract(member)
    }
    return dict(sorted(found.items()))


def find(kind: type[Kind], name: str) -> type[Kind]:
    """The member of `kind` called `name`, or the class at `"module:Class"`."""
    if ":" in name:
        module, _, attribute = name.partition(":")
        try:
            member = getattr(import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise BadInput(f"{name}: cannot import this {kind.name()}: {error}") from error
        if not (inspect.isclass(member) and issubclass(member, kind)):
            raise BadInput(f"{name}: not a {kind.name()}; subclass {kind.__module__}.{kind.__name__}")
        return member
    known = catalogue(kind)
    if name not in known:
        raise ValueError(f"no {kind.name()} named {name!r}{nearest(name, known)}")
    return known[name]
