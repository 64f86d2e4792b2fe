"""Fine-tune a generator on a person's pairs of texts, and score what it writes: translation, summarisation.

A run folder holds the settings, the log and checkpoints, `model/`, `written.jsonl` (every test source, what was written
for it, and the reference) and `results.json`. The test pairs are read once, when training has ended.
"""

from __future__ import annotations

from pathlib import Path

from quire.core.config import parse, write_yaml
from quire.finetune.job import FineTuning, Outcome, reopened
from quire.finetune.settings import FinetuneSettings, from_nothing
from quire.finetune.solving import Solved, solve
from quire.finetune.splits import read_splits
from quire.recipe import NetworkSize
from quire.text.cut import Piece
from quire.train.folder import prepared
from quire.train.progress import Progress, Silent
from quire.train.signals import StopRequest

__all__ = ["FinetuneSettings", "Outcome", "Solved", "finetune", "solve"]


def finetune(
    train: str | Path,
    *,
    out: str | Path,
    dev: str | Path | None = None,
    test: str | Path | None = None,
    source_column: str = "source",
    target_column: str = "target",
    start: str | None = None,
    recipe: str | Path | None = None,
    size: NetworkSize = "tiny",
    vocab: int = 8000,
    epochs: int = 3,
    batch: int = 32,
    lr: float = 5e-4,
    smoothing: float = 0.1,
    length: int = 128,
    cut: Piece = "head",
    limit: int | None = None,
    beam: int = 1,
    length_penalty: float = 1.0,
    seed: int = 0,
    progress: Progress | None = None,
    stop: StopRequest | None = None,
) -> Outcome:
    """Learn to write the target column from the source column; `out` becomes the run folder.

    `start` is the folder of a model that writes: with a decoder, or a language model. Without it, `recipe` is built
    anew at a common `size`, with a tokenizer of `vocab` tokens trained on the training pairs. `length` counts tokens of
    a source and of a target; `limit` (by default `length` - 1), `beam` and `length_penalty` say how texts are written.
    A folder of the same run goes on where it was stopped; BadInput for one of another run.
    """
    given = {"train": train, "dev": dev, "test": test}
    files = {name: str(path) for name, path in given.items() if path is not None}
    data = {
        "files": {**files, "source_column": source_column, "target_column": target_column},
        "start": start,
        "recipe": from_nothing(recipe, size=size, length=length, vocab=vocab),
        "epochs": epochs,
        "train": {"steps": 1, "batch": batch, "lr": lr, "checkpoint_every": 200, "keep": 1},
        "smoothing": smoothing,
        "length": length,
        "cut": cut,
        "search": {
            "limit": length - 1 if limit is None else limit,
            "beam": beam,
            "length_penalty": length_penalty,
        },
        "seed": seed,
    }
    settings = parse(FinetuneSettings, data, where="finetune")
    splits = read_splits(settings)
    progress = progress or Silent()
    with prepared(Path(out), write_yaml(settings), identity={"data": splits.hashes}) as folder:
        if (found := reopened(folder)) is not None:
            return found
        begun = FineTuning.begun(settings, splits, folder, progress)
    return begun.execute(stop)
