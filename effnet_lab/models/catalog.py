"""Which weights there are: those that come with the package, those with a name, and every kind of file. Loads nothing slow."""

from __future__ import annotations

from pathlib import Path

from effnet_lab.names import UserError, suggest
from effnet_lab.paths import data_dir

IMAGENET = "imagenet"  # source: the official weights of the given variant
OFFICIAL = tuple(f"{IMAGENET}-lite{number}" for number in range(5))  # the same in one word
KINDS = ".safetensors, .keras, .h5, .tflite, .tar.gz, TF1 checkpoint or SavedModel"


def embedded_models() -> dict[str, Path]:
    """Weights that come with the package, by name."""
    return {path.stem: path for path in sorted((data_dir() / "models").glob("*.safetensors"))}


def require_source(source: object) -> None:
    """Refuse a name or path that leads nowhere, before anything slow is loaded; what is no name and no path passes."""
    if not isinstance(source, str | Path) or str(source) in (IMAGENET, *OFFICIAL):
        return
    path, names = Path(source), [*embedded_models(), IMAGENET]
    if str(source) in names or path.exists() or path.with_name(f"{path.name}.index").is_file():
        return
    if path.suffix or len(path.parts) > 1:
        raise UserError(
            f"Unknown model {str(source)!r}: no such file. Correct the path, or name one of {', '.join(names)}."
        )
    raise UserError(f"{suggest('model', str(source), names)} Or give a path: {KINDS}.")


def require_weights(source: object, variant: str | None = None) -> None:
    """The same, and refuse a .tflite file of another architecture, whose weights `load_model` cannot open.

    Raises
    ------
    UserError
        `OtherNetworkError` where the architecture is another one.
    """
    require_source(source)
    from effnet_lab.litert.flatbuffer import is_tflite

    if is_tflite(source):
        from effnet_lab.models.weights.tflite_network import recognise

        recognise(Path(source), variant)
