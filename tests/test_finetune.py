"""Fine-tuning a generator, end to end: a small network learns to reverse words, is stopped, goes on, and is used."""

import csv
import json
import random
from pathlib import Path

import pytest
from typer.testing import CliRunner

import quire
from quire import recipe
from quire.cli import app
from quire.core.errors import BadInput, Stopped
from quire.core.example import World
from quire.core.search import Sample, Search
from quire.core.spec import Backbone
from quire.finetune import Outcome, finetune
from quire.nn.model import Model
from quire.nn.search import Token
from quire.paradigms.write import Write
from quire.predict.writer import Writer, Writing
from quire.text.tokenizers import Tokenizer
from quire.train.signals import StopRequest

WORDS = ["lamp", "chair", "kettle", "box"]
RECIPE = (
    "{cite: x, survey: x, objectives: [lm], train: {steps: 1}, backbone: {segments: 0, dropout: 0, init_std: 0.1, %s}}"
)
DECODER, BODY = (RECIPE % field for field in ("decoder: 1", "norm_first: true, init: gpt2"))


@pytest.fixture(autouse=True)
def toy_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(recipe.SIZES, "tiny", (1, 48, 4, 96))


@pytest.fixture
def person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pairs that turn words round, and recipes of two kinds of writers."""
    draw = random.Random(0)
    for name, count in (("train", 160), ("dev", 10), ("test", 20)):
        with (tmp_path / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            rows = [draw.choices(WORDS, k=draw.randint(1, 3)) for _ in range(count)]
            csv.writer(file).writerows([("there", "back"), *((" ".join(r), " ".join(r[::-1])) for r in rows)])
    (tmp_path / "decoder.yaml").write_text(DECODER, encoding="utf-8")
    (tmp_path / "deaf.yaml").write_text(RECIPE % "position: relative", encoding="utf-8")
    (tmp_path / "body.yaml").write_text(BODY, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(
    out: str,
    *,
    kind: str = "decoder",
    epochs: int = 18,
    stop: StopRequest | None = None,
    train: str = "train.csv",
    dev: str | None = "dev.csv",
    test: str | None = "test.csv",
) -> Outcome:
    return finetune(
        train,
        dev=dev,
        test=test,
        source_column="there",
        target_column="back",
        recipe=f"{kind}.yaml",
        vocab=60,
        epochs=epochs,
        batch=16,
        lr=5e-3,
        length=16 if kind == "decoder" else 12,
        out=out,
        stop=stop,
    )


@pytest.mark.parametrize("kind", ["decoder", "body"])
def test_a_writer_learns_and_is_used(person: Path, kind: str) -> None:
    outcome = run("run", kind=kind)
    assert outcome.pairs == {"train": 160, "dev": 10, "test": 20}
    assert outcome.scores["test"]["chrf"] > 60
    assert outcome.scores["test"]["rougeL"] > 60
    assert outcome.leaks > 0  # so few words: most sources were seen
    lines = [json.loads(line) for line in Path("run/written.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["where"] for line in lines[:2]] == ["test.csv:2", "test.csv:3"]
    writer = quire.load_writer("run")
    written = writer([line["source"] for line in lines])
    assert [text.text for text in written] == [line["written"] for line in lines]
    assert "".join(writer.stream(lines[3]["source"])) == lines[3]["written"]
    assert run("run", kind=kind) == outcome  # nothing is made twice


def test_a_run_that_is_stopped_and_goes_on_gives_the_same_weights(person: Path) -> None:
    stop = StopRequest()
    run("whole", epochs=1)
    stop.note(15, None)
    with pytest.raises(Stopped, match="after step 1;"):
        run("parts", epochs=1, stop=stop)
    run("parts", epochs=1)
    whole, parts = (Path(name, "model", "model.safetensors").read_bytes() for name in ("whole", "parts"))
    assert whole == parts


def test_the_command_tells_scores_and_predict_writes(person: Path) -> None:
    runner = CliRunner()
    columns = ["--source-column", "there", "--target-column", "back"]
    sizes = ["--vocab", "60", "--epochs", "1", "--length", "16"]
    given = ["--train", "train.csv", "--test", "test.csv", "--recipe", "decoder.yaml", "--out", "run"]
    told = runner.invoke(app, ["finetune", *given, *columns, *sizes])
    assert told.exit_code == 0, told.output
    assert told.stdout.split()[:6] == ["pairs", "bleu", "chrf", "rouge1", "rouge2", "rougeL"]
    assert "test sources also stand in train or dev" in told.stdout
    for how in ([], ["--beam", "2"], ["--temperature", "0.8", "--top-k", "5", "--top-p", "0.9"], ["--stream"]):
        found = runner.invoke(app, ["predict", "run", "lamp chair", "--limit", "4", *how])
        assert found.exit_code == 0, found.output
        assert len(found.stdout.splitlines()) == 1
    asked = ["evaluate", "run", "--data", "test.csv", "--source-column", "there", "--target-column", "back"]
    scores = json.loads(runner.invoke(app, [*asked, "--json"]).stdout)
    refused = runner.invoke(app, [*asked, "--balanced"])
    assert "--balanced: needs --shots" in str(refused.exception)
    assert scores == {"texts": 20, **json.loads(Path("run/results.json").read_text())["scores"]["test"]}
    answer = json.loads(runner.invoke(app, ["predict", "run", "lamp chair", "--json"]).stdout)
    assert answer.keys() == {"text", "written", "score", "finished"}


def test_a_text_longer_than_the_window_is_cut_for_a_translator_and_refused_for_what_goes_on() -> None:
    tokenizer = Tokenizer.train([" ".join(WORDS)], kind="wordpiece", size=40)
    spec = Backbone(vocab=tokenizer.vocab.size, depth=1, width=8, heads=1, ffn=8, positions=20, segments=0)
    task = Write(head="lm", by="body", parted=False)
    model = Model(spec, task.parts(spec, World(tokenizer.vocab)), seed=0)
    writer = Writer(model, tokenizer, Writing(task=task, length=10, search=Search(limit=5)))
    long = "box " * 12
    assert len(tokenizer.encode([long])[0]) > 14
    with pytest.raises(
        BadInput, match=r"text 2 has \d+ tokens; with 5 to write the model's 20 positions have room for 14"
    ):
        writer(["box", long])
    apart = task.model_copy(update={"parted": True})
    assert Writer(model, tokenizer, Writing(task=apart, length=10, search=Search(limit=5)))(long)


def test_a_draw_is_a_function_of_the_text_and_its_place() -> None:
    tokenizer = Tokenizer.train([" ".join(WORDS)], kind="wordpiece", size=40)
    spec = Backbone(vocab=tokenizer.vocab.size, depth=1, width=8, heads=1, ffn=8, positions=20, segments=0, decoder=1)
    task = Write()
    model = Model(spec, task.parts(spec, World(tokenizer.vocab)), seed=0)
    search = Search(limit=8, sample=Sample(seed=3))
    writer = Writer(model, tokenizer, Writing(task=task, length=10, search=search))
    many = writer(["box lamp"] * 70)
    assert len({text.text for text in many}) > 60, "64 are written at once"
    assert writer(["box lamp", "lamp", "chair box lamp"])[0] == many[0] == writer("box lamp")
    assert "".join(writer.stream("box lamp", number=66)) == many[66].text


def test_targets_that_are_cut_and_letters_that_cannot_be_spelled_are_told(person: Path) -> None:
    sizes = ["--length", "9", "--vocab", "40", "--epochs", "1"]
    columns = ["--source-column", "there", "--target-column", "back"]
    given = ["finetune", "--train", "train.csv", "--recipe", "decoder.yaml", "--out", "run"]
    told = CliRunner().invoke(app, [*given, *columns, *sizes])
    assert told.exit_code == 0, told.output
    assert "of the training targets were cut" in told.stdout
    assert "the tokenizer cannot spell" not in told.stdout
    rows = "there,back\n" + "".join(f"{' '.join(WORDS)} {i},Die Ärzte spielten {i} Stücke\n" for i in range(40))
    Path("cased.csv").write_text(rows, encoding="utf-8")
    found = run("cased", train="cased.csv", dev=None, test=None, epochs=1)
    assert found.ceiling < 80


def test_a_table_narrower_than_the_states_writes(person: Path) -> None:
    Path("narrow.yaml").write_text(RECIPE % "decoder: 1, embedding: 24", encoding="utf-8")
    assert run("run", kind="narrow", epochs=1).scores["test"]


@pytest.mark.parametrize("stop", [(), ("坏了",), ("两地",)])
def test_a_stream_shows_nothing_that_is_taken_back(monkeypatch: pytest.MonkeyPatch, stop: tuple[str, ...]) -> None:
    text = "用了两天就坏了"
    tokenizer = Tokenizer.train(["no such characters"], kind="bpe", size=300)
    tokens = tokenizer.encode([text])[0].tokens.tolist()
    assert len(tokens) > len(text), "characters in several tokens"
    spec = Backbone(vocab=tokenizer.vocab.size, depth=1, width=8, heads=1, ffn=8, positions=64, segments=0, decoder=1)
    task = Write(head="write")
    model = Model(spec, task.parts(spec, World(tokenizer.vocab)), seed=0)
    writer = Writer(model, tokenizer, Writing(task=task, length=32, search=Search(limit=30, stop=stop)))
    monkeypatch.setattr("quire.predict.writer.stream", lambda *_, **__: (Token(0, token) for token in tokens))
    pieces = list(writer.stream("x"))
    assert "".join(pieces) == (text.removesuffix("坏了") if "坏了" in stop else text)
    assert all(pieces)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"recipe": None}, "give exactly one of --start .* and --recipe"),
        ({"recipe": "minilm-adapt"}, "starts from the base 'minilm'; give that as --start"),
        ({"beam": 0}, "beam 0: take 1, which is greedy, or more"),
        ({"limit": 40}, "limit 40: write fewer tokens than length 16"),
        ({"target_column": "bak"}, r"train\.csv: no column 'bak'; did you mean 'back'\?"),
        ({"train": "nowhere.csv"}, r"nowhere\.csv: no such file"),
        ({"epochs": 0}, r"finetune\.epochs: .* greater than 0"),
        ({"recipe": "deaf.yaml"}, "cannot be told token by token"),
        ({"recipe": None, "start": "minilm"}, "minilm: nothing in this model writes: it has no decoder and no"),
    ],
)
def test_what_cannot_be_done_is_refused_and_leaves_nothing(person: Path, change: dict[str, object], says: str) -> None:
    given: dict[str, object] = {
        "train": "train.csv",
        "source_column": "there",
        "target_column": "back",
        "recipe": "decoder.yaml",
        "length": 16,
        "vocab": 60,
        "out": "run",
    }
    with pytest.raises(BadInput, match=says) as caught:
        finetune(**{**given, **change})  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    assert not (person / "run").exists()


def test_a_body_that_cannot_hold_both_texts_is_refused(person: Path) -> None:
    with pytest.raises(BadInput, match=r"length 40: for each of two texts in one run are 80, but the model has 64"):
        finetune("train.csv", source_column="there", target_column="back", recipe="body.yaml", length=40, out="run")


def test_a_folder_that_labels_does_not_write(person: Path) -> None:
    with pytest.raises(BadInput, match="no such folder"):
        quire.load_writer("nowhere")
