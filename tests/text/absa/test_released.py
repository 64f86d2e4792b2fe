"""The releases themselves, where $QUIRE_DATA has them: all are read, and hold what is published of them."""

import os
import warnings
from pathlib import Path

import pytest

from quire.core.errors import BadInput, Ignored
from quire.core.opinions import Review
from quire.text.absa import read_reviews, refuse_pooled

DATA = Path(os.environ.get("QUIRE_DATA", "nowhere")) / "absa"
pytestmark = [
    pytest.mark.data("absa"),
    pytest.mark.skipif(not DATA.is_dir(), reason="needs $QUIRE_DATA/absa"),
]


def reviews(name: str) -> list[Review]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Ignored)
        found = read_reviews(DATA / name)
    assert not any(review.fault() for review in found)
    return found


def counts(found: list[Review]) -> tuple[int, int, int, int]:
    """Reviews, and of what they say what has an aspect, an opinion, a category."""
    said = [opinion for review in found for opinion in review.opinions]
    aspects = sum(opinion.aspect is not None for opinion in said)
    opinions = sum(opinion.opinion is not None for opinion in said)
    return len(found), aspects, opinions, sum(opinion.category is not None for opinion in said)


SINGLE = {
    "sentihood/sentihood-train.json": (2977, 3396, 0, 3396),
    "sentihood/sentihood-dev.json": (747, 838, 0, 838),
    "sentihood/sentihood-test.json": (1491, 1677, 0, 1677),
    "semeval2014/Restaurants_Train.xml": (3044, 3699, 0, 3714),
    "semeval2014/Restaurants_Test_Gold.xml": (800, 1134, 0, 1025),
    "semeval2014/Laptop_Train_v2.xml": (3045, 2358, 0, 0),
    "semeval2014/Laptops_Test_Data_phaseB.xml": (800, 654, 0, 0),
    "semeval2015/ABSA-15_Restaurants_Train_Final.xml": (1315, 1279, 0, 1654),
    "semeval2015/ABSA15_Restaurants_Test.xml": (685, 597, 0, 845),
    "semeval2016/ABSA16_Restaurants_Train_SB1_v2.xml": (2000, 1880, 0, 2507),
    "semeval2016/ABSA16_Laptops_Train_SB1_v2.xml": (2500, 0, 0, 2909),
    "asqp/rest15/train.txt": (834, 1082, 1353, 1353),
    "asqp/rest15/test.txt": (537, 577, 795, 795),
    "asqp/rest16/train.txt": (1264, 1542, 1986, 1986),
    "asqp/rest16/test.txt": (544, 620, 798, 798),
}


@pytest.mark.parametrize("name", SINGLE)
def test_a_file_is_read(name: str) -> None:
    assert counts(reviews(name)) == SINGLE[name]


FAMILIES: dict[str, dict[str, tuple[int, ...]]] = {
    "wang": {"14res": (2436, 608, 800), "14lap": (2439, 609, 800), "15res": (1052, 263, 685)},
    "fan": {"14res": (2643, 864), "14lap": (1634, 482), "15res": (1076, 436), "16res": (1512, 457)},
    "penga": {"14res": (1300, 323, 496), "14lap": (920, 228, 339), "15res": (593, 148, 318), "16res": (842, 210, 320)},
    "pengb": {"14res": (1266, 310, 492), "14lap": (906, 219, 328), "15res": (605, 148, 322), "16res": (857, 210, 326)},
}
PARTS = ("train", "dev", "test")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_of_bartabsa_is_read(family: str) -> None:
    for subset, sizes in FAMILIES[family].items():
        parts = PARTS if len(sizes) == 3 else ("train", "test")
        found = [reviews(f"bartabsa/{family}/{subset}/{part}_convert.json.gz") for part in parts]
        assert tuple(map(len, found)) == sizes
        said = [opinion for part in found for review in part for opinion in review.opinions]
        paired = [opinion for opinion in said if opinion.aspect and opinion.opinion]
        assert len(paired) == (0 if family == "wang" else len(said))
        assert any(opinion.polarity for opinion in said) == (family != "fan")


def test_xu_gives_the_published_triplets_and_those_of_bartabsa() -> None:
    """Only the order within a sentence differs; words, runs and polarities are the same."""
    triplets = {}
    for subset in FAMILIES["pengb"]:
        for part in PARTS:
            ours = reviews(f"aste_v2/{subset}/{part}_triplets.txt")
            theirs = reviews(f"bartabsa/pengb/{subset}/{part}_convert.json.gz")
            assert [(r.words, sorted(r.opinions)) for r in ours] == [(r.words, sorted(r.opinions)) for r in theirs]
            triplets[subset, part] = sum(len(review.opinions) for review in ours)
    assert [triplets["14res", part] for part in PARTS] == [2338, 577, 994]
    assert [triplets[subset, "test"] for subset in ("14lap", "15res", "16res")] == [543, 485, 514]
    lap = [reviews(f"aste_v2/14lap/{part}_triplets.txt") for part in ("dev", "test")]
    assert sum(len(r.opinions) - len({*r.opinions}) for part in lap for r in part) == 3


def test_pooled_sub_sets_are_refused_and_each_alone_is_not() -> None:
    parts = {
        subset: [reviews(f"aste_v2/{subset}/{part}_triplets.txt") for part in ("train", "test")]
        for subset in ("15res", "16res")
    }
    for train, test in parts.values():
        refuse_pooled(train, test)
    both, test = [review for train, _ in parts.values() for review in train], parts["15res"][1]
    assert sum(review.text in {learnt.text for learnt in both} for review in test) == 258
    with pytest.raises(BadInput, match="as 259 of the 322 test reviews do"):  # one more but for its signs
        refuse_pooled(both, test)
    with pytest.raises(BadInput, match="of the 322 test reviews do"):  # in another format, cut into other words
        refuse_pooled(reviews("semeval2016/ABSA16_Restaurants_Train_SB1_v2.xml"), test)
    refuse_pooled(reviews("sentihood/sentihood-train.json"), reviews("sentihood/sentihood-test.json"))
