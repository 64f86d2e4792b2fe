"""transformers' Trainer under objectives of ours: it trains, evaluates, saves, and goes on."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.hf.theirs import LENGTH, MODELS, theirs

from quire.hf import Bridge, Collator
from quire.text.tokenizers import Tokenizer

transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate")
SPANS: list[Any] = [{"mlm": {"select": {"spans": {"rate": 0.2}}}}, {"boundary": {"place_width": 8}}]


def settings(folder: Path, **more: Any) -> Any:
    common = {"per_device_train_batch_size": 8, "learning_rate": 3e-3, "report_to": [], "disable_tqdm": True}
    return transformers.TrainingArguments(
        output_dir=str(folder), use_cpu=True, **{"save_strategy": "no", **common, **more}
    )


def fresh(kind: str) -> Any:
    made = getattr(transformers, MODELS[kind][0])
    transformers.set_seed(0)
    return made(made.config_class(**MODELS[kind][1]))


def test_it_learns_is_judged_and_is_saved(tokenizer: Tokenizer, texts: list[str], tmp_path: Path) -> None:
    bridge = Bridge(fresh("bert"), tokenizer, SPANS, length=LENGTH)
    trainer = transformers.Trainer(
        model=bridge, args=settings(tmp_path, max_steps=25), train_dataset=texts, eval_dataset=texts[:8],
        data_collator=bridge.collate,
    )  # fmt: skip
    before = trainer.evaluate()["eval_loss"]
    trainer.train()
    assert trainer.evaluate()["eval_loss"] < before - 0.5
    bridge.model.save_pretrained(tmp_path / "model")
    again = transformers.BertForMaskedLM.from_pretrained(tmp_path / "model")
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), bridge.model.parameters(), strict=True))


def test_a_checkpoint_holds_tied_weights_once_and_is_taken_up(
    tokenizer: Tokenizer, texts: list[str], tmp_path: Path
) -> None:
    def train(steps: int, again: bool) -> Bridge:
        bridge = Bridge(fresh("bert"), tokenizer, SPANS, length=LENGTH)
        args = settings(tmp_path, max_steps=steps, save_strategy="steps", save_steps=2)
        trainer = transformers.Trainer(model=bridge, args=args, train_dataset=texts, data_collator=bridge.collate)
        trainer.train(resume_from_checkpoint=again)
        return bridge

    stopped = train(2, False)
    assert (tmp_path / "checkpoint-2" / "model.safetensors").is_file()
    loaded = Bridge(fresh("bert"), tokenizer, SPANS, length=LENGTH)
    with torch.no_grad():
        for parameter in loaded.parameters():
            parameter.zero_()
    loaded.load_state_dict(stopped.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(loaded.parameters(), stopped.parameters(), strict=True))
    train(4, True)
    assert (tmp_path / "checkpoint-4").is_dir()


def test_labels_train_a_model_as_it_is(tokenizer: Tokenizer, texts: list[str], tmp_path: Path) -> None:
    collate = Collator(tokenizer, [{"mlm": {"select": "ngrams"}}], length=LENGTH)
    trainer = transformers.Trainer(
        model=fresh("bert"), args=settings(tmp_path, max_steps=25), train_dataset=texts, eval_dataset=texts[:8],
        data_collator=collate,
    )  # fmt: skip
    before = trainer.evaluate()["eval_loss"]
    trainer.train()
    assert trainer.evaluate()["eval_loss"] < before - 0.3


def test_micro_batches_share_the_loss(tokenizer: Tokenizer, texts: list[str], tmp_path: Path) -> None:
    """The Trainer divides a loss by the micro-batches only where the model does not do it."""
    bridge = Bridge(theirs("bert"), tokenizer, ["mlm"], length=LENGTH)
    trainer = transformers.Trainer(model=bridge, args=settings(tmp_path), data_collator=bridge.collate)
    assert not trainer.model_accepts_loss_kwargs
