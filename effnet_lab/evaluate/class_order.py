"""Which output of a network is which class of a data set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from effnet_lab.images import ArraySet, ImageSet
from effnet_lab.images.labels import imagenet_synsets
from effnet_lab.names import UserError


def class_order(labels: tuple[str, ...], images: ImageSet | ArraySet, outputs: int) -> NDArray[Any]:
    """For each output of the network the index of that class in the data set, -1 for none: by name, else by position.

    A data set may have fewer classes than the network, if they are named alike; folders named after ImageNet's synsets
    find the outputs of a network with 1,000 of them. Labels that are mere numbers name nothing.

    Raises
    ------
    UserError
        If the network cannot have been made for these classes.
    """
    classes = images.classes
    synsets = [""] * (outputs - 1000) + [*imagenet_synsets()]
    for names in (labels, synsets):
        if len(names) == outputs and len(set(classes)) == len(classes) and set(classes) <= set(names):
            return np.array([classes.index(name) if name in classes else -1 for name in names])
    named = () if all(label.isdecimal() for label in labels) else labels
    if images.positional and outputs == 1001 and len(classes) <= 1000:  # output 0 is the background
        return np.arange(outputs) - 1
    highest = int(images.labels.max())
    if images.positional and highest >= outputs:
        raise UserError(
            f"The model has {outputs} outputs, the images have labels up to {highest} (counted from 0). "
            "Give images of the classes that the model was trained on."
        )
    if not images.positional and outputs != len(classes):
        kinds = "class" if len(classes) == 1 else "classes"
        raise UserError(
            f"The model has {outputs} outputs, the images have {len(classes)} {kinds} ({_listed(classes)}). "
            "Give images of the classes that the model was trained on."
        )
    if named and not _alike(named, images):
        strange = sorted(set(labels) - set(classes))
        raise UserError(
            f"The labels of the model do not match the classes of the images: {_listed(strange)}. Rename the folders."
        )
    return np.arange(outputs)


def _alike(labels: tuple[str, ...], images: ImageSet | ArraySet) -> bool:
    """Whether names allow a match by position: where positions count, one shared word or unreadable names are enough."""
    if not images.positional:
        return False
    words = [{word.strip().lower() for name in names for word in name.split(",")} for names in (labels, images.classes)]
    readable = [name for name in images.classes if name and not name.lstrip("n").isdecimal()]
    return len(readable) < len(images.classes) or bool(words[0] & words[1])


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
