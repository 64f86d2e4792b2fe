"""A predictor saved and loaded answers bit for bit the same, whatever its kind; others open what is a network."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch

import quire
from quire.core.errors import BadInput
from quire.core.example import World
from quire.core.heads import Windows
from quire.core.spec import Backbone
from quire.nn.model import Model
from quire.paradigms.classify import Classify
from quire.predict.base import Predictor
from quire.predict.features import Features
from quire.predict.folder import ARRAYS, KINDS, RECORD
from quire.predict.linear import Scores, best_regression
from quire.predict.majority import Majority
from quire.predict.network import Int8Network, Network
from quire.predict.tfidf import TfIdf
from quire.predict.vote import Voting
from quire.text.tokenizers import Tokenizer
from quire.train.evaluate import batches

LABELS = ("差", "fine", "good")
GOOD, BAD, FINE = "a good and lovely film, 很好", "bad bad bad: 很差的酒店", "it is fine. 还可以吧"
LONG = "good film, bad hotel; it is fine and lovely. 很好 很差的 酒店 还可以吧 bad bad good it a and film fine 吧"
TEXTS = [GOOD, BAD, FINE, "", LONG, "¿unseen? 生僻字", "good"]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train([GOOD, BAD, FINE] * 3, kind="wordpiece", size=80)


@pytest.fixture(scope="module")
def network(tokenizer: Tokenizer) -> Network:
    task = Classify(labels=LABELS)
    spec = Backbone(vocab=tokenizer.vocab.size, depth=2, width=24, heads=3, ffn=20, positions=40, init_std=0.2)
    model = Model(spec, task.parts(spec, World(tokenizer.vocab)), seed=3)
    return Network(model, task, tokenizer, length=30, how="head+tail")


def regression() -> tuple[tuple[list[str], np.ndarray], tuple[list[str], np.ndarray]]:
    """Words of several texts among those of one, so that their weights differ."""
    train = [GOOD, BAD, FINE, LONG, "a bad film", "fine film"] * 3, np.array([2, 0, 1, 2, 0, 1] * 3)
    return train, train


def other(network: Network, *, seed: int) -> Network:
    """One of the same shape with other weights."""
    model = Model(network.model.spec, network.model.head_specs, seed=seed)
    return Network(model, network.task, network.tokenizer, length=network.length, how=network.how)


def make(kind: str, network: Network) -> Predictor:
    match kind:
        case "majority":
            return Majority.fit(LABELS, ["fine", "good", "fine"])
        case "tfidf":
            return TfIdf.fit(LABELS, *regression(), corpus=["more text, 更多文字"])
        case "features":
            body = Model(network.model.spec, {}, seed=4).eval()
            linear = Scores(
                np.linspace(-1, 1, 72, dtype=np.float32).reshape(3, 24), np.array([0.1, 0.2, 0.3], dtype=np.float32)
            )
            return Features(body, network.tokenizer, linear, LABELS, length=30, how="tail")
        case "network":
            return network
        case "int8":
            return Int8Network.quantised(network)
        case "vote":
            return Voting([network, other(network, seed=5), other(network, seed=6)])
    raise AssertionError(f"a new kind {kind!r}: say here how a small one is made")


@pytest.fixture(params=list(KINDS))
def predictor(request: pytest.FixtureRequest, network: Network) -> Predictor:
    return make(request.param, network)


def test_saved_and_loaded_it_answers_the_same(predictor: Predictor, tmp_path: Path) -> None:
    predictor.save(tmp_path / "m", card="# A card\n")
    loaded = quire.load(tmp_path / "m")
    assert type(loaded) is type(predictor)
    assert loaded.labels == LABELS
    assert np.array_equal(loaded.probabilities(TEXTS), predictor.probabilities(TEXTS))
    assert loaded.parameter_count() == predictor.parameter_count()
    assert (tmp_path / "m" / "README.md").read_text() == "# A card\n"
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
    loaded.save(tmp_path / "again")
    assert np.array_equal(quire.load(tmp_path / "again").probabilities(TEXTS), predictor.probabilities(TEXTS))


def test_that_it_labels_pairs_is_kept(predictor: Predictor, tmp_path: Path) -> None:
    pair = quire.Pair(GOOD, BAD)
    assert predictor.pairs is False
    predictor(GOOD)
    with pytest.raises(BadInput, match="text 1: the model labels single texts"):
        predictor([pair])
    try:
        predictor.pairs = True  # as whoever has trained it says
        predictor.save(tmp_path / "m")
    finally:
        predictor.pairs = False  # others use it too
    loaded = quire.load(tmp_path / "m")
    assert loaded.pairs is True
    assert len(loaded([pair, pair])) == 2
    with pytest.raises(BadInput, match=r"text 2: the model labels pairs: give quire\.Pair\(first, second\)"):
        loaded([pair, GOOD])
    loaded.save(tmp_path / "again")
    assert quire.load(tmp_path / "again").pairs is True


@pytest.mark.parametrize(
    "task",
    [
        Classify(labels=LABELS, pool="attention", mix="plain"),
        Classify(labels=LABELS, pool="last+max+mean"),
        Classify(labels=LABELS, activation="relu"),
        Classify(labels=LABELS, private=7),
    ],
)
@pytest.mark.parametrize("kind", ["network", "int8"])
def test_how_a_text_is_read_is_kept(kind: str, task: Classify, network: Network, tmp_path: Path) -> None:
    spec = network.model.spec
    model = Model(spec, task.parts(spec, World(network.tokenizer.vocab)), seed=3)
    made = make(kind, Network(model, task, network.tokenizer, length=30, how="head"))
    made.save(tmp_path / "m")
    assert np.array_equal(quire.load(tmp_path / "m").probabilities(TEXTS), made.probabilities(TEXTS))
    assert not np.allclose(made.probabilities(TEXTS), network.probabilities(TEXTS), atol=1e-3)


@pytest.mark.parametrize("windows", get_args(Windows))
@pytest.mark.parametrize("kind", ["network", "int8"])
def test_windows_are_kept_and_what_fits_in_one_is_read_as_ever(
    kind: str, windows: Windows, network: Network, tmp_path: Path
) -> None:
    task, spec = Classify(labels=LABELS, windows=windows), network.model.spec
    model = Model(spec, task.parts(spec, World(network.tokenizer.vocab)), seed=3)
    made, head = (make(kind, Network(model, task, network.tokenizer, length=12, how=h)) for h in ("windows", "head"))
    made.save(tmp_path / "m")
    loaded = quire.load(tmp_path / "m")
    found = loaded.probabilities(TEXTS)
    assert isinstance(loaded, Network)
    assert (loaded.how, loaded.length, loaded.task.windows) == ("windows", 12, windows)
    assert np.array_equal(found, made.probabilities(TEXTS))
    fits = [len(passage) <= 10 for passage in network.tokenizer.encode(TEXTS)]
    short = [text for text, one in zip(TEXTS, fits, strict=True) if one]
    assert 2 < len(short) < len(TEXTS)
    assert np.array_equal(made.probabilities(short), head.probabilities(short))
    assert not np.allclose(found[TEXTS.index(LONG)], head.probabilities([LONG])[0], atol=1e-3)
    # Of two texts that begin alike the end is read too.
    assert not np.allclose(found[TEXTS.index(LONG)], made.probabilities([LONG[:-9] + "bad"])[0], atol=1e-4)


@pytest.mark.parametrize(("windows", "theirs"), [("mean", True), ("max", True), ("attention", False)])
def test_others_open_what_has_no_weights_over_windows(
    windows: Windows, theirs: bool, network: Network, tmp_path: Path
) -> None:
    task, spec = Classify(labels=LABELS, windows=windows), network.model.spec
    model = Model(spec, task.parts(spec, World(network.tokenizer.vocab)), seed=3)
    Network(model, task, network.tokenizer, length=12, how="windows").save(tmp_path / "m")
    named = json.loads((tmp_path / "m" / "config.json").read_text())["architectures"]
    assert named == ["BertForSequenceClassification" if theirs else "BertModel"]


def test_a_folder_without_a_word_on_windows_takes_their_mean(network: Network, tmp_path: Path) -> None:
    Network(network.model, network.task, network.tokenizer, length=12, how="windows").save(tmp_path / "m")
    expected = quire.load(tmp_path / "m").probabilities(TEXTS)
    record = json.loads((tmp_path / "m" / "quire.json").read_text())
    del record["heads"]["classify"]["windows"]
    (tmp_path / "m" / "quire.json").write_text(json.dumps(record))
    assert np.array_equal(quire.load(tmp_path / "m").probabilities(TEXTS), expected)
    record["extra"]["length"] = 2
    (tmp_path / "m" / "quire.json").write_text(json.dumps(record))
    with pytest.raises(BadInput, match="windows of 2 tokens hold nothing but special ones"):
        quire.load(tmp_path / "m")


def test_rows_are_distributions_and_answers_their_largest(predictor: Predictor) -> None:
    rows = predictor.probabilities(TEXTS)
    assert rows.shape == (len(TEXTS), 3)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-5)
    for answer, row in zip(predictor(TEXTS), rows, strict=True):
        assert answer.label == LABELS[int(row.argmax())]
        assert answer.probability == float(row.max())
        assert dict(answer.probabilities) == dict(zip(LABELS, map(float, row), strict=True))
    assert predictor([]) == []


def test_a_vote_is_the_mean_of_what_its_members_say_and_as_large_as_all(network: Network) -> None:
    members = [network, other(network, seed=5)]
    told = [member.probabilities(TEXTS) for member in members]
    assert np.abs(told[0] - told[1]).max() > 0.05
    vote = Voting(members)
    np.testing.assert_allclose(vote.probabilities(TEXTS), (told[0] + told[1]) / 2, atol=1e-7)
    assert vote.parameter_count() == 2 * network.parameter_count()


def test_a_text_has_its_answer_whatever_stands_beside_it(predictor: Predictor) -> None:
    together = predictor.probabilities(TEXTS)
    alone = np.stack([predictor.probabilities([text])[0] for text in TEXTS])
    tolerance = 0.05 if predictor.kind == "int8" else 1e-5  # int8 takes the range of inputs from the batch
    np.testing.assert_allclose(together, alone, atol=tolerance)
    assert predictor(GOOD).label == LABELS[int(predictor.probabilities([GOOD])[0].argmax())]


@pytest.mark.parametrize("kind", ["tfidf", "features", "int8", "majority"])
def test_what_was_cut_short_is_refused_in_one_line(kind: str, network: Network, tmp_path: Path) -> None:
    make(kind, network).save(tmp_path / "m")
    content = (tmp_path / "m" / ARRAYS).read_bytes()
    (tmp_path / "m" / ARRAYS).write_bytes(content[: len(content) // 2])
    with pytest.raises(BadInput) as caught:
        quire.load(tmp_path / "m")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda folder: shutil.rmtree(folder), "no such folder"),
        (lambda folder: (folder / RECORD).unlink(), "holds no finished model"),
        (lambda folder: (folder / RECORD).write_text('{"predictor": "magic", "labels": []}'), "unknown predictor"),
        (lambda folder: (folder / RECORD).write_text("[]"), "names no predictor and labels"),
    ],
)
def test_folders_that_hold_no_predictor(tmp_path: Path, change: Callable[[Path], object], says: str) -> None:
    Majority.fit(LABELS, ["good"]).save(tmp_path / "m")
    change(tmp_path / "m")
    with pytest.raises(BadInput, match=says):
        quire.load(tmp_path / "m")


@pytest.mark.parametrize("place", ["tasks/{}/model", "models/{}", "labels-{}/model"])
def test_a_run_of_several_models_names_them(tmp_path: Path, place: str) -> None:
    for name in ("mood", "topic"):
        Majority.fit(LABELS, ["good"]).save(tmp_path / place.format(name))
    one, other = (str(tmp_path / place.format(name)).removesuffix("/model") for name in ("mood", "topic"))
    with pytest.raises(BadInput, match="holds several models") as refused:
        quire.load(tmp_path)
    assert str(refused.value) == f"{tmp_path}: holds several models; take one of {one}, {other}"
    assert quire.load(one).labels == LABELS


def test_a_run_folder_gives_its_int8_model_first(tmp_path: Path, network: Network) -> None:
    network.save(tmp_path / "model")
    assert type(quire.load(tmp_path)) is Network
    Int8Network.quantised(network).save(tmp_path / "model-int8")
    assert type(quire.load(tmp_path)) is Int8Network


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_transformers_opens_a_network_and_gives_the_same_scores(tmp_path: Path, network: Network) -> None:
    transformers = pytest.importorskip("transformers")
    network.save(tmp_path / "m")
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "m").eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "m")
    texts = [GOOD, BAD, FINE, "good"]  # shorter than `length`: cutting is ours
    with torch.inference_mode():
        logits = theirs(**tokenizer(texts, padding=True, return_tensors="pt")).logits
    assert tuple(theirs.config.id2label[i] for i in range(3)) == LABELS
    probabilities = np.log(network.probabilities(texts))
    np.testing.assert_allclose(probabilities, torch.log_softmax(logits, dim=1).numpy(), atol=1e-5)


def test_int8_keeps_the_network_as_it_was(network: Network) -> None:
    before = {name: tensor.clone() for name, tensor in network.model.state_dict().items()}
    small = Int8Network.quantised(network)
    small.probabilities(TEXTS)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.model.state_dict().items())
    assert (np.abs(small.probabilities(TEXTS) - network.probabilities(TEXTS)) < 0.05).all()
    assert small.parameter_count() == network.parameter_count()


def test_a_folder_without_a_classifier_says_so(tmp_path: Path, network: Network) -> None:
    features = make("features", network)
    features.save(tmp_path / "m")
    with pytest.raises(BadInput, match="has no classification head"):
        quire.load(tmp_path / "m" / "encoder")


def test_two_classes_from_scikit_learn_agree_with_it() -> None:
    from sklearn.linear_model import LogisticRegression

    x = np.random.default_rng(0).normal(size=(40, 3))
    y = (x[:, 0] + x[:, 1] > 0).astype(np.int64)
    ours = best_regression((x, y), (x, y), 2, seed=0)
    scores = ours(x)
    theirs = [LogisticRegression(C=c, max_iter=2000).fit(x, y).predict_proba(x)[:, 1] for c in (0.1, 1.0, 10.0, 100.0)]
    probability = 1 / (1 + np.exp(scores[:, 0] - scores[:, 1]))
    assert min(float(np.abs(probability - t).max()) for t in theirs) < 1e-5


def test_tfidf_deploys_what_scikit_learn_fitted() -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    (texts, answers), _ = regression()
    vectorizer = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b").fit(texts)
    x, ours = vectorizer.transform(texts), TfIdf.fit(LABELS, *regression()).probabilities(texts)
    theirs = [LogisticRegression(C=c, max_iter=2000).fit(x, answers).predict_proba(x) for c in (0.1, 1.0, 10.0, 100.0)]
    assert min(float(np.abs(ours - t).max()) for t in theirs) < 1e-4


def test_majority_answers_with_the_shares() -> None:
    np.testing.assert_allclose(Majority.fit(LABELS, ["fine", "good", "fine"]).probabilities(["x"]), [[0, 2 / 3, 1 / 3]])


def test_the_record_is_plain_json(tmp_path: Path, network: Network) -> None:
    make("int8", network).save(tmp_path / "m")
    record = json.loads((tmp_path / "m" / RECORD).read_text())
    assert (record["predictor"], record["labels"], record["length"]) == ("int8", list(LABELS), 30)


def test_batches_hold_every_index_once_within_the_budget(network: Network) -> None:
    from quire.predict.encode import encode

    examples = encode(network.task, network.tokenizer, TEXTS * 3, length=30, how="head")
    found = list(batches(examples, tokens=64))
    assert sorted(i for part in found for i in part) == list(range(len(examples)))
    assert all(sum(len(examples[i]) for i in part) <= 64 for part in found)
    assert len(found) > 1
