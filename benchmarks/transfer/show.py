"""A study as a table of the page: our figures, and published ones in a column of their own."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import mean

from quire.core.results import Study
from quire.judge import compare, scores


def table(study: Study, *, against: str, published: Mapping[str, str] | None = None) -> Iterator[str]:
    """Markdown: an arm a row, with a paired comparison with one of them, corrected over the table (Holm)."""
    told, found = published or {}, {score.arm: score.score for score in scores(study)}
    pairs = [(arm.name, against) for arm in study.arms if arm.name != against]
    compared = {comparison.a: comparison for comparison in compare(study, pairs)}
    yield f"| arm | learns | dev | test (95 %) | against {against} | p | training, s | published |"
    yield "|---|---|---|---|---|---|---|---|"
    for arm in study.arms:
        score, other = found[arm.name], compared.get(arm.name)
        cells = [
            arm.name.replace("_", " "),
            f"{arm.trainable:,}" if arm.trainable else "",
            f"{100 * mean(arm.dev):.1f}",
            f"{100 * score.value:.1f} ({100 * score.lower:.1f} to {100 * score.upper:.1f})",
            f"{100 * other.difference.value:+.1f}" if other else "",
            f"{other.p_holm:.3f}" if other else "",
            f"{mean(cost.seconds for cost in arm.cost):.0f}",
            told.get(arm.name, ""),
        ]
        yield f"| {' | '.join(cells)} |"


def seconds(studies: Sequence[Study]) -> float:
    """Of training, in all."""
    return sum(cost.seconds for study in studies for arm in study.arms for cost in arm.cost)
