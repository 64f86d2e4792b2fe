"""Rules of the house that no single module can hold: layers, weight of the door, and what is never written."""

import ast
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

import quire

SRC = Path(quire.__file__).parent
ROOT = SRC.parents[1]
FILES = {str(path.relative_to(SRC)): path for path in sorted(SRC.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(encoding="utf-8"), name) for name, path in FILES.items()}
every_file = pytest.mark.parametrize("name", FILES)
HEAVY = ("torch", "numpy", "scipy", "sklearn", "matplotlib", "transformers", "tokenizers", "datasets", "pyarrow")


def imported(tree: ast.AST) -> set[str]:
    """Every module that is imported, also inside functions; `from a import b` counts as a and as a.b."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Call) and _called(node).endswith("import_module") and node.args:
            found |= {a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)}
    return found


def _called(node: ast.Call) -> str:
    return ast.unparse(node.func)


def _roots(modules: set[str]) -> set[str]:
    return {module.partition(".")[0] for module in modules}


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def test_layers_are_kept() -> None:
    """The contracts in pyproject.toml: imports downwards only, and no torch under core, text, noise and data."""
    tool = Path(sys.executable).with_name("lint-imports")
    run = subprocess.run([tool, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("name", [name for name in FILES if name.split("/")[0] in ("core", "text", "noise", "data")])
def test_numpy_layers_never_import_torch_not_even_late(name: str) -> None:
    assert not _roots(imported(TREES[name])) & {"torch", "transformers", "safetensors"}


@every_file
def test_nothing_is_ever_pickled_or_evaluated(name: str) -> None:
    assert not _roots(imported(TREES[name])) & {"pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
    for call in calls(TREES[name]):
        called = _called(call)
        assert called not in ("eval", "exec", "compile", "torch.load", "torch.save", "yaml.load", "__import__"), called
        assert not any(keyword.arg in ("allow_pickle", "trust_remote_code", "shell") for keyword in call.keywords)


@every_file
def test_nothing_is_printed_and_no_machine_is_named(name: str) -> None:
    assert not any(_called(call) == "print" for call in calls(TREES[name]))
    strings = [n.value for n in ast.walk(TREES[name]) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    assert not any(place in text for text in strings for place in ("/home/", "/root/", "C:\\"))


@every_file
def test_no_file_is_two_ideas(name: str) -> None:
    assert len(FILES[name].read_text(encoding="utf-8").splitlines()) <= 400
    assert FILES[name].name not in ("utils.py", "helpers.py", "common.py", "misc.py")


@every_file
def test_modules_say_what_they_are(name: str) -> None:
    assert ast.get_docstring(TREES[name]) or not TREES[name].body, "a file without a first sentence"


def undocumented() -> Iterator[str]:
    """Public classes, functions and methods without a docstring, but for those that have it from above (overrides,
    and methods that a Protocol asks for) and those of one statement, which say it shorter."""
    classes: defaultdict[str, list[ast.ClassDef]] = defaultdict(list)  # two files may call two things alike
    for node in (n for tree in TREES.values() for n in tree.body if isinstance(n, ast.ClassDef)):
        classes[node.name].append(node)
    protocols = [c for alike in classes.values() for c in alike if "Protocol" in _bases(c)]
    asked = {n.name for cls in protocols for n in _functions(cls)}

    def from_above(cls: ast.ClassDef, method: str) -> bool:
        above = [c for base in _bases(cls) for c in classes.get(base, ())]
        return any(base.startswith("nn.") for base in _bases(cls)) or any(
            method in {n.name for n in _functions(c)} or from_above(c, method) for c in above
        )

    for name, tree in TREES.items():
        for function in _functions(tree):
            if not ast.get_docstring(function) and len(function.body) > 1:
                yield f"{name}: {function.name}"
        for cls in (node for node in tree.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")):
            if not ast.get_docstring(cls):
                yield f"{name}: {cls.name}"
            for method in _functions(cls):
                told = ast.get_docstring(method) or method.name in asked or from_above(cls, method.name)
                if not told and len(method.body) > 1:
                    yield f"{name}: {cls.name}.{method.name}"


def _bases(node: ast.ClassDef) -> set[str]:
    return {ast.unparse(base).partition("[")[0] for base in node.bases}


def _functions(node: ast.Module | ast.ClassDef) -> list[ast.FunctionDef]:
    return [n for n in node.body if isinstance(n, ast.FunctionDef) and not n.name.startswith("_")]


def test_what_is_public_says_what_it_does() -> None:
    assert list(undocumented()) == []


def fresh(code: str) -> list[str]:
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()


@pytest.mark.parametrize("arguments", [["--help"], ["adapt", "--help"], ["data", "--help"]])
def test_the_door_is_light(arguments: list[str]) -> None:
    loaded = fresh(
        "import sys\nimport quire.cli\n"
        f"sys.argv = ['quire', *{arguments}]\n"
        "try:\n    quire.cli.main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "sys.stdout.flush()\nsys.stdout.write('\\nLOADED ' + ' '.join(sys.modules))"
    )[-1]
    assert loaded.startswith("LOADED ")
    assert not _roots(set(loaded.split())) & set(HEAVY)


def test_importing_quire_is_light_and_offers_what_it_says() -> None:
    loaded = fresh("import sys, quire; assert all(hasattr(quire, n) for n in quire.__all__); print(*sys.modules)")[-1]
    assert not _roots(set(loaded.split())) & {*HEAVY, "typer", "pydantic"}


def test_opening_a_model_does_not_load_torchs_compiler() -> None:
    loaded = fresh(
        "import sys\nfrom quire.core.heads import TokenHead\nfrom quire.core.spec import Backbone\n"
        "from quire.nn.model import Model\nfrom quire.train.families.base import shapes\n"
        "spec = Backbone(vocab=9, depth=1, width=8, heads=1, ffn=8, position='learned_bucketed', decoder=1)\n"
        "shapes(spec, {})\nModel(spec, {'mlm': TokenHead()})\nprint(*sys.modules)"
    )[-1]
    assert "torch._dynamo" not in loaded.split()
