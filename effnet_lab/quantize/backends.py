"""Which back end writes which of the wanted schemes: what cannot be done is refused, never left out."""

from __future__ import annotations

from collections.abc import Sequence

from effnet_lab.names import UserError, lookup
from effnet_lab.quantize.files import Target
from effnet_lab.quantize.recipes import Recipe, as_recipe
from effnet_lab.quantize.schemes import AI_EDGE, BACKENDS, FLOAT32, Scheme, get_scheme

ALL = "all"  # in place of back ends: every one that can


def targets(
    wanted: Sequence[str | Recipe], backends: Sequence[str] | str | None = None, *, from_file: bool = False
) -> list[Target]:
    """What `export` is to write, in the given order.

    Parameters
    ----------
    wanted : sequence of str or Recipe
        Schemes or formats by name, and recipes.
    backends : sequence of str, optional
        Each of them writes everything that is wanted; only float32, which the others start from, is left to the one that can.
        "all": every back end that can. None: the first that can.
    from_file : bool
        The network is a float32 .tflite file: the back end that takes such files comes first.

    Raises
    ------
    UserError
        If a back end that was named cannot write a scheme, or follow a recipe.
    """
    chosen = [get_scheme(name) if isinstance(name, str) else name for name in wanted]
    if backends is None or backends == ALL:
        order = sorted(BACKENDS, key=lambda name: name != AI_EDGE) if from_file else list(BACKENDS)
        able = [_able(scheme, order) for scheme in chosen]
        return [pair for pairs in able for pair in (pairs if backends == ALL else pairs[:1])]
    names = backends.split(",") if isinstance(backends, str) else list(backends)
    for name in names:
        lookup("back end", name, BACKENDS)
    for scheme in chosen:
        for name in names if scheme is not FLOAT32 else ():
            as_recipe(scheme).require_backend(name)
    return [pair for scheme in chosen for pair in _able(scheme, names)]


def _able(scheme: Scheme | Recipe, order: Sequence[str]) -> list[Target]:
    """The scheme with each back end that can write it; the last one's refusal where none can."""
    able, refusal = [], None
    for backend in order:
        try:
            as_recipe(scheme).require_backend(backend)
            able.append((scheme, backend))
        except UserError as error:
            refusal = error
    if refusal and not able:
        raise refusal
    return able
