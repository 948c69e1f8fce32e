"""The inspector with somebody behind it: what-if, one value in integers, pictures of one's own."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from effnet_lab.analysis.feeding import Sample
from effnet_lab.analysis.integer.replay import last_run
from effnet_lab.analysis.twins import Twins
from effnet_lab.images import ImageSet, Source
from effnet_lab.images.decode import decode
from effnet_lab.names import UserError
from effnet_lab.quantize.ranges import METHOD
from effnet_lab.studies.inspection.desk import Desk, Message, Tell
from effnet_lab.studies.inspection.inspect import Inspected, inspected
from effnet_lab.studies.inspection.layers import integer_steps
from effnet_lab.studies.inspection.look import error_map, step_of
from effnet_lab.studies.inspection.payload import Payload
from effnet_lab.studies.inspection.pictures import AnswerWatcher, picture
from effnet_lab.studies.inspection.what_if import Calibration, WhatIf

MOST_OWN = 64  # pictures of one's own; each is kept with its maps in the browser


@dataclass(frozen=True, kw_only=True, eq=False)
class Live:
    """What `view.InspectorView` takes: what it shows, and who answers."""

    found: Inspected
    calibration: Calibration = None
    method: str = METHOD
    out: Path | str = "what-if"
    _own: list[ImageSet] = field(default_factory=list)

    @property
    def payload(self) -> Payload:
        """What is shown."""
        return self.found.payload

    def desk(self, tell: Tell) -> Desk:
        """Who answers. The switches are those of the first file."""
        return Desk(self.session, tell, {"explain": self.explain, "picture": self.own_picture}, self.out)

    def session(self) -> WhatIf:
        """The switches of the first file."""
        return WhatIf(
            self.found.opened[0], self.found.images, calibration=self.calibration, method=self.method,
            limit=len(self.found.images),
        )  # fmt: skip

    def explain(self, question: Message) -> Message:
        """One value in integers: the one with the largest error at a place of the map.

        Parameters
        ----------
        question : dict
            ``file`` and ``picture`` (by number), ``layer``, ``y`` and ``x`` on the map, ``channel`` (-1: any).
        """
        number, layer = int(question["file"]), str(question["layer"])
        twins = self.found.opened[number]
        twins.run(self._sample(twins, int(question["picture"])))
        pair = next((pair for pair in twins.pairs if pair.layer == layer), None)
        if pair is None:
            raise UserError(f"The file has no layer {layer[:60]!r}.")
        reference, quantized = twins.values(pair)
        place = _largest(reference - quantized, int(question["y"]), int(question["x"]), int(question["channel"]))
        steps = integer_steps(twins, layer, last_run(twins), place)
        if steps is None:
            raise UserError(f"The integer arithmetic of {layer[:60]!r} is not known.")
        return {"kind": "steps", "file": number, "layer": layer, "steps": steps}

    def own_picture(self, question: Message) -> Message:
        """What all files make of a picture that is handed over, ``name`` and ``data`` in base64."""
        if len(self._own) >= MOST_OWN:
            raise UserError(f"There are {MOST_OWN} pictures of your own already. Open the inspector anew.")
        name = str(question["name"])[:120]
        try:
            pixels = decode(base64.b64decode(question["data"], validate=True), name)
        except binascii.Error:
            raise UserError(f"{name!r} is no picture. Give a PNG or JPEG.") from None
        shown = ImageSet(
            name=name, split="all", classes=(), labels=np.zeros(1, np.int64), read=lambda _: pixels, fingerprint=""
        )
        found = [self._seen(twins, shown) for twins in self.found.opened]
        self._own.append(shown)
        return {"kind": "picture", "files": found}

    def _seen(self, twins: Twins, shown: ImageSet) -> dict[str, Any]:
        twins.run(next(twins.samples(shown)))
        answers = AnswerWatcher().see(twins)
        differences = ((pair.layer, twins.values(pair)) for pair in twins.pairs)
        maps = {layer: error_map(reference.astype(np.float64) - values) for layer, (reference, values) in differences}
        return {"picture": picture(shown, 0, answers, twins.info), "maps": maps}

    def _sample(self, twins: Twins, number: int) -> Sample:
        """What the network takes of a picture of the chooser: one of the telling ones, or an own one."""
        telling, images = self.found.telling, self.found.images
        if not 0 <= number < len(telling) + len(self._own):
            raise UserError(f"There is no picture {number}.")
        chosen = (
            images.pick(telling[number : number + 1]) if number < len(telling) else self._own[number - len(telling)]
        )
        return next(twins.samples(chosen))


def live_inspection(
    quantized: Sequence[Path | str | Twins], images: Source, *, calibration: Calibration = None, method: str = METHOD,
    out: Path | str = "what-if", **options: Any,
) -> Live:  # fmt: skip
    """Look at up to four quantized files, and stay to answer.

    Parameters
    ----------
    quantized, images, options
        As for `inspection`.
    calibration, method
        What fixes the ranges when a precision is changed, see `WhatIf`; by default they stay those of the first file.
    out : path
        Where files are written on request.

    Examples
    --------
    >>> opened = live_inspection(["int8.tflite"], "scenes")  # doctest: +SKIP
    >>> InspectorView(opened.payload, opened.desk)  # doctest: +SKIP
    """
    return Live(found=inspected(quantized, images, **options), calibration=calibration, method=method, out=out)


def _largest(difference: NDArray[Any], y: int, x: int, channel: int) -> tuple[int, ...]:
    """Position of the largest error among the values that one place of the error map stands for."""
    if difference.ndim != 4:
        raise UserError("This layer has no map: its output has no height and width.")
    rows, columns = (slice(at * step, (at + 1) * step) for at, step in zip((y, x), step_of(difference), strict=True))
    part = np.abs(difference[0, rows, columns])
    if not part.size:
        raise UserError(f"The map has no place {y}, {x}.")
    if 0 <= channel < part.shape[-1]:
        place = (*np.unravel_index(part[..., channel].argmax(), part.shape[:2]), channel)
    else:
        place = tuple(np.unravel_index(part.argmax(), part.shape))
    return rows.start + int(place[0]), columns.start + int(place[1]), int(place[2])
