"""Which output of a network stands for which class of the images."""

from __future__ import annotations

from effnet_lab.models.weights.assemble import class_indices


def head_order(has: tuple[str, ...], wanted: tuple[str, ...]) -> list[int] | None:
    """For each wanted class the output that stands for it: by name, or by number where the weights name none.

    None where the weights were trained for other classes, so that a new head is needed.
    """
    if len(has) != len(wanted) or not has:
        return None
    if set(has) == set(wanted):
        return [has.index(name) for name in wanted]
    return list(range(len(has))) if has == class_indices(len(has)) else None
