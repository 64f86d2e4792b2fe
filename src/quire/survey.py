"""The survey's headings, and the recipes and components that stand under each: `quire list --by-survey`.

`survey.yaml` holds the headings. A recipe names those it belongs to in its field `survey`:

    survey: 预训练任务 / MLM, NSP                               part / heading, heading
    survey: 预训练任务 / MLM, SOP; 模型压缩 / Parameter sharing     and another part
"""

from collections.abc import Iterable, Iterator, Mapping
from importlib.resources import files
from pathlib import Path

from quire import recipe
from quire.core.config import Settings, parse, read_yaml
from quire.core.errors import BadInput, nearest


class Heading(Settings):
    """A task, a model or a method that the survey has a heading for."""

    english: str
    built: bool = False
    components: tuple[str, ...] = ()
    """A kind and a name (`objective mlm`), or a setting of a recipe (`backbone.score=additive`)."""


class Part(Settings):
    """A part of the survey and its headings, in order."""

    english: str
    headings: Mapping[str, Heading]


class Survey(Settings):
    """All parts, in order."""

    parts: Mapping[str, Part]

    def places(self, field: str) -> list[tuple[str, str]]:
        """(part, heading) pairs that a recipe's `survey` names; BadInput for one that the survey has not."""
        found = []
        for group in field.split(";"):
            part, slash, names = (piece.strip() for piece in group.partition("/"))
            if not slash:
                raise BadInput(f"survey {field!r}: expected `part / heading, heading`, for instance 预训练任务 / MLM")
            if part not in self.parts:
                raise BadInput(f"survey: no part named {part!r}{nearest(part, self.parts)}")
            for name in (name.strip() for name in names.split(",")):
                if name not in self.parts[part].headings:
                    known = self.parts[part].headings
                    raise BadInput(f"survey: {part} has no heading named {name!r}{nearest(name, known)}")
                found.append((part, name))
        return found


def load() -> Survey:
    """The survey as it comes with Quire."""
    path = Path(str(files("quire") / "survey.yaml"))
    return parse(Survey, read_yaml(path), where=path.name)


def by_heading(survey: Survey, names: Iterable[str]) -> dict[tuple[str, str], list[str]]:
    """(part, heading) -> the recipes called `names` that stand there."""
    found: dict[tuple[str, str], list[str]] = {}
    for name in names:
        for place in survey.places(recipe.load(name).survey):
            found.setdefault(place, []).append(name)
    return found


def listing() -> Iterator[str]:
    """Lines that tell for every heading what is there."""
    survey = load()
    recipes = by_heading(survey, recipe.names())
    for title, part in survey.parts.items():
        yield f"\n{title}  {part.english}"
        for name, heading in part.headings.items():
            yield f"  {name}  {heading.english}" + ("" if heading.built else "  (not built yet)")
            if (title, name) in recipes:
                yield f"      recipes     {', '.join(recipes[title, name])}"
            if heading.components:
                yield f"      components  {', '.join(heading.components)}"
