"""How a study that is done is told."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quire.adapt import Outcome


def tell(outcome: "Outcome") -> Iterator[str]:
    """The verdict, a line an arm, and where things lie."""
    study, verdict = outcome.study, outcome.verdict
    yield f"\n{verdict.sentence}\n"
    yield f"{'arm':40} {'dev':>6} {'test (95 % interval)':>24} {'ms/text':>8} {'MB':>7} {'train s/run':>12}"
    for arm in study.arms:
        learns = "" if arm.trainable is None else f"  {arm.trainable:>12,} learn"
        found = verdict.score(arm.name).score
        latency = arm.latency_at(1)
        seconds = sum(cost.seconds for cost in arm.cost) / len(arm.seeds)
        yield (
            f"{arm.title[:40]:40} {sum(arm.dev) / len(arm.dev) * 100:6.1f} "
            f"{found.value * 100:8.1f} ({found.lower * 100:.1f} to {found.upper * 100:.1f}) "
            f"{latency.median if latency else 0:8.1f} {arm.bytes / 1e6:7.1f} {seconds:12.1f}{learns}"
        )
    if study.quantisation:
        yield f"\nint8 {'kept' if study.quantisation.kept else 'not kept'}: {study.quantisation.why}"
    yield f"\nReport  {outcome.report}\nModel   {outcome.model}  (deploys: {study.deployed.title})"
