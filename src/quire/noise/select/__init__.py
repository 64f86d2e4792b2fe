"""Which tokens to damage. Nothing is ever chosen where `free` is False."""

from quire.noise.select.base import Select
from quire.noise.select.runs import Ngrams, Spans, Trigrams
from quire.noise.select.seq2seq import Everything, Fragment, Poisson, RandomSpans, Suffix
from quire.noise.select.tokens import Bernoulli, Exact, WholeWord, WithReplacement

__all__ = [
    "Bernoulli",
    "Everything",
    "Exact",
    "Fragment",
    "Ngrams",
    "Poisson",
    "RandomSpans",
    "Select",
    "Spans",
    "Suffix",
    "Trigrams",
    "WholeWord",
    "WithReplacement",
]
