"""The command line: `python -m benchmarks.keep runs/transfer benchmarks/kept/transfer`.

Keeps what the studies of a page found, so that its tables can be judged anew, and a study goes on elsewhere: copied
back to where it was found, what is finished is not made again. No text is among it, and no probability.
"""

from pathlib import Path

import typer

from quire.core.results import Study
from quire.train.safe import write_whole


def main(found: Path, kept: Path) -> None:
    """Copy the results below `found` to the same places below `kept`."""
    for path in sorted(found.rglob("results.json")):
        place = kept / path.relative_to(found)
        place.parent.mkdir(parents=True, exist_ok=True)
        write_whole(place, leaner(Study.from_json(path.read_text(encoding="utf-8"), where=str(path))).to_json())


def leaner(study: Study) -> Study:
    """Without probabilities and curves, and without where it was found."""
    arms = tuple(arm.model_copy(update={"probabilities": None, "curves": ()}) for arm in study.arms)
    environment = study.environment.model_copy(update={"command": ""})
    return study.model_copy(update={"arms": arms, "environment": environment, "usage": {}})


if __name__ == "__main__":
    typer.run(main)
