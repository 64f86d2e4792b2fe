"""Many dimensions on a page, and how much of them is left there (survey: 词嵌入).

PCA     the two directions of most variance (Pearson 1901): distances far apart are shrunk, never invented
t-SNE   neighbours stay neighbours, the rest is free (van der Maaten and Hinton 2008): the space between groups, and
        their size, mean nothing

Both are scikit-learn's. All vectors are scaled to length 1 first, so that the distance d of two tells their cosine,
1 - d^2 / 2, and nearest is nearest by cosine throughout.

Legend: P points, W width, K neighbours.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from quire.core.errors import BadInput
from quire.core.example import Ints
from quire.core.random import rng
from quire.explain.space import Floats, Space

Doubles: TypeAlias = npt.NDArray[np.float64]

NEIGHBOURS = 10
"""Of a point, to judge a picture by; a tenth of the points where there are fewer than 100."""


@dataclass(frozen=True)
class Picture:
    """Where the points lie [P, 2], what the method says of itself, and what is left of the neighbours.

    `kept` is the share of the K nearest in the picture that are among the K nearest in the space. `trust` is 1 less
    the ranks by which the others are too far, scaled to 0 to 1 (trustworthiness, Venna and Kaski 2001). `alike` is
    the share of points whose nearest has the same label.
    """

    name: str
    xy_P2: Doubles
    facts: str
    axes: tuple[str, str] | None
    """What they are called, where they mean something."""
    kept: float
    trust: float
    alike: float | None


@dataclass(frozen=True)
class Projection:
    """The points, their pictures, and what there is to compare the pictures with."""

    space: Space
    pictures: tuple[Picture, ...]
    neighbours: int
    alike: float | None
    """The share of points whose nearest in the space has the same label."""
    chance: float | None
    """The same share if labels were dealt at random."""
    seed: int


def projected(space: Space, *, perplexity: float | None = None, seed: int = 0) -> Projection:
    """PCA and t-SNE of all points. Without a `perplexity` t-SNE takes 30, or less where there are fewer than 91."""
    points = len(space.names)
    if points < 3:
        raise BadInput(f"{space.source}: {points} {space.kind}s to draw; give three or more")
    space.check()
    unit_PW = unit(space.vectors_PW)
    if unit_PW.shape[1] < 2:
        raise BadInput(f"{space.source}: vectors of width 1 lie on a line; give wider ones")
    if np.ptp(unit_PW, axis=0).max() < 1e-6:  # float32 has no more digits
        raise BadInput(f"{space.source}: all {points} vectors have one direction, so there is nothing to see")
    if perplexity is None:
        perplexity = min(30.0, max(1.0, (points - 1) / 3))
    if not 1 <= perplexity < points:
        raise BadInput(f"perplexity {perplexity:g}: take 1 or more, and less than the {points} points")
    near_PK = nearest(unit_PW, min(NEIGHBOURS, max(1, points // 10)))
    judge = _Judge(unit_PW, near_PK, space.labels)
    plane = judge.picture("PCA", *pca(unit_PW))
    free = judge.picture("t-SNE", *tsne(unit_PW, plane.xy_P2, perplexity=perplexity, seed=seed))
    return Projection(space, (plane, free), near_PK.shape[1], judge.alike(near_PK), judge.chance, seed)


def unit(vectors_PW: Floats) -> Doubles:
    """The vectors scaled to length 1."""
    wide_PW = vectors_PW.astype(np.float64)
    scaled_PW: Doubles = wide_PW / np.linalg.norm(wide_PW, axis=1, keepdims=True)
    return scaled_PW


def pca(unit_PW: Doubles) -> tuple[Doubles, str, tuple[str, str]]:
    """The first two principal components [P, 2], how much of the variance they have, and the names of the axes."""
    from sklearn.decomposition import PCA

    fitted = PCA(n_components=2, svd_solver="full")
    xy_P2: Doubles = fitted.fit_transform(unit_PW)
    first, second = (100 * float(share) for share in fitted.explained_variance_ratio_)
    facts = f"The two directions have {first + second:.1f} % of the variance: {first:.1f} and {second:.1f}."
    return xy_P2, facts, (f"first component, {first:.1f} %", f"second, {second:.1f} %")


def tsne(unit_PW: Doubles, start_P2: Doubles, *, perplexity: float, seed: int) -> tuple[Doubles, str, None]:
    """t-SNE [P, 2], and what it says of itself; its axes mean nothing.

    It starts from another picture (Kobak and Linderman 2021: from the PCA, so that the whole is kept where it can
    be), made small, with a tenth of noise: what another seed does not show as well is chance.
    """
    from sklearn.manifold import TSNE

    noise_P2 = 0.1 * rng(seed, "t-SNE").normal(size=start_P2.shape)
    start_P2 = 1e-4 * (start_P2 / start_P2[:, 0].std() + noise_P2)
    fitted = TSNE(perplexity=perplexity, init=start_P2.astype(np.float32), learning_rate="auto")
    xy_P2: Doubles = fitted.fit_transform(unit_PW).astype(np.float64)
    facts = (
        f"Perplexity {perplexity:.3g}, seed {seed}; KL divergence {max(fitted.kl_divergence_, 0):.2f} nats at the end."
    )
    return xy_P2, facts, None


def nearest(points: Doubles, count: int) -> Ints:
    """The numbers [P, K] of the nearest others of each point, the nearest first."""
    from sklearn.neighbors import NearestNeighbors

    found: Ints = NearestNeighbors(n_neighbors=count).fit(points).kneighbors(return_distance=False)
    return found


def similar(space: Space, of: Ints, count: int) -> list[tuple[str, list[tuple[str, float]]]]:
    """For the words numbered `of`: the nearest that have a letter, in the whole space, with their cosine."""
    lettered_P = np.array([any(map(str.isalpha, name)) for name in space.names])
    norms_P = np.linalg.norm(space.vectors_PW, axis=1)
    table_PW = space.vectors_PW / np.where(norms_P > 0, norms_P, 1)[:, None]
    found = []
    for number in of.tolist():
        cosine_P = table_PW @ table_PW[number]
        others = np.flatnonzero(lettered_P & (np.arange(len(cosine_P)) != number))
        order = others[np.argsort(-cosine_P[others], kind="stable")][:count]
        found.append((space.names[number], [(space.names[i], float(cosine_P[i])) for i in order]))
    return found


@dataclass(frozen=True)
class _Judge:
    unit_PW: Doubles
    near_PK: Ints
    labels: Sequence[str]

    def picture(self, name: str, xy_P2: Doubles, facts: str, axes: tuple[str, str] | None) -> Picture:
        from sklearn.manifold import trustworthiness

        count = self.near_PK.shape[1]
        drawn_PK = nearest(xy_P2, count)
        kept = (drawn_PK[:, :, None] == self.near_PK[:, None]).any(axis=2).mean()
        trust = trustworthiness(self.unit_PW, xy_P2, n_neighbors=count)
        return Picture(name, xy_P2, facts, axes, float(kept), float(trust), self.alike(drawn_PK))

    def alike(self, near_PK: Ints) -> float | None:
        if not self.labels:
            return None
        labels_P = np.array(self.labels)
        return float((labels_P[near_PK[:, 0]] == labels_P).mean())

    @property
    def chance(self) -> float | None:
        if not self.labels:
            return None
        _, counts = np.unique(self.labels, return_counts=True)
        return float((counts * (counts - 1)).sum() / (len(self.labels) * (len(self.labels) - 1)))
