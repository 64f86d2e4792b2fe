"""The one way to the templates: strict about missing names, and HTML is escaped unless marked safe."""

from collections.abc import Mapping
from typing import Any

from quire.report import words


def fill(name: str, content: Mapping[str, Any]) -> str:
    """The template called `name` filled with `content`; the functions of `words` stand ready in it."""
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    environment = Environment(
        loader=PackageLoader("quire.report"),
        autoescape=select_autoescape(["html.j2"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(name).render(content, words=words)
