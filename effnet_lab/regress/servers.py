"""The notebooks in a browser: JupyterLab on a copy of them, or the same without code. This machine only, with a token."""

from __future__ import annotations

import json
import os
import webbrowser
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from effnet_lab.names import UserError, lookup
from effnet_lab.regress.kernel import KERNEL_ENVIRONMENT, sliced_polling
from effnet_lab.regress.notebooks import FIRST_STEPS
from effnet_lab.regress.work_folder import NOTES, prepare_work_folder

LOOPBACK = "127.0.0.1"
THEMES = {"light": "light", "dark": "dark"}  # word of the command line -> Voila's name
IDLE_S = 3600  # a kernel whose page was closed without a word ends after this
_JUPYTER = Path(__file__).with_name("jupyter")  # labconfig: no announcements, code can be folded; Voila's templates


def _silent(_sentence: str) -> None:
    """Say nothing."""


def serve_lab(
    folder: str | Path, *, port: int = 8888, browser: bool = True, tell: Callable[[str], object] = _silent
) -> None:
    """Run JupyterLab on a copy of the notebooks until it is stopped (Ctrl-C, or SIGTERM); its kernels end with it.

    Parameters
    ----------
    folder : str or Path
        Work folder, see `prepare_work_folder`; the server shows nothing outside.
    port : int
        The next free one is taken if it is in use.
    browser : bool
        Open the user's browser.
    tell : callable
        Takes the sentences about what was copied.
    """
    port, root = _checked(port), _prepared(folder, tell)
    from jupyterlab.labapp import LabApp

    _set_environment(KERNEL_ENVIRONMENT | {"JUPYTER_CONFIG_PATH": _before("JUPYTER_CONFIG_PATH")})
    arguments = [
        f"--ServerApp.ip={LOOPBACK}",
        f"--ServerApp.port={port}",
        f"--ServerApp.root_dir={root}",
        f"--ServerApp.open_browser={browser}",
        f"--ServerApp.allow_root={_is_root()}",  # in a container; Jupyter refuses without
        f"--LabApp.default_url=/lab/tree/{FIRST_STEPS}",
        f"--LabApp.workspaces_dir={root / NOTES.parent / 'workspaces'}",
        "--LabApp.extension_manager=readonly",
        "--LabApp.news_url=None",
    ]
    LabApp.launch_instance(arguments)


def serve_app(
    folder: str | Path,
    *,
    port: int = 8866,
    browser: bool = True,
    theme: str = "light",
    tell: Callable[[str], object] = _silent,
) -> None:
    """Serve a copy of the notebooks without their code until it is stopped; every page that is opened has its own kernel.

    Parameters
    ----------
    folder, port, browser, tell
        As for `serve_lab`.
    theme : "light" or "dark"
        Of the pages.
    """
    chosen, port, root = lookup("theme", theme, THEMES), _checked(port), _prepared(folder, tell)
    from traitlets.config import Config
    from voila.app import Voila
    from voila.shutdown_kernel_handler import VoilaShutdownKernelHandler

    _set_environment(KERNEL_ENVIRONMENT | {"JUPYTER_PATH": _before("JUPYTER_PATH")})

    def with_questions(page_config: dict[str, Any], **_: object) -> dict[str, Any]:
        page_config["questions"] = {path.name: _question(path) for path in root.glob("*.ipynb")}
        return page_config

    look = {
        "theme": chosen,
        "template": "effnet-lab",
        "classic_tree": True,
        "page_config_hook": with_questions,
        "progressive_rendering": True,  # a cell is shown when it is done
    }
    settings = Config(
        VoilaConfiguration=look,
        MappingKernelManager={"cull_idle_timeout": IDLE_S, "cull_interval": IDLE_S // 10},
    )
    app: Any = Voila(
        ip=LOOPBACK,
        port=port,
        root_dir=str(root),
        open_browser=browser,
        auto_token=True,
        config_file_paths=[],  # a voila.json in the current folder is none of ours
        tornado_settings={"allow_remote_access": False, "local_hostnames": ["localhost", LOOPBACK]},
        config=settings,
    )
    farewell: Any = VoilaShutdownKernelHandler
    farewell.check_xsrf_cookie = _from_our_page
    app.launch_browser = lambda: webbrowser.open(app.display_url)  # Voila's own forgets the token
    with sliced_polling():
        app.initialize([])
        app.start()


def _from_our_page(handler: Any) -> None:
    """A page that is closed ends its kernel, but a browser's last word carries no XSRF field: where it comes from must do."""
    from tornado.web import HTTPError

    if not handler.check_origin():
        raise HTTPError(403)


def _prepared(folder: str | Path, tell: Callable[[str], object]) -> Path:
    copies = prepare_work_folder(folder)
    for sentence in copies.sentences:
        tell(sentence)
    return copies.path


def _checked(port: int) -> int:
    if not 1024 <= port <= 65535:
        raise UserError(f"Port {port} cannot be used. Choose one from 1024 to 65535.")
    return port


def _set_environment(values: Mapping[str, str]) -> None:
    """For the kernels; the process has no other purpose."""
    os.environ.update(values)


def _before(variable: str) -> str:
    """A search path of Jupyter with our folder in front."""
    others = os.environ.get(variable)
    return os.pathsep.join([str(_JUPYTER), others] if others else [str(_JUPYTER)])


def _question(path: Path) -> str:
    """First heading of a notebook; its name where there is none."""
    try:
        first = "".join(json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"])
    except (OSError, ValueError, LookupError):  # the user may edit while we look
        return path.stem
    return first.partition("\n")[0].lstrip("# ") or path.stem


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0
