"""Command that trains: from random weights, or further from any weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from effnet_lab.cli.inputs import takes_input
from effnet_lab.cli.saying import say
from effnet_lab.names import UserError

if TYPE_CHECKING:
    from effnet_lab.images.stated import StatedInput


@takes_input
def train(
    out: Annotated[Path, typer.Option(help="The .safetensors file to write; its card goes beside it.")],
    variant: Annotated[
        str | None, typer.Option(help="Name of a network, see `effnet-lab variants`; read off the weights with --from.")
    ] = None,
    data: Annotated[str, typer.Option(help="Images: scenes, digits, a folder per class, a .tar of one.")] = "scenes",
    seed: Annotated[
        int | None, typer.Option(help="Seed of the first weights and of the order; by default the recipe's.")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Number of epochs; by default the recipe's, or 4 with --from.")
    ] = None,
    from_: Annotated[
        str | None, typer.Option("--from", help="Start from weights, with a new head where the classes differ.")
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(help="Highest learning rate, with --from only: 1e-4 by default, 1e-3 with a new head."),
    ] = None,
    batch_norm: Annotated[str | None, typer.Option(help="With --from: trained (default) or frozen.")] = None,
    qat: Annotated[bool, typer.Option("--qat", help="Quantization-aware, for `export --format int8`.")] = False,
    qat_layers: Annotated[
        str | None, typer.Option(help="Comma-separated layers or patterns for --qat: blocks_1_*, op:conv, block:3.")
    ] = None,
    prune: Annotated[float | None, typer.Option(help="Share of weights to set to zero, for example 0.5.")] = None,
    cluster: Annotated[int | None, typer.Option(help="Number of different values per kernel, for example 16.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted --from run of this --out.")
    ] = False,
    *,
    stated: StatedInput,
) -> None:
    """Train a network and write it with a card: data, seed, command, accuracy with interval.

    Without --from it starts from random weights by the variant's recipe: effnet-lab train --variant micro0 --out m.safetensors

    Example: effnet-lab train --from micro1 --qat --epochs 2 --out q.safetensors
    """
    if stated and not from_:
        raise UserError(
            "What a network takes is stated of weights: name them with --from. Random ones take what they learn."
        )
    from effnet_lab.training import train as run

    done = run(
        variant, data, out, start=from_, epochs=epochs, seed=seed, learning_rate=learning_rate,
        batch_norm=batch_norm, qat=qat, qat_layers=qat_layers, prune=prune, cluster=cluster, resume=resume,
        preprocess=stated if from_ else None, progress=_tell,
    )  # fmt: skip
    card = done.card
    say(
        f"{out}: top-1 {card['top1']:.4f} ({card['top1_lo']:.4f} to {card['top1_hi']:.4f}) on {card['n_images']:,} images"
    )
    if "deflated_bytes" in card:
        say(
            f"compressed: {card['deflated_bytes']:,} of {card['size_bytes']:,} bytes; before "
            f"{card['deflated_bytes_before']:,}. Depthwise kernels are left as they are."
        )


def _tell(epoch: dict[str, Any]) -> None:
    say(
        f"epoch {epoch['epoch']}/{epoch['epochs']}  loss {epoch['loss']:.4f}  train {epoch['train_top1']:.4f}  "
        f"validation {epoch['validation_top1']:.4f}",
        err=True,
    )


COMMANDS = (train,)
