"""Commands that open the notebooks in a browser: lab, app."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from effnet_lab.cli.saying import say

Folder = Annotated[Path, typer.Option(help="Your copy of the notebooks; made if it is not there.")]
Port = Annotated[int, typer.Option(help="Port of the server; if it is in use, the next free one is taken.")]
Browser = Annotated[bool, typer.Option(help="Open a browser.")]
WORK = Path("effnet-lab-notebooks")


def lab(folder: Folder = WORK, port: Port = 8888, browser: Browser = True) -> None:
    """JupyterLab on your own copy of the notebooks: this machine only (127.0.0.1), with a token.

    What you save is kept: a newer version of a notebook is put beside yours. Ctrl-C or SIGTERM stops the server and its
    kernels.

    Example: effnet-lab lab --folder ~/effnet
    """
    from effnet_lab.regress import serve_lab

    serve_lab(folder, port=port, browser=browser, tell=say)


def app(
    folder: Folder = WORK,
    port: Port = 8866,
    browser: Browser = True,
    theme: Annotated[str, typer.Option(help="light or dark.")] = "light",
) -> None:
    """The same notebooks without code, for people who only need the controls: this machine only, with a token.

    Example: effnet-lab app --folder ~/effnet
    """
    from effnet_lab.regress import serve_app

    serve_app(folder, port=port, browser=browser, theme=theme, tell=say)


COMMANDS = (lab, app)
