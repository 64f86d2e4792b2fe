"""Parts of a labelled data set: a stratified split, and a few labels a class."""

from collections import defaultdict
from collections.abc import Callable, Sequence

from quire.core.errors import BadInput
from quire.core.random import Rng, rng
from quire.text.audit import normalised
from quire.text.records import Record


def split(records: Sequence[Record], *, share: float, seed: int) -> tuple[list[Record], list[Record]]:
    """Part the records into the rest and about `share` of each class, a function of records, share and seed alone.

    Records with the same text, after `normalised`, stay together and count under the label of the first of them;
    each class that has two texts or more is in both parts. The order of the records is kept.
    """
    if not 0 < share < 1:
        raise BadInput(f"a split needs a share between 0 and 1, got {share}")
    same_text: defaultdict[str, list[int]] = defaultdict(list)
    for i, record in enumerate(records):
        same_text[normalised(record.text)].append(i)
    classes: defaultdict[str, list[list[int]]] = defaultdict(list)
    for group in same_text.values():
        classes[records[group[0]].label or ""].append(group)
    drawn = {i for label, groups in classes.items() for i in _draw(groups, share, rng(seed, "split", label))}
    if not drawn:
        raise BadInput(f"cannot split {len(records)} records: no class has two different texts; give more of them")
    rest = [record for i, record in enumerate(records) if i not in drawn]
    return rest, [record for i, record in enumerate(records) if i in drawn]


def _draw(groups: list[list[int]], share: float, random: Rng) -> list[int]:
    """Whole groups at random up to `share` of their records: at least one group, and never all."""
    if len(groups) < 2:
        return []
    wanted = round(share * sum(map(len, groups)))
    drawn: list[int] = []
    left = len(groups)
    for place in random.permutation(len(groups)):
        if left > 1 and len(drawn) + len(groups[place]) <= wanted:
            drawn += groups[place]
            left -= 1
    return drawn or min(groups, key=len)


def few(records: Sequence[Record], *, per_class: int, seed: int) -> list[Record]:
    """Draw `per_class` records of each class, all of a class that has fewer; the order of the records is kept.

    For one seed a smaller draw is part of every larger one, so a learning curve only ever adds labels.
    """
    if per_class < 1:
        raise BadInput(f"a few labels a class means at least 1, got {per_class}")
    return _few(records, lambda count: per_class, seed)


def few_splits(
    records: Sequence[Record], *, per_class: int, seeds: Sequence[int], dev_per_class: int | None = None
) -> list[tuple[list[Record], list[Record]]]:
    """For each seed a training draw as `few` makes it, and a dev draw of what is left of the training data.

    The protocol of Gao et al. 2021 (LM-BFF, section 3): several draws, for a score hangs on which labels are there,
    and a dev set as large as the training set, for a large one would be labels too. `records` are the training data
    alone. No dev text stands in the training draw of its seed, after `normalised`. A class that is too small for both
    is shared in proportion, and one of a single text is in the training draw.
    """
    dev_per_class = per_class if dev_per_class is None else dev_per_class
    if min(per_class, dev_per_class) < 1:
        raise BadInput(f"a few labels a class means at least 1, got {per_class} to train and {dev_per_class} for dev")
    both, found = per_class + dev_per_class, []
    for seed in seeds:
        train = _few(records, lambda count: min(per_class, max(count * per_class // both, 1)), seed)
        taken = {normalised(record.text) for record in train}
        rest = [record for record in records if normalised(record.text) not in taken]
        found.append((train, _few(rest, lambda count: dev_per_class, seed)))
    return found


def _few(records: Sequence[Record], wanted: Callable[[int], int], seed: int) -> list[Record]:
    """Of a class of so many records as many as are wanted; the order of the records is kept."""
    classes: defaultdict[str, list[int]] = defaultdict(list)
    for i, record in enumerate(records):
        classes[record.label or ""].append(i)
    drawn = {
        members[place]
        for label, members in classes.items()
        for place in rng(seed, "few", label).permutation(len(members))[: wanted(len(members))]
    }
    return [record for i, record in enumerate(records) if i in drawn]
