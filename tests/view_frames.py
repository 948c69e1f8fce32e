"""Small handmade frames for the tests of figures and widgets; a notebook in a browser imports them too."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd

from effnet_lab import frames

NAN = float("nan")
STAGES = ("stem", *(f"blocks_{i}" for i in range(6)), "head")
OPS = ("conv", "depthwise", "add")
PUBLISHED_COLUMNS = ("published_params", "published_madds", "published_top1", "published_int8_top1")


def variants() -> pd.DataFrame:
    """Five networks; published values for the first two."""
    sizes = {"tiny0": (49_000, 1_000_000), "tiny1": (160_000, 9_000_000), "big0": (4_650_000, 385_000_000)}
    sizes |= {"big1": (5_410_000, 600_000_000), "b0": (5_280_000, 386_000_000)}
    published = {"big0": (4_700_000, 407_000_000, 0.751, 0.744), "big1": (5_400_000, 631_000_000, 0.767, 0.759)}
    return frames.build(frames.VARIANTS, [_variant(name, *size, published.get(name)) for name, size in sizes.items()])


def _variant(name: str, params: int, madds: int, published: tuple | None = None) -> dict:
    values = dict(zip(PUBLISHED_COLUMNS, published or [NAN] * 4, strict=True))
    sizes = {"width": 1.0, "depth": 1.0, "resolution_px": 224, "params": params, "madds": madds}
    return {"model": name, **sizes, "peak_activation_bytes": 2 * madds // 500, **values}


def count(*, fixed_ends=True, width=1.0, depth=1.0, resolution_px=224, alpha=1.2, beta=1.1, gamma=1.15, phi=0.0):
    """A callback for ScalingView that is simple enough to check by hand."""
    scale = width**2 * depth * beta ** (2 * phi) * alpha**phi
    side = resolution_px * gamma**phi
    params, madds = int(4_000_000 * scale) + (0 if fixed_ends else 7), int(8_000 * scale * side**2)
    point = frames.build(
        frames.VARIANTS, [_variant("yours", params, madds) | {"width": width, "resolution_px": int(side)}]
    )
    rows = [
        {
            "model": "yours", "layer_index": i, "layer": layer, "op": OPS[i % 3], "out_side_px": 8, "out_channels": 16,
            "params": params // (9 - i), "madds": madds // (i + 2), "activation_bytes": 1024 * (i + 1),
            "weight_bytes": 99,
        }
        for i, layer in enumerate(STAGES)
    ]  # fmt: skip
    return point, frames.build(frames.COUNTS, rows)


def rounding() -> pd.DataFrame:
    """Two rounded layers."""
    rows = [
        {"model": "tiny0", "scheme": "s", "backend": "b", "layer_index": i, "layer": layer, "op": "conv", "bits": 4}
        | {"granularity": "channel", "sqnr_nearest_db": 20.0 + i, "sqnr_rounded_db": 24.0 + i, "n_weights": 12}
        | {"n_moved": 3 * i, "moved_share": 0.25 * i, "most_moved": 1}
        for i, layer in enumerate(("stem", "head"))
    ]  # fmt: skip
    return frames.build(frames.ROUNDING, rows)


def moved_codes() -> pd.DataFrame:
    """Two layers, three codes."""
    rows = [
        {"model": "tiny0", "scheme": "s", "backend": "b", "layer_index": i, "layer": layer, "code_level": level}
        | {"n_weights": 4, "n_moved": (level + 2) * i, "moved_share": (level + 2) * i / 4}
        for i, layer in enumerate(("stem", "head"))
        for level in (-1, 0, 1)
    ]  # fmt: skip
    return frames.build(frames.MOVED_CODES, rows)


def sensitivity() -> pd.DataFrame:
    """Two layers in three precisions."""
    noise = {"int8": 1e-3, "int4": 1e-1, "float32": 0.0}
    rows = [
        {"model": "tiny0", "layer_index": i, "layer": layer, "precision_name": name, "op": "conv", "n_images": 4}
        | {"noise_share": share * (i + 1), "cpu_s": 2.0}
        for i, layer in enumerate(("stem", "head"))
        for name, share in noise.items()
    ]  # fmt: skip
    return frames.build(frames.SENSITIVITY, rows)


def precisions() -> pd.DataFrame:
    """A front of three mixed files and float, a uniform file that is off it, and the one that was chosen."""
    points = {"a_mixed_1": (40_000, 1e-1), "a_mixed_2": (60_000, 1e-2), "a_mixed_3": (100_000, 1e-3)}
    points |= {"int8": (120_000, 2e-2), "float32": (400_000, 0.0)}
    rows = [
        {"model": "tiny0", "choice": name, "recipe": "int8", "predicted_noise": noise, "predicted_bytes": 1.1 * size}
        | {"size_bytes": size, "guard": "", "guarantee": "shown" if name == "a_mixed_2" else "", "data": "scenes"}
        for name, (size, noise) in points.items()
    ]  # fmt: skip
    return frames.build(frames.PRECISIONS, rows)


def activation_style() -> pd.DataFrame:
    """Two styles, both granularities, two widths: ReLU6 stays, swish falls."""
    rows = [
        {
            "model": activation, "granularity": granularity, "widening": widening, "activation": activation,
            "squeeze_excite": False, "n_images": 2000, "float_top1": 0.9, "float_top1_lo": 0.88, "float_top1_hi": 0.92,
            "int8_top1": top1, "int8_top1_lo": top1 - 0.02, "int8_top1_hi": top1 + 0.02, "difference": top1 - 0.9,
            "difference_lo": top1 - 0.92, "difference_hi": top1 - 0.88, "p_value": 0.5, "widest_layer": "head_dense",
            "range_min": -15 * widening, "range_max": 15 * widening,
        }
        for activation, falls in (("relu6", 0.02), ("swish", 0.6))
        for granularity in ("channel", "tensor")
        for widening, top1 in ((1.0, 0.9), (12.0, 0.9 - falls))
    ]  # fmt: skip
    return frames.build(frames.ACTIVATION_STYLE, rows)


def calibration_ranges() -> pd.DataFrame:
    """Two layers; one is settled from the first image, the other's range grows with their number; two draws per size."""
    rows = [
        {
            "model": "tiny0", "method": "minmax", "n_calibration": n, "draw": draw, "layer_index": i, "layer": STAGES[i],
            "drawn": "all" if n == 100 else "disjoint", "low": 0.0, "high": 6 * width, "relative_width": width,
        }
        for n in (1, 10, 100) for draw in range(1 if n == 100 else 2)
        for i, width in enumerate((1.0, 1.0 if n == 100 else 0.1 * n**0.5 * (1 + draw)))
    ]  # fmt: skip
    return frames.build(frames.CALIBRATION_RANGES, rows)


def calibration_accuracy() -> pd.DataFrame:
    """Two rules with 100 images, and two draws of one and of ten."""
    choices = [("minmax", 100, 0, "all"), ("moving_average", 100, 0, "all")]
    choices += [("minmax", n, draw, drawn) for n, drawn in ((1, "disjoint"), (10, "bootstrap")) for draw in range(2)]
    rows = [
        {
            "model": "tiny0", "scheme": "static_wi8_ai8", "backend": "ai_edge_quantizer", "data": "scenes",
            "method": method, "n_calibration": n, "draw": draw, "drawn": drawn, "n_images": 500, "top1": 0.9 - 0.2 / n,
            "top1_lo": 0.87 - 0.2 / n, "top1_hi": 0.92 - 0.2 / n, "p_value": 0.5,
        }
        for method, n, draw, drawn in choices
    ]  # fmt: skip
    return frames.build(frames.CALIBRATION_ACCURACY, rows)


def candidates(n: int = 40) -> pd.DataFrame:
    """Specifications on a grid, best first."""
    rows = [
        {
            "width": 0.1 + i / n, "depth": 1.0, "resolution_px": 64 + 16 * (i % 5), "phi": i / n,
            "params": 1000 * (i + 1),
            "madds": 50_000 * (i + 1) * (1 + i % 5), "peak_activation_bytes": 4096, "flash_bytes": 1100 * (i + 1),
        }
        for i in reversed(range(n))
    ]  # fmt: skip
    return frames.build(frames.CANDIDATES, rows)


def errors() -> pd.DataFrame:
    """Three files; the depthwise layer of blocks_3 is the worst of every one, and one layer has a fused name."""
    files = (
        ("tiny0", "static_wi8_ai8", "converter", 30.0),
        ("tiny0", "static_wi8_ai8", "ai_edge_quantizer", 27.0),
        ("tiny1", "static_wi8_ai8", "converter", 35.0),
    )
    return frames.build(frames.LAYER_ERROR, [row for *file, db in files for row in _error_rows(file, db)])


def layer_name(stage: str) -> str:
    """Name of a layer as a converter would write it."""
    return f"net/{stage}/Relu6;net/{stage}/batch_norm/FusedBatchNormV3;net/{stage}/Conv2D"


def _error_rows(file: list[str], db: float) -> list[dict]:
    levels = [db - i - (9 if stage == "blocks_3" else 0) for i, stage in enumerate(STAGES)]
    return [
        dict(zip(frames.MODEL_FILE, file, strict=True))
        | {
            "layer_index": i, "layer": layer_name(stage), "op": OPS[i % 3], "data": "scenes", "n_images": 8,
            "kernels": "xnnpack", "scale": 0.0235, "zero_point": -128, "sqnr_accumulated_db": level,
            "mse": 10 ** (-level / 10), "cosine": 1 - 10 ** (-level / 10), "weight_sqnr_db": NAN if i % 3 == 2 else 40.0,
            "weight_worst_channel_sqnr_db": NAN if i % 3 == 2 else 31.0,
            "granularity": "" if i % 3 == 2 else "channel",
        }
        for i, (stage, level) in enumerate(zip(STAGES, levels, strict=True))
    ]  # fmt: skip


def histogram(model: str, scheme: str, backend: str, layer: str) -> pd.DataFrame:
    """Callback for LayerErrorView; every layer has other values."""
    index = [layer_name(stage) for stage in STAGES].index(layer)
    values = np.abs(np.random.default_rng(index).normal(0, 1 + index / 4, 4000)).clip(0, 6)
    edges, rows = np.linspace(0, 6, 41), []
    for precision, data in (("float", values), ("quantized", np.round(values / 0.2) * 0.2)):
        file = {"model": model, "scheme": scheme, "backend": backend, "layer_index": index, "layer": layer}
        bins = zip(edges[:-1], edges[1:], np.histogram(data, edges)[0], strict=True)
        rows += [file | {"computed_in": precision, "bin_left": lo, "bin_right": hi, "count": n} for lo, hi, n in bins]
    return frames.build(frames.HISTOGRAM, rows)


def tradeoffs() -> pd.DataFrame:
    """Two models, float and int8; latency of one file was not measured."""
    cells = [  # model, scheme, top1, p50_ms, size_bytes
        ("tiny0", "float32", 0.880, 1.00, 210_000),
        ("tiny0", "static_wi8_ai8", 0.875, 0.80, 70_000),
        ("tiny1", "float32", 0.960, 3.00, 640_000),
        ("tiny1", "static_wi8_ai8", 0.950, NAN, 190_000),
    ]
    rows = [
        {
            "model": model, "scheme": scheme, "backend": "converter", "n_images": 400, "top1": top1,
            "top1_lo": top1 - 0.03,
            "top1_hi": top1 + 0.02, "p50_ms": ms, "p50_lo_ms": ms * 0.95, "p50_hi_ms": ms * 1.1, "relative_p50": ms,
            "size_bytes": size, "peak_activation_bytes": NAN, "arena_bytes": NAN, "params": size // 4, "madds": size * 20,
        }
        for model, scheme, top1, ms, size in cells
    ]  # fmt: skip
    return frames.build(frames.TRADEOFFS, rows)


def standing(table: pd.DataFrame, x: str, y: str) -> pd.DataFrame:
    """Slow and obvious: top1 is better high, everything else low; what was not measured is not on the front."""
    costs = table[[x, y]].mul([-1 if name == "top1" else 1 for name in (x, y)])
    beaten = [((costs <= row).all(axis=1) & (costs < row).any(axis=1)).any() for _, row in costs.iterrows()]
    front = costs.notna().all(axis=1) & ~pd.Series(beaten, index=table.index)
    return pd.DataFrame({"on_front": front, "near_tie": False})


def stages_of(counts: pd.DataFrame) -> list[int]:
    """How many blocks each stage has: neighbours with as many channels and maps of one size."""
    blocks = counts.groupby(counts["layer"].str.extract(r"^((?:blocks_)?[a-z]*\d*)")[0], sort=False).last()
    keys = list(zip(blocks["out_side_px"], blocks["out_channels"], strict=True))
    return [len(list(group)) for _key, group in itertools.groupby(keys)]


def choose(table: pd.DataFrame, *, max_ms, max_ram_kib, max_flash_kib, min_top1) -> tuple[pd.Series, str]:
    """The most accurate of those that fit."""
    fits = (table["p50_ms"] <= (max_ms or np.inf)) & (table["size_bytes"] <= 1024 * (max_flash_kib or np.inf))
    fits &= table["top1"] >= (min_top1 or 0)
    best = table["top1"].where(fits).idxmax() if fits.any() else None
    return pd.Series(table.index == best, index=table.index), (
        f"Take <{table['model'][best]} {table['scheme'][best]}>." if best is not None else "Nothing fits."
    )


def rivals() -> pd.DataFrame:
    """Two networks in int8, one of them with a published latency."""
    rows = [
        {
            "model": model, "scheme": "static_wi8_ai8", "backend": "converter", "size_px": 224, "size_bytes": size,
            "host": "some processor", "threads": 1, "n_runs": 9, "p50_ms": ms, "p50_lo_ms": ms - 1, "p50_hi_ms": ms + 2,
            "guard": "", "published_top1": top1, "published_source": "a table", "published_conditions": "ImageNet",
            "published_ms": pixel, "published_ms_source": "", "published_ms_conditions": "",
        }
        for model, size, ms, top1, pixel in (("lite0", 5_200_000, 20.0, 0.744, 6.5), ("other", 4_000_000, 14.0, 0.637, NAN))
    ]  # fmt: skip
    return frames.build(frames.RIVALS, rows)


def published() -> pd.DataFrame:
    """Two models with both quantities, one with only one."""
    cells = [("lite0", "top1", 0.751, ""), ("lite0", "pixel4_cpu_ms", 12, "ms"), ("lite1", "top1", 0.767, "")]
    cells += [("lite1", "pixel4_cpu_ms", 18, "ms"), ("lite2", "top1", 0.776, "")]
    rows = [
        {
            "model": m,
            "quantity": q,
            "value": v,
            "unit": u,
            "conditions": "4 threads, batch 1",
            "source": "tensorflow/tpu",
        }
        for m, q, v, u in cells
    ]
    return frames.build(frames.PUBLISHED, rows)


def history() -> pd.DataFrame:
    """Two models, five epochs."""
    rows = [
        {
            "model": m,
            "epoch": e,
            "loss": 2 / (e + i),
            "train_top1": 1 - 0.6 / (e + i),
            "validation_top1": 1 - 0.7 / (e + i),
        }
        for i, m in enumerate(("tiny0", "tiny1"), start=1)
        for e in range(1, 6)
    ]
    return frames.build(frames.HISTORY, rows)


def _shares(name: str, *values: float) -> list[dict]:
    """Shares with ends of an interval two points away."""
    return [{name: value, f"{name}_lo": value - 0.02, f"{name}_hi": value + 0.02} for value in values]


def scaling() -> pd.DataFrame:
    """A base and four directions at twice its MAdds."""
    names = ("base", "width", "depth", "resolution", "compound")
    both = zip(
        _shares("float_top1", 0.7, 0.72, 0.6, 0.8, 0.85), _shares("int8_top1", 0.69, 0.71, 0.6, 0.79, 0.84), strict=True
    )
    rows = [
        {"model": f"tiny_{name}", "direction": name, "level": 1 + bool(i), "madds": 1000 * (1 + bool(i)), "params": 100 + i,
         "n_images": 500, "n_seeds": 2} | top1 | int8
        for i, (name, (top1, int8)) in enumerate(zip(names, both, strict=True))
    ]  # fmt: skip
    return frames.build(frames.SCALING, rows)


def coefficients() -> pd.DataFrame:
    """The paper's triple and two others at two levels."""
    triples = ((1.2, 1.1, 1.17), (1.0, 1.0, 1.41), (2.0, 1.0, 1.0))
    rows = [
        {"alpha": a, "beta": b, "gamma": c, "level": level, "model": f"tiny_{a:g}_{level:g}", "n_images": 500, "n_seeds": 2,
         "p_adjusted": NAN if a == 1.2 else 0.03} | _shares("float_top1", 0.8 - 0.01 * i)[0] | _shares("difference", -0.01 * i)[0]
        for level in (2.0, 4.0) for i, (a, b, c) in enumerate(triples)
    ]  # fmt: skip
    return frames.build(frames.COEFFICIENTS, rows)


def slopes() -> pd.DataFrame:
    """What each dimension would add."""
    cells = _shares("gain", 0.02, -0.05, 0.1)
    names = ("width", "depth", "resolution")
    return frames.build(frames.SLOPES, [{"direction": name} | row for name, row in zip(names, cells, strict=True)])


def left_out() -> pd.DataFrame:
    """Three networks that a law never saw, one of them outside."""
    rows = [
        {"rule": "one network left out", "model": f"tiny{i}", "direction": "width", "float_top1": 0.7 + 0.05 * i,
         "error": 0.01, "inside": i < 2} | cells
        for i, cells in enumerate(_shares("expected_top1", 0.69, 0.74, 0.79))
    ]  # fmt: skip
    return frames.build(frames.LEFT_OUT, rows)
