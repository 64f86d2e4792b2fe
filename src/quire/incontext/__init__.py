"""In-context learning: a language model is shown examples, not trained on them, and asked (survey: GPT-3).

found = evaluate("run/model", data="test.csv", train="train.csv", shots=(0, 1, 8), seeds=3)
"""

from quire.incontext.evaluation import evaluate
from quire.incontext.prompt import Form
from quire.incontext.results import Evaluation, Figures, Run

__all__ = ["Evaluation", "Figures", "Form", "Run", "evaluate"]
