"""The text that a base may go on with: of training sets and corpora, never of a dev or test set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from quire.adapt.task import Task
from quire.text.audit import Banned
from quire.text.records import iter_texts


@dataclass(frozen=True)
class Texts:
    """The text of each set, without what equals or holds a dev or test text of any task.

    A source serves every task, so what is held out in one is held out in all (the authors' script for AG's News wrote
    test text into what was pre-trained on).
    """

    tasks: Mapping[str, Task]
    corpora: Mapping[str, str]
    text_column: str

    @cached_property
    def held_out(self) -> Banned:
        return Banned(text for part in self._parts() for text in part)

    def _parts(self) -> Iterator[list[str]]:
        return (part.texts for task in self.tasks.values() for part in (task.dev, task.test))

    def of(self, sets: Iterable[str]) -> Iterator[str]:
        """The text of these sets, one after another."""
        return (text for name in sets for text in self._whole(name) if text not in self.held_out)

    def _whole(self, name: str) -> Iterable[str]:
        if name in self.tasks:
            return self.tasks[name].train.texts
        return iter_texts(self.corpora[name], text_column=self.text_column)

    @cached_property
    def proof(self) -> str:
        """One line for the reports, from a pass over all text."""
        sets = (*self.tasks, *self.corpora)
        whole = sum(1 for name in sets for _ in self._whole(name))
        kept = sum(1 for _ in self.of(sets))
        return (
            f"No dev or test text of any task is in what was pre-trained on: {kept:,} documents were compared with "
            f"{sum(map(len, self._parts())):,} held-out texts after folding case and blanks, and {whole - kept:,} that "
            f"equalled or contained one were left out."
        )
