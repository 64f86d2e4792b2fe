"""A fresh head starts from what the corpus says."""

from pathlib import Path

import numpy as np
import pytest
import torch

from quire.nn.losses import cross_entropy
from quire.nn.model import Packed, Step
from quire.pretrain import Material
from quire.recipe import load
from quire.train.feed import Feed


def test_the_first_loss_of_a_fresh_head_is_the_unigram_entropy(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    words = np.array(["rare", "common", "usual", "often", "seldom"])
    texts = [" ".join(draw.choice(words, 30, p=[0.02, 0.6, 0.2, 0.15, 0.03])) for _ in range(60)]
    material = Material(load("bert-base").shrunk(), tmp_path, lambda: texts)
    job = material.job(seed=0)
    model = material.model(job).eval()
    feed = Feed(job.examples, job.objectives, job.world, batch=60, seed=0)
    step = Step(model, Packed(feed.at(0)[0]))
    with torch.no_grad():
        loss = float(cross_entropy(step.logits("mlm"), step.answers("mlm")))
    assert loss == pytest.approx(material.shards.entropies().unigram, rel=0.15)
