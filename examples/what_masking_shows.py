"""What a model is shown and what it is asked, for single tokens and for whole words. No model, no torch needed.

Run: python examples/what_masking_shows.py
"""

from quire.core.example import IGNORE, Example
from quire.core.random import rng
from quire.noise.rewrite import Mask
from quire.noise.select import Exact, Select, WholeWord
from quire.text.tokenizers import Tokenizer

texts = ["the unbreakable lampshade was unbelievably breakable", "an unbelievable shade of breakage"] * 20
tokenizer = Tokenizer.train(texts, kind="wordpiece", size=70)


def pieces(example: Example) -> list[str]:
    return [tokenizer.backend.id_to_token(int(token)) or "" for token in example.tokens]


def look(select: Select) -> None:
    [passage] = tokenizer.encode(texts[:1])
    whole = Example.of(tokenizer.vocab, passage)
    where = select.choose(whole.free, whole.starts, rng(0, "look"))
    shown = Mask(mask=1.0, random=0.0).apply(whole.tokens, where, tokenizer.vocab, rng(0, "look"))
    damaged = whole.ask("mlm", where, shown)
    asked = damaged.answers["mlm"] != IGNORE
    print(select.name())
    print("  shown:", " ".join(pieces(damaged)))
    print("  asked:", " ".join(piece for piece, ask in zip(pieces(whole), asked, strict=True) if ask))


look(Exact(rate=0.3))
look(WholeWord(rate=0.4))
