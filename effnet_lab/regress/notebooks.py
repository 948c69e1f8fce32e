"""Execute notebooks headless: every parameter checked first, the stall cured, the result saved whole."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from effnet_lab.names import UserError, lookup, suggest
from effnet_lab.paths import notebooks_dir, scratch_folder, write_atomically
from effnet_lab.regress.kernel import KERNEL_ENVIRONMENT, sliced_polling
from effnet_lab.regress.manifest import forget_shown
from effnet_lab.regress.parameters import Parameter, check_parameters, read_parameters
from effnet_lab.regress.recording import forget
from effnet_lab.regress.showing import NOTEBOOK
from effnet_lab.regress.widget_state import keep_valid_widgets

PROFILES = {  # profile -> seconds that one cell may take; None: as long as it needs
    "smoke": 900,
    "full": None,
}
FIRST_STEPS = "00_first_steps.ipynb"  # for readers; a run of everything leaves it out
STANDARD = ("profile", "out_dir")  # parameters of every notebook, set by the runner
_KERNEL_ARGUMENTS = ["--IPKernelApp.log_level=50"]  # below, it reports how a run ends a kernel as an error


class NotebookError(RuntimeError):
    """A cell failed: which notebook, which cell, the exception's last line, where the executed notebook lies."""


def execute_notebooks(
    notebooks: Sequence[str] | None = None,
    *,
    profile: str = "smoke",
    parameters: Mapping[str, object] | None = None,
    out: str | Path = "results",
    progress: bool = True,
) -> list[Path]:
    """Execute notebooks in order, once all parameters of all of them are checked; write ``out/notebooks/*.ipynb``.

    A notebook run without parameters of the user's first drops the rows it recorded before under that profile.

    Parameters
    ----------
    notebooks : sequence of str or None
        Names such as ``"01_scaling"``, or paths; None: all that answer a question.
    profile : "smoke" or "full"
        Set as the notebooks' parameter of that name.
    parameters : mapping of str to object
        Values by name, strings as from a shell. Each goes to the notebooks that have it; one must.
    out : str or Path
        Results folder; the notebooks' parameter `out_dir`, made absolute.
    progress : bool
        A bar on stderr that counts cells.

    Returns
    -------
    list of Path
        The executed notebooks.

    Raises
    ------
    UserError, NotebookError
        The user's input is wrong, or a cell failed (its notebook is saved nevertheless).
    """
    timeout_s = lookup("profile", profile, PROFILES)
    out = Path(out).resolve()
    paths = (
        [find_notebook(name) for name in notebooks]
        if notebooks
        else [path for path in all_notebooks() if path.name != FIRST_STEPS]
    )
    plan = plan_parameters(paths, parameters or {}, profile=profile, out=out)
    executed = []
    for path, values in plan.items():
        if not set(values) - set(STANDARD):
            forget(out, notebook=path.stem, profile=profile)
        forget_shown(out, path.stem)
        executed.append(_run(path, values, out / "notebooks" / path.name, timeout_s, progress))
    return executed


def all_notebooks() -> list[Path]:
    """Every notebook of the workbench, in reading order."""
    return sorted(notebooks_dir().glob("[0-9][0-9]_*.ipynb"))


def find_notebook(name: str | Path) -> Path:
    """Path of a notebook from its name or path, or a `UserError` that names the nearest."""
    if Path(name).suffix == ".ipynb" and Path(name).is_file():
        return Path(name).resolve()
    known = {path.stem: path for path in all_notebooks()}
    if str(name).removesuffix(".ipynb") in known:
        return known[str(name).removesuffix(".ipynb")]
    raise UserError(suggest("notebook", str(name), known) + " Or give the path of an .ipynb file.")


def plan_parameters(
    paths: Sequence[Path], given: Mapping[str, object], *, profile: str, out: Path
) -> dict[Path, dict[str, object]]:
    """Typed parameters per notebook, the standard ones included; every mistake is found before a kernel starts."""
    declared = {path: read_parameters(path) for path in paths}
    for name in given:
        if name in STANDARD:
            raise UserError(f"Parameter {name!r} is set by the runner. Use its own option (--profile, --out) instead.")
        if not any(name in known for known in declared.values()):
            every = {known_name for known in declared.values() for known_name in known} - set(STANDARD)
            raise UserError(suggest(f"parameter of {', '.join(path.stem for path in paths)}", name, every))
    standard = {"profile": profile, "out_dir": str(out)}
    return {path: check_parameters(path, standard | _known(given, declared[path])) for path in paths}


def _known(given: Mapping[str, object], declared: Mapping[str, Parameter]) -> dict[str, object]:
    return {name: value for name, value in given.items() if name in declared}


def _run(source: Path, values: Mapping[str, object], target: Path, timeout_s: int | None, progress: bool) -> Path:
    """Execute one notebook beside its target, then let it take the name, also when a cell failed."""
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    with scratch_folder() as folder:
        draft = folder / source.name
        failure: Any = None
        try:
            _execute(source, draft, values, timeout_s, progress)
        except (PapermillExecutionError, CellTimeoutError, DeadKernelError) as error:
            failure = error
        _save(draft, target, source.name)
    if failure is None:
        return target
    if getattr(failure, "ename", "") in _user_errors():
        raise UserError(failure.evalue)
    raise NotebookError(f"{_where(failure, target)} (the executed notebook: {target})") from failure


def _user_errors(kind: type[UserError] = UserError) -> set[str]:
    """Names of the errors that are the user's; a kernel hands over no more than the name."""
    return {kind.__name__, *(name for child in kind.__subclasses__() for name in _user_errors(child))}


def _execute(source: Path, draft: Path, values: Mapping[str, object], timeout_s: int | None, progress: bool) -> None:
    """Papermill, with what a widget needs when nobody is watching."""
    import papermill

    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # after Ctrl-C the kernel's death is nobody's task any more
    logging.getLogger("papermill").setLevel(logging.ERROR)  # it warns of `int | None`, which our own parser reads
    with sliced_polling(), _environment(KERNEL_ENVIRONMENT | {NOTEBOOK: source.stem}):
        papermill.execute_notebook(
            source,
            draft,
            parameters=dict(values),
            kernel_name="python3",
            progress_bar={"desc": source.stem, "unit": "cell", "leave": True} if progress else False,
            execution_timeout=timeout_s,
            iopub_timeout=60,  # nbclient's 4 s are too short on a loaded machine
            extra_arguments=_KERNEL_ARGUMENTS,
        )


def _save(draft: Path, target: Path, name: str) -> None:
    """Clean the draft (no paths of this machine, no broken widgets), put it in place and trust it."""
    import nbformat

    if not draft.exists():  # the kernel never started
        return
    notebook = nbformat.read(draft, as_version=4)
    keep_valid_widgets(notebook)
    notebook.metadata.papermill.update(input_path=name, output_path=name)
    write_atomically(target, nbformat.writes(notebook).encode())
    _trust(target)


def _trust(path: Path) -> None:
    """Sign a notebook executed here, as JupyterLab signs what it executes: without, it hides the saved widgets."""
    import nbformat
    from nbformat.sign import NotebookNotary

    with suppress(OSError):  # a home that cannot be written to: the notebook shows text in place of widgets
        notary = NotebookNotary()
        notary.sign(nbformat.read(path, as_version=4))
        notary.store.close()


def _where(failure: Any, executed: Path) -> str:
    """Notebook, cell and the last line of what went wrong."""
    import nbformat

    if hasattr(failure, "ename"):
        last = (str(failure.evalue).strip().splitlines() or [""])[-1]
        return f"Notebook {executed.stem}, cell [{failure.exec_count}]: {failure.ename}: {last}"
    cells = nbformat.read(executed, as_version=4).cells if executed.exists() else []
    begun = [cell for cell in cells if cell.metadata.get("papermill", {}).get("start_time")]
    cell = f", cell {begun[-1].source.strip().splitlines()[0]!r}" if begun else ""  # no reply, so it has no number
    return f"Notebook {executed.stem}{cell}: {type(failure).__name__}: {str(failure).strip().splitlines()[0]}"


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Environment variables for the kernels started inside the context."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)
