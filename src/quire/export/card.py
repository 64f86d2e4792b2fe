"""What a person reads about an exported graph: lines for the terminal, and a section of the model card."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quire.export.subject import Subject
from quire.report.template import fill

if TYPE_CHECKING:
    from quire.export.job import Export


def card(before: str, subject: Subject, export: Export) -> str:
    """The model's card with a section on the graph."""
    content = {"export": export, "subject": subject, "lines": lines(export), "kept": cut(subject)}
    return f"{before.rstrip()}\n\n{fill('onnx.md.j2', content)}"


def cut(subject: Subject) -> str:
    """What is kept of the ids of a text, as Python."""
    most = subject.length - 2
    if subject.cut == "head":
        return f"ids[:{most}]"
    if subject.cut == "tail":
        return f"ids[-{most}:]"
    return f"ids if len(ids) <= {most} else ids[:{most // 4}] + ids[-{most - most // 4}:]"


def lines(export: Export) -> list[str]:
    """What was measured, a line each."""
    found = export.compared
    said = [
        f"model.onnx says what Quire says: apart by {found.difference:.1e} of the largest number at most, on "
        f"{found.texts} texts and at lengths from 2 to {found.longest} tokens",
        f"{found.speed:.2f} times the speed of Quire at batch 1, one thread of {export.cpu}",
    ]
    for one in export.tried:
        said.append(
            f"int8, {one.way}: {one.speed:.2f} times the speed of model.onnx (a quarter of the pairs below "
            f"{one.slowest:.2f}), {one.loss:.2f} points lost, cosine {one.cosine:.4f}, {one.bytes / 1e6:.1f} MB"
        )
    if export.kept:
        said.append(f"model_quantized.onnx is the one {export.kept}")
    elif export.tried:
        said.append(f"no int8 is kept: none is faster here and loses at most {export.max_loss:g} points")
    return said
