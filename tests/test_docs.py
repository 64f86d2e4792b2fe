"""Every command and snippet of the READMEs and the docs is run, in a folder with small files for the person's own.

`quire adapt` and `quire pretrain` are run as they are printed, with a small budget put behind: the last value of an
option counts. Updates that a verb makes at least are few here, and latencies are measured briefly. What installs,
demonstrates or measures is not run but checked: the make target, the extra or the verb must exist.
"""

import csv
import json
import os
import random
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
import typer
from markdown_it import MarkdownIt

from quire.adapt import measure
from quire.cli import app
from quire.core.errors import BadInput, Diverged, QuireError, Stopped

ROOT = Path(__file__).parents[1]
READMES = ("README.md", "README.zh-CN.md")
RUNNABLE = ("README.md", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md")))
PAGES = sorted(
    str(path.relative_to(ROOT)) for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")] if path.is_file()
)

TOY = "{depth: 1, width: 32, heads: 2, ffn: 64, positions: 64}"
CHANGES = ("train.steps=2", "train.batch=4", "data.length=32", "data.tokenizer.size=300", f"backbone={TOY}")
SMALL = {
    "adapt": ["--budget=2steps", "--seeds=1", "--set=train.batch=4"],
    "pretrain": [f"--set={change}" for change in CHANGES],
    "finetune": ["--epochs=1", "--vocab=300", "--length=32"],
    "compare": ["--budget=500tokens", "--seeds=1", "--vocab=300", "--length=32", "--batch=4"],
    "pretrain word2vec-skipgram": [],
    "finetune --paradigm": ["--epochs=1", "--length=32"],
    "compare --paradigms": ["--seeds=1", "--budget=2steps", "--length=32", "--batch=4"],
    "compare --strategies": ["--seeds=1", "--set=finetune.epochs=1", "--set=finetune.train.batch=2"],
    "compare --sharing": ["--budget=2steps", "--seeds=1", "--set=data.tokenizer.size=300", "--set=finetune.epochs=1"],
}
LEAST = ("quire.strategies.job.LEAST", "quire.compare.arms.LEAST_FINETUNE", "quire.stages.job.LEAST")
SMALL_CALL = ('budget="5m", seeds=3', 'budget="2steps", seeds=1, changes=["train.batch=4"]')
WORDS = ["lamp", "chair", "kettle", "box", "parcel", "two", "days", "after", "the", "it", "was", "in", "with", "very"]
OPINIONS = {"good": ["lovely", "sturdy", "quick", "pleased"], "bad": ["broke", "cracked", "slow", "returned"]}
CHINESE = {"好评": ["很好用", "质量不错", "物流快", "非常满意"], "差评": ["坏了", "质量太差", "物流慢", "很失望"]}


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the file it stands for (`title=...`), its text."""

    language: str
    title: str | None
    text: str


def blocks(page: str) -> Iterator[Block]:
    for token in MarkdownIt().parse((ROOT / page).read_text(encoding="utf-8")):
        if token.type == "fence":
            language, _, rest = token.info.partition(" ")
            yield Block(language, rest.removeprefix("title=") or None, token.content)


def commands(text: str) -> list[str]:
    lines = text.replace("\\\n", " ").splitlines()
    return [line for line in lines if line.strip() and not line.startswith("#")]


@pytest.fixture
def person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the pages speak of."""
    monkeypatch.setattr(measure, "SECONDS", 0.05)
    monkeypatch.setattr(measure, "LEAST_RUNS", 2)
    for floor in LEAST:
        monkeypatch.setattr(floor, 3)
    draw = random.Random(0)

    def review(label: str) -> str:
        return " ".join([*draw.choices(WORDS, k=6), *draw.choices(OPINIONS[label], k=2)])

    def chinese(label: str) -> str:
        return "，".join([f"第{draw.randrange(10**6)}次买", *draw.choices(CHINESE[label], k=2)])

    for name, count in (("reviews", 20), ("dev", 4), ("test", 6)):
        _table(tmp_path / f"{name}.csv", [(review(label), label) for label in OPINIONS for _ in range(count)])
        topics = [(f"{thing} {review('good')}", thing) for thing in ("lamp", "chair") for _ in range(count)]
        _table(tmp_path / (f"topics-{name}.csv" if name != "reviews" else "topics.csv"), topics)
    names = ["Ada B-PER\nmet O\nBo B-PER\nin O\nRome B-LOC\n. O\n", "Cy B-PER\nwas O\nat O\nhome O\n. O\n"]
    told = [block.replace("met", word).replace("home", word) for block in names for word in WORDS]
    (tmp_path / "names.conll").write_text("\n".join(told), encoding="utf-8")
    liked = {"good": "positive", "bad": "negative"}
    said = [
        (draw.choice(WORDS[:5]), draw.choice(OPINIONS[label]), liked[label], n) for n in range(9) for label in liked
    ]
    rows = [
        {"text": f"{n} the {thing} is {word}", "opinions": [{"aspect": thing, "opinion": word, "polarity": how}]}
        for thing, word, how, n in said
    ]
    (tmp_path / "opinions.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    there = [review(label) for label in OPINIONS for _ in range(20)]
    _table(tmp_path / "pairs.csv", [(text, text.upper()) for text in there], names=("source", "target"))
    _table(tmp_path / "reviews-zh.csv", [(chinese(label), label) for label in CHINESE for _ in range(20)])
    (tmp_path / "domain.txt").write_text("\n".join(review(label) for label in list(OPINIONS) * 400), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def _table(path: Path, rows: list[tuple[str, str]], *, names: tuple[str, str] = ("text", "label")) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([names, *rows])


@pytest.mark.slow
@pytest.mark.parametrize("page", RUNNABLE)
def test_every_block_of_a_page_runs(page: str, person: Path) -> None:
    names: dict[str, object] = {"__name__": "page"}
    for block in blocks(page):
        if block.title:
            (person / block.title).write_text(block.text, encoding="utf-8")
        elif block.language == "bash":
            for command in commands(block.text):
                _run(command)
        elif block.language == "python":
            exec(compile(block.text.replace(*SMALL_CALL), page, "exec"), names)
        else:
            assert block.language == "text", f"{page}: a block without a known language: {block.text[:60]!r}"


def _run(command: str) -> None:
    words = shlex.split(command)
    if words[0] in ("make", "python3") or words[0].startswith(".venv/"):
        _check(words)
    elif words[0] == "quire" and not set(command) & set("<>|&;$"):  # in this process: torch is imported once
        app([*words[1:], *_small(words)], standalone_mode=False)
    else:
        _run_in_shell(f"{command} {shlex.join(_small(words[words.index('quire') :]))}")


def _small(words: list[str]) -> list[str]:
    """What makes `quire verb ...` quick."""
    return SMALL.get(" ".join(words[1:3]), SMALL.get(words[1], []))


def _run_in_shell(command: str) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", command],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


def _check(words: list[str]) -> None:
    """That a heavy command means something here, without running it."""
    program, rest = Path(words[0]).name, words[1:]
    if program == "make":
        subprocess.run(["make", "--dry-run", *rest], cwd=ROOT, check=True, capture_output=True)
    elif program == "quire":
        verbs()[rest[0]].make_context(rest[0], rest[1:])
    elif rest[:3] == ["-m", "pip", "install"]:
        wanted = set(re.findall(r"\.\[([\w,]+)\]", " ".join(rest))[0].split(","))
        declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        assert wanted <= set(declared["optional-dependencies"])
    else:
        assert words == ["python3", "-m", "venv", ".venv"], f"neither run nor checked: {words}"


def verbs() -> dict[str, typer.core.TyperCommand]:
    """The verbs by name; those of `quire data` as "data list"."""
    found: dict[str, typer.core.TyperCommand] = {}
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        inner = getattr(command, "commands", None)
        found |= {f"{name} {below}": c for below, c in inner.items()} if inner else {name: command}
    return found


def test_both_readmes_give_the_same_commands() -> None:
    english, chinese = (list(blocks(page)) for page in READMES)
    assert english == chinese


@pytest.mark.parametrize("page", READMES)
def test_a_readme_tells_verbs_and_exit_codes_as_they_are(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("|")]
    told = {name for row in rows for name in re.findall(r"`([a-z]+(?: [a-z]+)?)`", row)}
    assert set(verbs()) <= told
    codes = {int(row) for row in rows if row.strip().isdigit()}
    assert codes == {0, *(error.exit_code for error in (QuireError, BadInput, Diverged, Stopped))}
    options = {option for command in verbs().values() for p in command.params for option in p.opts}
    assert set(re.findall(r"(?<=`)--[a-z-]+", text)) <= options


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for token in MarkdownIt().parse((ROOT / page).read_text(encoding="utf-8")):
        for child in token.children or []:
            target = str(child.attrs.get("href", ""))
            if child.type == "link_open" and "://" not in target:
                assert (ROOT / page).parent.joinpath(target.partition("#")[0]).exists(), f"{page}: {target}"


def test_decisions_are_numbered_without_a_gap() -> None:
    numbers = [int(path.name[:4]) for path in sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))]
    assert numbers[:1] == [1]
    assert all(after == before + 1 for before, after in pairwise(numbers))
