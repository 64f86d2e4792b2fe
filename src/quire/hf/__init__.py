"""Quire's objectives for models of transformers and its Trainer (extra `hf`).

Where an objective asks for tokens through the model's own head, labels are enough, and the model computes its own loss:

    collate = hf.Collator(tokenizer, [{"mlm": {"select": "whole_word"}}])
    Trainer(model=model, data_collator=collate, train_dataset=texts)

Any other, or several at once, are losses over the model's states; heads that it lacks stand beside it while it learns:

    bridge = hf.Bridge(model, tokenizer, [{"mlm": {"select": "spans"}}, "boundary"])
    Trainer(model=bridge, data_collator=bridge.collate, train_dataset=texts)
    model.save_pretrained("trained")
"""

from quire.hf.bridge import Bridge
from quire.hf.collate import Collator

__all__ = ["Bridge", "Collator"]
