"""The two pictures: right by an oracle, and honest about what they lose."""

import numpy as np
import pytest
from sklearn.metrics import silhouette_score

from quire.core.errors import BadInput
from quire.core.random import rng
from quire.explain.projection import Projection, nearest, pca, projected, similar, unit
from quire.explain.space import Space


def space(vectors: np.ndarray, labels: list[str] | None = None) -> Space:
    names = [f"w{number}" for number in range(len(vectors))]
    return Space("word", "here", "", names, vectors.astype(np.float32), labels or ())


@pytest.fixture(scope="module")
def clusters() -> Space:
    """Two far clusters of 40 in 20 dimensions, mixed in order."""
    draw = rng("clusters")
    side = draw.permutation(np.repeat([0, 1], 40))
    centres = draw.normal(size=(2, 20))
    return space(centres[side] * 3 + draw.normal(size=(80, 20)) * 0.6, [("left", "right")[s] for s in side])


@pytest.fixture(scope="module")
def found(clusters: Space) -> Projection:
    return projected(clusters, seed=3)


def test_pca_equals_a_direct_svd() -> None:
    x = unit(space(rng("svd").normal(size=(31, 7)) * [5, 3, 1, 1, 1, 1, 1] + 1).vectors_PW)
    assert np.linalg.norm(x, axis=1) == pytest.approx(1)
    xy, facts, axes = pca(x)
    u, s, _ = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    direct = u[:, :2] * s[:2]
    np.testing.assert_allclose(xy * np.sign((xy * direct).sum(axis=0)), direct, atol=1e-12)
    shares = 100 * s**2 / (s**2).sum()
    assert f"{shares[:2].sum():.1f} % of the variance: {shares[0]:.1f} and {shares[1]:.1f}" in facts
    assert axes == (f"first component, {shares[0]:.1f} %", f"second, {shares[1]:.1f} %")


def test_far_clusters_stay_apart_in_both_pictures(found: Projection) -> None:
    for picture in found.pictures:
        assert silhouette_score(picture.xy_P2, found.space.labels) > 0.5, picture.name
        assert picture.alike == 1
    assert found.alike == 1
    assert found.chance == pytest.approx(39 / 79)


def test_a_picture_is_judged_by_its_neighbours(found: Projection) -> None:
    """`kept` counted point by point, and a plane keeps all."""
    near = nearest(unit(found.space.vectors_PW), found.neighbours)
    cosines = unit(found.space.vectors_PW) @ unit(found.space.vectors_PW).T - 2 * np.eye(80)
    assert (near[:, 0] == cosines.argmax(axis=1)).all()
    for picture in found.pictures:
        drawn = nearest(picture.xy_P2, found.neighbours)
        kept = sum(len({*a} & {*b}) for a, b in zip(drawn.tolist(), near.tolist(), strict=True))
        assert picture.kept == pytest.approx(kept / near.size)
        assert 1 / 10 < picture.kept < 1
        assert 0.6 < picture.trust < 1
    angle = rng("plane").uniform(0, 2 * np.pi, size=60)
    plane, _ = projected(space(np.stack([np.cos(angle), np.sin(angle)], axis=1))).pictures
    assert (plane.kept, plane.trust) == (1, 1)


def test_the_seed_decides(clusters: Space, found: Projection) -> None:
    """Of t-SNE; the PCA is the same."""
    (plane, one), (plane_again, again), (_, other) = (
        found.pictures,
        projected(clusters, seed=3).pictures,
        projected(clusters, seed=4).pictures,
    )
    assert np.array_equal(one.xy_P2, again.xy_P2)
    assert np.array_equal(plane.xy_P2, plane_again.xy_P2)
    assert np.abs(one.xy_P2 - other.xy_P2).max() > 0.1
    assert ("seed 3" in one.facts, "seed 4" in other.facts) == (True, True)


def test_length_does_not_count(clusters: Space, found: Projection) -> None:
    longer = clusters.vectors_PW * rng("longer").uniform(0.5, 9, size=(80, 1)).astype(np.float32)
    np.testing.assert_allclose(pca(unit(longer))[0], found.pictures[0].xy_P2, atol=1e-5)


@pytest.mark.parametrize("points", [3, 4, 9])
def test_few_points_are_enough(points: int) -> None:
    few = projected(space(rng("few").normal(size=(points, 5))))
    assert all(np.isfinite(picture.xy_P2).all() and 0 <= picture.trust <= 1 for picture in few.pictures)


@pytest.mark.parametrize(
    ("vectors", "perplexity", "says"),
    [
        (np.ones((2, 3)), None, "here: 2 words to draw; give three or more"),
        (np.ones((5, 3)) * np.arange(1, 6)[:, None], None, "all 5 vectors have one direction"),
        (np.array([[1.0], [-1.0], [2.0]]), None, "vectors of width 1 lie on a line"),
        (np.eye(5), 5.0, "perplexity 5: take 1 or more, and less than the 5 points"),
        (np.eye(5), 0.5, "perplexity 0.5: take 1 or more"),
        (np.eye(5), float("nan"), "perplexity nan: take 1 or more"),
    ],
)
def test_what_cannot_be_drawn_is_refused(vectors: np.ndarray, perplexity: float | None, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        projected(space(vectors), perplexity=perplexity)


def test_the_nearest_are_sought_among_all_words_with_a_letter() -> None:
    vectors = np.array([[1, 0, 0], [9, 1, 0], [1, 0, 0.01], [0, 1, 0], [0, 0, 0]], dtype=np.float32)
    whole = Space("word", "here", "", ["good", "great", ",", "bad", "none"], vectors)
    [(word, others)] = similar(whole, np.array([0]), 3)
    assert (word, [name for name, _ in others]) == ("good", ["great", "bad", "none"])
    assert others[0][1] == pytest.approx(9 / np.sqrt(82))
