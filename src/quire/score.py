"""How well texts were written, against one reference each: BLEU, chrF and ROUGE, by sacrebleu and torchmetrics.

BLEU   corpus BLEU, 4-grams (Papineni et al. 2002), with sacrebleu's tokenisation (Post 2018): 13a, or zh for Chinese
chrF   character n-grams (Popovic 2015), sacrebleu's chrF2
ROUGE  F1 of words, word pairs and the longest common subsequence, the mean over texts (Lin 2004), in lower case and
       without punctuation; Chinese by character. A word is one in any script, where the original knows a-z and 0-9

All are 0 to 100.
"""

import re
import warnings
from collections.abc import Mapping, Sequence
from importlib.util import find_spec

from quire.core.errors import BadInput
from quire.text.words import mostly_chinese

METRICS = ("bleu", "chrf", "rouge1", "rouge2", "rougeL")
_HAN = re.compile(r"([\u3400-\u9fff])")
_NO_WORD = re.compile(r"[\W_]+")


def score_texts(written: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """All `METRICS` by name. ValueError for other numbers of texts; BadInput where the extra `generate` is missing."""
    if len(written) != len(references) or not references:
        raise ValueError(f"{len(written)} texts for {len(references)} references")
    require()
    from sacrebleu.metrics import BLEU, CHRF

    chinese = mostly_chinese(list(references))
    bleu = BLEU(tokenize="zh" if chinese else "13a").corpus_score(list(written), [list(references)]).score
    chrf = CHRF().corpus_score(list(written), [list(references)]).score
    return {"bleu": bleu, "chrf": chrf, **_rouge(written, references, chinese=chinese)}


def require() -> None:
    """BadInput where the extra `generate` is missing."""
    for package in ("sacrebleu", "torchmetrics"):
        if find_spec(package) is None:
            raise BadInput(f"scores of written text need {package}: pip install 'quire[generate]'")


def signature(references: Sequence[str]) -> Mapping[str, str]:
    """How the scores were computed, in sacrebleu's words: what a paper has to quote."""
    from sacrebleu.metrics import BLEU, CHRF

    bleu = BLEU(tokenize="zh" if mostly_chinese(list(references)) else "13a")
    chrf = CHRF()
    for metric in (bleu, chrf):
        metric.corpus_score(["a"], [["a"]])  # a signature knows the number of references
    return {"bleu": str(bleu.get_signature()), "chrf": str(chrf.get_signature())}


def _rouge(written: Sequence[str], references: Sequence[str], *, chinese: bool) -> dict[str, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of backends that are not asked for
        from torchmetrics.functional.text import rouge_score
    keys = ("rouge1", "rouge2", "rougeL")

    def plain(text: str) -> str:
        return _NO_WORD.sub(" ", _HAN.sub(r" \1 ", text) if chinese else text).lower()

    found = rouge_score(list(written), list(references), rouge_keys=keys, tokenizer=str.split, normalizer=plain)
    return {key: 100 * float(found[f"{key}_fmeasure"]) for key in keys}
