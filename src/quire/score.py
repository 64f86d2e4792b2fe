"""How well texts were written, against one reference each: BLEU, chrF and ROUGE, by sacrebleu and torchmetrics.

BLEU   corpus BLEU, 4-grams (Papineni et al. 2002), with sacrebleu's tokenisation (Post 2018): 13a, or zh for Chinese
chrF   character n-grams (Popovic 2015), sacrebleu's chrF2
ROUGE  F1 of words, word pairs and the longest common subsequence, the mean over texts (Lin 2004); Chinese by character

All are 0 to 100.
"""

import re
import warnings
from collections.abc import Mapping, Sequence

from quire.core.errors import BadInput
from quire.text.words import mostly_chinese

METRICS = ("bleu", "chrf", "rouge1", "rouge2", "rougeL")
_HAN = re.compile(r"([\u3400-\u9fff])")


def score_texts(written: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """All `METRICS` by name. ValueError for other numbers of texts; BadInput where the extra `generate` is missing."""
    if len(written) != len(references) or not references:
        raise ValueError(f"{len(written)} texts for {len(references)} references")
    chinese = mostly_chinese(list(references))
    try:
        from sacrebleu.metrics import BLEU, CHRF
    except ImportError:
        raise BadInput("scores of written text need sacrebleu: pip install 'quire[generate]'") from None
    bleu = BLEU(tokenize="zh" if chinese else "13a").corpus_score(list(written), [list(references)]).score
    chrf = CHRF().corpus_score(list(written), [list(references)]).score
    return {"bleu": bleu, "chrf": chrf, **_rouge(written, references, chinese=chinese)}


def signature(references: Sequence[str]) -> Mapping[str, str]:
    """How the scores were computed, in sacrebleu's words: what a paper has to quote."""
    from sacrebleu.metrics import BLEU, CHRF

    bleu = BLEU(tokenize="zh" if mostly_chinese(list(references)) else "13a")
    chrf = CHRF()
    for metric in (bleu, chrf):
        metric.corpus_score(["a"], [["a"]])  # a signature knows the number of references
    return {"bleu": str(bleu.get_signature()), "chrf": str(chrf.get_signature())}


def _rouge(written: Sequence[str], references: Sequence[str], *, chinese: bool) -> dict[str, float]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of backends that are not asked for
            from torchmetrics.functional.text import rouge_score
    except ImportError:
        raise BadInput("scores of written text need torchmetrics: pip install 'quire[generate]'") from None
    keys = ("rouge1", "rouge2", "rougeL")

    def spaced(texts: Sequence[str]) -> list[str]:
        return [_HAN.sub(r" \1 ", text) for text in texts] if chinese else list(texts)

    words, same = (str.split, str) if chinese else (None, None)  # the library's own keep a-z and 0-9 alone
    found = rouge_score(spaced(written), spaced(references), rouge_keys=keys, tokenizer=words, normalizer=same)
    return {key: 100 * float(found[f"{key}_fmeasure"]) for key in keys}
