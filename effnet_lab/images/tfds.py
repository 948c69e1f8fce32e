"""Data sets of TensorFlow Datasets by their names there: `tfds:beans`. That library is no part of the installation."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from effnet_lab.images.folders import TREE_SPLITS
from effnet_lab.images.imageset import ImageSet, digest
from effnet_lab.names import UserError, lookup

PREFIX = "tfds:"
_LIBRARY, _STORED = "tensorflow_datasets", "array_record"  # a form in which every picture can be read by its number
_TRAIN, _HELD_OUT = "train", ("test", "validation")


def open_tfds(source: str, split: str) -> ImageSet:
    """Open a data set of labelled pictures; the library downloads and prepares it where it is not there yet.

    Calibration images are the first tenth of its own train split. Its test split, or else its validation split, is for
    evaluation; of a data set that has neither, the second tenth of the train split.

    Parameters
    ----------
    source : str
        "tfds:NAME", with a configuration or a version as the library writes them.
    split : str
        "all", "train", "calibration" or "evaluation".

    Raises
    ------
    UserError
        If the library is not installed, does not know the name, or the data set has no labelled pictures.
    """
    lookup("split", split, dict.fromkeys(TREE_SPLITS))
    name = source.removeprefix(PREFIX)
    if find_spec(_LIBRARY) is None:
        raise UserError(
            f"{source} needs TensorFlow Datasets. Install it with: pip install tensorflow-datasets array-record."
        )
    library = import_module(_LIBRARY)
    try:
        builder = library.builder(name, file_format=_STORED)
        builder.download_and_prepare()
        features = builder.info.features
        if not {"image", "label"} <= set(features) or not hasattr(features["label"], "names"):
            raise UserError(
                f"{source} has no pictures with one label each. Choose a data set for image classification."
            )
        theirs = _theirs(split, set(builder.info.splits))
        pictures = builder.as_data_source(split=theirs)
        undecoded = builder.as_data_source(split=theirs, decoders={"image": library.decode.SkipDecoding()})
        labels = np.array([int(undecoded[i]["label"]) for i in range(len(undecoded))], np.int64)
    except UserError:
        raise
    except Exception as error:  # of many kinds: no such name, no network, no disk, a checksum
        reason = " ".join(str(error).split())[:120]
        raise UserError(
            f"TensorFlow Datasets cannot open {name!r}: {reason}. Its names stand in its catalogue."
        ) from error

    def read(i: int) -> NDArray[Any]:
        picture = np.asarray(pictures[i]["image"])
        return np.repeat(picture, 3, axis=2) if picture.shape[2] == 1 else picture[:, :, :3]

    return ImageSet(
        name=source, split=split, classes=tuple(features["label"].names), labels=labels, read=read,
        fingerprint=digest(b"tfds 1", builder.info.full_name.encode(), theirs.encode(), labels.tobytes()),
        mixed=split == "all", name_of=lambda i: f"{theirs} {i}",
    )  # fmt: skip


def _theirs(split: str, known: set[str]) -> str:
    """The same in the library's words."""
    held_out = next((name for name in _HELD_OUT if name in known), None)
    if split == "all":
        return "+".join([_TRAIN, *([held_out] if held_out else [])])
    if split == "calibration":
        return f"{_TRAIN}[:10%]"
    if split == "evaluation":
        return held_out or f"{_TRAIN}[10%:20%]"
    return f"{_TRAIN}[10%:]" if held_out else f"{_TRAIN}[20%:]"
