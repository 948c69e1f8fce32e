"""The float and the quantized file of one network, side by side: what every comparison starts from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from effnet_lab.images import ImageSet, Stated
from effnet_lab.litert import float_twin
from effnet_lab.paths import write_atomically
from effnet_lab.quantize.backends import ALL, targets
from effnet_lab.quantize.schemes import CONVERTER, FLOAT32
from effnet_lab.quantize.write import write_files


@dataclass(frozen=True, kw_only=True, slots=True)
class TwinFiles:
    """Two .tflite files of one network."""

    float_model: Path
    quantized: Path


def export_twins(
    models: Sequence[str],
    scheme: str,
    folder: Path | str,
    *,
    backends: Sequence[str] | str = ALL,
    calibration: ImageSet | None = None,
    preprocess: Stated = None,
    progress: Callable[..., Iterable[Any]] | None = None,
) -> list[TwinFiles]:
    """Export each model in float32 and, with every back end, in one scheme.

    Parameters
    ----------
    models : sequence of str
        What `load_model` opens.
    scheme : str
    folder : path
        Where the files go.
    backends : sequence of str
        By default every one that can.
    calibration : ImageSet, optional
        Needed by static schemes.
    preprocess : StatedInput or Preprocess, optional
        What the networks take, where it is not known.
    progress : callable, optional
        Wraps the models, as `tqdm` does.
    """
    from effnet_lab.models import load_model  # TensorFlow takes seconds to load, and one's own files need none

    wanted = [(FLOAT32, CONVERTER), *targets([scheme], backends)]
    twins = []
    for name in progress(models) if progress else models:
        given = {"calibration": calibration, "preprocess": preprocess}
        float_model, *quantized = write_files(load_model(name), wanted, folder, **given)
        twins += [TwinFiles(float_model=float_model, quantized=path) for path in quantized]
    return twins


def own_twins(quantized: Path | str, float_model: Path | str, folder: Path | str) -> list[TwinFiles]:
    """A user's file and its float twin; where there is none (""), one is rebuilt from the dequantized weights."""
    quantized = Path(quantized)
    if not float_model:
        float_model = Path(folder) / f"{quantized.stem}.float32.twin.tflite"
        write_atomically(float_model, float_twin(quantized))
    return [TwinFiles(float_model=Path(float_model), quantized=quantized)]
