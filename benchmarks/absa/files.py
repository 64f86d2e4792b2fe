"""The releases as train, dev and test: read from what $QUIRE_DATA holds, drawn the same whenever they are read."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from benchmarks.absa.scale import Scale
from benchmarks.studies import drawn, home, shuffled
from quire.core.opinions import Review
from quire.text.absa import read_reviews, refuse_pooled

SPLITS = ("train", "dev", "test")
Reviews: TypeAlias = Mapping[str, Sequence[Review]]
"""By split."""


def sentihood(scale: Scale) -> Reviews:
    """Sentences about places, 2,977, 747 and 1,491."""
    found = {split: read_reviews(home("absa", "sentihood", f"sentihood-{split}.json")) for split in SPLITS}
    return _parts(found, scale, dev=scale.pair_dev, name="sentihood")


def semeval(scale: Scale) -> Reviews:
    """Sentences about restaurants, 3,044 and 800, of SemEval-2014."""
    names = {"train": "Restaurants_Train.xml", "test": "Restaurants_Test_Gold.xml"}
    found = {split: read_reviews(home("absa", "semeval2014", name)) for split, name in names.items()}
    return _parts(found, scale, dev=scale.pair_dev, name="semeval")


def bartabsa(release: str, name: str, scale: Scale) -> Reviews:
    """A sub-set of the releases that BARTABSA is published with: wang, fan, penga (Peng et al.), pengb (Xu et al.)."""
    folder = home("absa", "bartabsa", release, name)
    there = {split: folder / f"{split}_convert.json.gz" for split in SPLITS}
    found = {split: read_reviews(path) for split, path in there.items() if path.exists()}
    return _parts(found, scale, dev=scale.dev, name=f"{release}-{name}")


def _parts(found: Reviews, scale: Scale, *, dev: int, name: str) -> Reviews:
    """As many as are asked for; a release without dev lends some of its train, which are not learnt from."""
    refuse_pooled(found["train"], found["test"])
    learnt = found["train"]
    if "dev" in found:
        watched = drawn(found["dev"], dev, name, "dev")
    else:
        mixed = shuffled(learnt, name, "train")
        watched, texts = mixed[:dev], {review.text for review in mixed[:dev]}
        learnt = [review for review in mixed if review.text not in texts]
    return {
        "train": drawn(learnt, scale.learnt, name, "learnt"),
        "dev": watched,
        "test": drawn(found["test"], scale.tested, name, "test"),
    }
