"""How well answers were found in passages: exact match and F1 of one question, the best over all accepted texts.

SQuAD      lower case, without punctuation and articles; F1 of bags of words (Rajpurkar et al. 2016, 2018: their
           evaluate-v2.0.py, which gives what that of 1.1 does wherever both have words left)
CMRC 2018  lower case, without signs; F1 of the longest run that both share, of Han characters and words (Cui et al.
           2019: cmrc2018_evaluate.py). Words of other scripts are NLTK's there, and here runs of letters and digits
           with the signs inside them

No accepted text means that there is no answer, and then the empty text is right.
"""

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from difflib import SequenceMatcher

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_SIGNS = str.maketrans("", "", "-:_*^/\\~`+=，。：？！“”；’《》·、「」（）－～『』")
_SEGMENT = re.compile(r"[\u4e00-\u9fa5]|(?:(?![\u4e00-\u9fa5])\w)+(?:[.,'](?:(?![\u4e00-\u9fa5])\w)+)*|[^\w\s]")


def exact(found: str, accepted: Sequence[str], *, chinese: bool = False) -> float:
    """1 where the found text is an accepted one but for what does not count, else 0."""
    plain = _without_signs if chinese else _normal
    return float(plain(found) in map(plain, _counting(accepted, plain)))


def f1(found: str, accepted: Sequence[str], *, chinese: bool = False) -> float:
    """2 P R / (P + R) of the words that the found text shares with an accepted one, 0 to 1."""
    shared, parts, plain = (_run, _segments, _without_signs) if chinese else (_bag, _words, _normal)
    return max(_f1(parts(found), parts(text), shared) for text in _counting(accepted, plain))


def _counting(accepted: Sequence[str], plain: Callable[[str], str]) -> Sequence[str]:
    """The texts of which something is left, or else the empty one."""
    return [text for text in accepted if plain(text)] or [""]


def _f1(found: Sequence[str], right: Sequence[str], shared: Callable[[Sequence[str], Sequence[str]], int]) -> float:
    if not found or not right:
        return float(not found and not right)
    return 2 * shared(found, right) / (len(found) + len(right))


def _normal(text: str) -> str:
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def _words(text: str) -> list[str]:
    return _normal(text).split()


def _bag(one: Sequence[str], two: Sequence[str]) -> int:
    return (Counter(one) & Counter(two)).total()


def _without_signs(text: str) -> str:
    return text.lower().strip().translate(_SIGNS)


def _segments(text: str) -> list[str]:
    return _SEGMENT.findall(_without_signs(text))


def _run(one: Sequence[str], two: Sequence[str]) -> int:
    return SequenceMatcher(None, one, two, autojunk=False).find_longest_match().size
