"""SpanBERT's objectives in transformers' Trainer, which has neither: spans of whole words, told from inside and beside.

Run: python examples/train_with_hf_trainer.py
"""

import random
import tempfile

from transformers import BertConfig, BertForMaskedLM, Trainer, TrainingArguments, set_seed

from quire import hf
from quire.text.tokenizers import Tokenizer

draw = random.Random(0)
WHO, DOES, WHAT = (
    ["the lamp", "the old chair", "a kettle"],
    ["broke", "works well", "arrived late"],
    ["today", "again", "at last"],
)
texts = [f"{draw.choice(WHO)} {draw.choice(DOES)} {draw.choice(WHAT)}, and {draw.choice(WHO)} too." for _ in range(500)]
train, held_out = texts[:400], texts[400:]

tokenizer = Tokenizer.train(texts, kind="wordpiece", size=120, longest=32)  # or transformers' AutoTokenizer
set_seed(0)
sizes = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96}
model = BertForMaskedLM(BertConfig(vocab_size=tokenizer.vocab.size, **sizes))  # or from_pretrained(...)

spans = {"mlm": {"select": {"spans": {"rate": 0.15}}, "rewrite": {"mask": {"by": "span"}}}}
bridge = hf.Bridge(model, tokenizer, [spans, {"boundary": {"longest": 10}}], length=32)
with tempfile.TemporaryDirectory() as folder:
    quiet = {"save_strategy": "no", "report_to": [], "disable_tqdm": True, "dataloader_pin_memory": False}
    settings = TrainingArguments(
        output_dir=folder, max_steps=100, per_device_train_batch_size=32, learning_rate=3e-3, use_cpu=True, **quiet
    )
    trainer = Trainer(
        model=bridge, args=settings, data_collator=bridge.collate, train_dataset=train, eval_dataset=held_out
    )
    before = trainer.evaluate()["eval_loss"]
    trainer.train()
    after = trainer.evaluate()["eval_loss"]
    model.save_pretrained(f"{folder}/model")  # a BERT as any other: what told spans from beside stays behind
    BertForMaskedLM.from_pretrained(f"{folder}/model")
print(f"nats of both objectives on texts held out: {before:.2f} before, {after:.2f} after 100 updates")
assert after < before / 2
