"""What is wrong with a quantized file, in one call: errors, evidence, a verdict per layer, and the loss at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import pandas as pd

from effnet_lab import frames
from effnet_lab.analysis.ends import EndLoss, EndWatcher
from effnet_lab.analysis.error_sums import Watcher
from effnet_lab.analysis.measuring import Measuring
from effnet_lab.analysis.opening import open_twins
from effnet_lab.analysis.twins import Twins
from effnet_lab.analysis.verdicts.assign import examine_all
from effnet_lab.analysis.verdicts.case import LayerCase
from effnet_lab.analysis.verdicts.closing import closing
from effnet_lab.analysis.verdicts.evidence import Evidence, EvidenceWatcher, evidence_table
from effnet_lab.analysis.verdicts.replay import replay_of
from effnet_lab.analysis.verdicts.words import row
from effnet_lab.images import ArraySet, ImageSet, Source, Stated, open_samples

if TYPE_CHECKING:
    from effnet_lab.quantize.float_file import Network


@dataclass(frozen=True, kw_only=True)
class LayerVerdicts:
    """A verdict per layer, and what it rests on."""

    table: pd.DataFrame  # VERDICTS, one row per layer in forward order
    errors: pd.DataFrame  # LAYER_ERROR, accumulated and local
    noted: tuple[Evidence, ...]  # of each layer: its values on the grid, its stored weights beside the float ones
    loss: EndLoss  # at the logits, over the same images
    closing: tuple[str, ...]  # what is to be said of the file as a whole; the last sentence is the loss at the logits
    smallest_correlation: tuple[str, float]  # layer whose weights are least like the float ones; ("", NaN) for a twin
    unmatched: tuple[str, ...]  # layers of the quantized network without a counterpart
    interrupted: bool  # the rows hold the images that were finished, see `errors`

    @cached_property
    def evidence(self) -> pd.DataFrame:
        """EVIDENCE frame: what the picture of a layer's verdict is drawn from."""
        return evidence_table(self.noted)


def verdicts(
    quantized: Network | Twins,
    images: Source,
    *,
    float_model: Network | bytes | None = None,
    kernels: str = "xnnpack",
    anyway: bool = False,
    preprocess: Stated = None,
    split: str | None = None,
    limit: int | None = None,
    scheme: str = "int8",
    calibration: Source = "scenes",
    workers: int | None = None,
    progress: Callable[..., Iterable[Any]] | None = None,
) -> LayerVerdicts:
    """Say of every layer what is wrong with it, how one knows, and what is usually done about it.

    Parameters
    ----------
    quantized, images, float_model, anyway, split, limit, scheme, calibration, workers, progress
        As for `layer_error`. Without a float network, wrong or badly rounded weights cannot show.
    kernels : str
        Kernel path, see `litert.KERNELS`. Where XNNPACK refuses the file, as it does some that need a verdict, the plain
        kernels run it.

    Returns
    -------
    LayerVerdicts
        In its table, `verdict` is one of `frames.VERDICT_NAMES`:

        - the gravest fault of the layer's own, see `faults` and `defects`; others stand in `notes`. A layer whose own error
          is under 20 dB has one: "coarse" where nothing else explains it;
        - "upstream": a fault of an earlier layer (`culprit`) shows here, in the values themselves (a constant input, an
          outlier channel handed on by an addition), in the codes that it reads, or as accumulated error under 20 dB that
          is at least 3 dB worse than the layer's own;
        - "healthy".
    """
    chosen = open_samples(images, split=split, limit=limit)
    twins = open_twins(
        quantized,
        float_model,
        scheme=scheme,
        calibration=calibration,
        kernels=kernels,
        anyway=anyway,
        preprocess=preprocess,
    )
    return twins.carry_out(partial(judge, twins, chosen, progress, workers=workers))


def judge(
    twins: Twins,
    images: ImageSet | ArraySet,
    progress: Callable[..., Iterable[Any]] | None = None,
    *,
    watchers: Sequence[Watcher] = (),
    workers: int | None = None,
) -> LayerVerdicts:
    """The same of files that are open, see `verdicts`; `watchers` look on, so that no image has to be run again for them."""
    twins.begin("float")
    evidence, ends = EvidenceWatcher(twins, images.counted), EndWatcher(twins, images.counted)
    measuring = Measuring(twins, ("accumulated", "local"), watchers=(evidence, ends, *watchers), workers=workers)
    finished = measuring.run(images, progress)
    errors = measuring.table(images.name)
    cases = examine_all(errors, evidence.kept, replay_of(twins, evidence.kept))
    return LayerVerdicts(
        table=_table(cases, twins.pairing_words),
        errors=errors,
        noted=tuple(evidence.kept),
        loss=ends.kept,
        closing=closing(twins, images, cases, ends.kept),
        smallest_correlation=twins.pairing.smallest,
        unmatched=twins.unmatched,
        interrupted=not finished,
    )


def _table(cases: Mapping[str, LayerCase], pairing: str) -> pd.DataFrame:
    rows = [case.evidence.file | row(case, cases) | {"pairing": pairing} for case in cases.values()]
    return frames.build(frames.VERDICTS, rows)
