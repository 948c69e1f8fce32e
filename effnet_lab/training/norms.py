"""What becomes of batch norm when training starts from weights."""

from __future__ import annotations

from dataclasses import replace

from effnet_lab.images import ImageSet
from effnet_lab.models.batch_norm import folded, with_statistics
from effnet_lab.models.loaded import LoadedModel
from effnet_lab.names import lookup
from effnet_lab.training.settings import Settings

# Measured on a flowers Lite0 from int8, 240 photographs, two epochs at 1e-3: top-1 .877 became .798 trained, .480 frozen.
TRAINED = "trained"
NORMS = {
    "trained": "normalises by the batch, and follows the statistics of the images",
    "frozen": "statistics, scale and shift stay what they are",
}
STATISTICS_IMAGES = 256  # that give folded norms their statistics


def with_norms(
    model: LoadedModel, images: ImageSet, settings: Settings, batch_norm: str = TRAINED
) -> tuple[LoadedModel, Settings]:
    """The network with statistics in every norm, still the same function, and the settings that say what becomes of them.

    Parameters
    ----------
    model : LoadedModel
        A float network.
    images : ImageSet
        To train on: the first 256, spread evenly over the classes, give folded norms their statistics.
    settings : Settings
    batch_norm : str
        One of `NORMS`.
    """
    lookup("way with batch norm", batch_norm, NORMS)
    if folded(model):
        chosen = images.take(min(STATISTICS_IMAGES, len(images)))
        model = with_statistics(model, (batch for batch, _labels in chosen.batches(model.preprocess)))
    return model, replace(settings, frozen_norms=batch_norm != TRAINED)
