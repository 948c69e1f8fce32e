"""Execute notebooks headless: every parameter checked first, the stall cured, the result saved whole."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NoReturn

from effnet_lab.names import UserError, lookup, suggest
from effnet_lab.paths import notebooks_dir, scratch_folder, write_atomically
from effnet_lab.regress.abreast import Kernels, run_each
from effnet_lab.regress.drafts import draft_of, take_in, take_in_left
from effnet_lab.regress.environment import write_environment
from effnet_lab.regress.execution import DISK, USER, Failure, Limits, execute
from effnet_lab.regress.parameters import Parameter, check_parameters, read_parameters
from effnet_lab.regress.recording import forget
from effnet_lab.regress.widget_state import replace_widgets
from effnet_lab.workers import workers_for

PROFILES = {  # profile -> seconds that one cell may take; None: as long as it needs
    "smoke": 900,
    "full": None,
}
FIRST_STEPS = "00_first_steps.ipynb"  # for readers; a run of everything leaves it out
NAMED = 3  # notebooks that an error lists; of more it says how many
_KERNEL_BYTES = 1.5e9  # that a notebook's kernel takes at most with the embedded data
STANDARD = ("profile", "out_dir")  # parameters of every notebook, set by the runner


class NotebookError(RuntimeError):
    """A cell failed: which notebook, which cell, the exception's last line, where the executed notebook lies."""


def execute_notebooks(
    notebooks: Sequence[str] | None = None,
    *,
    profile: str = "smoke",
    parameters: Mapping[str, object] | None = None,
    out: str | Path = "results",
    workers: int | None = None,
    progress: bool = True,
) -> list[Path]:
    """Execute notebooks, once all parameters of all of them are checked; write ``out/notebooks/*.ipynb``.

    Each works in a folder of its own, and the results take in what it left in the order of the notebooks. One that was run
    without parameters of the user's first drops the rows it recorded before under that profile.

    Parameters
    ----------
    notebooks : sequence of str or None
        Names such as ``"01_scaling"``, or paths; None: all that answer a question.
    profile : "smoke" or "full"
        Set as the notebooks' parameter of that name.
    parameters : mapping of str to object
        Values by name, strings as from a shell. Each goes to the notebooks that have it; one must.
    out : str or Path
        Results folder; the notebooks find theirs in the parameter `out_dir`.
    workers : int, optional
        Notebooks at a time; by default one for each free processor, as memory allows, where there are many. While one
        measures latency, the others hold still.
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
    n_at_a_time = workers_for(workers, len(plan), _KERNEL_BYTES)
    take_in_left(out)
    write_environment(out)
    works = [
        _Work(source=path, values=values, draft=draft_of(out, number, path.stem), out=out)
        for number, (path, values) in enumerate(plan.items())
    ]
    failures: list[tuple[_Work, Failure]] = []

    def take(work: _Work, failure: Failure | None) -> None:
        if not set(work.values) - set(STANDARD):
            forget(out, notebook=work.source.stem, profile=profile)
        take_in(out, work.draft)
        failures.extend([(work, failure)] if failure else [])

    try:
        run = partial(_run, timeout_s=timeout_s, progress=progress)
        run_each(works, run, take, fails=lambda failure: failure is not None, n_at_a_time=n_at_a_time)
    finally:
        take_in_left(out)
    for work, failure in failures:
        _raise(failure, work.target)
    write_environment(out)  # again: now the files of the run are there
    return [work.target for work in works]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Work:
    """One notebook of a run."""

    source: Path
    values: Mapping[str, object]
    draft: Path  # the folder in which it works
    out: Path  # the results

    @property
    def target(self) -> Path:
        """Where it lies when it is executed."""
        return self.out / "notebooks" / self.source.name


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
            whose = ", ".join(path.stem for path in paths) if len(paths) <= NAMED else f"{len(paths)} notebooks"
            raise UserError(suggest(f"parameter of {whose}", name, every))
    standard = {"profile": profile, "out_dir": str(out)}
    return {path: check_parameters(path, standard | _known(given, declared[path])) for path in paths}


def _known(given: Mapping[str, object], declared: Mapping[str, Parameter]) -> dict[str, object]:
    return {name: value for name, value in given.items() if name in declared}


def _run(work: _Work, kernels: Kernels, *, timeout_s: int | None, progress: bool) -> Failure | None:
    """Execute one notebook beside its target, then let it take the name, also when a cell failed."""
    executed = work.draft / "notebooks" / work.source.name
    with scratch_folder() as folder, kernels.one() as started:
        raw = folder / work.source.name
        failure = execute(
            work.source,
            raw,
            {**work.values, "out_dir": str(work.draft)},
            limits=Limits(cell_s=timeout_s),
            bar=progress,
            environment=kernels.environment,
            started=started,
        )
        if not kernels.ended:
            save_notebook(raw, executed, work.source.name, moved=(work.draft, work.out))
            _trust(executed)
    return failure


def _raise(failure: Failure, executed: Path) -> NoReturn:
    if failure.kind in (USER, DISK):
        raise UserError(failure.message)
    raise NotebookError(f"{where(failure, executed)} (the executed notebook: {executed})")


def save_notebook(draft: Path, target: Path, name: str, moved: tuple[Path, Path]) -> None:
    """Clean the draft (no paths of this machine, plain outputs for widgets), and put it in place.

    What lay in the first folder of `moved` is named as it will lie in the second.
    """
    from effnet_lab.notebook_format import nbformat

    if not draft.exists():  # the kernel never started
        return
    notebook = nbformat.read(draft, as_version=4)
    replace_widgets(notebook)
    notebook.metadata.papermill.update(input_path=name, output_path=name)
    was, now = (json.dumps(str(folder))[1:-1] for folder in moved)
    write_atomically(target, nbformat.writes(notebook).replace(was, now).encode())


def _trust(path: Path) -> None:
    """Sign a notebook executed here, as JupyterLab signs what it executes: without, it shows no inspector."""
    from nbformat.sign import NotebookNotary

    from effnet_lab.notebook_format import nbformat

    if not path.exists():
        return
    with suppress(OSError):  # a home that cannot be written to: the notebook says how to trust it
        notary = NotebookNotary()
        notary.sign(nbformat.read(path, as_version=4))
        notary.store.close()


def where(failure: Failure, executed: Path) -> str:
    """Notebook, cell and the last line of what went wrong."""
    from effnet_lab.notebook_format import nbformat

    if failure.number is not None:
        return f"Notebook {executed.stem}, cell [{failure.number}]: {failure.name}: {failure.message}"
    cells = nbformat.read(executed, as_version=4).cells if failure.cell >= 0 and executed.exists() else []
    source = cells[failure.cell].source.strip() if cells else ""
    cell = f", cell {source.splitlines()[0]!r}" if source else ""  # no reply, so it has no number
    return f"Notebook {executed.stem}{cell}: {failure.name}: {failure.message}"
