"""Checkpoints of tensorflow/tpu: a folder, a prefix, or the official archive."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from effnet_lab.models.loaded import LoadedModel
from effnet_lab.models.quiet_tensorflow import tf
from effnet_lab.models.weights import origins
from effnet_lab.models.weights.assemble import assemble
from effnet_lab.models.weights.mapping import BN_VARIABLES, HEAD, fit, reason
from effnet_lab.names import UserError
from effnet_lab.scaling import NetSpec
from effnet_lab.scaling.layers import blocks

EMA = "/ExponentialMovingAverage"
# The part of a name that tells variables apart, whatever scope stands before it.
_OWN_NAME = re.compile(r"(?:.*/)?((?:stem|blocks_\d+|head)/.+)")
# What training adds: slots of the optimizers that the original offers, and counters.
_OPTIMIZER = re.compile(
    r".*/(?:Momentum|RMSProp|RMSProp_1|Adam|Adam_1|Adagrad)|(?:.*/)?(?:global_step|beta[12]_power)|_CHECKPOINTABLE_OBJECT_GRAPH"
)


def load(path: Path, variant: str | None = None, *, ema: bool = True) -> LoadedModel:
    """Load a TF1 checkpoint.

    Parameters
    ----------
    path : Path
        Folder with one checkpoint, or the prefix of one ("model.ckpt").
    variant : str, optional
        Recognised from the weights by default.
    ema : bool
        Take the exponential moving averages, batch-norm statistics included, as the original does to evaluate and export
        (raw values where there are no averages at all); False takes the raw values.

    References
    ----------
    tensorflow/tpu, models/official/efficientnet/eval_ckpt_main.py, restore_model(enable_ema=True).
    """
    tensors = own_variables(read(prefix_of(path)), str(path), ema=ema)
    spec, found = fit(tensors, tf1_names, source=str(path), variant=variant)
    return assemble(spec, found, origins.original(spec), source=str(path))


def prefix_of(path: Path) -> Path:
    """Prefix of a checkpoint, given as such, as its index file, or as the folder that holds it."""
    if not path.is_dir():
        return path.with_name(path.name.removesuffix(".index"))
    found = sorted(path.glob("*.index"))
    if len(found) > 1:  # the text file "checkpoint" names the latest; only its last part is believed
        latest = re.search(r'^model_checkpoint_path: "(?:.*/)?([^"/]+)"', _text(path / "checkpoint"), re.MULTILINE)
        found = [index for index in found if latest and index.stem == latest[1]]
    if len(found) != 1:
        raise UserError(
            f"{path} holds no checkpoint, or several. Give the prefix of one, such as {path / 'model.ckpt'}."
        )
    return found[0].with_suffix("")


def read(prefix: Path) -> dict[str, NDArray[Any]]:
    """Every array of a TF1 (V1 or V2) or TF2 checkpoint by its name in the file; strings are left out."""
    try:
        reader = tf.train.load_checkpoint(str(prefix))
        types = reader.get_variable_to_dtype_map()
        return {name: reader.get_tensor(name) for name, dtype in types.items() if dtype != tf.string}
    except (tf.errors.OpError, RuntimeError, ValueError, IndexError, OSError) as error:
        raise UserError(
            f"Cannot read the checkpoint {prefix}: {reason(error)}. Copy or download all of its files again."
        ) from None


def own_variables(tensors: Mapping[str, NDArray[Any]], source: str, *, ema: bool = True) -> dict[str, NDArray[Any]]:
    """The network's variables without their scope: averages if there are any and `ema`, raw values otherwise."""
    averaged = {name.removesuffix(EMA): name for name in tensors if name.endswith(EMA)}
    raw = {name: name for name in tensors if not name.endswith(EMA) and not _OPTIMIZER.fullmatch(name)}
    chosen, out = averaged if ema and averaged else raw, {}
    for name, stored in chosen.items():
        match = _OWN_NAME.fullmatch(name)
        own = match[1].replace("tpu_batch_normalization", "batch_normalization") if match else name
        if own in out:
            raise UserError(
                f"{source} holds {own!r} under several scopes, such as {stored!r}. Give weights of one network."
            )
        out[own] = tensors[stored]
    return out


def tf1_names(spec: NetSpec) -> dict[str, str]:
    """The original's names, without scope; its batch norm may also be called tpu_batch_normalization."""
    names = _conv("stem_conv", "stem/conv2d", "stem/batch_normalization")
    for block in blocks(spec):
        scope, steps = block.name, ["dwconv", "project"]
        if block.expansion != 1:
            steps.insert(0, "expand")
        convs = 0
        for i, step in enumerate(steps):
            suffix = f"_{i}" if i else ""
            theirs = "depthwise_conv2d" if step == "dwconv" else f"conv2d_{convs}" if convs else "conv2d"
            convs += step != "dwconv"
            names |= _conv(f"{scope}_{step}", f"{scope}/{theirs}", f"{scope}/batch_normalization{suffix}")
    names |= _conv("head_conv", "head/conv2d", "head/batch_normalization")
    return names | {variable: variable.replace("head_dense", "head/dense") for variable in HEAD}


def _conv(ours: str, theirs: str, norm: str) -> dict[str, str]:
    kernel = "depthwise_kernel" if ours.endswith("_dwconv") else "kernel"
    return {f"{ours}/{kernel}": f"{theirs}/{kernel}"} | {f"{ours}_bn/{v}": f"{norm}/{v}" for v in BN_VARIABLES}


def _text(path: Path) -> str:
    return path.read_text("utf-8", "replace") if path.is_file() else ""
