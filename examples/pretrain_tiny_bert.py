"""BERT's recipe at toy size on text of our own making: the loss against what the corpus' frequencies alone give.

Run: python examples/pretrain_tiny_bert.py
"""

import json
import random
import tempfile
from pathlib import Path

from quire.pretrain import pretrain
from quire.recipe import load
from quire.text.shards import Shards

draw = random.Random(0)
subjects, verbs, objects = (
    ["the lamp", "the chair", "a kettle"],
    ["broke", "works", "arrived"],
    ["today", "again", "at last"],
)


def document() -> str:
    return "\n".join(f"{draw.choice(subjects)} {draw.choice(verbs)} {draw.choice(objects)}." for _ in range(6))


recipe = load("bert-base").shrunk()
recipe = recipe.model_copy(update={"train": recipe.train.model_copy(update={"steps": 300})})
with tempfile.TemporaryDirectory() as folder:
    corpus, run = Path(folder, "corpus.txt"), Path(folder, "run")
    corpus.write_text("\n\n".join(document() for _ in range(100)), encoding="utf-8")
    model = pretrain(recipe, corpus=[corpus], out=run)
    log = [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    entropy = Shards.open(run / "corpus").entropies()
    print("objectives:", ", ".join(objective.name() for objective in recipe.objectives))
    print(
        f"masked tokens: {log[0]['loss_mlm']:.2f} nats at step 1, {log[-1]['loss_mlm']:.2f} at step {log[-1]['step']}"
    )
    print(f"token frequencies alone: {entropy.unigram:.2f} nats; with the left neighbour: {entropy.bigram:.2f}")
    print("transformers can open:", sorted(path.name for path in model.iterdir()))
