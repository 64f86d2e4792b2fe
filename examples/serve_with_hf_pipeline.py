"""A classifier that is fine-tuned with Quire and served by transformers' pipeline, with the same probabilities.

Run: python examples/serve_with_hf_pipeline.py
"""

import random
import tempfile
from pathlib import Path

import numpy as np
from transformers import pipeline

from quire.core.example import World
from quire.core.spec import Backbone
from quire.nn.model import Model
from quire.paradigms.classify import Classify
from quire.predict.encode import encode
from quire.predict.network import Network
from quire.text.tokenizers import Tokenizer
from quire.train.feed import Fixed
from quire.train.loop import Job, fit
from quire.train.optim import TrainPlan

draw = random.Random(0)
GOOD, BAD, THINGS = ["lovely", "sturdy", "quick"], ["broken", "late", "dull"], ["lamp", "chair", "kettle", "parcel"]
labels = [draw.choice(["good", "bad"]) for _ in range(300)]
texts = [f"the {draw.choice(THINGS)} was {draw.choice(GOOD if label == 'good' else BAD)}" for label in labels]

tokenizer = Tokenizer.train(texts, kind="wordpiece", size=100, longest=32)
task, world = Classify(labels=("bad", "good")), World(tokenizer.vocab)
spec = Backbone(vocab=tokenizer.vocab.size, depth=2, width=32, heads=4, ffn=64, positions=32, init_std=0.1)
model = Model(spec, task.parts(spec, world), seed=0)
examples = encode(task, tokenizer, texts, length=32, how="head", labels=labels)
log = fit(model, Job(Fixed(examples, "reviews"), (task,), world, TrainPlan(steps=80, batch=16, lr=3e-3)))
print(f"loss {log[0]['loss']:.2f} -> {log[-1]['loss']:.2f} in {len(log)} updates")

network = Network(model, task, tokenizer, length=32, how="head")
new = ["the kettle was sturdy and quick", "a dull lamp", "the parcel was late", ""]
with tempfile.TemporaryDirectory() as folder:
    network.save(Path(folder, "model"))
    serve = pipeline("text-classification", model=f"{folder}/model", top_k=None)
    served = [{answer["label"]: answer["score"] for answer in answers} for answers in serve(new)]
for text, ours, theirs in zip(new, network.probabilities(new), served, strict=True):
    print(f"{text!r}: good with {ours[1]:.4f} here, {theirs['good']:.4f} there")
    np.testing.assert_allclose(ours, [theirs[label] for label in task.labels], atol=1e-6)
