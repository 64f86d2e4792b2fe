"""How the tokens of a vocabulary are spelled: characters as ELMo has them (Peters et al. 2018; allenai/bilm-tf).

A token is its bytes in UTF-8 between two marks, begin and end of a word; the first and the last special token of a text
are a mark of their own between these. Ids: 0 nothing, 1 to 256 the bytes, then begin and end of a word, begin and end
of a text: 261, as many as ELMo's, in another order.

Legend: V vocabulary, C characters of a spelling.
"""

import numpy as np

from quire.core.example import Ints
from quire.text.tokenizers import Tokenizer

WORD, WORD_END, TEXT, TEXT_END = range(257, 261)


def spellings(tokenizer: Tokenizer, *, longest: int) -> Ints:
    """[V, C] with C = `longest`, the marks included; of a longer token the first bytes are kept. Holes are empty."""
    vocab = tokenizer.vocab
    found = np.zeros((vocab.size, longest), dtype=np.int64)
    for i in range(vocab.size):
        if (token := tokenizer.backend.id_to_token(i)) is None:
            continue
        whole = [byte + 1 for byte in token.encode()[: longest - 2]]
        spelled = [WORD, *{vocab.cls: [TEXT], vocab.sep: [TEXT_END]}.get(i, whole), WORD_END]
        found[i, : len(spelled)] = spelled
    return found
