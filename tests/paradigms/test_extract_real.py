"""Real texts in small: a reader that cannot learn a few by heart has lost their words or their answers."""

import gzip
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from quire.core.answers import Answer
from quire.core.example import Example
from quire.core.spec import Backbone
from quire.nn.model import Model
from quire.paradigms import Paradigm
from quire.paradigms.extract import Extract
from quire.paradigms.extract_spans import ExtractSpans
from quire.reading import exact
from quire.text.conll import read_conll
from quire.text.problems import Problem, items
from quire.text.squad import read_squad
from quire.text.tokenizers import Tokenizer
from quire.train.evaluate import said
from quire.train.feed import Fixed
from quire.train.loop import Job, fit, planned
from quire.train.optim import TrainPlan

LENGTH = 96


def data(name: str) -> Path:
    found = Path(os.environ.get("QUIRE_DATA", "")) / name
    if "QUIRE_DATA" not in os.environ or not found.is_file():
        pytest.skip(f"needs {name} of $QUIRE_DATA")
    return found


def learnt(task: Paradigm, problems: Sequence[Problem], *, known: Iterable[str] = ()) -> list[Answer]:
    """What a small model answers to what it was trained on; `known` are other texts that its tokenizer can spell."""
    texts = [text for problem in problems for text in problem.texts]
    tokenizer = Tokenizer.train([*texts, *known], kind="wordpiece", size=900, least=1)
    world, posed = tokenizer.world(length=LENGTH), items(problems, tokenizer)
    examples: list[Example] = []
    for item, problem in zip(posed, problems, strict=True):
        assert problem.answer is not None
        examples += task.format(item, problem.answer, world)
    spec = Backbone(vocab=tokenizer.vocab.size, depth=1, width=64, heads=4, ffn=128, positions=LENGTH, dropout=0.0,
                    attention_dropout=0.0, init_std=0.1)  # fmt: skip
    model = Model(spec, planned([task], spec, world), seed=1)
    fit(model, Job(Fixed(examples, "real"), (task,), world, TrainPlan(steps=120, batch=24, lr=5e-3, warmup=10)))
    return [task.decode(item, said(model, task, task.format(item, None, world)), world) for item in posed]


@pytest.mark.slow
def test_real_questions_are_learnt(tmp_path: Path) -> None:
    plain = tmp_path / "xquad.json"
    plain.write_bytes(gzip.decompress(data("mrc/xquad/xquad.zh.json.gz").read_bytes()))
    questions = read_squad(plain)[:16]
    right = 0.0
    for problem, found in zip(questions, learnt(Extract(null_margin=None), questions), strict=True):
        assert isinstance(found, frozenset)
        (span,) = found
        right += exact(problem.quoted(span.start, span.end), problem.accepted, chinese=True)
    assert right / len(questions) > 0.9


@pytest.mark.slow
def test_real_entities_are_learnt_kind_by_kind() -> None:
    asked = {"PER.NAM": "名字", "PER.NOM": "人"}
    texts = []
    for problem in read_conll(data("seqlab/weibo_ner/weiboNER_2nd_conll.dev")):
        assert isinstance(problem.answer, frozenset)
        people = frozenset(span for span in problem.answer if span.label in asked)
        if len({span.label for span in people}) == 2:
            texts.append(replace(problem, answer=people))
    found = learnt(ExtractSpans(labels=tuple(asked), questions=asked), texts[:12], known=asked.values())
    assert sum(answer == p.answer for answer, p in zip(found, texts, strict=False)) > 0.9 * len(found)
