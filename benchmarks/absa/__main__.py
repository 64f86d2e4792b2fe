"""The command line: `python -m benchmarks.absa OUT [--study auxiliary]`.

A study that is finished is not made again, and one that was stopped goes on. Each writes `OUT/<study>.md` and says how
long it trained.
"""

from collections.abc import Mapping

from benchmarks import studies
from benchmarks.absa import auxiliary, subtasks, triplets
from benchmarks.absa.scale import Scale

STUDIES: Mapping[str, studies.Found[Scale]] = {
    "auxiliary": auxiliary.run,
    "triplets": triplets.run,
    "subtasks": subtasks.run,
}

if __name__ == "__main__":
    studies.run("absa", STUDIES, Scale())
