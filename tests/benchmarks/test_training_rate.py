"""The step rate of training beside that with all batches in memory: at least 90 % of it, once the pictures were read.

Both train the same network, in turn, so that a busy moment falls on both. Pictures that are kept are read from the second epoch
on; with views they are augmented in the first pass only, without them in every epoch anew.
"""

from __future__ import annotations

import os
import time

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from effnet_lab.images import open_images
from effnet_lab.models import load_model
from effnet_lab.models.fake_quant import strip_fake_quant
from effnet_lab.training.augment import parse_augment
from effnet_lab.training.pipeline import training_data
from effnet_lab.training.settings import Settings

EPOCHS, BATCH = int(os.environ.get("EPOCHS", "5")), 64
PICTURES = {
    "as they are": {},
    "views": {"augment": parse_augment("crop=0.2,flip,colour=0.35,mixup=0.2"), "views": 1},
    "augmented anew": {"augment": parse_augment("crop=0.2,flip")},
}


@pytest.mark.parametrize("how", PICTURES.values(), ids=PICTURES)
def test_beside_batches_in_memory(flowers_cache, how):
    images = open_images("flowers160", "train", limit=10 * BATCH)
    model = strip_fake_quant(load_model("flowers74"))
    keras, settings = model.keras, Settings(epochs=1, seed=0, batch=BATCH, **how)
    loss = tf_keras.losses.CategoricalCrossentropy(from_logits=True)
    keras.compile(tf_keras.optimizers.AdamW(1e-4), loss)
    data, order = training_data(images, model.preprocess, settings)
    order.begin(0)
    pictures, labels = (tf.concat(parts, axis=0) for parts in zip(*data, strict=True))
    memory = tf.data.Dataset.from_tensor_slices((pictures, labels)).batch(BATCH).cache()
    ways = {"in memory": memory, "here": data}
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for epoch in range(EPOCHS + 1):
        order.begin(epoch)
        for name, batches in ways.items():
            start = time.perf_counter(), time.process_time()
            keras.fit(batches, epochs=1, verbose=0)
            seconds[name].append((time.perf_counter() - start[0], time.process_time() - start[1]))
    wall, cpu = (np.median([seconds["in memory"], seconds["here"]], axis=1)[:, i] for i in (0, 1))
    print(
        f"\n{len(images) / wall[1]:.0f} images/s here, {len(images) / wall[0]:.0f} in memory: {wall[0] / wall[1]:.2f} of the "
        f"rate, {cpu[0] / cpu[1]:.2f} by CPU time; load {os.getloadavg()[0]:.1f}"
    )
    if os.getloadavg()[0] < 2.5:
        assert wall[0] / wall[1] >= 0.9
