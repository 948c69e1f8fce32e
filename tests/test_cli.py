"""The command line: every command on small input, and every kind of wrong input in one line with exit code 2."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import typer.main
from PIL import Image

from effnet_lab import cli, frames, regress
from effnet_lab.cli.notebooks import join_pairs
from effnet_lab.images import open_images
from effnet_lab.names import UserError

INT8 = "static_wi8_ai8 converter"


@pytest.fixture
def call(monkeypatch, capfd):
    """Run a command in this process: (exit code, stdout, stderr)."""

    def run(*args: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["effnet-lab", *map(str, args)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        out, err = capfd.readouterr()
        return int(stop.value.code or 0), out, err

    return run


@pytest.fixture
def records(call):
    """Rows that a command prints with --json."""

    def run(*args: object) -> list[dict]:
        code, out, err = call(*args, "--json")
        assert code == 0, err
        return json.loads(out)

    return run


def test_variants(records):
    rows = records("variants")
    assert list(rows[0]) == list(frames.VARIANTS.columns)
    lite0 = next(row for row in rows if row["model"] == "lite0")
    assert (lite0["params"], lite0["madds"], lite0["published_madds"]) == (4_652_008, 385_187_552, 407_000_000)
    assert next(row for row in rows if row["model"] == "b0")["published_params"] is None


def test_search(records):
    rows = records("search", "--max-arena", 65536, "--max-flash", 2e5, "--classes", 10, "--limit", 3)
    assert len(rows) == 3
    assert all(row["peak_activation_bytes"] <= 65536 and row["flash_bytes"] <= 2e5 for row in rows)


def test_search_for_little_memory(records):
    rows = records("search", "--lean", "--max-arena", 57344, "--max-flash", 131072, "--classes", 5, "--limit", 2)
    assert list(rows[0]) == list(frames.LEAN_CANDIDATES.columns)
    assert len(rows) == 2
    assert all(row["planned_head_bytes"] <= 57344 and row["flash_bytes"] <= 131072 for row in rows)


def test_export_evaluate_layer_error_bench(records, tmp_path):
    made = records(
        "export", "--weights", "micro0", "--out", tmp_path, "--limit", 20, "--backend", "converter,ai_edge_quantizer"
    )
    assert [Path(row["file"]).name for row in made] == [
        "micro0.float32.converter.tflite",
        "micro0.static_wi8_ai8.converter.tflite",
        "micro0.static_wi8_ai8.ai_edge_quantizer.tflite",
    ]
    files = [row["file"] for row in made]
    (accuracy,) = records("evaluate", files[1], "--data", "scenes", "--limit", 40)
    assert accuracy["n_images"] == 40
    out = tmp_path / "errors.csv"
    rows = records(
        "layer-error", "--float", files[0], "--quantized", files[1], "--images", "scenes", "--limit", 4, "--out", out
    )
    assert len(out.read_text().splitlines()) == len(rows) + 1
    assert rows[-2]["layer"] == "head_dense"
    latency = records("bench", *files, "--runs", 5)
    assert latency[0]["relative_p50"] == 1.0


@pytest.fixture
def photos(tmp_path):
    """Six evaluation scenes as files, in one folder per class."""
    images = open_images("scenes", limit=6)
    for i in range(6):
        folder = tmp_path / "photos" / images.classes[images.labels[i]]
        folder.mkdir(parents=True)
        Image.fromarray(images.read(i)).save(folder / f"{i}.png")
    return tmp_path / "photos"


def test_classify_features_audit(records, call, photos, tmp_path):
    rows = records("classify", str(photos / "*" / "*.png"), "--weights", "micro3", "--top", 2)
    assert len(rows) == 12
    first = [row for row in rows if row["rank"] == 1]
    assert sum(Path(row["file"]).parent.name == row["label"] for row in first) >= 5
    names = tmp_path / "names.txt"
    names.write_text("\n".join(["background", *(f"class {i}" for i in range(10))]))
    named = records("classify", photos / "0", "--weights", "micro3", "--top", 1, "--labels", names)
    assert named[0]["label"] == "class 0"
    code, said, err = call("features", str(photos / "*" / "*.png"), "--weights", "micro0", "--out", tmp_path / "f.npz")
    assert code == 0, err
    assert "6 x 64" in said
    assert np.load(tmp_path / "f.npz")["features"].shape == (6, 64)
    table = records("audit-preprocess", "micro0", "--data", "scenes", "--limit", 40)
    assert table[0]["mark"] == "A"
    assert {row["normalisation"] for row in table} >= {"(x-127)/128", "[0, 1]"}


def test_export_of_a_hub_module(call, tmp_path):
    code, _said, err = call(
        "export", "--weights", "micro0", "--format", "hub-feature-vector", "--out", tmp_path / "module"
    )
    assert code == 0, err
    assert (tmp_path / "module" / "saved_model.pb").exists()


def test_wrong_pictures_and_weights(call, photos, tmp_path):
    bad = {
        "empty.jpg": (b"", "micro0"),
        "short.png": ((photos / "0").glob("*.png").__next__().read_bytes()[:200], "micro0"),
        "fine.png": ((photos / "0").glob("*.png").__next__().read_bytes(), "text.tflite"),
        "fine2.png": ((photos / "0").glob("*.png").__next__().read_bytes(), "weights.pth"),
    }
    (tmp_path / "text.tflite").write_text("not a model")
    (tmp_path / "weights.pth").write_bytes(b"\x80\x02")
    for name, (content, weights) in bad.items():
        (tmp_path / name).write_bytes(content)
        source = weights if weights == "micro0" else tmp_path / weights
        code, _said, err = call("classify", tmp_path / name, "--weights", source)
        assert code == 2, name
        assert len(err.strip().splitlines()) == 1, err


def test_train(call, tmp_path):
    out = tmp_path / "tiny.safetensors"
    code, said, err = call("train", "--variant", "micro0", "--data", "scenes?n=200", "--epochs", 1, "--out", out)
    assert code == 0, err
    card = json.loads(out.with_suffix(".json").read_text())
    assert card["recipe"]["epochs"] == 1
    assert f"{card['top1']:.4f}" in said
    assert f"Next: effnet-lab export --weights {out} --format int8 --calibration 'scenes?n=200'" in err
    assert out.exists()


WRONG = {
    "no such command": (["frobnicate"], "frobnicate"),
    "missing option": (["train"], "--out"),
    "unknown variant": (["train", "--variant", "mikro0", "--out", "x.safetensors"], "Did you mean 'micro0'"),
    "wrong suffix": (["train", "--variant", "micro0", "--out", "x.pkl"], "must end in .safetensors"),
    "unknown format": (["export", "--weights", "micro0", "--format", "int88", "--out", "x"], "Did you mean"),
    "unknown weights": (["export", "--weights", "mikro0", "--out", "x"], "micro0"),
    "no model": (["evaluate", "none.tflite", "--data", "scenes"], "No such file"),
    "no option": (["study", "scaling", "--levls", "3"], "Try: effnet-lab study scaling --help"),
    "no data": (["evaluate", "none.tflite", "--data", "no_such_folder"], "no_such_folder"),
    "one run": (["bench", "none.tflite", "--runs", "1"], "Got 1 runs"),
    "budget too small": (["search", "--max-params", "10"], "No network of the grid fits"),
    "negative budget": (["search", "--max-params", "-5"], "must be > 0. Got -5"),
    "half a budget": (["search", "--lean", "--max-arena", "57344"], "give --max-arena and --max-flash"),
    "a lean network by evenness": (
        ["search", "--lean", "--max-arena", "57344", "--max-flash", "131072", "--no-scale-ends"],
        "--lean goes without --by and --no-scale-ends",
    ),
    "unknown notebook": (["run", "02_quantisation"], "02_quantization_error"),
    "unknown parameter": (["run", "-p", "no_such_parameter", "1"], "no_such_parameter"),
    "misspelt parameter": (["run", "-p", "n_image", "1"], "Did you mean 'n_images'"),
    "half a parameter": (["run", "-p", "n_images"], "needs a name and a value"),
    "wrong type": (["run", "02_quantization_error", "-p", "n_images", "many"], "many"),
    "unknown profile": (["run", "--profile", "smok"], "Did you mean 'smoke'"),
    "nothing to check": (["check", "--results", "no_results"], "no_results"),
}


@pytest.mark.parametrize(("args", "message"), WRONG.values(), ids=WRONG)
def test_wrong_input_gets_one_line_and_exit_code_2(call, tmp_path, monkeypatch, args, message):
    monkeypatch.chdir(tmp_path)
    code, _out, err = call(*args)
    assert code == 2
    assert message in err
    assert len(err.strip().splitlines()) == 1, err
    assert err.startswith("effnet-lab: ")
    assert not list(tmp_path.iterdir()), "something was left behind"


def test_a_parameter_that_no_cell_reads_is_refused(call, tmp_path):
    notebook = Path(__file__).parent / "notebooks" / "unread.ipynb"
    code, _out, err = call("run", notebook, "--out", tmp_path, "-p", "forgotten", "1")
    assert code == 2
    assert "is read by no later cell" in err


def test_a_run_prints_what_it_measured(call, monkeypatch, tmp_path):
    """One notebook on one's own file measures a part of the summary; the rest was a list of dashes."""
    table = pd.DataFrame({"model": ["mine"], "top1": [np.nan], "worst_layer": ["stem"], "p50_ms": [np.nan]})
    done = regress.NotebookRun(table=table, notebooks=(), report=tmp_path / "report.html")
    monkeypatch.setattr(regress, "run_notebooks", lambda *_args, **_options: done)
    code, out, _err = call("run", "02_quantization_error")
    assert (code, out.split()[:5]) == (0, ["model", "mine", "worst_layer", "stem", "Report:"])


def test_pairs_are_joined():
    assert join_pairs(["run", "-p", "a", "1", "-p", "b=2", "--out", "x"]) == [
        "run",
        "-p",
        "a=1",
        "-p",
        "b=2",
        "--out",
        "x",
    ]
    with pytest.raises(UserError, match="needs a name and a value"):
        join_pairs(["run", "-p", "a"])


COMMANDS = typer.main.get_command(cli.app).commands
TAUGHT = {name: command for name, command in COMMANDS.items() if not hasattr(command, "commands")}
TAUGHT |= {
    f"{group} {name}": command
    for group, outer in COMMANDS.items()
    for name, command in getattr(outer, "commands", {}).items()
}


@pytest.mark.parametrize("name", TAUGHT)
def test_help_teaches(call, name):
    """What it does, every option with words of its own, and an example that can be typed as it stands."""
    command = TAUGHT[name]
    code, out, _err = call(*name.split(), "--help")
    assert code == 0
    assert "Usage" in out
    text = " ".join(re.sub("[│╭╮╰╯─]", " ", out).split())
    assert " ".join(command.help.split("\n\n")[0].split()) in text
    assert "\n" not in command.help.replace("\n\n", "")  # each paragraph is broken by the terminal, at its own width
    for option in command.params:
        assert option.help, option.name
        if option.param_type_name == "option":
            assert max(option.opts, key=len) in text, option.name
    examples = re.findall(r"Example: effnet-lab (.+)", command.help)
    assert examples
    for words in map(shlex.split, examples):
        n = len(name.split())
        typed, arguments = " ".join(words[:n]), words[n:]
        assert typed == name
        command.make_context(name, join_pairs(arguments))  # raises for an unknown option or a missing argument


def test_help_lists_every_command_and_the_exit_codes(call):
    code, out, _err = call("--help")
    assert code == 0
    assert all(f" {name} " in out for name in COMMANDS)
    assert "0 done, 1 a check failed, 2 the input is wrong" in " ".join(re.sub("[│╭╮╰╯─]", " ", out).split())


def test_help_and_import_are_quick():
    """CPU time of a whole process: 0.6 s for the help, 0.2 s for the import, an idle interpreter included."""
    for code, limit in (("import sys; sys.argv = ['effnet-lab', '--help']; from effnet_lab.cli import main; main()", 0.6),
                        ("import effnet_lab", 0.2)):  # fmt: skip
        times = []
        for _ in range(3):
            before = _children_cpu()
            subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
            times.append(_children_cpu() - before)
        assert min(times) < limit


@pytest.mark.parametrize("words", [["variants"], ["lint", "{int8}"]], ids=["variants", "lint"])
def test_what_prints_rows_does_not_wait_for_pandas(files, words):
    """It takes longer to load than these commands take to answer; who asks for JSON of a frame gets it nevertheless."""
    words = [word.format(int8=files["static_wi8_ai8 converter"]) for word in words]
    said = {}
    for more in ([], ["--json"]):
        code = (
            f"import sys; sys.argv = ['effnet-lab', *{words + more}]; from effnet_lab.cli import main\n"
            "try: main()\nexcept SystemExit as stop: print(stop.code, 'pandas.core' in sys.modules, file=sys.stderr)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        said[bool(more)] = done.stdout, done.stderr.split()[-2:]
    assert said[False][1] == ["0", "False"]
    assert said[True][1][0] == "0"
    assert len(json.loads(said[True][0])) > 5


def _children_cpu() -> float:
    import resource

    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.parametrize(
    "args",
    [["classify", "missing.jpg", "--weights", "micro0"], ["export", "--weights", "micro9", "--out", "x"]],
    ids=["classify", "export"],
)
def test_wrong_input_is_refused_before_tensorflow_is_loaded(tmp_path, args):
    code = (
        f"import sys; sys.argv = ['effnet-lab', *{args}]; from effnet_lab.cli import main\n"
        "try: main()\nexcept SystemExit as stop: print(stop.code, 'tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout.split() == ["2", "False"], done.stderr


def test_version_and_short_help(call):
    from importlib.metadata import version

    assert call("--version")[:2] == (0, f"effnet-lab {version('effnet-lab')}\n")
    code, out, _err = call("search", "-h")
    assert code == 0
    assert "--max-arena" in out


def test_tables_fit_the_terminal(call, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, err = call("variants")
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80
    assert "madds" in out.splitlines()[0]
    assert "1,000 classes" in err
    assert "published_int8_top1" in call("variants", "--wide")[1].splitlines()[0]
    one = call("search", "--max-params", "2e4", "--classes", "10", "--limit", "1")[1]
    assert one.splitlines()[0].split()[0] == "width"  # one row is a list


def test_ctrl_c_ends_with_one_line(call, monkeypatch):
    from effnet_lab import scaling

    def stopped(**_options):
        raise KeyboardInterrupt

    monkeypatch.setattr(scaling, "variant_rows", stopped)
    assert call("variants") == (130, "", "effnet-lab: stopped.\n")


def test_an_error_is_one_line_of_at_most_300_characters(call):
    code, _out, err = call("run", "-p", "x" * 900, "1")
    assert code == 2
    assert len(err.strip()) <= 300
    assert len(err.strip().splitlines()) == 1
