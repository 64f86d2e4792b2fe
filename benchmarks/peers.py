"""The other side: transformers and sentence-transformers, on weights that Quire wrote.

Legend: S sequences, L the longest of them, W width, C classes.
"""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import get_total_norm
from torch.nn.utils.rnn import pad_sequence

from benchmarks.harness import Agreement, Clock, Side, agree
from quire.core.errors import BadInput
from quire.core.example import Batch, Example, Ints
from quire.nn.model import Model, Packed, Step
from quire.objectives import Objective
from quire.text.tokenizers import Tokenizer
from quire.train.loop import Job, fit
from quire.train.machine import counted
from quire.train.optim import TrainPlan
from quire.train.weights import save_model, standing

MODULES = {
    "transformers": "transformers",
    "accelerate": "accelerate",
    "sentence-transformers": "sentence_transformers",
    "gensim": "gensim",
}


def require(*packages: str) -> None:
    """BadInput, in one line, when a peer is not installed."""
    if missing := [package for package in packages if find_spec(MODULES[package]) is None]:
        raise BadInput(f"{', '.join(missing)} not installed; `pip install -e '.[bench]'`")


def write(
    folder: Path,
    model: Model,
    tokenizer: Tokenizer,
    *,
    labels: Sequence[str] | None = None,
    pooler: Mapping[str, Tensor] | None = None,
    body: str = "backbone",
) -> Path:
    """Our model, or one of its bodies with the heads on it, as a folder that the peers open."""
    spec, heads, state = standing(model, body)
    save_model(
        folder,
        backbone=spec,
        heads=heads,
        state=state,
        labels=labels,
        tokenizer_saver=tokenizer.save,
        card="",
        extra={},
        vocab=tokenizer.vocab,
        pooler=pooler,
    )
    return folder


def opened(folder: Path, auto: str) -> Any:
    """The folder as transformers' `auto` class, in evaluation mode, with the defaults of that library."""
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    return getattr(transformers, auto).from_pretrained(folder, local_files_only=True).eval()


def opened_tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, local_files_only=True)


def padded(rows: Sequence[Ints], *, fill: int) -> Tensor:
    """Sequences of unequal length as [S, L], filled up behind."""
    return pad_sequence([torch.from_numpy(row) for row in rows], batch_first=True, padding_value=fill)


def necessary_flops(model: Model, objective: Objective, examples: Sequence[Example]) -> int:
    """FLOPs of one forward and backward pass over these examples as one batch, as ours does it."""

    def work() -> None:
        objective.loss(Step(model, Packed(Batch.pack(examples)))).backward()  # type: ignore[no-untyped-call]

    _, flops = counted(work)
    model.zero_grad(set_to_none=True)
    return flops


def same_training(
    title: str, model: Model, objective: Objective, examples: Sequence[Example], *, theirs: Any, labels: Tensor
) -> tuple[Agreement, ...]:
    """`same_step` for a peer that is asked `labels`: [S, L] for tokens, [S] for sequences."""
    shown = padded([example.tokens for example in examples], fill=0)
    mask = padded([np.ones_like(example.tokens) for example in examples], fill=0)
    inputs = {"input_ids": shown, "attention_mask": mask, "labels": labels}
    return same_step(title, model, objective, examples, theirs=theirs, inputs=inputs)


def same_step(
    title: str,
    model: Model,
    objective: Objective,
    examples: Sequence[Example],
    *,
    theirs: Any,
    inputs: Mapping[str, Tensor],
) -> tuple[Agreement, ...]:
    """Loss, and norm of the whole gradient, of one batch without dropout; gradients are cleared again.

    Either side begins with the same seed of torch, for what it samples.
    """
    with torch.random.fork_rng():
        torch.manual_seed(0)
        loss = objective.loss(Step(model.eval(), Packed(Batch.pack(examples))))
        torch.manual_seed(0)
        other = theirs.eval()(**inputs).loss
    loss.backward()  # type: ignore[no-untyped-call]
    other.backward()
    return (
        agree(f"{title}: loss before training", loss.item(), other.item(), relative=True),
        agree(f"{title}: norm of its gradient", _norm(model), _norm(theirs), relative=True),
    )


def _norm(module: torch.nn.Module) -> float:
    norm = float(get_total_norm([p.grad for p in module.parameters() if p.grad is not None]))
    module.zero_grad(set_to_none=True)
    return norm


def our_training(model: Model, job: Job, *, skip: int) -> Side:
    """Quire's loop; a turn is the updates after the first `skip`."""

    def run() -> float:
        clock = Clock()
        fit(model, job, progress=clock)
        return clock.seconds(skip)

    return Side("quire", run)


def their_training(
    name: str,
    model: Any,
    rows: Sequence[Mapping[str, Any]],
    collator: Any,
    *,
    plan: TrainPlan,
    skip: int,
    sampling: str = "random",
) -> Side:
    """transformers' Trainer with the settings of `plan`, logs and checkpoints off; turns as in `our_training`.

    A turn makes a new Trainer, so that both sides begin with fresh moments; making it is not timed.
    """

    def run() -> float:
        clock = Clock()
        train(model, rows, collator, plan=plan, sampling=sampling, clock=clock)
        return clock.seconds(skip)

    return Side(name, run)


def train(
    model: Any,
    rows: Sequence[Mapping[str, Any]],
    collator: Any,
    *,
    plan: TrainPlan,
    sampling: str = "random",
    clock: Clock,
) -> None:
    """One training by transformers' Trainer; `clock` is told when ours would be."""
    from transformers import PrinterCallback, Trainer

    with TemporaryDirectory() as folder:
        trainer = Trainer(
            model=model,
            args=_arguments(folder, plan, sampling),
            train_dataset=rows,
            data_collator=collator,
            callbacks=[_clocked(clock)],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()


def _arguments(folder: str, plan: TrainPlan, sampling: str) -> Any:
    from transformers import TrainingArguments

    return TrainingArguments(
        output_dir=folder,
        use_cpu=True,
        max_steps=plan.steps,
        per_device_train_batch_size=plan.batch,
        learning_rate=plan.lr,
        lr_scheduler_type=plan.schedule,
        warmup_steps=plan.warmup_steps,
        adam_beta1=plan.betas[0],
        adam_beta2=plan.betas[1],
        adam_epsilon=plan.eps,
        weight_decay=plan.weight_decay,
        max_grad_norm=plan.clip,
        train_sampling_strategy=sampling,
        logging_strategy="no",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )


def _clocked(clock: Clock) -> Any:
    """A callback of Trainer that reads the clock when our loop would: at the beginning and after each update."""
    from transformers import TrainerCallback

    class Clocked(TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            clock.start()

        def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            clock.update(state.global_step)

    return Clocked()
