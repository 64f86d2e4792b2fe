"""Every class of transformers that Quire reads, at drawn sizes, through files of either half precision and back."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from benchmarks.folders import round_trip, tokenizer
from benchmarks.twins import Twin
from benchmarks.zoo import CLASSES, Sizes
from hypothesis import Phase, given, settings
from tests.nn.parity import SIZES
from tests.train.folders import QUIET, same

from quire.core.heads import TokenHead

transformers = pytest.importorskip("transformers")


@QUIET
@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["fp16", "bf16"])
@given(sizes=SIZES)
@settings(max_examples=2, phases=[Phase.generate])
def test_what_theirs_saves_ours_opens_and_the_other_way_round(name: str, dtype: torch.dtype, sizes: Sizes) -> None:
    with TemporaryDirectory() as folder:
        twin = Twin(name, sizes, dtype=dtype)
        trip = round_trip(twin, Path(folder), dtype=dtype)
        assert (trip.files.backbone, trip.files.heads) == (twin.model.spec, twin.model.head_specs)
        assert same(trip.files.state, twin.model.state_dict())  # what the file holds, in fp32
        unused = [note for note in trip.files.notes if "not used" in note]
        assert not unused or ("oberta" in name and "pooler" in unused[0])
        assert same(trip.again.state, {key: trip.files.state[key] for key in trip.again.state})
        assert trip.again.heads == {slot: trip.files.heads[slot] for slot in trip.again.heads}
        assert {lost.split(".")[-3:-1] == ["pooler", "dense"] for lost in trip.lost} <= {True}  # where theirs has none
        for head in trip.again.heads.values():
            if isinstance(head, TokenHead) and not twin.family.scaled:  # T5's means something else
                assert trip.opened.config.tie_word_embeddings is head.tied
        assert max(trip.read, trip.loss, trip.written) < 1e-5
        theirs = transformers.AutoTokenizer.from_pretrained(Path(folder) / "ours", local_files_only=True)
        inputs = theirs(["a b c"], return_tensors="pt")
        (passage,) = tokenizer().encode(["a b c"])
        assert inputs["input_ids"][0].tolist()[1:-1] == passage.tokens.tolist()
        decoder = {"decoder_input_ids": inputs["input_ids"]} if twin.writes else {}
        trip.opened(**inputs, **decoder)  # what the tokenizer hands out is what the model takes
