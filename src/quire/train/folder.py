"""Run folders: whose they are, that the same command goes on, and how long it all took."""

import json
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import NonNegativeFloat

from quire.core.config import Settings, parse
from quire.core.errors import BadInput
from quire.train.safe import read_json, write_whole

RECIPE, IDENTITY, SPENT = "recipe.yaml", "run.json", "spent.json"


class _Spent(Settings):
    seconds: NonNegativeFloat = 0.0


@dataclass
class Clock:
    """Seconds of a job in all processes that took it up, where it has a run folder; else in this one.

    As a context it keeps them when the job ends or stops; `keep` does so between, for a process that is killed.
    """

    folder: Path | None = None
    before: float = field(init=False, default=0.0)
    began: float = field(init=False, default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        if self.folder and (path := self.folder / SPENT).exists():
            self.before = parse(_Spent, read_json(path), where=str(path)).seconds

    def elapsed(self) -> float:
        return self.before + time.perf_counter() - self.began

    def keep(self) -> None:
        if self.folder:
            write_whole(self.folder / SPENT, json.dumps({"seconds": round(self.elapsed(), 3)}))

    def __enter__(self) -> "Clock":
        return self

    def __exit__(self, *_: object) -> None:
        self.keep()


@contextmanager
def prepared(folder: Path, recipe: str, *, identity: Mapping[str, Any]) -> Iterator[Path]:
    """Make the run folder, or take up one of the same run: equal `recipe` (YAML text) and `identity` (JSON).

    The block prepares what the run needs. When that turns out to be bad input, a folder that was made for it here
    goes again, so that the mended command can use the same name. Raises BadInput when the folder belongs to another
    run, holds other things, or cannot be written.
    """
    stood = folder.exists()
    try:
        yield _claimed(folder, recipe, identity)
    except BadInput:
        if not stood:
            shutil.rmtree(folder, ignore_errors=True)
        raise


def _claimed(folder: Path, recipe: str, identity: Mapping[str, Any]) -> Path:
    whole = {"recipe": recipe, **json.loads(json.dumps(identity))}
    record = folder / IDENTITY
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"{folder}: is a file; give another --out")
    try:
        if record.exists():
            before = read_json(record)
            changed = [key for key, value in whole.items() if before.get(key) != value]
            if changed:
                raise BadInput(f"{folder}: a run with other settings ({', '.join(changed)}); give another --out")
            return folder
        if folder.exists() and any(path.name not in (RECIPE, f"{IDENTITY}.tmp") for path in folder.iterdir()):
            raise BadInput(f"{folder}: exists and is no run of Quire; give another --out")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / RECIPE).write_text(recipe, encoding="utf-8")
        write_whole(record, json.dumps(whole, ensure_ascii=False, indent=2))
    except OSError as error:
        why = error.strerror or str(error)
        raise BadInput(f"{folder}: cannot be written: {why}; free some space or give another --out") from error
    return folder
