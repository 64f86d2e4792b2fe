"""The command line: `python -m benchmarks.transfer OUT [--study strategies]`.

A study that is finished is not made again, and one that was stopped goes on. Each writes `OUT/<study>.md` and says how
long it trained.
"""

from collections.abc import Mapping

from benchmarks import studies
from benchmarks.transfer import long_texts, paradigms, sharing, strategies, structures
from benchmarks.transfer.scale import Scale

STUDIES: Mapping[str, studies.Found[Scale]] = {
    "strategies": strategies.run,
    "paradigms": paradigms.run,
    "long-texts": long_texts.run,
    "structures": structures.run,
    "sharing": sharing.run,
}

if __name__ == "__main__":
    studies.run("transfer", STUDIES, Scale())
