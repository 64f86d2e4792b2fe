"""Several networks that answer together: the mean of their probabilities (survey: Voted BERT)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from quire.core.errors import BadInput
from quire.predict.base import Floats, Predictor
from quire.predict.folder import RECORD, Facts, read_own, write_own
from quire.predict.network import Network


class _Facts(Facts):
    members: Annotated[int, Field(ge=1, le=100)]


class Voting(Predictor):
    """Networks of the same labels, one folder each: `member-0`, `member-1` and so on."""

    kind = "vote"

    def __init__(self, members: Sequence[Network]) -> None:
        self.members, self.labels = tuple(members), members[0].labels

    def probabilities(self, texts: Sequence[str]) -> Floats:
        mean: Floats = np.mean([member.probabilities(texts) for member in self.members], axis=0, dtype=np.float32)
        return mean

    def parameter_count(self) -> int:
        return sum(member.parameter_count() for member in self.members)

    def save(self, folder: Path, *, card: str = "") -> None:
        def networks(draft: Path) -> None:
            for number, member in enumerate(self.members):
                member.save(_home(draft, number))

        write_own(folder, self, arrays={}, facts={"members": len(self.members)}, card=card, also=networks)

    @classmethod
    def load(cls, folder: Path) -> Voting:
        facts, _ = read_own(folder, _Facts)
        members = [Network.load(_home(folder, number)) for number in range(facts.members)]
        for number, member in enumerate(members):
            if member.labels != facts.labels:
                raise BadInput(f"{_home(folder, number)}: has other labels than {RECORD}; write the folder again")
        return cls(members)


def _home(folder: Path, number: int) -> Path:
    return folder / f"member-{number}"
