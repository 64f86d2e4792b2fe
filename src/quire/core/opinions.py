"""What a review says: aspects, the words of opinion about them, how they are liked, and what they are a case of.

Releases mark different parts of this, and all are the same structure:

SemEval-2014          aspect terms and polarities; beside them categories and polarities, which no words are told for
SemEval-2015, 2016    aspect, category, polarity
SentiHood             the place spoken of as the aspect, what is said of it as the category, polarity
Wang et al. 2017      aspects with polarities, and words of opinion, not paired
Fan et al. 2019       one aspect, and each of its opinions
Peng et al. 2020, Xu et al. 2020   aspect, opinion, polarity
Zhang et al. 2021     aspect or implicit, opinion, category, polarity

Legend: W words of a review.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, Self, TypeAlias, get_args

import numpy as np

Words: TypeAlias = tuple[int, int]
"""The first word of a run, and the one past its last."""
Polarity: TypeAlias = Literal["positive", "negative", "neutral", "conflict"]
"""How something is liked; `conflict` is both at once, and only some releases tell it."""
POLARITIES: tuple[Polarity, ...] = get_args(Polarity)


@dataclass(frozen=True)
class Opinion:
    """One thing said. An aspect with several words of opinion, or words about several aspects, are several of these.

    A part is None where no words stand for it: an aspect that is meant and not named (implicit), and likewise a part
    that the release does not mark. No release has runs with a gap, so a part is one run of words.
    """

    aspect: Words | None = None
    opinion: Words | None = None
    polarity: Polarity | None = None
    category: str | None = None

    def __lt__(self, other: "Opinion") -> bool:
        """By where the aspect stands, then the opinion, then polarity and category; None comes first."""
        return self._place < other._place

    @property
    def _place(self) -> tuple[Words, Words, str, str]:
        return self.aspect or (-1, -1), self.opinion or (-1, -1), self.polarity or "", self.category or ""


@dataclass(frozen=True)
class Review:
    """A text, the first character of each of its words and that behind its last [W], what it says, and its place.

    `opinions` are in the order of the file, and one that is annotated twice stands there twice.
    """

    text: str
    places: tuple[tuple[int, int], ...]
    opinions: tuple[Opinion, ...]
    where: str

    @classmethod
    def of_words(cls, words: Sequence[str], opinions: Sequence[Opinion], where: str) -> Self:
        """A text that is given word by word; they are joined by blanks."""
        ends = (np.cumsum([len(word) + 1 for word in words]) - 1).tolist()
        places = tuple((end - len(word), end) for word, end in zip(words, ends, strict=True))
        return cls(" ".join(words), places, tuple(opinions), where)

    @property
    def words(self) -> tuple[str, ...]:
        """[W]."""
        return tuple(self.text[start:end] for start, end in self.places)

    def quoted(self, words: Words) -> str:
        """The text of a run of words."""
        return self.text[self.places[words[0]][0] : self.places[words[1] - 1][1]]

    def fault(self) -> str | None:
        """Why this is no review, or None: no words, a blank one, an opinion about nothing, a run outside the text."""
        if not self.places or not all(word.strip() for word in self.words):
            return "a word is blank" if self.places else "the review has no words"
        for said in self.opinions:
            if said.aspect is None and said.opinion is None and said.category is None:
                return "an opinion has neither aspect, nor words, nor category"
            if said.polarity is not None and said.polarity not in POLARITIES:
                return f"the polarity {said.polarity!r:.40} is not known"
            for start, end in filter(None, (said.aspect, said.opinion)):
                if not 0 <= start < end <= len(self.places):
                    return f"the words {start} to {end} are none, or outside the {len(self.places)} of the review"
        return None

    def crossing(self) -> tuple[Words, Words] | None:
        """Two runs that share a word and are not the same: two aspects, two opinions, or an aspect and what is said of
        it. None where there are no such two."""
        aspects = sorted({said.aspect for said in self.opinions if said.aspect})
        opinions = sorted({said.opinion for said in self.opinions if said.opinion})
        own = [(said.aspect, said.opinion) for said in self.opinions if said.aspect and said.opinion]
        pairs = (*combinations(aspects, 2), *combinations(opinions, 2), *own)
        return next(((one, two) for one, two in pairs if one[0] < two[1] and two[0] < one[1]), None)
