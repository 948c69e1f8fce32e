"""What a run is told: the numbers of a recipe, checked, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from effnet_lab.images import ImageSet
from effnet_lab.names import UserError, lookup

# Called after each epoch with a row of HISTORY and "epochs", the number of them all.
Progress = Callable[[dict[str, Any]], None]

OPTIMIZERS = {
    "adamw": "Adam with decoupled weight decay (Loshchilov and Hutter, 2017)",
    "rmsprop": "TensorFlow 1's RMSProp with momentum 0.9, decay 0.9 and epsilon 1e-3; weight decay is part of the gradient",
}
SCHEDULES = {
    "cosine": "cosine decay to zero",
    "steps": "times 0.97 every 2.4 epochs",
}
PRECISIONS = {
    "float32": "float32",
    "bfloat16": "mixed_bfloat16",
    "float16": "mixed_float16",
}  # name: policy of Keras
WARMUP_SHARE = 1 / 20  # of all steps


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """How a network is trained; the defaults are those of the small variants that come with the package."""

    epochs: int
    seed: int
    batch: int = 32
    learning_rate: float = 1e-2  # peak
    optimizer: str = "adamw"
    schedule: str = "cosine"
    warmup_epochs: float | None = None  # None: a twentieth of the steps
    weight_decay: float = 1e-2
    decay_norms: bool = True  # whether weight decay also takes scale and shift of batch norms, and biases
    label_smoothing: float = 0.0  # share of the target that is spread over all classes
    average: float = 0.0  # momentum of the moving average of the weights, which is what comes out; 0: none
    augment: tuple[str, ...] = ()  # see `augment.parse_augment`
    views: int = 0  # every so many epochs the pictures are augmented as before; 0: never
    teacher_share: float = 0.9  # of the loss, where there is a teacher; the rest is for the labels
    temperature: float = 2.0  # of both networks' answers, where there is a teacher
    frozen_norms: bool = False  # batch norms stay as they are
    head_only: bool = False  # everything but the classifier stays as it is
    rate_decay: float = 1.0  # each block learns at this times the rate of the one after it
    patience: int | None = (
        None  # stop after so many epochs without a better validation; the best epoch is what comes out
    )
    qat: bool = False  # computes as its int8 file will, see `fake_quant`
    qat_layers: tuple[str, ...] | None = None  # None: all
    precision: str = "float32"
    xla: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "augment", tuple(self.augment))  # JSON has lists
        if self.qat_layers is not None:
            object.__setattr__(self, "qat_layers", tuple(self.qat_layers))
        if self.epochs < 1 or self.batch < 1:
            raise UserError(f"Training needs epochs >= 1 and batch >= 1. Got {self.epochs} and {self.batch}.")
        lookup("optimizer", self.optimizer, OPTIMIZERS)
        lookup("schedule", self.schedule, SCHEDULES)
        lookup("precision", self.precision, PRECISIONS)
        for name, low, high in (
            ("learning_rate", 0.0, 1e3), ("average", 0.0, 1.0), ("label_smoothing", 0.0, 1.0), ("teacher_share", 0.0, 1.0),
            ("temperature", 0.1, 100.0), ("rate_decay", 0.01, 1.0), ("views", 0, 1e9), ("weight_decay", 0.0, 10.0),
        ):  # fmt: skip
            if not low <= getattr(self, name) <= high:
                raise UserError(f"{name} must lie between {low:g} and {high:g}. Got {getattr(self, name)}.")
        if self.patience is not None and self.patience < 1:
            raise UserError(f"patience must be >= 1 epoch. Got {self.patience}.")

    def steps(self, images: ImageSet) -> int:
        """Optimizer steps of the whole run."""
        return self.epochs * self.steps_per_epoch(images)

    def steps_per_epoch(self, images: ImageSet) -> int:
        """Optimizer steps of one epoch; the last batch may be shorter."""
        return -(-len(images) // self.batch)
