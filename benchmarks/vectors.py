"""(g) Word vectors: skip-gram and CBOW, words a second and what the vectors know, beside gensim's word2vec.

Legend: S texts, V words, W width.
"""

import gzip
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks import peers
from benchmarks.harness import Agreement, Clock, Result, Row, Scale, Side, agree, timed, versus
from benchmarks.text import Labelled
from quire import data, recipe
from quire.core.errors import BadInput
from quire.data.fetch import data_root
from quire.explain import Space
from quire.explain.encoder import Encoder
from quire.objectives.neighbours import Neighbours
from quire.pretrain import Material
from quire.text.tokenizers import Tokenizer
from quire.train.loop import fit
from quire.train.start import Base

RATES = {"word2vec-skipgram": 0.025, "word2vec-cbow": 0.05}
"""The peer's learning rates: the defaults of word2vec.c."""
PEER = "gensim Word2Vec"
SENTENCES = 400
"""Sentences of a document."""
SENTIMENT, SIMILARITY = "sst2-sentences", "lexicon/counter_fitting/SimLex-999.txt.gz"
REMARKS = (
    "Word vectors: two algorithms for one objective, so no loss can be compared. The same on both sides: words and "
    "their counts, lines, width, window, noise words, subsampling, epochs. Each turn has another seed.",
    "Word vectors: the peer reads lines of a file in C (`corpus_file`), with as many workers as we have threads, Quire "
    "reads token shards. A turn is a training, without the counting of words that either side does before.",
)

Measure = Callable[[Space], float]


@dataclass(frozen=True)
class Trainer:
    """One side: each turn trains with the next seed, and what came of it is kept."""

    name: str
    train: Callable[[int], tuple[float, Space]]
    """Seconds, and the vectors, of a seed."""
    made: list[Space] = field(default_factory=list)

    def turn(self) -> float:
        seconds, space = self.train(len(self.made))
        self.made.append(space)
        return seconds


def measure(text: list[Labelled], base: Base, scale: Scale, folder: Path) -> Result:
    """Both recipes on the same words; the labels of the text and the base play no part."""
    peers.require("gensim")
    documents = spread([sentence for sentence, _ in text], words=scale.words)
    rows: list[Row] = []
    agreements: list[Agreement] = []
    known: list[str] = []
    for name, rate in RATES.items():
        material = Material(recipe.load(name), folder, lambda: documents)
        lines = _lines(material, folder / "lines.txt")
        ours = Trainer("quire", partial(_ours, material))
        theirs = Trainer(PEER, partial(_theirs, material, lines, rate))
        agreements.append(_same_words(name, material, lines))
        rows += versus(
            name,
            Side(ours.name, ours.turn),
            [Side(theirs.name, theirs.turn)],
            pairs=scale.pairs,
            unit="words",
            work=(material.recipe.train.epochs or 1) * sum(_counts(material).values()),
            flops=0,
        )
        known += [
            f"{name}: {what} {_spelled(measured, ours.made)} ({ours.name}), {_spelled(measured, theirs.made)} ({PEER})"
            for what, measured in _measures(material.tokenizer).items()
        ]
    return Result(tuple(rows), tuple(agreements), (*REMARKS, *known))


def spread(sentences: Sequence[str], *, words: int) -> list[str]:
    """Documents from all parts of the text, of about so many words together."""
    whole = ["\n".join(sentences[i : i + SENTENCES]) for i in range(0, len(sentences), SENTENCES)]
    share = min(1.0, words / sum(len(document.split()) for document in whole))
    places = np.linspace(0, len(whole), max(1, round(share * len(whole))), endpoint=False)
    return [whole[int(place)] for place in places]


def _lines(material: Material, path: Path) -> Path:
    """The examples of an epoch without their special tokens and unknown words, a line each."""
    tokenizer, examples = material.tokenizer, material.job(seed=0).examples
    with path.open("w", encoding="utf-8") as file:
        for i in range(len(examples)):
            tokens = examples.example(i, epoch=0).truth.tolist()
            words = (_word(tokenizer, token) for token in tokens if token not in tokenizer.vocab.special)
            file.write(" ".join(words) + "\n")
    return path


def _ours(material: Material, seed: int) -> tuple[float, Space]:
    job = material.job(seed=seed)
    model, clock = material.model(job), Clock()
    fit(model, job, progress=clock)
    return clock.seconds(0), Encoder("quire", model, material.tokenizer, material.recipe.data.length, "head").words()


def _theirs(material: Material, lines: Path, rate: float, seed: int) -> tuple[float, Space]:
    peer = _counted(material, lines, rate, seed)
    train = partial(
        peer.train,
        corpus_file=str(lines),
        total_examples=peer.corpus_count,
        total_words=peer.corpus_total_words,
        epochs=material.recipe.train.epochs,
    )
    return timed(train)(), Space("word", PEER, "", peer.wv.index_to_key, peer.wv.vectors)


def _counted(material: Material, lines: Path, rate: float, seed: int) -> Any:
    """gensim's model with our settings, its vocabulary counted."""
    from gensim.models import Word2Vec

    (objective,), backbone = material.recipe.objectives, material.recipe.backbone
    assert isinstance(objective, Neighbours)
    assert backbone
    peer = Word2Vec(
        sg=int(objective.predict == "context"),
        vector_size=backbone.width,
        window=objective.window,
        negative=objective.negatives,
        sample=objective.subsample or 0,
        alpha=rate,
        min_count=1,  # rare words are left out of the lines
        workers=torch.get_num_threads(),
        seed=seed,
    )
    peer.build_vocab(corpus_file=str(lines))
    return peer


def _counts(material: Material) -> dict[str, int]:
    """How often each word stands in the text."""
    vocab, counts = material.tokenizer.vocab, material.shards.unigram_counts()
    known = [i for i in np.flatnonzero(counts).tolist() if i not in vocab.special]
    return {_word(material.tokenizer, i): int(counts[i]) for i in known}


def _word(tokenizer: Tokenizer, token: int) -> str:
    return tokenizer.backend.id_to_token(token) or ""


def _same_words(name: str, material: Material, lines: Path) -> Agreement:
    """Every word has the same count on both sides, and neither has others."""
    ours, peer = _counts(material), _counted(material, lines, rate=0.01, seed=0)
    theirs = {word: peer.wv.get_vecattr(word, "count") for word in peer.wv.index_to_key}
    words = sorted(ours.keys() | theirs.keys())
    return agree(f"{name}: counts of words", [ours.get(w, 0) for w in words], [theirs.get(w, 0) for w in words])


def _measures(tokenizer: Tokenizer) -> dict[str, Measure]:
    """What is known of vectors, by its name; of the data sets those that are there."""
    found: dict[str, Measure] = {}
    try:
        train, test = ([(r.text, r.label) for r in data.load(SENTIMENT, split)] for split in ("train", "test"))
        found["accuracy on SST-2 from mean vectors, %,"] = lambda space: _sentiment(space, tokenizer, train, test)
    except BadInput:
        pass
    if (root := data_root()) and (path := root / SIMILARITY).is_file():
        rows = [line.split("\t") for line in gzip.decompress(path.read_bytes()).decode().splitlines()[1:]]
        pairs = [(a, b, float(score)) for a, b, _, score, *_ in rows]
        found["Spearman's rho on SimLex-999, x 100,"] = lambda space: similarity(space, pairs)
    return found


def _sentiment(
    space: Space, tokenizer: Tokenizer, train: Sequence[tuple[str, Any]], test: Sequence[tuple[str, Any]]
) -> float:
    """Percent right of a logistic regression on the mean vectors of sentences."""
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    (x, y), (at, truth) = zip(*train, strict=True), zip(*test, strict=True)
    model.fit(_means(space, tokenizer, x), y)
    return 100 * float(model.score(_means(space, tokenizer, at), truth))


def _means(space: Space, tokenizer: Tokenizer, texts: Sequence[str]) -> npt.NDArray[np.float64]:
    """[S, W]; unknown words are 0."""
    place = {word: number for number, word in enumerate(space.names)}
    table_VW = np.zeros((tokenizer.vocab.size, space.vectors_PW.shape[1]))
    for i in range(tokenizer.vocab.size):
        if (number := place.get(_word(tokenizer, i))) is not None:
            table_VW[i] = space.vectors_PW[number]
    return np.stack([table_VW[passage.tokens].mean(axis=0) for passage in tokenizer.encode(texts)])


def similarity(space: Space, pairs: Sequence[tuple[str, str, float]]) -> float:
    """100 times the rank correlation of cosines with people's scores, of the pairs whose two words are known."""
    names = set(space.names)
    known = [(space[a], space[b], score) for a, b, score in pairs if a in names and b in names]
    cosines = [float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b))) for a, b, _ in known]
    return 100 * float(spearmanr(cosines, [score for *_, score in known]).statistic)


def _spelled(measured: Measure, made: Sequence[Space]) -> str:
    """Mean and standard deviation over seeds."""
    values = [measured(space) for space in made]
    return f"{np.mean(values):.1f} +- {np.std(values):.1f}"
