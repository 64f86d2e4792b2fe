"""Tasks of a recipe beside its text: what is learnt from which columns of a file that the person names."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from quire.core.config import Settings
from quire.core.spec import Rate


class LabelledPlan(Settings):
    """Texts and a label for each, learnt as the recipe's `finetune` says."""

    learn: Literal["classify"]
    text_column: str = "text"
    label_column: str = "label"


class PairsPlan(Settings):
    """Texts, and the text to be written for each, with the head that pre-training writes with, if there is one."""

    learn: Literal["write"]
    source_column: str = "source"
    target_column: str = "target"
    prompt: str = ""
    """What stands before every source, so that one decoder knows its tasks apart ("translate English to German: ")."""
    smoothing: Rate = 0.0


TaskPlan: TypeAlias = Annotated[LabelledPlan | PairsPlan, Field(discriminator="learn")]
