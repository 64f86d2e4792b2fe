"""The command line: `python -m benchmarks.keep runs/transfer benchmarks/kept/transfer`.

Keeps what the studies of a page found, so that its tables can be judged anew, and a study goes on elsewhere: copied
back (`cp -r benchmarks/kept/transfer runs/`), what is finished is not made again by `python -m benchmarks.transfer
runs/transfer`. No text is among it, and no probability.
"""

from pathlib import Path

import typer

from quire.core.results import Study
from quire.train.folder import IDENTITY, RECIPE
from quire.train.safe import write_whole

RESULTS = "results.json"


def main(found: Path, kept: Path) -> None:
    """Copy the results below `found` to the same places below `kept`."""
    for path in sorted(path for name in (RESULTS, RECIPE, IDENTITY) for path in found.rglob(name)):
        text = path.read_text(encoding="utf-8")
        if path.name == RESULTS:
            text = leaner(Study.from_json(text, where=str(path))).to_json()
        place = kept / path.relative_to(found)
        place.parent.mkdir(parents=True, exist_ok=True)
        write_whole(place, text.replace(str(found), f"runs/{kept.name}"))


def leaner(study: Study) -> Study:
    """Without probabilities and curves, and without where it was found."""
    arms = tuple(arm.model_copy(update={"probabilities": None, "curves": ()}) for arm in study.arms)
    environment = study.environment.model_copy(update={"command": ""})
    return study.model_copy(update={"arms": arms, "environment": environment, "usage": {}})


if __name__ == "__main__":
    typer.run(main)
