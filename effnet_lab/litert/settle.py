"""Which values a network is fed: what is stated, else what is known; a guess is said, and where it would count, refused."""

from __future__ import annotations

from dataclasses import replace

from effnet_lab.images.imageset import ImageSet
from effnet_lab.images.inputs import ArraySet
from effnet_lab.images.preprocess import FRAMINGS, ORIGINS, Preprocess
from effnet_lab.images.stated import Stated, StatedInput, tell
from effnet_lab.litert.graph import Graph
from effnet_lab.litert.input_values import how_to_feed, input_slots, taken
from effnet_lab.litert.metadata import ModelInfo
from effnet_lab.names import UserError

_SAID: set[tuple[str, Preprocess]] = set()


def settle(info: ModelInfo, stated: Stated = None, *, measures: str = "", shown: object = None) -> ModelInfo:
    """The network's card with the preprocessing that it is fed with.

    Parameters
    ----------
    info : ModelInfo
    stated : StatedInput or Preprocess, optional
        What the user says of the input: all of it, or a part.
    measures : str
        What would come out wrong if the values were guessed wrong ("an accuracy", "a calibration"): then a guess is
        refused, unless the user allows it. Empty: the guess is said on standard error.
    shown : ImageSet or ArraySet, optional
        What the network is fed with: arrays go in as they are, so that a guess about pictures spoils nothing.

    Raises
    ------
    UserError
        If what is stated does not fit the network, or a guess is refused.
    """
    found = info.preprocess
    if found is None:
        if stated:
            raise UserError(f"{info.model} takes no pictures, so no preprocessing of pictures can be stated for it.")
        return info
    chosen = stated if isinstance(stated, Preprocess) else stated.over(found) if stated else found
    _require_fit(info.model, found, chosen)
    allowed = isinstance(stated, StatedInput) and stated.guess
    if chosen.origin == "guessed" and not isinstance(shown, ArraySet):
        if measures and not allowed:
            raise UserError(
                f"Nothing says which values {info.model} takes; {measures} at {tone(chosen)} would be a guess. State "
                "--input-range, or --mean and --std (`effnet-lab audit-preprocess` finds them), or add --guess."
            )
        tell(
            f"{info.model}: that it takes {tone(chosen)} is a guess. Test it with `effnet-lab audit-preprocess`, or state it "
            "with --input-range."
        )
    return replace(info, preprocess=chosen)


def settle_pair(
    first: ModelInfo, second: ModelInfo, stated: Stated = None, *, twins: bool = False, measures: str = ""
) -> tuple[ModelInfo, ModelInfo]:
    """`settle` for two networks that see the same pictures.

    What is stated counts for both. A network whose values are a guess takes those of the other, if it has the same size of
    input; the same holds for crop and interpolation where they are defaults. `twins` are two files of one network: they get
    one preprocessing, that of the surer origin.
    """
    ours, theirs = pair_preprocess(first.preprocess, second.preprocess, twins=twins)
    cards = [replace(first, preprocess=ours), replace(second, preprocess=theirs)]
    if stated or ours is None or theirs is None or ours.origin != "guessed":
        a, b = (settle(card, stated, measures=measures) for card in cards)
        return a, b
    a = settle(cards[0], stated, measures=measures)  # one guess for both is said once
    return a, cards[1] if theirs.origin == "guessed" else settle(cards[1], stated, measures=measures)


def pair_preprocess(
    first: Preprocess | None, second: Preprocess | None, *, twins: bool
) -> tuple[Preprocess | None, Preprocess | None]:
    """What two networks are fed with, see `settle_pair`."""
    if first is None or second is None or first.size != second.size or _colour(first) != _colour(second):
        return first, second
    sure, unsure = (first, second) if _rank(first) > _rank(second) else (second, first)
    if twins or unsure.origin == "guessed":
        values = {"mean": sure.mean, "std": sure.std, "channels": sure.channels, "origin": sure.origin}
        first, second = replace(first, **values), replace(second, **values)  # type: ignore[arg-type]
    framed, unframed = (first, second) if _framed(first) > _framed(second) else (second, first)
    if twins or unframed.framing == "default":
        view = {name: getattr(framed, name) for name in ("crop", "interpolation", "order", "framing")}
        first, second = replace(first, **view), replace(second, **view)
    return first, second


def fit_samples(samples: ImageSet | ArraySet, graph: Graph, info: ModelInfo) -> ImageSet | ArraySet:
    """The samples as this network takes them, in the order and shape of its inputs.

    Raises
    ------
    UserError
        If arrays are not of its shape, or it is shown pictures and takes none.
    """
    if isinstance(samples, ArraySet):
        return samples.fitted(input_slots(graph), info.model)
    if not len(samples):
        raise UserError(f"{samples.name} has no image in it. Give another source.")
    if info.preprocess is None:
        arrays = "Give its inputs as an .npy or .npz file, with --inputs where the command has it."
        raise UserError(
            f"{info.model} takes {taken(graph)}: not one picture of a known size, and {samples.name} holds pictures. "
            f"{how_to_feed(graph, arrays)}"
        )
    say_defaults(info)
    height, width = samples.read(0).shape[:2]
    if (height, width) == info.preprocess.size and info.preprocess.window(height, width) != (0, 0, height, width):
        tell(
            f"The pictures of {samples.name} have the input's size already, and the network's crop of "
            f"{info.preprocess.crop:.4g} cuts and enlarges them; --crop none shows them whole."
        )
    return samples


def say_defaults(info: ModelInfo) -> None:
    """Say, once for each network, how pictures are cropped and resized where nothing states it."""
    if info.preprocess is None or info.preprocess.framing != "default":
        return
    said = info.model, replace(info.preprocess, origin="embedded")  # what was stated is embedded in a file that follows
    if said not in _SAID:
        _SAID.add(said)
        tell(f"{info.model} is fed with {describe(info.preprocess)}.")


def tone(preprocess: Preprocess) -> str:
    """The values in a few words: ``(x-127)/128 RGB``."""
    mean, std = (
        ",".join(f"{number:.4g}" for number in (values if isinstance(values, tuple) else (values,)))
        for values in (preprocess.mean, preprocess.std)
    )
    formula = "x" if mean == "0" else f"(x-{mean})" if "," not in mean else f"(x-[{mean}])"
    divided = formula if std == "1" else f"{formula}/{std}" if "," not in std else f"{formula}/[{std}]"
    return f"{divided if divided != 'x' else '0..255'} {preprocess.channels}"


def describe(preprocess: Preprocess | None) -> str:
    """What a network was fed with, and where it comes from, in one line."""
    if preprocess is None:
        return "arrays, as they are"
    height, width = preprocess.size
    others = " of other sizes" if preprocess.whole else ""
    crop = "no crop" if preprocess.crop is None else f"crop {preprocess.crop:.4g}{others}"
    default = " (defaults)" if preprocess.framing == "default" else ""
    origin = "a guess" if preprocess.origin == "guessed" else preprocess.origin
    return f"{height} x {width} px, {crop}, {_resizer(preprocess)}{default}; {tone(preprocess)} ({origin})"


def _resizer(preprocess: Preprocess) -> str:
    """Whose: programs mean different things by the same word, and that is worth half a point of top-1."""
    if preprocess.interpolation == "bicubic_tf1":
        return "TensorFlow 1's bicubic"
    return f"Pillow's {preprocess.interpolation}"


def _require_fit(model: str, found: Preprocess, chosen: Preprocess) -> None:
    """What is stated cannot change the shape of a network's input."""
    if chosen.size != found.size:
        sizes = [f"{height} x {width}" for height, width in (found.size, chosen.size)]
        raise UserError(
            f"{model} takes pictures of {sizes[0]} px: a .tflite file has a fixed size, only weights can be opened at another. "
            f"Got {sizes[1]} px; leave the size out."
        )
    if _colour(chosen) != _colour(found) or chosen.layout != found.layout:
        raise UserError(
            f"{model} takes {found.channels} pictures, {found.layout}. Got {chosen.channels}, {chosen.layout}."
        )


def _colour(preprocess: Preprocess) -> bool:
    return preprocess.channels != "grey"


def _rank(preprocess: Preprocess) -> int:
    return ORIGINS.index(preprocess.origin)


def _framed(preprocess: Preprocess) -> int:
    return FRAMINGS.index(preprocess.framing)
