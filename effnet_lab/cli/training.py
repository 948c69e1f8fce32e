"""Command that trains: from random weights, or further from any weights."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any

import typer

from effnet_lab.cli.inputs import takes_input
from effnet_lab.cli.output import progress
from effnet_lab.cli.saying import say, write
from effnet_lab.names import UserError

if TYPE_CHECKING:
    from effnet_lab.images.stated import StatedInput
    from effnet_lab.training.steps import Step

_RECIPE, _START, _MACHINE = "Recipe", "From weights", "Machine"


def _option(help: str, *names: str, panel: str = _RECIPE) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=panel)


@takes_input
def train(
    out: Annotated[Path, typer.Option(help="The .safetensors file to write; its card goes beside it.")],
    variant: Annotated[
        str | None,
        typer.Option(
            help="Name of a network, see `effnet-lab variants` and `search --lean`; read off the weights with --from."
        ),
    ] = None,
    width: Annotated[
        float | None, typer.Option(help="With --depth and --size: a network that `effnet-lab search` prints.")
    ] = None,
    depth: Annotated[float | None, typer.Option(help="Multiplier of the repeats of lite0.")] = None,
    scale_ends: Annotated[bool, typer.Option(help="As for `search`: stem, head and end stages scale, too.")] = True,
    data: Annotated[
        str, typer.Option(help="Images: scenes, digits, a folder per class, a .tar of one, TFRecords, tfds:NAME.")
    ] = "scenes",
    resume: Annotated[bool, typer.Option("--resume", help="Continue the interrupted run of this --out.")] = False,
    check: Annotated[bool, typer.Option(help="Check all files first, as `effnet-lab data` does.")] = True,
    recipe: Annotated[
        str | None, _option("small (default), original (EfficientNet's own, long), modern (AdamW, cosine, short).")
    ] = None,
    seed: Annotated[int | None, _option("Seed of the first weights, the order and the augmentation.")] = None,
    epochs: Annotated[int | None, _option("Number of epochs; by default the recipe's, or 4 with --from.")] = None,
    batch: Annotated[int | None, _option("Images per step.")] = None,
    learning_rate: Annotated[
        float | None, _option("Highest learning rate; with --from 1e-4 by default, 1e-3 where a random head is put on.")
    ] = None,
    weight_decay: Annotated[float | None, _option("Weight decay.")] = None,
    label_smoothing: Annotated[float | None, _option("Share of the target that is spread over all classes.")] = None,
    average: Annotated[
        float | None, _option("Momentum of a moving average of the weights; the average is what is saved.")
    ] = None,
    augment: Annotated[
        str | None, _option("Comma-separated: crop, flip, randaugment, colour, cutout, mixup; crop=0.5; or none.")
    ] = None,
    views: Annotated[
        int | None,
        _option("Augmented views per picture, reused in every epoch, so that a teacher answers each only once."),
    ] = None,
    inherit: Annotated[
        str | None,
        _option("Start from the weights of a larger network, cut to size, instead of random ones."),
    ] = None,
    teacher: Annotated[
        str | None, _option("A network of the same classes to learn from: weights or a .tflite.")
    ] = None,
    temperature: Annotated[float | None, _option("Softmax temperature of both networks, with --teacher.")] = None,
    teacher_share: Annotated[
        float | None, _option("Share of the loss that comes from the teacher; the labels have the rest.")
    ] = None,
    patience: Annotated[
        int | None, _option("Stop after this many epochs without a better validation result; the best epoch is saved.")
    ] = None,
    from_: Annotated[
        str | None, _option("Start from weights, with a new head where the classes differ.", "--from", panel=_START)
    ] = None,
    batch_norm: Annotated[str | None, _option("trained (default) or frozen.", panel=_START)] = None,
    new_head: Annotated[
        bool, _option("A new classifier, fitted to the pooled features.", "--new-head", panel=_START)
    ] = False,
    freeze_epochs: Annotated[int | None, _option("Epochs of the classifier alone, first.", panel=_START)] = None,
    rate_decay: Annotated[
        float | None,
        _option("Each block learns at this fraction of the next block's rate, for example 0.8.", panel=_START),
    ] = None,
    qat: Annotated[bool, _option("Quantization-aware, for `export --format int8`.", "--qat", panel=_START)] = False,
    qat_epochs: Annotated[int | None, _option("Quantization-aware epochs after the others.")] = None,
    qat_layers: Annotated[
        str | None, _option("Comma-separated layers or patterns for these: blocks_1_*, op:conv, block:3.")
    ] = None,
    prune: Annotated[
        float | None,
        _option("Share of weights to set to zero. 0.5 costs little; from 0.7 on, networks forget.", panel=_START),
    ] = None,
    cluster: Annotated[
        int | None, _option("Number of different values per kernel, for example 16.", panel=_START)
    ] = None,
    precision: Annotated[str | None, _option("Arithmetic: float32, bfloat16 or float16.", panel=_MACHINE)] = None,
    xla: Annotated[bool, _option("Compile the steps with XLA.", "--xla", panel=_MACHINE)] = False,
    strategy: Annotated[
        str, _option("one, mirrored (all GPUs), multiworker (TF_CONFIG names the workers) or tpu.", panel=_MACHINE)
    ] = "one",
    logs: Annotated[Path | None, _option("A folder for TensorBoard.", panel=_MACHINE)] = None,
    *,
    stated: StatedInput,
) -> None:
    """Train a network and write it with a card: data, seed, command, accuracy with interval.

    Without --from it starts from random weights by the variant's recipe: effnet-lab train --variant micro0 --out m.safetensors

    If it is killed, the same command with --resume ends with the same weights. The best epoch so far is kept beside --out.

    Example: effnet-lab train --from micro1 --qat --epochs 2 --out q.safetensors
    """
    from dataclasses import replace
    from shlex import quote

    size = None if from_ else stated.size
    if not from_ and replace(stated, size=None):
        raise UserError(
            "--mean, --std and the other input options describe existing weights. Add --from, or leave these options out."
        )
    from effnet_lab.training import train as run

    with closing(_Epochs()) as shown:
        done = run(
            variant, data, out, start=from_, width=width, depth=depth, size_px=size, scale_ends=scale_ends, resume=resume,
            check=check,
            recipe=recipe, seed=seed, epochs=epochs, batch=batch, learning_rate=learning_rate, weight_decay=weight_decay,
            label_smoothing=label_smoothing, average=average, augment=augment, views=views, inherit=inherit,
            new_head=new_head, teacher=teacher,
            temperature=temperature, teacher_share=teacher_share, patience=patience, batch_norm=batch_norm,
            freeze_epochs=freeze_epochs, rate_decay=rate_decay, qat=qat, qat_epochs=qat_epochs, qat_layers=qat_layers,
            prune=prune, cluster=cluster, precision=precision, xla=xla, strategy=strategy, logs=logs,
            preprocess=stated if from_ else None, progress=shown.epoch, steps=shown.step,
        )  # fmt: skip
    card = done.card
    say(
        f"{out}: top-1 {card['top1']:.4f} ({card['top1_lo']:.4f} to {card['top1_hi']:.4f}) on {card['n_images']:,} images"
    )
    calibration = "" if done.model.fake_quantized else f" --calibration {quote(data)}"
    write(f"Next: effnet-lab export --weights {quote(str(out))} --format int8{calibration} --out files", err=True)
    if "deflated_bytes" in card:
        say(
            f"compressed: {card['deflated_bytes']:,} of {card['size_bytes']:,} bytes; before "
            f"{card['deflated_bytes_before']:,}. Depthwise kernels are left as they are."
        )


class _Epochs:
    """Where a run is: bars that count the images of an epoch, where there is a terminal, and a line after each epoch."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._begun = monotonic()  # the epoch

    def step(self, step: Step) -> None:
        """Move the bar; a part that begins has a new one."""
        from effnet_lab.training.steps import TRAINING

        if step.n_done == 0:
            self.close()
            number = f"epoch {step.epoch}/{step.epochs}"
            if step.part == TRAINING:
                self._begun = monotonic()
            self._bar = progress(number if step.part == TRAINING else f"{number} {step.part}")(total=step.n_images)
            return
        self._bar.set_postfix_str(f"loss {step.loss:.4f}", refresh=False)
        self._bar.update(step.n_done - self._bar.n)

    def epoch(self, row: dict[str, Any]) -> None:
        """What it came to, and how long the others will take if they are like this one."""
        from tqdm import tqdm

        self.close()
        left = (row["epochs"] - row["epoch"]) * (monotonic() - self._begun)
        say(
            f"epoch {row['epoch']}/{row['epochs']}  loss {row['loss']:.4f}  train {row['train_top1']:.4f}  "
            f"validation {row['validation_top1']:.4f}" + (f"  {tqdm.format_interval(left)} left" if left else ""),
            err=True,
        )

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()


COMMANDS = (train,)
