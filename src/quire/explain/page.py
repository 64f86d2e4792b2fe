"""The page of a projection."""

from collections.abc import Sequence

from quire.explain.projection import Projection
from quire.explain.scatter import groups, scatter
from quire.report.template import fill


def page(projection: Projection, similar: Sequence[tuple[str, Sequence[tuple[str, float]]]]) -> str:
    """One HTML file without network; `similar` are words with their nearest in the whole space, or nothing."""
    from importlib.metadata import version

    space, among = projection.space, groups(projection.space.labels)
    content = {
        "projection": projection,
        "space": space,
        "best": max(projection.pictures, key=lambda picture: picture.kept),
        "drawings": [(picture, scatter(picture, space, among)) for picture in projection.pictures],
        "groups": among,
        "similar": similar,
        "versions": {name: version(name) for name in ("quire", "scikit-learn")},
    }
    return fill("projection.html.j2", content)
