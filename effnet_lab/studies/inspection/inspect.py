"""One call that looks at quantized files from every side."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from effnet_lab.analysis.integer.explain import steps_of
from effnet_lab.analysis.integer.replay import Replay
from effnet_lab.analysis.measuring import Measuring
from effnet_lab.analysis.pairs import Pair
from effnet_lab.analysis.twins import Twins
from effnet_lab.analysis.verdicts.layer_verdicts import judge
from effnet_lab.frames import column
from effnet_lab.images import ArraySet, ImageSet, Source, Stated, open_samples
from effnet_lab.litert import tell_apart
from effnet_lab.litert.options import options_of
from effnet_lab.litert.runner import DelegateError
from effnet_lab.names import UserError
from effnet_lab.studies.inspection.look import LayerLook
from effnet_lab.studies.inspection.payload import METRICS, MOST_FILES, File, Payload, Picture, ShownLayer, Steps
from effnet_lab.studies.inspection.pictures import AnswerWatcher, picture

N_PICTURES = 8  # that are shown
N_FOLLOWED = 4  # samples on which each layer's effect on the logits is followed
EFFECTS = ("effect", "split")
_BLOCK = re.compile(r"(?:.*/)?((?:blocks?|stage|layer|bottleneck|inverted_res\w*)_?\d+[a-z]?)(?:\W|_|$)", re.IGNORECASE)
_FACTS = (
    "sqnr_accumulated_db", "sqnr_local_db", "sqnr_effect_weights_db", "sqnr_effect_activations_db", "effect_changed_top1",
    "weight_sqnr_db", "float_min", "float_max", "scale", "saturation_share", "n_dead_channels", "granularity",
)  # fmt: skip


def inspection(
    quantized: Sequence[Path | str],
    images: Source,
    *,
    float_models: Sequence[Path | str | None] = (),
    kernels: str = "builtin",
    preprocess: Stated = None,
    split: str | None = None,
    limit: int | None = 16,
    progress: Callable[..., Iterable[Any]] | None = None,
) -> Payload:
    """All that the inspector shows of up to four quantized files.

    Parameters
    ----------
    quantized : sequence of path
        Quantized .tflite files, of one network or of several; the strips are aligned by the names of layers.
    images : name, path or Samples
        What both networks of each pair see. Arrays have no pictures, so there is no error map then.
    float_models : sequence of path or None
        The float network of each file, or one for all; None: a twin with the file's own weights.
    kernels, preprocess, split, limit, progress
        As for `verdicts`.

    Raises
    ------
    UserError
        If there are no files, or more than `MOST_FILES`, or a float file is no pair with its quantized one.
    """
    if not 1 <= len(quantized) <= MOST_FILES:
        raise UserError(f"The inspector shows 1 to {MOST_FILES} files side by side. Got {len(quantized)}.")
    given = list(float_models) or [None]
    if len(given) not in (1, len(quantized)):
        raise UserError(f"Give one float model for all files, or one for each. Got {len(given)} for {len(quantized)}.")
    chosen = open_samples(images, split=split, limit=limit)
    opened = [
        Twins(file, given[i if len(given) > 1 else 0], kernels=kernels, preprocess=preprocess)
        for i, file in enumerate(quantized)
    ]
    infos = tell_apart([twins.info for twins in opened], quantized)
    labels = [" ".join(part for part in info.key.values() if part) for info in infos]
    files = [_whole(twins, chosen, label, progress) for twins, label in zip(opened, labels, strict=True)]
    return {"metrics": list(METRICS), "files": files}


def _whole(
    twins: Twins, images: ImageSet | ArraySet, label: str, progress: Callable[..., Iterable[Any]] | None
) -> File:
    try:
        return _file(twins, images, label, progress)
    except DelegateError:
        twins.fall_back()
        return _file(twins, images, label, progress)


def _file(twins: Twins, images: ImageSet | ArraySet, label: str, progress: Callable[..., Iterable[Any]] | None) -> File:
    answers = AnswerWatcher()
    found = judge(twins, images, progress, watchers=(answers,))
    errors = _with_effects(found.errors, twins, images, progress)
    telling = answers.most_telling(N_PICTURES)
    looks = {pair.layer: LayerLook(pair) for pair in twins.pairs}
    for sample in twins.samples(images.pick(telling[::-1])):  # the most telling last: the integers are told of it
        twins.run(sample)
        for look in looks.values():
            look.see(twins)
    pictures = _pictures(twins, images, telling, answers)
    judged, rows = _by_layer(found.table), _by_layer(errors)
    parents = _parents(twins)
    source = twins.quantized_source
    replay = Replay(source.graph, options_of(source.tree), twins.code_of, twins.kernels)  # of the last picture
    layers = [
        _layer(twins, looks[pair.layer], judged[pair.layer], rows[pair.layer], parents, replay, bool(pictures))
        for pair in twins.pairs
    ]
    return {"label": label, "summary": " ".join(found.closing), "layers": layers, "pictures": pictures}


def _with_effects(
    errors: pd.DataFrame, twins: Twins, images: ImageSet | ArraySet, progress: Callable[..., Iterable[Any]] | None
) -> pd.DataFrame:
    """LAYER_ERROR with what each layer alone costs the logits, on a few samples."""
    measuring = Measuring(twins, EFFECTS)
    few = images.take(N_FOLLOWED)
    measuring.run(few, progress)
    followed = measuring.table(images.name)
    return errors.assign(**{name: followed[name] for name in followed.columns if "effect" in name})


def _by_layer(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    return {str(row["layer"]): {str(name): value for name, value in row.items()} for row in table.to_dict("records")}


def _pictures(twins: Twins, images: ImageSet | ArraySet, telling: Any, answers: AnswerWatcher) -> list[Picture]:
    if not isinstance(images, ImageSet):
        return []
    return [picture(images, int(i), answers.kept[i], twins.info) for i in telling]


def _parents(twins: Twins) -> dict[str, list[str]]:
    """Layers whose output each layer reads, through ops that only change a type."""
    source, made = twins.quantized_source, {pair.quantized.index: pair.layer for pair in twins.pairs}
    return {
        pair.layer: [made[root] for i in pair.op.inputs if (root := source.root(i)) in made] for pair in twins.pairs
    }


def _layer(
    twins: Twins, look: LayerLook, judged: Mapping[str, Any], errors: Mapping[str, Any], parents: Mapping[str, list[str]],
    replay: Replay, pictured: bool,
) -> ShownLayer:  # fmt: skip
    pair = look.pair
    layer: ShownLayer = {
        "name": pair.layer, "op": pair.op.kind, "block": _block(pair.layer),
        "madds": twins.quantized_source.graph.op_madds(pair.op),
        "parents": parents[pair.layer], "verdict": str(judged["verdict"]), "sentence": str(judged["sentence"]),
        "remedy": str(judged["remedy"]), "notes": str(judged["notes"]),
        "values": {metric["id"]: float(errors[metric["id"]]) for metric in METRICS},
        "facts": [(column(name).heading, text) for name in _FACTS if (text := column(name).write(errors[name], missing=""))],
        "range": look.range, "histogram": look.histogram, "channels": look.channels, "maps": look.maps[::-1] if pictured else [],
    }  # fmt: skip
    if (steps := _steps(twins, pair, replay)) is not None:
        layer["steps"] = steps
    return layer


def _steps(twins: Twins, pair: Pair, replay: Replay) -> Steps | None:
    """The value that rounding moved most, in integers; None where the arithmetic of the op is not known."""
    try:
        table = steps_of(replay, twins.info.key, pair.layer)
    except UserError:
        return None
    rows = [[str(row.quantity), column("value").write(row.value), str(row.how)] for row in table.itertuples()]
    return {"at": str(table["at"].iloc[0]), "rows": rows}


def _block(layer: str) -> str:
    match = _BLOCK.match(layer)
    return match[1] if match else ""
