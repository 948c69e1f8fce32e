"""The rules of the house: which room may import which, what is loaded when, how long things may get."""

from __future__ import annotations

import ast
import graphlib
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "effnet_lab"
FLOOR = {
    "names": -1,  # errors: what every room may raise
    "frames": 0, "paths": 0, "quiet": 0, "intervals": 0, "progress": 0, "versions": 0, "workers": 0, "late": 0,
    "notebook_format": 0, "cpu_limit": 0, "decibels": 0, "layer_fit": 0, "compiled": 0,
    "ledger": 1, "scaling": 1, "images": 1,
    "litert": 2,
    "models": 3,  # a .tflite file is one of the origins of weights
    "bench": 3, "board": 3,
    "training": 4, "quantize": 4,
    "evaluate": 5, "analysis": 5,
    "studies": 6,
    "view": 7,
    "regress": 8,
    "cli": 9,
}  # fmt: skip
ONLY = {  # what a room may import of the package although others stand on lower floors, too
    "view": {"names", "frames", "late", "notebook_format"},
    "scaling": {"names", "frames", "paths", "late"},
    "bench": {"names", "frames", "paths", "late", "progress", "quiet", "intervals", "scaling", "images", "litert"},
    "board": {"cpu_limit", "names", "frames", "paths", "quiet", "intervals", "scaling", "images", "litert"},
}
HEAVY = {  # libraries that only some rooms may load
    "tensorflow": {"models", "training", "quantize"},
    "tensorflow_model_optimization": {"models"},
    "tf_keras": {"models", "training", "quantize"},
    "ai_edge_litert": {"litert"},
    "ai_edge_quantizer": {"quantize"},
    "numba": {"compiled"},
    "tflite_micro": {"litert"},
    "plotly": {"view", "regress"},
    "ipywidgets": {"view"},
    "papermill": {"regress"},
    "distributed": {"regress"},
    "pyarrow": {"regress"},
    "typer": {"cli"},
}
MODULES = sorted(PACKAGE.rglob("*.py"))
COMMAND_MODULES = [path for path in MODULES if path.parent.name == "cli"]
NO_QUESTION = {"cli", "names", "frames", "paths", "quiet"}  # errors, columns, files: what parsing and printing need
LONGEST_MODULE, LONGEST_FUNCTION = 300, 40


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Every dotted name that a module imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def dotted(path: Path) -> str:
    """Name of a module as it is imported."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def needs(path: Path, known: set[str]) -> set[str]:
    """Modules of the package that a module names in its imports, those for types and inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name in known}
        elif isinstance(node, ast.ImportFrom) and node.module in known:
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= whole & known
            found |= {node.module} if whole - known else set()
    return found - {dotted(path)}


def test_every_room_has_a_floor():
    assert {room_of(path) for path in MODULES} - {"__init__"} <= FLOOR.keys()
    assert {path.stem for path in PACKAGE.iterdir() if path.stem[0] not in "_."} - {"data", "notebooks"} == FLOOR.keys()


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down_only(path):
    room = room_of(path)
    if room == "__init__":
        return
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "effnet_lab" and len(parts) > 1 and parts[1] in FLOOR and parts[1] != room:
            assert FLOOR[parts[1]] < FLOOR[room], f"{room} (floor {FLOOR[room]}) imports {name}"
            assert parts[1] in ONLY.get(room, FLOOR), f"{room} imports {name}"
        if parts[0] in HEAVY:
            assert room in HEAVY[parts[0]], f"{room} imports {name}"


def test_no_circle_of_modules():
    """Not between two modules, and not through a third; the door of the package offers all rooms and is left out."""
    known = {dotted(path) for path in MODULES} - {"effnet_lab"}
    graph = {dotted(path): needs(path, known) for path in MODULES if dotted(path) in known}
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_private_is_imported(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "effnet_lab":
            names = [*node.module.split("."), *(alias.name for alias in node.names)]
            assert not [name for name in names if name.startswith("_")], f"from {node.module} import {names[-1]}"


def test_a_class_name_means_one_thing():
    homes: dict[str, list[str]] = {}
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                homes.setdefault(node.name.strip("_"), []).append(dotted(path))
    assert {name: where for name, where in homes.items() if len(where) > 1} == {}


def commands() -> list[tuple[str, ast.FunctionDef, ast.Module]]:
    """Name, function and module of every command."""
    found = []
    for path in COMMAND_MODULES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
        for node in tree.body:
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") in ("COMMANDS", "STUDIES"):
                found += [(name.id.rstrip("_"), functions[name.id], tree) for name in node.value.elts]
    return found


class Calls:
    """Counts what a command calls of the rooms, also through the functions of its own module."""

    def __init__(self, tree: ast.Module) -> None:
        self.functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
        self.imported = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("effnet_lab"):
                room = [*node.module.split("."), node.names[0].name][1]
                self.imported |= {alias.asname or alias.name for alias in node.names if room not in NO_QUESTION}

    def most(self, statements: list[ast.stmt]) -> int:
        """On the longest way through: of the branches of an ``if``, only one is gone."""
        if not statements:
            return 0
        first, rest = statements[0], statements[1:]
        if isinstance(first, ast.If):
            ends = isinstance(first.body[-1], ast.Return | ast.Raise)
            ways = (self.most(first.body if ends else first.body + rest), self.most(first.orelse + rest))
            return self.here(first.test) + max(ways)
        nested = [getattr(first, name, []) for name in ("body", "orelse", "finalbody")]
        parts = [part for part in ast.iter_child_nodes(first) if not isinstance(part, ast.stmt | ast.excepthandler)]
        return sum(map(self.here, parts)) + sum(map(self.most, nested)) + self.most(rest)

    def here(self, expression: ast.AST) -> int:
        """In one expression."""
        if isinstance(expression, ast.IfExp):
            return self.here(expression.test) + max(self.here(expression.body), self.here(expression.orelse))
        count = sum(map(self.here, ast.iter_child_nodes(expression)))
        if isinstance(expression, ast.Call):
            name = getattr(expression.func, "id", getattr(getattr(expression.func, "value", None), "id", ""))
            if name in self.imported and not name.isupper():
                return count + 1
            if name in self.functions:
                return count + self.most(self.functions[name].body)
        return count


@pytest.mark.parametrize(("name", "function", "tree"), commands(), ids=[name for name, *_ in commands()])
def test_a_command_is_one_call(name, function, tree):
    calls = Calls(tree).most(function.body)
    assert calls == 1, f"{name} makes {calls} calls"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_gets_long(path):
    text = path.read_text()
    assert len(text.splitlines()) <= LONGEST_MODULE
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            lines = node.end_lineno - (body[0].lineno if body else node.lineno) + 1
            assert lines <= LONGEST_FUNCTION, f"{node.name} has {lines} lines"


def test_no_drawer_without_a_name():
    assert not {"utils", "common", "helpers", "misc"} & {path.stem for path in MODULES}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_what_is_public_says_what_it_does(path):
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), "the module has no docstring"
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), node.name


def loaded_by(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in out.stdout.split()}


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import effnet_lab", {"tensorflow", "plotly", "papermill", "pandas", "numpy"}),
        ("from effnet_lab import cli", {"tensorflow", "plotly", "papermill", "pandas", "ai_edge_litert"}),
        ("import effnet_lab.scaling, effnet_lab.images", {"tensorflow", "plotly", "ai_edge_litert", "sklearn"}),
        ("from effnet_lab.evaluate import classify", {"tensorflow", "pandas", "ai_edge_litert"}),
        ("import effnet_lab.view", {"tensorflow", "papermill", "ai_edge_litert"}),
        ("import effnet_lab.litert", {"tensorflow", "tf_keras", "ai_edge_litert", "numpy"}),
        ("from effnet_lab.analysis.lint import lint", {"tensorflow", "pandas"}),
        ("import effnet_lab.regress", {"tensorflow", "papermill", "plotly", "distributed", "yaml"}),
    ],
)
def test_what_is_loaded(statement, absent):
    assert not loaded_by(statement) & absent


QUESTIONS = {  # `import effnet_lab as el` offers them all, and nothing else but `open_images`
    "variants", "search", "build_model", "load_model", "save_model", "train", "export", "calibrate", "layer_error",
    "verdicts", "lint", "explain", "repair", "evaluate", "compare", "classify", "features", "audit_preprocess", "bench",
    "profile", "footprint", "ethosu", "tradeoffs", "choose", "scaling_study", "run_notebooks", "check", "bless",
    "mixed_precision", "sweep", "report_on", "bisect", "check_latency",
}  # fmt: skip


def test_every_question_is_one_function():
    import effnet_lab as el

    assert set(el.__all__) == QUESTIONS | {"open_images"}
    for name in el.__all__:
        assert inspect.isfunction(getattr(el, name)), name
    assert set(el.__all__) <= set(dir(el))
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = el.no_such_name


def test_a_room_that_is_executed_anew_offers_what_its_modules_have_now(monkeypatch):
    """Mutation runs rest on it: they execute a changed module anew, and all that import it."""
    import effnet_lab.scaling as room
    from effnet_lab.scaling import law

    before = room.fit_law
    with monkeypatch.context() as changed:
        changed.setattr(law, "fit_law", changed)
        assert room.fit_law is before
        importlib.reload(room)
        assert room.fit_law is changed
    importlib.reload(room)
    assert room.fit_law is before


@pytest.mark.parametrize(
    "imports",
    [
        "import effnet_lab as el; from effnet_lab.{room}.{module} import {inside}",
        "from effnet_lab.{room}.{module} import {inside}; import effnet_lab as el",
        "import effnet_lab as el; el.{room}; from effnet_lab.{room}.{module} import {inside}",
        "import effnet_lab.{room}; import effnet_lab.{room}.{module}; import effnet_lab as el;"
        "from effnet_lab.{room} import {inside}",
    ],
    ids=["door first", "room first", "used in between", "by their full names"],
)
@pytest.mark.parametrize(
    ("room", "module", "inside"), [("bench", "latency", "measure_latency"), ("evaluate", "accuracy", "accuracy")]
)
def test_a_room_with_the_name_of_a_question_stays_a_function(imports, room, module, inside):
    check = f"import inspect; assert inspect.isfunction(el.{room}), el.{room}; assert inspect.isfunction({inside})"
    code = f"{imports.format(room=room, module=module, inside=inside)}; {check}"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_tensorflow_is_loaded_without_its_greeting():
    """Whichever module comes first: models and quantize take it from `quiet_tensorflow`, training's door loads that."""
    loud = re.compile(r"^(?:import (?:tensorflow|tf_keras)|from (?:tensorflow|tf_keras)\b)", re.MULTILINE)
    rooms = {
        path.relative_to(PACKAGE).parts[0] for path in PACKAGE.rglob("*.py") if loud.search(path.read_text("utf-8"))
    }
    assert rooms <= {"training"}
