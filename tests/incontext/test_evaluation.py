"""In-context evaluation from a folder to a table: what a full pass would say, and what a model learns from examples.

Legend: Q questions, C labels.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from quire.cli import app
from quire.core.errors import BadInput
from quire.core.example import Batch, Example, Passage, World
from quire.core.heads import HeadSpec, TokenHead
from quire.core.random import rng
from quire.core.spec import Backbone
from quire.core.visibility import Causal
from quire.incontext import Form, evaluate
from quire.incontext.prompt import Asking
from quire.incontext.scores import by_rule, log_likelihoods
from quire.nn.model import Model, Packed, Step
from quire.objectives.lm import Lm
from quire.text.records import Record
from quire.text.tokenizers import Tokenizer
from quire.train.feed import Fixed
from quire.train.loop import Job, fit, planned
from quire.train.optim import TrainPlan
from quire.train.weights import save_model

WORDS = ("ka", "tu", "se", "lo", "ni", "pa", "ve", "zo")
LABELS = ("no", "yes please")


def lines(mood: str, count: int, *key: int | str) -> list[tuple[str, str]]:
    """Inputs that tell nothing, and labels that mostly agree: who knows an answer knows the next."""
    draw = rng("mood", *key)
    odd = LABELS[mood == LABELS[0]]
    return [(" ".join(draw.choice(WORDS, 2)), odd if draw.random() < 0.1 else mood) for _ in range(count)]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    texts = ["\n".join(f"{text} => {label}" for text, label in lines(LABELS[i % 2], 8, i)) for i in range(40)]
    return Tokenizer.train(texts, kind="wordpiece", size=60)


def save(folder: Path, model: Model, tokenizer: Tokenizer) -> Path:
    save_model(
        folder,
        backbone=model.spec,
        heads=model.head_specs,
        state=model.state_dict(),
        labels=None,
        tokenizer_saver=tokenizer.save,
        vocab=tokenizer.vocab,
        card="",
        extra={},
    )
    return folder


def built(tokenizer: Tokenizer, heads: Mapping[str, HeadSpec | Backbone], **changes: Any) -> Model:
    spec = Backbone(vocab=tokenizer.vocab.size, depth=2, width=24, heads=2, ffn=32, positions=64, segments=0,
                    dropout=0.0, attention_dropout=0.0, init_std=0.1)  # fmt: skip
    return Model(spec.model_copy(update=changes), heads, seed=4)


@pytest.fixture(scope="module")
def learnt(tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A language model of texts in which one mood reigns."""
    world, task = World(tokenizer.vocab, length=64), Lm()
    texts = ["\n".join(f"{text} => {label}" for text, label in lines(LABELS[i % 2], 8, i)) for i in range(400)]
    examples = [Example.of(tokenizer.vocab, passage[:62]) for passage in tokenizer.encode(texts)]
    model = built(tokenizer, planned([task], built(tokenizer, {}).spec, world))
    plan = TrainPlan(steps=200, batch=16, lr=5e-3, warmup=20, weight_decay=0.0)
    fit(model, Job(Fixed(examples, "moods"), (task,), world, plan))
    return save(tmp_path_factory.mktemp("learnt") / "model", model, tokenizer)


def table(path: Path, rows: Sequence[tuple[str, str]]) -> Path:
    path.write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in rows), encoding="utf-8")
    return path


@pytest.fixture
def tables(tmp_path: Path) -> dict[str, tuple[Path, Path]]:
    """For each mood questions and examples, with the same texts in either; one odd example, so that both labels are
    known."""
    texts = [f"{one} {two}" for one in WORDS for two in WORDS]
    made = {}
    for mood, odd in (LABELS, LABELS[::-1]):
        data = table(tmp_path / f"{mood[:2]}-data.csv", [(text, mood) for text in texts[::2]])
        train = table(tmp_path / f"{mood[:2]}-train.csv", [*((t, mood) for t in texts[1::2]), ("ka", odd)])
        made[mood] = data, train
    return made


def test_few_shots_tell_the_mood_and_none_leaves_it_to_chance(
    learnt: Path, tables: dict[str, tuple[Path, Path]]
) -> None:
    found = {mood: evaluate(learnt, data=data, train=train, shots=(0, 1, 6)) for mood, (data, train) in tables.items()}
    for rule in ("sum", "mean", "prior"):
        chance = [one.spread(0, rule, "accuracy")[0] for one in found.values()]
        assert sum(chance) == pytest.approx(1), "the same answers, whatever is true"
        assert min(one.spread(6, rule, "accuracy")[0] for one in found.values()) > 0.9
    one = found[LABELS[0]]
    assert (one.questions, one.labels, one.majority) == (32, LABELS, LABELS[0])
    assert one.baseline.accuracy == 1
    assert [(run.shots, run.seed) for run in one.runs] == [(0, 0), *[(k, s) for k in (1, 6) for s in range(3)]]
    for run in one.runs:
        for figures in run.rules.values():
            assert np.sum(figures.confusion) == 32
            assert figures.accuracy == pytest.approx(np.trace(figures.confusion) / 32)


def test_scores_are_those_of_a_full_pass(tokenizer: Tokenizer) -> None:
    model = built(tokenizer, {"lm": TokenHead(transform=False)}, init_std=0.5).eval()
    asking = Asking(Form(description="ka tu"), LABELS, tokenizer, positions=64)
    records = [Record(text, label, "x") for text, label in lines(LABELS[0], 9, "scores")]
    questions = [asking.question(record, records[:i]) for i, record in enumerate(records[:5])]
    neutral = log_likelihoods(model, [asking.about("=>")])[0]
    found = by_rule(log_likelihoods(model, questions), neutral, questions)

    def full(prompt: str, label: str) -> list[float]:
        """log p of the label's tokens, with no code of the package."""
        ids = np.concatenate([[tokenizer.vocab.cls], tokenizer.encode([f"{prompt} {label}"])[0].tokens])
        own = len(tokenizer.encode([label])[0])  # words of their own: cut alike by themselves
        example = Example(ids, ids, ids > 0, ids > 0, ids * 0, sees=Causal())
        step = Step(model, Packed(Batch.pack([example])))
        with torch.no_grad():
            told = step.scores("lm", torch.arange(len(ids))).log_softmax(dim=1)
        return [float(told[len(ids) - own + i - 1, ids[len(ids) - own + i]]) for i in range(own)]

    for i in range(5):
        prompt = asking.form.prompt(records[:i], records[i].text)
        for c, label in enumerate(LABELS):
            values = full(prompt, label)
            assert found["sum"][i, c] == pytest.approx(sum(values), abs=1e-4)
            assert found["mean"][i, c] == pytest.approx(np.mean(values), abs=1e-4)
            assert found["prior"][i, c] == pytest.approx(sum(values) - sum(full("=>", label)), abs=1e-4)
    assert len({tuple(scores.argmax(axis=1)) for scores in found.values()}) > 1, "the rules differ"


def test_how_much_is_read_once_does_not_matter(tokenizer: Tokenizer) -> None:
    """Where labels change how the end of a prompt is cut, less of it is shared; a label's own still count alone."""
    model = built(tokenizer, {"lm": TokenHead(transform=False)}, init_std=0.5).eval()
    whole = Asking(Form(), LABELS, tokenizer, positions=64).about("ka tu =>")
    ids = whole.prompt.tokens
    shorter = Example.laid(tokenizer.vocab, (int(ids[0]), 0), (Passage(ids[1:-2], ids[1:-2] > 0), 0))
    longer = tuple(np.append(ids[-2:], answer) for answer in whole.answers)
    found = log_likelihoods(model, [whole, replace(whole, prompt=shorter, answers=longer)])
    np.testing.assert_allclose(found[0], found[1], atol=1e-5)


def test_the_answer_is_never_shown(tables: dict[str, tuple[Path, Path]], learnt: Path, tmp_path: Path) -> None:
    data, _ = tables[LABELS[0]]
    both = table(tmp_path / "both.csv", [("ka tu", LABELS[1]), ("KA  ka", LABELS[0]), ("lo lo lo", LABELS[0])])
    found = evaluate(learnt, data=data, train=both, shots=(5,), seeds=1)
    assert found.notes == (
        "1 of 3 examples are questions too; they are never shown",
        "5 shots were asked for, there are 2 examples: all of them are shown",
    )
    assert found.runs[0].shots == found.runs[0].least_used == 2


def test_what_does_not_fit_is_said(tables: dict[str, tuple[Path, Path]], learnt: Path) -> None:
    data, train = tables[LABELS[0]]
    found = evaluate(learnt, data=data, train=train, shots=(30,), seeds=2)
    assert found.notes[-1].startswith("of 30 examples ")
    assert all(8 < run.least_used < 20 for run in found.runs)


def test_the_command_prints_a_table_or_json(tables: dict[str, tuple[Path, Path]], learnt: Path) -> None:
    data, train = tables[LABELS[1]]
    arguments = ["evaluate", str(learnt), "--data", str(data), "--train", str(train), "--shots", "0,2", "--seeds", "2"]
    done = CliRunner().invoke(app, [*arguments, "--balanced", "--description", "ka"])
    assert done.exit_code == 0, done.output
    rows = [line.split() for line in done.output.splitlines()]
    assert [row[:3] for row in rows[1:7]] == [[k, n, r] for k, n in ("01", "22") for r in ("sum", "mean", "prior")]
    assert "majority" in done.output
    assert "2 shots, prior: label, then how often it was answered with each" in done.output
    told = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).output)
    assert [run["shots"] for run in told["runs"]] == [0, 2, 2]
    assert told["runs"][0]["rules"]["sum"].keys() == {"accuracy", "macro_f1", "confusion"}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"shots": (3,), "train": None}, "3 shots: examples of which table"),
        ({"shots": (-1,)}, "shots -1"),
        ({"shots": (0,), "seeds": 0}, "seeds 0"),
        ({"folder": "nowhere"}, "no such folder"),
        ({"label_column": "answer"}, "no column 'answer'"),
        ({"description": "ka " * 70}, "the question alone has"),
    ],
)
def test_bad_input_is_one_line(
    tables: dict[str, tuple[Path, Path]], learnt: Path, changes: dict[str, Any], says: str
) -> None:
    data, train = tables[LABELS[0]]
    given: dict[str, Any] = {"folder": learnt, "data": data, "train": train, "shots": (1,), **changes}
    with pytest.raises(BadInput, match=says) as caught:
        evaluate(given.pop("folder"), **given)
    assert "\n" not in str(caught.value)


def test_bad_tables_are_one_line(tables: dict[str, tuple[Path, Path]], learnt: Path, tmp_path: Path) -> None:
    data, train = tables[LABELS[0]]
    with pytest.raises(
        BadInput, match=r"other.csv:2: no example has the label 'yes pleese'; did you mean 'yes please'"
    ):
        evaluate(learnt, data=table(tmp_path / "other.csv", [("ka", "yes pleese")]), train=train, shots=(1,))
    with pytest.raises(BadInput, match="only one label, 'no'"):
        evaluate(learnt, data=data, shots=(0,))
    with pytest.raises(BadInput, match="empty label"):
        evaluate(learnt, data=table(tmp_path / "half.csv", [("ka", "no"), ("tu", "")]), shots=(0,))


def test_a_folder_without_a_language_model_is_refused(
    tokenizer: Tokenizer, tables: dict[str, tuple[Path, Path]], tmp_path: Path
) -> None:
    folder = save(tmp_path / "m", built(tokenizer, {"mlm": TokenHead()}, segments=2), tokenizer)
    with pytest.raises(BadInput, match=r"no lm head in this folder: .*\(heads: mlm\)"):
        evaluate(folder, data=tables[LABELS[0]][0], shots=(0,))
    assert CliRunner().invoke(app, ["evaluate", str(folder), "--data", "x.csv"]).exception is not None
