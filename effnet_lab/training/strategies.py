"""Where a run computes: this process, all GPUs of a machine, several machines, a TPU; by `tf.distribute` alone."""

from __future__ import annotations

import json
import os
from typing import Any

import tensorflow as tf

from effnet_lab.names import UserError, lookup
from effnet_lab.training.how import STRATEGIES


def open_strategy(name: str) -> Any:
    """The strategy of `tf.distribute`; None for "one". It has to be opened before TensorFlow computes anything.

    Raises
    ------
    UserError
        If TF_CONFIG does not describe the cluster, or there is no such TPU.
    """
    lookup("strategy", name, STRATEGIES)
    if name == "mirrored":
        return tf.distribute.MirroredStrategy()
    if name == "multiworker":
        _require_cluster()
        return tf.distribute.MultiWorkerMirroredStrategy()
    if name == "tpu":
        try:
            resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=os.environ.get("TPU_NAME", "local"))
            tf.config.experimental_connect_to_cluster(resolver)
            tf.tpu.experimental.initialize_tpu_system(resolver)
            return tf.distribute.TPUStrategy(resolver)
        except (tf.errors.OpError, ValueError, RuntimeError) as error:
            reason = str(error).splitlines()[0][:120]
            raise UserError(f"There is no TPU to train on: {reason}. Set TPU_NAME, or choose --strategy one.") from None
    return None


def is_chief() -> bool:
    """Whether this process writes files: worker 0, or the chief; the only process where there is no cluster."""
    task = _config().get("task", {})
    return task.get("type") in (None, "chief") or (task.get("type"), task.get("index")) == ("worker", 0)


def require_equal_parts(batch: int, replicas: int) -> None:
    """Refuse a batch that cannot be shared out evenly: the mean over replicas would not be the mean over its pictures."""
    if batch % replicas:
        raise UserError(f"--batch must be a multiple of the {replicas} replicas, which share it out. Got {batch}.")


def shown_to_replicas(data: tf.data.Dataset) -> tf.data.Dataset:
    """A data set of which each worker takes its part of every batch."""
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return data.with_options(options)


def synchronise_norms(keras: Any) -> None:
    """Let batch norms take their statistics from the whole batch, not from the part of one replica."""
    for layer in keras.layers:
        if hasattr(layer, "moving_variance"):
            layer.synchronized, layer.fused = True, False


def _config() -> dict[str, Any]:
    try:
        config: dict[str, Any] = json.loads(os.environ.get("TF_CONFIG", "{}"))
    except ValueError:
        raise UserError("TF_CONFIG is not JSON. Give it the addresses of all workers and this one's number.") from None
    return config


def _require_cluster() -> None:
    config = _config()
    workers = config.get("cluster", {}).get("worker", [])
    if not workers or "index" not in config.get("task", {}):
        raise UserError(
            'TF_CONFIG must name the workers and this one, as in {"cluster": {"worker": ["a:2222", "b:2222"]}, '
            '"task": {"type": "worker", "index": 0}}.'
        )
