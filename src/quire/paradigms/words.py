"""What labels are called in a text: in the words that are given, or by their names."""

from collections.abc import Mapping, Sequence

from quire.core.errors import BadInput, nearest
from quire.core.example import Passage, World


def in_words(label: str) -> str:
    """`not_entailment` -> `not entailment`."""
    return " ".join(label.replace("_", " ").replace("-", " ").split()) or label


def called(labels: Sequence[str], given: Mapping[str, str]) -> list[str]:
    """What each label is called. ValueError where a label is unknown, stands there twice, or is left out of `given`."""
    if twice := sorted({label for label in labels if [*labels].count(label) > 1}):
        raise ValueError(f"the label {twice[0]!r} is there twice; give each another name")
    for label in given:
        if label not in labels:
            raise ValueError(f"no label {label!r}{nearest(label, labels)}")
    if given and (missing := [label for label in labels if label not in given]):
        raise ValueError(f"nothing for the label {missing[0]!r}; name all labels, or none to call them by their names")
    return [given.get(label) or in_words(label) for label in labels]


def spelled(labels: Sequence[str], texts: Sequence[str], world: World) -> list[Passage]:
    """The texts as tokens; BadInput where one has none, or two have the same."""
    found = [world.spelled(text) for text in texts]
    seen: dict[tuple[int, ...], str] = {}
    for label, text, passage in zip(labels, texts, found, strict=True):
        tokens = tuple(passage.tokens.tolist())
        if not tokens:
            raise BadInput(f"the label {label!r} is called {text!r}, which has no tokens; find words for it")
        if tokens in seen:
            raise BadInput(f"the labels {seen[tokens]!r} and {label!r} are the same in tokens ({text!r}); change one")
        seen[tokens] = label
    return found
