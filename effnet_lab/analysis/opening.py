"""Two files of one network, from whatever form the network is given in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from effnet_lab.analysis.twins import Twins
from effnet_lab.images import ImageSet, Source, Stated
from effnet_lab.litert.flatbuffer import is_tflite
from effnet_lab.names import UserError
from effnet_lab.paths import scratch_folder
from effnet_lab.quantize.export import export

if TYPE_CHECKING:
    from effnet_lab.quantize.float_file import Network


def open_twins(
    network: Network | Twins | bytes,
    float_model: Network | bytes | None = None,
    *,
    scheme: str = "int8",
    calibration: Source = "scenes",
    kernels: str = "xnnpack",
    anyway: bool = False,
    preprocess: Stated = None,
) -> Twins:
    """The quantized and the float file of a network, opened once.

    Parameters
    ----------
    network : path, Twins, name, LoadedModel or Keras model
        A quantized .tflite file is taken as it is, and so are files that are open. Any other network is exported in
        `scheme`, calibrated with `calibration`, and held against its own float file.
    float_model, kernels, anyway, preprocess
        See `Twins`; files that are open have theirs.
    scheme : str
        As for `export`: one of `schemes.FORMATS` or `schemes.SCHEMES`.
    calibration : name, path or ImageSet
        As for `export`: never evaluation images.
    """
    if isinstance(network, Twins):
        if float_model is not None or preprocess:
            raise UserError("The files are open already: the float model and the input are settled.")
        return network
    if isinstance(network, bytes) or is_tflite(network):
        return Twins(network, float_model, kernels=kernels, anyway=anyway, preprocess=preprocess)
    with scratch_folder() as folder:
        (path,) = export(network, folder, format=scheme, calibration=calibration, preprocess=preprocess).files
        content = path.read_bytes()
    given = network if float_model is None else float_model
    return Twins(content, given, kernels=kernels, anyway=anyway, preprocess=preprocess)


def open_all(
    networks: Sequence[Network],
    folder: Path | str,
    *,
    scheme: str = "int8",
    calibration: ImageSet | str = "scenes",
    kernels: str = "xnnpack",
    preprocess: Stated = None,
) -> list[Twins]:
    """Each network exported as float32 and, by every back end that can, in `scheme`; the files stay in `folder`.

    Parameters
    ----------
    networks : sequence of name, path or LoadedModel
        What `load_model` opens.
    folder : path
    scheme, calibration, kernels, preprocess
        As for `open_twins`.
    """
    opened = []
    for network in networks:
        float_file, *quantized = export(
            network, folder, format=["float32", scheme], backend="all", calibration=calibration, preprocess=preprocess
        ).files
        opened += [Twins(file, float_file, kernels=kernels, preprocess=preprocess) for file in quantized]
    return opened
