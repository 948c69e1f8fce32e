"""Training that starts from weights: further, on other classes, or with fake quantization; interrupted and resumed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from effnet_lab.images import ImageSet
from effnet_lab.images.stated import tell
from effnet_lab.models.build import network
from effnet_lab.models.fake_quant import fake_quantize, strip_fake_quant
from effnet_lab.models.loaded import LoadedModel
from effnet_lab.models.variables import assign, variables
from effnet_lab.models.weights import with_new_head
from effnet_lab.models.weights.mapping import HEAD
from effnet_lab.training.class_order import head_order
from effnet_lab.training.fitted_head import with_fitted_head
from effnet_lab.training.loop import prepare
from effnet_lab.training.norms import TRAINED, with_norms
from effnet_lab.training.random_numbers import own_random_numbers
from effnet_lab.training.settings import Settings
from effnet_lab.training.stages import Surroundings, carry_out, go_on, stages_of

# Peak rates where the weights know the classes already, or a head was fitted to them, and where a random head has to be
# learnt. Measured on a flowers Lite0 from int8, 240 photographs, two epochs: top-1 .877 became .891 at 1e-4, .798 at 1e-3.
# Under a fitted head, 150 photographs, two epochs at 1e-3: .875 became .815.
KNOWN_RATE, NEW_HEAD_RATE = 1e-4, 1e-3


def fine_tune(
    model: LoadedModel,
    images: ImageSet,
    *,
    epochs: int,
    seed: int = 0,
    batch_norm: str = TRAINED,
    new_head: bool = False,
    freeze_epochs: int = 0,
    qat_epochs: int = 0,
    layers: Sequence[str] | None = None,
    **more: Any,
) -> tuple[LoadedModel, pd.DataFrame]:
    """Train weights further, with the preprocessing that they came with: head, whole network, fake-quantized network.

    Parameters
    ----------
    model : LoadedModel
        Not changed; the result is called after it, ``_tuned`` or ``_qat``. Where its classes are not those of the images, a
        new head is put on, see `with_new_head`.
    images : ImageSet
    epochs, seed : int
        Of the whole network.
    batch_norm : str
        One of `norms.NORMS`. A norm that a file had folded away gets statistics from the images first.
    new_head : bool
        A head that is fitted to the pooled features, see `with_fitted_head`, whatever the classes are.
    freeze_epochs : int
        Before that, of the classifier alone, at ten times the rate.
    qat_epochs : int
        After that, with fake quantization, at a tenth of the rate; see `train_qat`. With `epochs` 0 nothing else is trained.
    layers : sequence of str, optional
        Layers or patterns to quantize, see `fake_quantize`; the others stay float32, in the file as well. All by default.
    **more
        Fields of `Surroundings` (`validation` is one) and of `Settings`. By default the peak rate is 1e-4, or 1e-3 under a
        head of random weights, and there is no weight decay.

    Returns
    -------
    LoadedModel
    DataFrame
        HISTORY, one row per epoch.
    """
    around = Surroundings.among(more)
    chosen = settings_for(model, images, new_head, epochs=max(1, epochs), seed=seed, **more)
    prepare(chosen)
    with own_random_numbers():
        copy, chosen = with_norms(
            with_head(strip_fake_quant(model) if qat_epochs else model, images, anew=new_head),
            images,
            chosen,
            batch_norm,
        )
    stages = stages_of(chosen, epochs, freeze_epochs, qat_epochs, layers)
    ending = "qat" if qat_epochs else "tuned"
    return carry_out(replace(copy, name=f"{model.name}_{ending}"), images, stages, around)


def train_qat(
    model: LoadedModel, images: ImageSet, *, epochs: int, layers: Sequence[str] | None = None, **more: Any
) -> tuple[LoadedModel, pd.DataFrame]:
    """Quantization-aware training: `fine_tune` of a network that computes as its int8 file will, from the first step.

    The result predicts with fake quantization, is saved and loaded like every model, and its static int8 file has the
    ranges that were trained: no calibration. The first 40 batches fix the ranges before the first step.

    Parameters
    ----------
    model : LoadedModel
        From any weights that `load_model` opens.
    images, epochs, layers, **more
        As in `fine_tune`.
    """
    return fine_tune(model, images, epochs=0, qat_epochs=epochs, layers=layers, **more)


def resume(out: Path | str, images: ImageSet, **around: Any) -> tuple[LoadedModel, pd.DataFrame]:
    """Go on with an interrupted run: on the same machine, the result of an uninterrupted one, bit for bit.

    Parameters
    ----------
    out : path
        Where the run was to write its weights.
    images : ImageSet
    **around
        The other fields of `Surroundings`; `validation` is one.

    Raises
    ------
    UserError
        If there is no unfinished run, or the images or the teacher are not its own.
    """
    return go_on(images, Surroundings(out=Path(out), **around))


def settings_for(model: LoadedModel, images: ImageSet, fitted_head: bool, **given: Any) -> Settings:
    """How weights are trained on these images: what is given, and for the rest a rate that keeps what they know."""
    knows = fitted_head or head_order(model.classes, images.classes) is not None
    return Settings(**({"learning_rate": KNOWN_RATE if knows else NEW_HEAD_RATE, "weight_decay": 0.0} | given))


def with_head(model: LoadedModel, images: ImageSet, *, anew: bool) -> LoadedModel:
    """A copy of the network that answers in the classes of the images; `anew` with a head fitted to them, see `fine_tune`."""
    return with_fitted_head(strip_fake_quant(model), images) if anew else with_classes(model, images.classes)


def with_classes(model: LoadedModel, classes: tuple[str, ...]) -> LoadedModel:
    """A copy of the network; with a new head, unless its classes are these already, in whatever order."""
    order = head_order(model.classes, classes)
    if order is None:
        return with_new_head(strip_fake_quant(model), classes)
    if order != sorted(order):
        model = strip_fake_quant(model)
    elif classes != model.classes:
        tell(
            f"{model.name} names no classes: its {len(order)} outputs are taken for {', '.join(classes)[:150]}, in this order."
        )
    keras = network(model.family_spec, len(classes))
    copy = replace(model, keras=keras, fake_quantized=(), classes=classes)
    if model.fake_quantized:
        copy = fake_quantize(copy, model.fake_quantized)
    values = {name: value.numpy() for name, value in variables(model.keras).items()}
    head = {name: values[name][..., order] for name in HEAD}
    assign(copy.keras, values | head, model.name)
    return copy
