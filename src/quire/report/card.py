"""The model card: Markdown under the YAML front matter that model hubs read (Mitchell et al. 2019)."""

import re
from typing import Any

import yaml

from quire.core.results import Study
from quire.core.verdict import Verdict
from quire.report import words
from quire.report.template import fill


def model_card(study: Study, verdict: Verdict) -> str:
    """`README.md` for the model folder: what it is, how it was made, how well it does, on which data."""
    content = {
        "study": study,
        "verdict": verdict,
        "deployed": study.deployed,
        "metric": words.METRICS[study.metric],
        "cell": _cell,
    }
    front = yaml.safe_dump(_front(study, verdict), sort_keys=False, allow_unicode=True)
    return f"---\n{front}---\n\n{fill('card.md.j2', content)}"


def _front(study: Study, verdict: Verdict) -> dict[str, Any]:
    """The metadata, with the deployed arm's scores as a model index, where hubs know such scores: of classes."""
    if study.of_structures:
        return {"tags": ["quire"]}
    score = verdict.score(study.deployed.name)
    metrics = [
        {"type": "accuracy", "value": round(score.accuracy, 4), "name": "accuracy"},
        {"type": "f1", "value": round(score.macro_f1 or 0.0, 4), "name": "macro-F1"},
    ]
    result = {
        "task": {"type": "text-classification"},
        "dataset": {"name": study.title, "type": "own", "split": "test"},
        "metrics": metrics,
    }
    return {
        "pipeline_tag": "text-classification",
        "tags": ["quire"],
        "metrics": ["accuracy", "f1"],
        "model-index": [{"name": study.deployed.title, "results": [result]}],
    }


def _cell(text: object) -> str:
    """Text for a cell of a Markdown table or a line: no HTML, no line break, no bar that ends the cell."""
    line = " ".join(str(text).split()).replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\`*_\[\]|])", r"\\\1", line)
