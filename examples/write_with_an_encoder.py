"""UniLM's fine-tuning: an encoder learns to write a sentence's words backwards, and writes for sentences it never saw.

Run: python examples/write_with_an_encoder.py
"""

import random

from quire.core.example import World
from quire.core.spec import Backbone
from quire.nn.model import Model
from quire.paradigms.generate import Generate
from quire.text.tokenizers import Tokenizer
from quire.train.feed import Fixed
from quire.train.loop import Job, fit
from quire.train.optim import TrainPlan

draw = random.Random(0)
WORDS = ["lamp", "chair", "kettle", "box", "parcel", "door"]
sources = [" ".join(draw.choices(WORDS, k=draw.randint(2, 4))) for _ in range(460)]
targets = [" ".join(reversed(source.split())) for source in sources]
seen = set(sources[:400])

tokenizer = Tokenizer.train(sources, kind="wordpiece", size=80, longest=32)
world, task = World(tokenizer.vocab), Generate()
passages = list(zip(tokenizer.encode(sources), tokenizer.encode(targets), strict=True))
examples = [task.format(source, target, world) for source, target in passages[:400]]

spec = Backbone(vocab=tokenizer.vocab.size, depth=2, width=48, heads=4, ffn=96, positions=32, init_std=0.1, dropout=0)
model = Model(spec, task.parts(spec, world), seed=0)
plan = TrainPlan(steps=300, batch=32, lr=5e-3, weight_decay=0)
log = fit(model, Job(Fixed(examples, "backwards"), (task,), world, plan))
print(f"loss {log[0]['loss']:.2f} -> {log[-1]['loss']:.2f} in {len(log)} updates")

new = [i for i in range(400, 460) if sources[i] not in seen]
written = task.generate(model, [passages[i][0] for i in new], world, limit=8, beam=2)
texts = [tokenizer.decode(answer.tokens) for answer in written]
for i, text in list(zip(new, texts, strict=True))[:3]:
    print(f"{sources[i]!r} -> {text!r}")
print(f"right: {sum(text == targets[i] for i, text in zip(new, texts, strict=True))} of {len(new)} unseen ones")
