"""The command line: `python -m benchmarks.keep runs/transfer benchmarks/kept/transfer`.

Keeps what the studies of a page found, so that its tables can be judged anew, and a study goes on elsewhere: copied
back (`cp -r benchmarks/kept/transfer runs/`), what is finished is not made again by `python -m benchmarks.transfer
runs/transfer`. No text is among it, and no probability.
"""

import json
from pathlib import Path

import typer

from quire.core.config import parse
from quire.core.results import Study
from quire.multitask.job import Results
from quire.train.folder import IDENTITY, RECIPE
from quire.train.safe import write_whole

RESULTS = "results.json"


def main(found: Path, kept: Path) -> None:
    """Copy the results below `found` to the same places below `kept`."""
    for path in sorted(path for name in (RESULTS, RECIPE, IDENTITY) for path in found.rglob(name)):
        text = path.read_text(encoding="utf-8")
        if path.name == RESULTS:
            text = lean(text, where=str(path))
        place = kept / path.relative_to(found)
        place.parent.mkdir(parents=True, exist_ok=True)
        write_whole(place, text.replace(str(found), f"runs/{kept.name}"))


def lean(text: str, *, where: str) -> str:
    """What is kept of a `results.json`: of one study, or of those of tasks that share."""
    if "studies" not in (data := json.loads(text)):
        return leaner(Study.from_json(text, where=where)).to_json()
    found = parse(Results, data, where=where)
    update = {"studies": {name: leaner(study) for name, study in found.studies.items()}}
    return found.model_copy(update=update).model_dump_json()


def leaner(study: Study) -> Study:
    """Without texts, probabilities and curves, and without where it was found."""
    arms = tuple(arm.model_copy(update={"probabilities": None, "curves": ()}) for arm in study.arms)
    environment = study.environment.model_copy(update={"command": ""})
    return study.model_copy(update={"arms": arms, "environment": environment, "usage": {}, "texts": {}})


if __name__ == "__main__":
    typer.run(main)
