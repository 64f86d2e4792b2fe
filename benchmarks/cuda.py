"""The same training steps and the same reading on a GPU: Quire's loop, and transformers' model in a plain loop at its
best: its fused attention, fused AdamW, bf16 by autocast, batches of about equal lengths padded to the longest.

    python -m benchmarks.cuda [--quick]

Without a GPU it runs on the CPU, which shows that it runs. Sequences are random tokens, either all of 128 or of the
lengths of sentences (gamma, mean 26, at most 128).
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import numpy as np
import torch
import typer
from torch import Tensor

from benchmarks import peers
from benchmarks.harness import Clock, Spread, agree
from quire.core.example import Batch, Example, Passage, World
from quire.core.random import rng
from quire.core.spec import Backbone
from quire.nn.model import Model, Packed, Step
from quire.noise.select import Bernoulli
from quire.objectives.mlm import Mlm
from quire.text.tokenizers import Tokenizer
from quire.train.embedded import home_of
from quire.train.feed import Fixed
from quire.train.loop import Job, fit, planned
from quire.train.machine import device
from quire.train.optim import TrainPlan

SIZES = {
    "6x384": Backbone(depth=6, width=384, heads=12, ffn=1536),
    "12x768": Backbone(depth=12, width=768, heads=12, ffn=3072),
}
QUICK = {"1x32": Backbone(depth=1, width=32, heads=2, ffn=64)}
RATE, LONGEST = 0.15, 128


def main(
    quick: Annotated[bool, typer.Option("--quick", help="A smoke test; its figures mean nothing.")] = False,
    pairs: Annotated[int, typer.Option(min=1)] = 5,
) -> None:
    """Print a Markdown table of tokens a second and of ratios."""
    where = device()
    name = torch.cuda.get_device_name() if where.type == "cuda" else "CPU"
    print(f"torch {torch.__version__}, {name}; medians of {pairs} pairs, quartiles of the ratios\n")
    print("| work | precision | Quire, tokens/s | transformers, tokens/s | ratio |\n|---|---|---|---|---|")
    for size, spec in (QUICK if quick else SIZES).items():
        for lengths in ("equal", "varied"):
            for precision in ("fp32", "bf16"):
                work = Work(spec, lengths, precision, batch=8 if quick else 128, steps=2 if quick else 8, where=where)
                _tell(f"MLM step, {size}, {lengths} lengths", work, work.ours, work.theirs, pairs)
                _tell(f"reading, {size}, {lengths} lengths", work, work.read, work.they_read, pairs)


def _tell(title: str, work: "Work", ours: Callable[[], float], theirs: Callable[[], float], pairs: int) -> None:
    ours(), theirs()
    turns = [(ours(), theirs()) for _ in range(pairs)]
    tokens = work.tokens
    speeds = [f"{tokens / float(np.median(side)):,.0f}" for side in zip(*turns, strict=True)]
    ratio = Spread.of([peer / own for own, peer in turns])
    spread = f"{ratio.median:.2f} ({ratio.lower:.2f} to {ratio.upper:.2f})"
    print(f"| {title} | {work.precision} | {' | '.join(speeds)} | {spread} |", flush=True)


class Work:
    """A body of one size on both sides, with the same weights, and the batches of a turn."""

    def __init__(
        self, spec: Backbone, lengths: str, precision: str, *, batch: int, steps: int, where: torch.device
    ) -> None:
        self.precision, self.steps, self.where = precision, steps, where
        tokenizer = Tokenizer.load(home_of("minilm"))
        self.vocab = tokenizer.vocab
        self.objective, self.world = Mlm(select=Bernoulli(rate=RATE)), World(self.vocab)
        spec = spec.model_copy(update={"vocab": self.vocab.size})
        self.model = Model(spec, planned([self.objective], spec, self.world), seed=0)
        with TemporaryDirectory() as folder:
            written = peers.write(Path(folder) / "model", self.model, tokenizer)
            self.peer = peers.opened(written, "AutoModelForMaskedLM").to(where)
        self.model.to(where)
        self.examples = [self._drawn(i, lengths) for i in range(batch * steps)]
        self.tokens = sum(len(example) for example in self.examples)
        plan = {"steps": steps, "batch": batch, "lr": 1e-4, "precision": precision}
        self.plan = TrainPlan.model_validate(plan)
        self.job = Job(Fixed(self.examples, lengths), (self.objective,), self.world, self.plan)
        damaged = [self.objective.corrupt(e, self.world, rng("cuda", i)) for i, e in enumerate(self.examples)]
        by_length = sorted(damaged, key=len)
        self.batches = [by_length[i * batch : (i + 1) * batch] for i in range(steps)]
        self._agree()

    def _drawn(self, number: int, lengths: str) -> Example:
        draw = rng("cuda bench", number)
        length = LONGEST if lengths == "equal" else int(np.clip(draw.gamma(2.0, 13.0), 4, LONGEST))
        tokens = draw.integers(2_000, self.vocab.size, size=length - 2)  # words: what stands before is reserved
        return Example.of(self.vocab, Passage(tokens, np.ones(length - 2, dtype=bool)))

    def _agree(self) -> None:
        """One batch without dropout gives one loss."""
        with torch.no_grad():
            ours = self.objective.loss(Step(self.model.eval(), Packed(Batch.pack(self.batches[0]), self.where)))
            theirs = self._their_loss(self.peer.eval(), self.batches[0], enabled=False)
        agree("loss", float(ours), float(theirs), relative=True)

    def ours(self) -> float:
        """Seconds of the steps of `fit`, the first ones left out."""
        clock = Clock()
        fit(self.model, self.job, progress=clock)
        return clock.seconds(self.steps // 2) * self.steps / (self.steps - self.steps // 2)

    def theirs(self) -> float:
        parameters = list(self.peer.train().parameters())
        adamw = torch.optim.AdamW(parameters, lr=1e-4, fused=True)
        begin = 0.0
        for number, batch in enumerate(self.batches):
            if number == self.steps // 2:
                begin = self._now()
            self._their_loss(self.peer, batch, enabled=self.precision == "bf16").backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            adamw.step()
            adamw.zero_grad(set_to_none=True)
        done = self.steps - self.steps // 2
        tokens = sum(len(e) for batch in self.batches[-done:] for e in batch)  # they come by length: no two are alike
        return (self._now() - begin) * self.tokens / tokens

    def _their_loss(self, peer: Any, batch: Sequence[Example], *, enabled: bool) -> Tensor:
        slot = self.objective.slot
        shown = peers.padded([e.tokens for e in batch], fill=0).to(self.where)
        labels = peers.padded([e.answers[slot] for e in batch], fill=-100).to(self.where)
        mask = peers.padded([np.ones_like(e.tokens) for e in batch], fill=0).to(self.where)
        with torch.autocast(self.where.type, torch.bfloat16, enabled=enabled):
            found: Tensor = peer(input_ids=shown, attention_mask=mask, labels=labels).loss
        return found

    @torch.inference_mode()
    def read(self) -> float:
        """The last states of all sequences."""
        self.model.eval()
        begin = self._now()
        for batch in self.batches:
            packed = Packed(Batch.pack(batch), self.where)
            with torch.autocast(self.where.type, torch.bfloat16, enabled=self.precision == "bf16"):
                Step(self.model, packed).states(torch.arange(packed.size, device=self.where))
        return self._now() - begin

    @torch.inference_mode()
    def they_read(self) -> float:
        body = self.peer.eval().base_model
        begin = self._now()
        for batch in self.batches:
            shown = peers.padded([e.tokens for e in batch], fill=0).to(self.where)
            mask = peers.padded([np.ones_like(e.tokens) for e in batch], fill=0).to(self.where)
            with torch.autocast(self.where.type, torch.bfloat16, enabled=self.precision == "bf16"):
                body(input_ids=shown, attention_mask=mask)
        return self._now() - begin

    def _now(self) -> float:
        if self.where.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()


if __name__ == "__main__":
    typer.run(main)
