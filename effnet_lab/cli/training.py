"""Command that trains: from random weights, or further from any weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from effnet_lab.names import UserError


def train(
    out: Annotated[Path, typer.Option(help="The .safetensors file to write; its card goes beside it.")],
    variant: Annotated[
        str | None, typer.Option(help="Name of a network, see `effnet-lab variants`; read off the weights with --from.")
    ] = None,
    data: Annotated[str, typer.Option(help="Images: scenes, digits, a folder per class, a .tar of one.")] = "scenes",
    seed: Annotated[int | None, typer.Option(help="Of weights and order; the recipe's by default.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Fewer or more than the recipe says; 4 with --from.")] = None,
    from_: Annotated[
        str | None, typer.Option("--from", help="Start from weights, with a new head where the classes differ.")
    ] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak; 1e-3 by default, with --from only.")] = None,
    qat: Annotated[bool, typer.Option("--qat", help="Quantization-aware, for `export --format int8`.")] = False,
    qat_layers: Annotated[
        str | None, typer.Option(help="Comma-separated layers or patterns for --qat: blocks_1_*, op:conv, block:3.")
    ] = None,
    prune: Annotated[float | None, typer.Option(help="Share of weights to set to zero, for example 0.5.")] = None,
    cluster: Annotated[int | None, typer.Option(help="Different values per kernel, for example 16.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted --from run of this --out.")
    ] = False,
) -> None:
    """Train a network and write it with a card: data, seed, command, accuracy with interval.

    Without --from it starts from random weights by the variant's recipe: effnet-lab train --variant micro0 --out m.safetensors

    Example: effnet-lab train --from micro1 --qat --epochs 2 --out q.safetensors
    """
    if out.suffix != ".safetensors":
        raise UserError(f"--out must end in .safetensors. Got {str(out)!r}.")
    ways = {"--qat": qat, "--prune": prune is not None, "--cluster": cluster is not None}
    _check(ways, from_, variant, qat_layers, learning_rate, resume)
    from effnet_lab.training import Further, save_with_card, train_further, train_variant

    if from_ is None:
        model, history, card = train_variant(variant, data, seed=seed, epochs=epochs, progress=_tell)
    else:
        how = Further(
            qat=qat, layers=tuple(qat_layers.split(",")) if qat_layers else None, prune=prune, cluster=cluster,
            epochs=epochs, seed=seed, learning_rate=learning_rate,
        )  # fmt: skip
        model, history, card = train_further(from_, variant, data, how, out, resume_it=resume, progress=_tell)
    save_with_card(model, card, out)
    history.to_csv(out.with_suffix(".history.csv"), index=False)
    typer.echo(
        f"{out}: top-1 {card['top1']:.4f} ({card['top1_lo']:.4f} to {card['top1_hi']:.4f}) on {card['n_images']:,} images"
    )
    if "deflated_bytes" in card:
        typer.echo(
            f"compressed: {card['deflated_bytes']:,} of {card['size_bytes']:,} bytes; before "
            f"{card['deflated_bytes_before']:,}. Depthwise kernels are left as they are."
        )


def _check(ways: dict, start: str | None, variant: str | None, layers: str | None, rate: float | None, resume: bool):
    """Refuse options that do not go together before anything slow is loaded."""
    asked = [name for name, given in ways.items() if given]
    if start is None and variant is None:
        raise UserError("Name the network with --variant, or weights to start from with --from.")
    if start is None and (asked or resume or rate is not None):
        name = "--resume" if resume else asked[0] if asked else "--learning-rate"
        raise UserError(f"{name} starts from weights. Name them with --from, for example --from micro1.")
    if len(asked) > 1:
        raise UserError(f"{' and '.join(asked)} cannot be combined in one run. Run them one after the other.")
    if layers and "--qat" not in asked:
        raise UserError("--qat-layers needs --qat.")
    if resume and {"--prune", "--cluster"} & set(asked):
        raise UserError(f"{asked[0]} cannot be resumed. Leave out --resume: the run starts anew.")


def _tell(epoch: dict) -> None:
    typer.echo(
        f"epoch {epoch['epoch']}/{epoch['epochs']}  loss {epoch['loss']:.4f}  train {epoch['train_top1']:.4f}  "
        f"validation {epoch['validation_top1']:.4f}",
        err=True,
    )


COMMANDS = (train,)
