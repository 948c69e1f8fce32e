"""Commands about boards: what a microcontroller has to hold, what an NPU takes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from effnet_lab.cli.networks import Json
from effnet_lab.cli.output import show_all
from effnet_lab.cli.saying import say

Model = Annotated[str, typer.Argument(help="A .tflite file; of any other network, its float32 file.")]


def footprint(
    model: Model,
    ops: Annotated[bool, typer.Option("--ops", help="Also list the memory in use during each op.")] = False,
    tensors: Annotated[bool, typer.Option("--tensors", help="Also list where each tensor lies in the arena.")] = False,
    json: Json = False,
) -> None:
    """Flash and RAM on a microcontroller, RAM by the allocator of TensorFlow Lite Micro.

    The arena's head holds activations, its tail structs of the runtime, measured on this 64-bit host. planned_bytes is the
    estimate from the specification alone. Where tflite-micro is not installed, arena_source says that the arena is an estimate.

    Example: effnet-lab footprint int8.tflite --ops
    """
    from effnet_lab import studies

    found = studies.footprint(model)
    tables = {"footprint": found.table}
    tables |= {"high_water": found.high_water} if ops else {}
    tables |= {"arena": found.arena} if tensors else {}
    show_all(tables, json)
    if found.note:
        say(found.note, err=True)


def ethosu(
    model: Model,
    accelerator: Annotated[
        str, typer.Option(help="ethos-u55-32, -64, -128, -256, ethos-u65-256 (i.MX 93) or -512.")
    ] = "ethos-u65-256",
    system_config: Annotated[
        str | None, typer.Option(help="Clock and bandwidths: one of Vela's system configurations.")
    ] = None,
    memory_mode: Annotated[
        str | None, typer.Option(help="Where weights and activations are stored: one of Vela's memory modes.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File for the compiled network.")] = None,
    layers: Annotated[bool, typer.Option("--layers", help="Also print a row for each op.")] = False,
    json: Json = False,
) -> None:
    """Compile for an Arm Ethos-U with Vela: what runs on the NPU, its estimated time, memory and traffic.

    Why ops stay on the CPU is said in Vela's words; --layers lists every op.

    Example: effnet-lab ethosu int8.tflite --accelerator ethos-u55-128
    """
    from effnet_lab import studies

    compiled = studies.ethosu(model, accelerator, system_config=system_config, memory_mode=memory_mode, out=out)
    show_all({"ethosu": compiled.table} | ({"ethosu_layers": compiled.layers} if layers else {}), json)
    for sentence in compiled.fallbacks:
        say(sentence, err=True)


COMMANDS = (footprint, ethosu)
