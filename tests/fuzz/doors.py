"""The process that is attacked: it runs one command after the other, each on one damaged file, and says how that ended.

`run.py` starts it, feeds it, and replaces it when it dies, hangs or grows. A line in: JSON with `door`, `file` and `out`. A line
out: JSON with `outcome`, and what was said.
"""

from __future__ import annotations

import io
import json
import os
import sys
import traceback
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]
import formats

HEALTHY = Path(os.environ.get("EFFNET_LAB_FUZZ", "healthy"))  # where the healthy files lie
PHOTO, INT8, FLOAT = (str(HEALTHY / name) for name in ("photo.png", "int8.tflite", "float32.tflite"))
FEED = ["--input-range", "-1..1", "--crop", "none"]


def notebook(path: str, _out: str) -> None:
    """What `run` does before a kernel starts; a notebook that passes is the user's own code."""
    from effnet_lab.regress import check_parameters, read_parameters

    read_parameters(path)
    check_parameters(path, {})


Door = list[str] | Callable[[str, str], None]
DOORS: dict[str, tuple[str, str, Door]] = {  # name: format, file name of the mutant, command
    "lint": ("tflite", "m.tflite", ["lint", "{file}"]),
    "footprint": ("tflite", "m.tflite", ["footprint", "{file}", "--ops", "--tensors"]),
    "classify": ("tflite", "m.tflite", ["classify", PHOTO, "--weights", "{file}", *FEED]),
    "evaluate": ("tflite", "m.tflite", ["evaluate", "{file}", "--data", "scenes", "--limit", "3", "--against", INT8, *FEED]),
    "layer-error": ("tflite", "m.tflite", ["layer-error", "--quantized", "{file}", "--images", "scenes", "--limit", "2",
                                           "--notions", "accumulated,local,effect", *FEED]),
    "verdicts": ("tflite", "m.tflite", ["verdicts", "--quantized", "{file}", "--images", "scenes", "--limit", "2", *FEED]),
    "explain": ("tflite", "m.tflite", ["explain", "{file}", "--image", PHOTO, *FEED]),
    "bench": ("tflite", "m.tflite", ["bench", "{file}", "--runs", "3"]),
    "features": ("tflite", "m.tflite", ["features", PHOTO, "--weights", "{file}", "--out", "{out}/f.npz", *FEED]),
    "export": ("tflite", "m.tflite", ["export", "--weights", "{file}", "--format", "int8", "--backend", "ai_edge_quantizer",
                                      "--limit", "2", "--out", "{out}/e.tflite", *FEED]),
    "safetensors": ("safetensors", "m.safetensors", ["classify", PHOTO, "--weights", "{file}"]),
    "export of weights": ("safetensors", "m.safetensors", ["export", "--weights", "{file}", "--format", "float32",
                                                           "--out", "{out}/x"]),
    "keras": ("keras", "m.keras", ["classify", PHOTO, "--weights", "{file}"]),
    "h5": ("h5", "m.h5", ["classify", PHOTO, "--weights", "{file}"]),
    "weights archive": ("checkpoint.tar", "m.tar", ["classify", PHOTO, "--weights", "{file}"]),
    "statistics": ("statistics", "m.npz", ["calibrate", "--out", "{file}", "--against", str(HEALTHY / "m.npz.statistics")]),
    "answers": ("answers", "m.npz", ["evaluate", INT8, "--data", "scenes", "--limit", "4", "--resume", "{file}"]),
    "arrays": ("arrays", "m.npz", ["evaluate", INT8, "--inputs", "{file}"]),
    "notebook": ("notebook", "m.ipynb", notebook),
    "baseline": ("baseline", "variants.csv", ["check", "--results", str(HEALTHY / "results"), "--baselines", "{folder}"]),
    "results": ("results", "frames/variants.csv", ["check", "--results", "{folder}/..",
                                                    "--baselines", str(HEALTHY / "blessed")]),
    "labels": ("labels", "m.txt", ["classify", PHOTO, "--weights", INT8, "--labels", "{file}"]),
    "labels.json": ("labels.json", "m.json", ["classify", PHOTO, "--weights", INT8, "--labels", "{file}"]),
    "pictures in a tar": ("tar", "m.tar", ["calibrate", "--weights", FLOAT, "--data", "{file}", "--split", "all", "--limit", "2",
                                           "--out", "{out}/s.npz"]),
    "png": ("png", "m.png", ["classify", "{file}", "--weights", INT8]),
    "jpg": ("jpg", "m.jpg", ["classify", "{file}", "--weights", INT8]),
    "tfrecord": ("tfrecord", "validation-00000-of-00001", ["calibrate", "--weights", FLOAT, "--data", "{file}", "--split", "all",
                                                           "--limit", "2", "--out", "{out}/s.npz"]),
}  # fmt: skip


def planted(code: str, _out: str) -> None:
    """For the test of this very program: run what it says."""
    exec(code, {})


DOORS["planted"] = ("tflite", "code.py", planted)


def make_healthy(folder: Path) -> dict[str, Path]:
    """One healthy file of every format; slow, as TensorFlow writes some of them."""
    os.chdir(folder)
    call(["export", "--weights", "micro0", "--format", "float32,int8", "--limit", "20", "--out", "files"])
    for scheme, name in (("float32", "float32"), ("static_wi8_ai8", "int8")):
        (folder / "files" / f"micro0.{scheme}.converter.tflite").rename(folder / f"{name}.tflite")
    (folder / "photo.png").write_bytes(formats.picture("png"))
    (folder / "photo.jpg").write_bytes(formats.picture("jpg"))
    (folder / "photos.tar").write_bytes(formats.photo_tar())
    (folder / "labels.txt").write_text("\n".join(f"n{i:08} class {i}" for i in range(10)))
    (folder / "labels.json").write_text(json.dumps({str(i): f"class {i}" for i in range(10)}))
    _make_weights(folder)
    _make_numbers(folder)
    names = dict.fromkeys(("tflite",), "int8.tflite") | {
        "safetensors": "m.safetensors", "keras": "m.keras", "h5": "m.h5", "checkpoint.tar": "weights.tar", "statistics": "s.npz",
        "answers": "answers.npz", "arrays": "arrays.npz", "notebook": "m.ipynb", "baseline": "blessed/variants.csv",
        "results": "results/frames/variants.csv",
        "labels": "labels.txt", "labels.json": "labels.json", "tar": "photos.tar", "png": "photo.png", "jpg": "photo.jpg",
        "tfrecord": "validation-00000-of-00001",
    }  # fmt: skip
    return {form: folder / name for form, name in names.items()}


def _make_weights(folder: Path) -> None:
    import tarfile

    from effnet_lab.models import load_model, save_model

    model = load_model("micro0")
    for suffix in (".safetensors", ".keras", ".h5"):
        save_model(model, folder / f"m{suffix}")
    call(["export", "--weights", "micro0", "--format", "saved-model", "--out", "saved"])
    with tarfile.open(folder / "weights.tar", "w") as archive:
        archive.add(folder / "saved", "saved")


def _make_numbers(folder: Path) -> None:
    import numpy as np
    import tensorflow as tf

    from effnet_lab import paths, regress, scaling

    images = ["--data", "scenes", "--limit", "3"]
    call(["calibrate", "--weights", FLOAT, *images, "--out", "s.npz"])
    (folder / "m.npz.statistics").write_bytes((folder / "s.npz").read_bytes())
    call(["evaluate", INT8, *images[:3], "4", "--resume", "answers.npz"])
    side = 32
    arrays = {"images": np.zeros((3, side, side, 3), np.float32), "labels": np.arange(3)}
    np.savez(folder / "arrays.npz", **arrays)
    (folder / "m.ipynb").write_bytes((paths.notebooks_dir() / "01_scaling.ipynb").read_bytes())
    regress.record(scaling.variants(), "variants", folder / "results", notebook="n", profile="smoke")
    regress.bless(folder / "results", folder / "blessed")
    bytes_of = lambda value: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))  # noqa: E731
    with tf.io.TFRecordWriter(str(folder / "validation-00000-of-00001")) as writer:
        for label in (1, 2, 3):
            number = tf.train.Feature(int64_list=tf.train.Int64List(value=[label]))
            feature = {"image/encoded": bytes_of(formats.picture("jpg")), "image/class/label": number}
            writer.write(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())


def call(words: list[str]) -> int:
    """Exit code of a command in this process."""
    from effnet_lab import cli

    sys.argv = ["effnet-lab", *words]
    try:
        cli.main()
    except SystemExit as stop:
        return int(stop.code or 0)
    raise AssertionError("a command ends by SystemExit")


def attempt(door: str, file: str, out: str) -> dict[str, Any]:
    """How a command ended: done, refused in one line, or a fault."""
    from effnet_lab.cli.saying import refuse
    from effnet_lab.names import UserError

    _form, _name, words = DOORS[door]
    said, OUTSIDE[:] = io.StringIO(), []
    outcome = "done"
    try:
        with redirect_stdout(said), redirect_stderr(said):
            if callable(words):
                words(file, out)
            else:
                places = {"file": file, "out": out, "folder": str(Path(file).parent)}
                code = call([word.format(**places) if "{" in word else word for word in words])
                outcome = {0: "done", 1: "done", 2: "refused"}.get(code, f"exit code {code}")
    except UserError as error:
        outcome = "refused"
        with redirect_stderr(said):
            refuse(str(error), 2)
    except BaseException:  # noqa: BLE001  anything else is what this looks for
        outcome = "traceback"
        said.write(traceback.format_exc())
    text = said.getvalue()
    lines = [line for line in text.splitlines() if line.startswith("effnet-lab: ")]
    if outcome == "refused" and (len(lines) != 1 or len(lines[0]) > 300):
        outcome = "badly said"
    if outcome in ("done", "refused") and ("Traceback" in text or "Warning: " in text or "\x1b" in text):
        outcome = "noise"
    if OUTSIDE:
        outcome, text = "outside", f"{OUTSIDE}\n{text}"
    return {"outcome": outcome, "said": text if len(text) < 6000 else f"{text[:2000]}\n...\n{text[-4000:]}"}


OUTSIDE: list[str] = []  # files that were written where nothing may be


def _watch(allowed: tuple[str, ...]) -> None:
    """Note every file that is made, changed or removed in another place than these."""

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event == "open":
            path, mode, flags = (*args, None, None)[:3]
            writes = (flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) or set(mode or "") & set("wax+")
        elif event in ("os.remove", "os.mkdir", "os.rename", "os.rmdir", "os.link", "os.symlink", "shutil.rmtree"):
            path, writes = args[0], True
        else:
            return
        if (
            writes
            and isinstance(path, str | bytes | os.PathLike)
            and not os.path.abspath(os.fsdecode(path)).startswith(allowed)
        ):
            OUTSIDE.append(f"{event} {os.fsdecode(path)}")

    sys.addaudithook(hook)


def main() -> None:
    """Answer until nobody asks any more."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    home = os.environ["HOME"]
    _watch(
        (
            home,
            str(ROOT / "effnet_lab"),
            sys.base_prefix,
            "/dev/",
            "/proc/",
            *(path for path in sys.path if path.endswith("-packages")),
        )
    )
    for line in sys.stdin:
        asked = json.loads(line)
        if "make" in asked:
            made = {form: str(path) for form, path in make_healthy(Path(asked["make"])).items()}
            answers.write(json.dumps(made) + "\n")
        else:
            answers.write(json.dumps(attempt(asked["door"], asked["file"], asked["out"])) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
