"""One short run of training, by itself, on two logical processors, or as one of several workers: `python two_replicas.py HOW`.

The network has many channels for its size, and places enough behind every batch norm: so rounding stays rounding.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import tensorflow as tf
import tf_keras

from effnet_lab.images import open_images
from effnet_lab.scaling import MICRO, Stage
from effnet_lab.training import train_from_scratch
from effnet_lab.training.from_weights import resume
from effnet_lab.training.recipes import hold_out
from effnet_lab.training.state import state_path
from effnet_lab.training.strategies import is_chief, open_strategy

STAGES = tuple(Stage(kernel=3, stride=2, expansion=e, channels=c, repeats=1) for e, c in ((1, 160), (6, 320)))
SPEC = replace(MICRO["micro0"], name="small", depth=1.0, dropout=0.0, drop_connect=0.0, stages=STAGES)
BATCH, EPOCHS = 16, 3


class Dies(tf_keras.callbacks.Callback):
    """Kills its own process when the second epoch begins, and the first worker has written what the first epoch left."""

    def __init__(self, out: str) -> None:
        super().__init__()
        self.state = state_path(out)

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1:
            while not self.state.exists():
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGKILL)


def losses(how: str = "one", out: str | None = None, again: bool = False, dies: bool = False) -> list[float]:
    """Of each epoch, in the way of `--strategy`; the last batch of an epoch is shorter than the others."""
    strategy = None
    if how == "mirrored":
        (processor,) = tf.config.list_physical_devices("CPU")
        tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * 2)
        strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    elif how != "one":
        strategy = open_strategy(how)
    shown, held = hold_out(open_images("digits?side_px=32", "train", limit=64))
    around = {"validation": held, "strategy": strategy, "callbacks": [Dies(out)] if dies else []}
    if out:
        around |= {"out": Path(out), "writes": is_chief()}
    if again:
        _model, history = resume(around.pop("out"), shown, **around)
    else:
        _model, history = train_from_scratch(
            SPEC, shown, epochs=EPOCHS, seed=1, batch=BATCH, learning_rate=1e-3, optimizer="rmsprop", **around
        )
    return history["loss"].tolist()


if __name__ == "__main__":
    sys.stdout.write(json.dumps(losses(**json.loads(sys.argv[1]))))
