"""Several paradigms on one backbone, written in a recipe: text, labels and pairs take turns in one pre-training."""

from pathlib import Path

import pytest
import torch

import quire
from quire.core.errors import BadInput, Stopped
from quire.pretrain import Material, files_of, pretrain
from quire.pretrain.further import further_tasks
from quire.recipe import Recipe
from quire.train.signals import StopRequest
from quire.train.weights import read_model

NUMBERS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
BODY = {"depth": 1, "width": 32, "heads": 2, "ffn": 64, "positions": 64}


def shared(*, steps: int = 6, decoder: int | None = 1, **changes: object) -> Recipe:
    return Recipe.model_validate(
        {
            "cite": "none",
            "survey": "none",
            "backbone": {**BODY, "decoder": decoder},
            "data": {"length": 24, "tokenizer": {"size": 120}},
            "objectives": ["mlm"],
            "tasks": {
                "parity": {"learn": "classify"},
                "size": {"learn": "write", "prompt": "size: "},
            },
            "sampling": "uniform",
            "train": {"steps": steps, "batch": 8, "lr": 8e-3, "warmup": 5, "checkpoint_every": 3},
            **changes,
        }
    )


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Text that counts, a word's parity, and whether it is in the first five, said in words."""
    corpus = [" ".join(NUMBERS[i % 10] for i in range(start, start + 8)) for start in range(40)]
    parity = ["text,label", *(f"{word},{'even' if i % 2 else 'odd'}" for i, word in enumerate(NUMBERS))]
    size = ["source,target", *(f"{word},{'ten two' if i > 4 else 'one'}" for i, word in enumerate(NUMBERS))]
    for name, lines in (("corpus.txt", corpus), ("parity.csv", parity), ("size.csv", size)):
        (tmp_path / name).write_text("\n".join(lines), encoding="utf-8")
    return {name: tmp_path / f"{name}.csv" for name in ("parity", "size")}


def test_text_labels_and_pairs_are_learnt_by_one_backbone(files: dict[str, Path], tmp_path: Path) -> None:
    enough = shared(train={"steps": 600, "batch": 16, "lr": 4e-3, "warmup": 5})  # any seed of six learns all of it
    folder = pretrain(enough, corpus=[tmp_path / "corpus.txt"], tasks=files, out=tmp_path / "run")
    assert read_model(folder).heads.keys() == {"mlm", "task_parity", "write"}
    parity, writer = quire.load(tmp_path / "run/tasks/parity"), quire.load_writer(tmp_path / "run/tasks/size")
    assert list(parity.labels) == ["even", "odd"]
    rows = parity.probabilities(NUMBERS)
    assert [parity.labels[i] for i in rows.argmax(axis=1)] == ["odd", "even"] * 5
    assert [text.text for text in writer(NUMBERS)] == ["one"] * 5 + ["ten two"] * 5
    bodies = [
        {name: t for name, t in read_model(where).state.items() if name.startswith("backbone.")}
        for where in (folder, tmp_path / "run/tasks/parity", tmp_path / "run/tasks/size")
    ]
    assert all(torch.equal(t, other[name]) for other in bodies[1:] for name, t in bodies[0].items())


def test_a_body_without_a_decoder_writes_too(files: dict[str, Path], tmp_path: Path) -> None:
    folder = pretrain(shared(decoder=None), corpus=[tmp_path / "corpus.txt"], tasks=files, out=tmp_path / "run")
    assert read_model(folder).backbone.decoder is None
    assert len(quire.load_writer(tmp_path / "run/tasks/size")(NUMBERS)) == 10


def test_a_task_writes_with_the_head_of_pre_training(files: dict[str, Path], tmp_path: Path) -> None:
    text = {"denoise": {"select": "everything", "rewrite": "mask", "write": "text", "head": "text"}}
    folder = pretrain(shared(objectives=[text]), corpus=[tmp_path / "corpus.txt"], tasks=files, out=tmp_path / "run")
    assert read_model(folder).heads.keys() == {"text", "task_parity"}


def test_the_turns_follow_the_law_and_its_limit(files: dict[str, Path], tmp_path: Path) -> None:
    recipe = shared(steps=3000, sampling={"proportional": {"limit": 20}})
    material = Material(recipe, tmp_path / "run", lambda: ["one two three four five six. " * 9] * 90, further=())
    material.further = further_tasks(recipe, files)
    job = material.job(seed=0)
    text = len(job.examples) - 20
    assert text > 20, "the limit must bite"
    asked = [job.feed().asking(step)[0].slot for step in range(3000)]
    shares = [asked.count(slot) / 3000 for slot in ("mlm", "task_parity", "task_size")]
    assert shares == pytest.approx([0.5, 0.25, 0.25], abs=0.03)


def test_a_prompt_stands_before_every_source(files: dict[str, Path], tmp_path: Path) -> None:
    material = Material(shared(), tmp_path / "run", lambda: ["one two three four five six. " * 9] * 9)
    material.further = further_tasks(shared(), files)
    examples = material.job(seed=0).examples
    last = examples.example(len(examples) - 1, epoch=0)
    assert material.tokenizer.decode(last.tokens[1:-1]) == "size : ten"
    pretrain(shared(), corpus=[tmp_path / "corpus.txt"], tasks=files, out=tmp_path / "real")
    assert read_model(tmp_path / "real/tasks/size").extra["writing"]["prompt"] == "size: "


def test_a_run_that_is_stopped_goes_on_to_the_same_weights(files: dict[str, Path], tmp_path: Path) -> None:
    corpus, stop = [tmp_path / "corpus.txt"], StopRequest()
    whole = pretrain(shared(), corpus=corpus, tasks=files, out=tmp_path / "whole")
    stop.note(15, None)
    with pytest.raises(Stopped):
        pretrain(shared(), corpus=corpus, tasks=files, out=tmp_path / "parts", stop=stop)
    parts = pretrain(shared(), corpus=corpus, tasks=files, out=tmp_path / "parts")
    assert (parts / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    files["parity"].write_text("text,label\n" + "one,a\ntwo,b\n" * 4)
    with pytest.raises(BadInput, match=r"other settings \(tasks\)"):
        pretrain(shared(), corpus=corpus, tasks=files, out=tmp_path / "parts")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"parity": "parity.csv"}, r"tasks\.size: no file is given; add --task size=FILE"),
        ({"parity": "parity.csv", "size": "size.csv", "sizd": "size.csv"}, "--task sizd: .*did you mean 'size'"),
        ({"parity": "parity.csv", "size": "parity.csv"}, "source"),
        ({"parity": "absent.csv", "size": "size.csv"}, "absent.csv: .*no such file|cannot be read"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(
    given: dict[str, str], message: str, files: dict[str, Path], tmp_path: Path
) -> None:
    tasks = {name: tmp_path / file for name, file in given.items()}
    with pytest.raises(BadInput, match=message) as error:
        pretrain(shared(), corpus=[tmp_path / "corpus.txt"], tasks=tasks, out=tmp_path / "run")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("text", ["parity", "=x.csv", "parity="])
def test_a_task_is_given_as_name_and_file(text: str) -> None:
    with pytest.raises(BadInput, match="expected NAME=FILE"):
        files_of([text])
    with pytest.raises(BadInput, match="given twice"):
        files_of(["a=1.csv", "a=2.csv"])


def test_a_recipe_refuses_what_its_tasks_cannot_mean() -> None:
    with pytest.raises(ValueError, match="what the recipe's own text is called"):
        shared(tasks={"corpus": {"learn": "classify"}})
    with pytest.raises(ValueError, match="would cut the prompt away"):
        shared(data={"length": 24, "cut": "tail", "tokenizer": {"size": 120}})
    with pytest.raises(ValueError, match="a writer reads no windows"):
        shared(data={"length": 24, "cut": "windows", "tokenizer": {"size": 120}})
