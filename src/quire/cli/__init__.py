"""The command line: a file for each group of verbs, brought together here.

Nothing heavy is imported before a verb needs it, so that `quire --help` is quick.
"""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

import typer

from quire.cli import adapt, compare, data, evaluate, explain, export, finetune, predict, pretrain, recipes
from quire.core.errors import BadInput, Ignored, QuireError

app = typer.Typer(
    help="From your own text and labels to the best small model, and proof of it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for verbs in (adapt, predict, evaluate, export, pretrain, finetune, compare, recipes):
    app.add_typer(verbs.app)
app.add_typer(data.app, name="data")
app.add_typer(explain.app, name="explain")


def main() -> None:
    """Run the command line; errors that Quire raises on purpose are one line and their exit code."""
    try:
        with _told():
            app(standalone_mode=True)
    except QuireError as error:
        sys.stderr.write(f"quire: {error}\n")
        sys.exit(error.exit_code)
    except OSError as error:
        if error.errno is None:
            raise
        sys.stderr.write(f"quire: {error.filename or 'output'}: {error.strerror}; nothing more was written\n")
        sys.exit(BadInput.exit_code)


@contextmanager
def _told() -> Iterator[None]:
    """What is ignored in a person's files is one line; other warnings look as Python shows them."""
    with warnings.catch_warnings():  # it puts showwarning back
        plain = warnings.showwarning

        def show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if issubclass(category, Ignored):
                sys.stderr.write(f"quire: {message}\n")
            else:
                plain(message, category, filename, lineno, file, line)

        warnings.showwarning = show
        yield
