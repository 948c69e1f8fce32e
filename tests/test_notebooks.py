"""The notebooks: their form, and that each runs headless; one of them on photographs with a network from elsewhere."""

from __future__ import annotations

import ast
import importlib.util
import re
import shutil
from pathlib import Path

import nbformat
import pytest

from effnet_lab.names import UserError
from effnet_lab.paths import notebooks_dir
from effnet_lab.regress import inspect_file, read_frame, run_notebooks
from effnet_lab.regress.manifest import read_manifests
from effnet_lab.regress.parameters import check_parameters, read_parameters

NOTEBOOKS = sorted(notebooks_dir().glob("*.ipynb"))
LONGEST_CELL = 15
QUICK = {  # states that a hand would reach with a control, and smaller numbers where those are enough
    "00_first_steps": {"variant": "micro3"},
    "01_scaling": {
        "mode": "multipliers",
        "width": "1.5",
        "column": "params",
        "y": "estimated_ms",
        "latency_from": "['micro0']",
        "n_runs": "3",
    },
    "02_quantization_error": {
        "models": "['micro0']",
        "n_images": "8",
        "layer": "stem_conv",
        "backend": "ai_edge_quantizer",
        "notions": "['accumulated', 'local', 'effect']",
        "kernels": "builtin",
    },
    "03_tradeoffs": {
        "models": "['micro0', 'micro1']",
        "n_images": "50",
        "n_runs": "5",
        "x": "size_bytes",
        "max_flash_kib": "100",
        "min_top1": "0.5",
        "detail": "0",
    },
    "05_finetune": {
        "images": "digits?side_px=32",
        "augment": "flip,mixup",
        "freeze_epochs": "0",
        "epochs": "1",
        "batch": "128",
        "rate_decay": "0.9",
        "batch_norm": "frozen",
        "chosen": "rounded",
        "n_images": "40",
        "n_calibration": "8",
        "n_gallery": "2",
        "picture": "1",
        "size": "40",
        "input_range": "-1..1",
    },
    "06_deploy": {
        "weights": "micro0",
        "formats": "float32,int8",
        "recipe": "int8; op:dense=float32",
        "n_images": "40",
        "n_runs": "3",
        "format": "float32",
        "device": "pico",
        "accelerator": "ethos-u55-128",
    },
    "07_claims": {"model": "lite0", "verdict": "contradicted", "measure_arena": "False"},
    "08_calibration": {"model": "micro0", "sizes": "[1, 4]", "draws": "1", "n_calibration": "8", "n_answers": "40"},
    "09_repair": {"target": "int8", "n_calibration": "8", "n_answers": "60", "max_drop": "20"},
    "10_why_lite": {"styles": "['micro1']", "widenings": "[1]", "n_calibration": "8", "n_answers": "40"},
    "11_sweep": {"quantity": "size_bytes", "cost": "p50_ms", "error": "mse"},
    "04_classify": {
        "weights": "micro0",
        "n_images": "40",
        "n_calibration": "20",
        "number": "3",
        "n_gallery": "2",
        "endpoint": "block_1/expansion_output",
        "top": "3",
    },
}

# Where there is a browser, test_lab_notebooks runs these in the same state, in JupyterLab, and looks at what they recorded.
IN_LAB = ("04_classify", "05_finetune", "07_claims", "08_calibration", "09_repair", "10_why_lite")
BROWSER = importlib.util.find_spec("playwright") is not None and any(
    map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))
)


def cells(path: Path, kind: str) -> list:
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == kind]


def test_every_notebook_has_a_quick_state():
    assert QUICK.keys() == {path.stem for path in NOTEBOOKS}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
class TestForm:
    def test_it_opens_with_a_question(self, path):
        first = nbformat.read(path, as_version=4).cells[0]
        assert first.cell_type == "markdown"
        assert first.source.splitlines()[0].startswith("# ")
        assert first.source.splitlines()[0].endswith("?")

    def test_no_outputs_no_definitions_no_long_cells_no_shell(self, path):
        for cell in cells(path, "code"):
            assert not cell.outputs
            assert cell.execution_count is None
            assert len(cell.source.splitlines()) <= LONGEST_CELL or "parameters" in cell.metadata.get("tags", [])
            assert not any(line.lstrip().startswith(("!", "%")) for line in cell.source.splitlines())
            nodes = list(ast.walk(ast.parse(cell.source)))
            assert not any(isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Lambda) for node in nodes)

    def test_parameters_are_typed_commented_and_read(self, path):
        tagged = [cell for cell in cells(path, "code") if "parameters" in cell.metadata.get("tags", [])]
        assert tagged == cells(path, "code")[:1]
        parameters = read_parameters(path)
        assert {"profile", "out_dir"} <= parameters.keys()
        assert all(parameter.comment for parameter in parameters.values())
        given = {name: parameter.default for name, parameter in parameters.items()}
        assert check_parameters(path, given) == given  # refuses what no later cell reads


def require_recorded(out: Path, name: str) -> None:
    """The notebook that ran last has recorded rows, and every figure that it showed, each under a name of its own."""
    assert name == "00_first_steps" or list((out / "frames").glob("*.csv"))
    (shown,) = read_manifests(out)
    figures = [item.name for item in shown.items if item.kind == "figure"]
    assert figures
    assert all((out / "figures" / f"{figure}.html").exists() for figure in figures)
    assert len(set(figures)) == len(figures)


@pytest.mark.parametrize("name", [name for name in QUICK if not (BROWSER and name in IN_LAB)])
def test_it_runs_headless_with_other_parameters(name, tmp_path):
    (executed,) = run_notebooks([name], parameters=QUICK[name], out=tmp_path, progress=False).notebooks
    assert not [out for cell in cells(executed, "code") for out in cell.outputs if out.output_type == "error"]
    require_recorded(tmp_path, name)
    said = [str(out) for cell in cells(executed, "code") for out in cell.outputs]
    assert [found for text in said for found in re.findall(r"\b\d{1,3},\d{3}\.0\b", text)] == []  # counts are whole
    (shown,) = read_manifests(tmp_path)
    assert shown.notebook == name
    counts = {cell.execution_count for cell in cells(executed, "code")}
    assert {item.cell for item in shown.items} <= counts
    if name == "02_quantization_error":
        histogram = read_frame(tmp_path, "histogram")
        assert set(histogram["layer"]) == {"stem_conv"}
        assert set(histogram["backend"]) == {"ai_edge_quantizer"}


@pytest.mark.real
def test_a_file_of_ones_own_is_reported_on_alone(shared, flowers_cache, tmp_path):
    model = shared / "fixtures" / "litert" / "flowers_lite0_int8.tflite"
    report = inspect_file(model, "flowers160", limit=8, out=tmp_path, progress=False)
    errors, right = read_frame(tmp_path, "layer_error"), read_frame(tmp_path, "accuracy")
    assert len(errors) == 63  # 65 ops less the two that only change the type
    assert set(errors["data"]) == {"flowers160"}
    assert errors["sqnr_accumulated_db"].min() > 5
    assert (right["n_images"].tolist(), bool(right["top1"].ge(0.5).all())) == ([8, 8], True)
    assert {*errors["model"], *right["model"]} == {"flowers_lite0_int8"}
    text = report.read_text(encoding="utf-8")
    first = text[text.index("<header>") : text.index("</header>")]
    assert "flowers_lite0_int8: effnet-lab report" in first
    assert re.findall("<h2>(.*?)</h2>", first) == ["What does int8 cost it?", "Which layer is worst, and why?"]
    assert "baseline" not in text[text.index("<header>") : text.index('id="figure-data"')]
    assert "blocks_9" in text  # its layers are shown


def test_a_missing_file_is_refused_at_once(tmp_path):
    with pytest.raises(UserError, match="There is no file"):
        inspect_file(tmp_path / "none.tflite", "scenes", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
