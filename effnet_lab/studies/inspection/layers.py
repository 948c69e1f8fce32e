"""One layer of one file, as the front end is given it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from effnet_lab.analysis.integer.explain import steps_of
from effnet_lab.analysis.integer.replay import Replay, last_run
from effnet_lab.analysis.twins import Twins
from effnet_lab.frames import column
from effnet_lab.names import UserError
from effnet_lab.studies.inspection.blocks import block_of
from effnet_lab.studies.inspection.look import LayerLook
from effnet_lab.studies.inspection.payload import METRICS, ShownLayer, Steps

_FACTS = (
    "sqnr_accumulated_db", "sqnr_local_db", "sqnr_effect_weights_db", "sqnr_effect_activations_db", "effect_changed_top1",
    "weight_sqnr_db", "float_min", "float_max", "scale", "saturation_share", "n_dead_channels", "granularity",
)  # fmt: skip


def shown_layers(
    twins: Twins, looks: Mapping[str, LayerLook], verdicts: pd.DataFrame, errors: pd.DataFrame, *, pictured: bool
) -> list[ShownLayer]:
    """All layers of a file that were judged, not its shapes and indices; the integers are told of the sample run last."""
    judged, rows = _by_layer(verdicts), _by_layer(errors)
    parents = {layer: [name for name in names if name in judged] for layer, names in _parents(twins).items()}
    replay = last_run(twins)
    return [
        _layer(twins, looks[pair.layer], judged[pair.layer], rows[pair.layer], parents, replay, pictured)
        for pair in twins.pairs
        if pair.layer in judged
    ]


def integer_steps(twins: Twins, layer: str, replay: Replay, at: tuple[int, ...] | None = None) -> Steps | None:
    """One value in integers, by default the one that rounding moved most; None where the arithmetic of the op is not known."""
    try:
        table = steps_of(replay, twins.info.key, layer, at)
    except UserError:
        return None
    rows = [[str(row.quantity), column("value").write(row.value), str(row.how)] for row in table.itertuples()]
    return {"at": str(table["at"].iloc[0]), "rows": rows}


def _by_layer(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    return {str(row["layer"]): {str(name): value for name, value in row.items()} for row in table.to_dict("records")}


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
        "name": pair.layer, "op": pair.op.kind, "node": pair.op.index, "block": block_of(pair.layer),
        "madds": twins.quantized_source.graph.op_madds(pair.op),
        "parents": parents[pair.layer], "verdict": str(judged["verdict"]), "sentence": str(judged["sentence"]),
        "remedy": str(judged["remedy"]), "notes": str(judged["notes"]),
        "values": {metric["id"]: float(errors[metric["id"]]) for metric in METRICS},
        "facts": [(column(name).heading, text) for name in _FACTS if (text := column(name).write(errors[name], missing=""))],
        "range": look.range, "histogram": look.histogram, "channels": look.channels, "maps": look.maps[::-1] if pictured else [],
    }  # fmt: skip
    if (steps := integer_steps(twins, pair.layer, replay)) is not None:
        layer["steps"] = steps
    return layer
