"""Study 5: SST-2, TREC, RTE and MRPC together: a shared network, PALs, adapters, separate networks; turns that are
drawn in proportion to sizes, and annealed."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from benchmarks.transfer.files import pairs, recipe_file, sst2, trec
from benchmarks.transfer.scale import Work
from quire.core.results import Study
from quire.multitask import share
from quire.multitask.table import markdown, tabulate

TOGETHER: Mapping[str, Sequence[str]] = {
    "shared": (),
    "shared-annealed": ("finetune.sampling=annealed",),
    "pals": ("finetune.strategy=pals",),
    "pals-annealed": ("finetune.strategy=pals", "finetune.sampling=annealed"),
}
"""One network for all four."""
APART: Mapping[str, Sequence[str]] = {
    "separate": (),
    "adapters": ("finetune.strategy=houlsby", "finetune.train.lr=1e-3"),
}
"""Four networks, or one frozen body with small parts of each task."""
SIZES: Mapping[str, int] = {"sst2": 6920, "trec": 5452, "rte": 2490, "mrpc": 4076}
"""Labels to learn from, as published."""
PUBLISHED = (
    "Published (BERT-base, eight tasks of GLUE; Stickland and Murray 2019, table 2): shared 79.9, PALs 80.4, separate "
    "79.6; RTE 76.6 shared, 76.0 with PALs, 66.4 separate."
)


def run(work: Work) -> Iterator[str]:
    """One table, all arms beside separate networks."""
    scale = work.scale
    held_out = {"dev": scale.dev, "test": scale.tested}
    train = {name: round(scale.mixed * size) for name, size in SIZES.items()}
    files = {
        "sst2": sst2(work.files, train=train["sst2"], **held_out),
        "trec": trec(work.files, train=train["trec"], **held_out),
        "rte": pairs(work.files, "rte", train=train["rte"], **held_out),
        "mrpc": pairs(work.files, "mrpc", train=train["mrpc"], **held_out),
    }
    shared = partial(
        share,
        tasks=[f"{name}={','.join(paths.values())}" for name, paths in files.items()],
        pair_column="other",
        seeds=scale.seeds,
        progress=work.progress,
        stop=work.stop,
    )
    same = (f"finetune.epochs={scale.passes}", f"finetune.train.batch={scale.batch}", f"data.length={scale.length}")
    own = (f"base={scale.base}", f"finetune.train.lr={scale.rates[0]:g}", *same)

    def arms(of: Mapping[str, Sequence[str]]) -> list[str]:
        return [recipe_file(work.files / f"{name}.yaml", (*own, *changes)) for name, changes in of.items()]

    apart = shared(arms(APART), sharing="single", out=work.home / "apart").results.studies
    together = shared(arms(TOGETHER), sharing="joint", out=work.home / "together").results.studies
    yield compared(apart, together) + "\n"
    yield PUBLISHED + "\n"


def compared(apart: Mapping[str, Study], together: Mapping[str, Study]) -> str:
    """One table from the studies of each task, all ways beside the first of those that share nothing."""
    both = {
        name: study.model_copy(update={"arms": (*study.arms, *together[name].arms)}) for name, study in apart.items()
    }
    first, *others = (arm.name for arm in next(iter(both.values())).arms)
    return markdown(tabulate(both, [(name, first) for name in others]))
