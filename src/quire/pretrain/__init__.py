"""Pre-training a recipe on a person's text: tokenizer, shards, model, run folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path

from quire.core.bodies import Bag
from quire.core.config import write_yaml
from quire.core.heads import ContextHead
from quire.explain import load_vectors, write_vectors
from quire.nn.model import Model
from quire.pretrain.further import files_of, further_tasks
from quire.pretrain.material import LEAST_TOKENS, SPECIALS, Extension, Material
from quire.recipe import Recipe
from quire.text import parallel
from quire.text.records import iter_texts
from quire.text.rows import sha256
from quire.train.folder import prepared
from quire.train.loop import fit, rehearse
from quire.train.progress import Progress, Silent
from quire.train.signals import StopRequest
from quire.train.team import joined

__all__ = ["LEAST_TOKENS", "SPECIALS", "Extension", "Material", "files_of", "pretrain"]


def pretrain(
    recipe: Recipe,
    *,
    corpus: Sequence[str | Path],
    out: str | Path,
    tasks: Mapping[str, str | Path] | None = None,
    start: str | None = None,
    text_column: str = "text",
    seed: int = 0,
    track: bool = False,
    progress: Progress | None = None,
    stop: StopRequest | None = None,
) -> Path:
    """Train `recipe` on the texts of `corpus`; returns the model folder in the run folder `out`.

    With `start`, a model folder or the name of an embedded base, weights, tokenizer and architecture come from there
    and the recipe gives the rest; heads go on where name and shape agree. Beside a model of words alone (word2vec)
    stand their vectors, `vectors.txt`, in the format of `quire.explain.read_vectors`.
    Where the recipe has further tasks, `tasks` has a file for each, and `out/tasks/NAME` will be a model of that task.
    Where the recipe has languages, streams want `en=en.txt` for each, and parallel text a table with a column for each.
    A folder of the same run goes on where it was stopped. Processes that torchrun started train one model together.
    Raises BadInput for a corpus of too few tokens, a folder of another run, and what the recipe cannot mean.
    """
    if start is not None:
        recipe = recipe.model_copy(update={"base": start, "backbone": None})
    data = recipe.data
    by_language: Mapping[str, parallel.Texts] = {}
    if data.shape == "streams":
        by_language = parallel.named(corpus, data.languages, text_column=text_column)
    elif data.languages:
        by_language = parallel.columns(corpus, data.languages)
    names = [parallel.split(source) if data.shape == "streams" else ("", source) for source in corpus]
    hashes = [(f"{name}=" if name else "") + sha256(path) for name, path in names]
    further = further_tasks(recipe, {name: Path(path) for name, path in (tasks or {}).items()})
    of_tasks = {"tasks": {task.name: sha256(task.path) for task in further}} if further else {}
    identity = {"corpus": hashes, "text_column": text_column, "seed": seed, **of_tasks}

    def texts() -> Iterable[str]:
        if by_language:
            return chain.from_iterable(of_one() for of_one in by_language.values())
        return chain.from_iterable(map(partial(iter_texts, text_column=text_column), corpus))

    with joined() as team:
        told = (progress if team.leads else None) or Silent()
        with team.leader_first(), prepared(Path(out), write_yaml(recipe), identity=identity) as folder:
            material = Material(recipe, folder, texts, told, by_language, further)
            job = material.job(seed=seed)
            model = material.model(job)
            rehearse(job)
        material.tell()
        title = recipe.title or "pretrain"
        fit(model, job, folder=folder, title=title, progress=told, stop=stop, track=track, team=team)
        if team.leads:
            _keep(material, model)
        team.wait()
    return folder / "model"


def _keep(material: Material, model: Model) -> None:
    """The model, those of further tasks, and vectors of words alone, in the run folder."""
    folder, recipe = material.folder, material.recipe
    card = f"# {recipe.title}\n\nPre-trained with Quire on a private corpus. After: {recipe.cite}.\n"
    languages = recipe.data.languages
    material.save(model, folder / "model", card=card, extra={"languages": languages} if languages else None)
    for task in material.further:
        task.save(model, material.tokenizer, folder / "tasks" / task.name, card=card)
    if recipe.data.tokenizer.kind == "words" and _is_of_words(model):
        write_vectors(folder / "vectors.txt", load_vectors(folder / "model"))


def _is_of_words(model: Model) -> bool:
    """Whether all that is learnt are two tables, of which the first is wanted: word2vec."""
    return isinstance(model.spec, Bag) and any(isinstance(head, ContextHead) for head in model.head_specs.values())
