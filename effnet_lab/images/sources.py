"""Every name under which images, and inputs of other kinds, are found."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qsl

from effnet_lab.images.digits import open_digits
from effnet_lab.images.folders import open_tree
from effnet_lab.images.imagenet import is_validation_folder, open_validation_folder
from effnet_lab.images.imageset import SPLITS, ImageSet
from effnet_lab.images.inputs import SUFFIXES as ARRAYS
from effnet_lab.images.inputs import ArraySet, open_arrays
from effnet_lab.images.samples import Samples
from effnet_lab.images.scenes import open_scenes
from effnet_lab.images.tfds import PREFIX, open_tfds
from effnet_lab.images.tfrecords import is_shard, open_tfrecords
from effnet_lab.names import UserError, suggest
from effnet_lab.paths import cache_dir

EMBEDDED: dict[str, tuple[Callable[..., ImageSet], tuple[str, ...]]] = {  # name: (opener, its options, whole numbers)
    "digits": (open_digits, ("side_px",)),
    "scenes": (open_scenes, ("side_px", "n", "seed")),
}
_OPTIONS = re.compile(r"(.*?)\?([a-z_]+=.*)")
Source = str | Path | ImageSet | ArraySet  # what functions take as images
CACHED = ("flowers160",)  # trees in the cache directory, unpacked or as .tar


def open_images(source: str | Path, split: str | None = None, limit: int | None = None) -> ImageSet:
    """Open images by name, or from a folder, a .tar or TFRecord files.

    Parameters
    ----------
    source : str or Path
        "digits" or "scenes", with options as in "scenes?side_px=128&n=500&seed=3"; "flowers160" from the cache
        directory (``$EFFNET_LAB_CACHE`` or ``~/.cache/effnet-lab``); a folder with one folder per class; a .tar of one,
        either with a list of its evaluation images, "FOLDER?evaluation=FILE"; food-101 as it is unpacked;
        the ImageNet validation folder, "FOLDER" or "FOLDER?labels=FILE&base=0"; TFRecord files in the ImageNet layout, as
        a folder, a file or a pattern, "FOLDER/validation-*"; "tfds:NAME" where TensorFlow Datasets is installed.
    split : str, optional
        "train", "calibration" or "evaluation"; for folders and archives also "all". By default "evaluation" for
        embedded data, TensorFlow Datasets and where a list of evaluation images is given, "all" for other folders and
        archives.
    limit : int, optional
        At most so many images, always the same, spread evenly over the classes.

    Returns
    -------
    ImageSet

    Raises
    ------
    UserError
        If the source, an option or the split is unknown, or there is no image.

    Examples
    --------
    >>> len(open_images("scenes", limit=20)), open_images("digits").classes[3]
    (20, '3')
    """
    name, _, options = str(source).partition("?")
    if name in EMBEDDED:
        return _open_embedded(name, options, "evaluation" if split is None else split).take(limit)
    if name in CACHED:
        listed = _list_of(str(source), _path_options(str(source), options, ("evaluation",)))
        return open_tree(_in_cache(name), split or _unless_told(listed), name, listed).take(limit)
    if name.startswith(PREFIX):
        return open_tfds(str(source), split or "evaluation").take(limit)
    if (images := _open_path(str(source), split)) is None:
        known = suggest("image source", str(source), (*EMBEDDED, *CACHED))
        raise UserError(f"{known} Or give a folder or a .tar of images; no such path exists.")
    return images.take(limit)


def open_samples(source: Source | Samples, split: str | None = None, limit: int | None = None) -> ImageSet | ArraySet:
    """Images as `open_images` opens them, or arrays from an .npy or .npz file; what is open already comes back, limited.

    Parameters
    ----------
    source : str, Path, ImageSet or ArraySet
        An .npz holds one array for each input of the network, and perhaps "labels". Integers of a quantized input's own type
        are ambiguous: "data.npy?values=codes", or "?values=real".
    split : str, optional
        Of images; arrays have none.
    limit : int, optional
        At most so many, always the same.
    """
    if isinstance(source, ImageSet | ArraySet):
        return source.take(limit)
    if not isinstance(source, str | Path):
        raise UserError(f"Images are a name, a path or an ImageSet. Got {type(source).__name__}.")
    text, _, options = str(source).partition("?")
    path = Path(text)
    if path.suffix.lower() not in ARRAYS:
        return open_images(source, split, limit)
    if not path.is_file():
        raise UserError(f"There is no file {text!r}. Give an .npy or .npz file of inputs.")
    if split not in (None, "all"):
        raise UserError(f"{path.name} has no splits. Got split {split!r}; leave it out.")
    return open_arrays(path, dict(parse_qsl(options, keep_blank_values=True))).take(limit)


def _unless_told(listed: Path | None) -> str:
    """The split where none is named: who lists evaluation images wants no accuracy on those that were trained on."""
    return "all" if listed is None else "evaluation"


def _open_path(source: str, split: str | None) -> ImageSet | None:
    """Whatever lies at a path, told apart by the names of the files; None if there is nothing."""
    text, options = source, ""
    if not Path(source).exists() and (match := _OPTIONS.fullmatch(source)):
        text, options = match.groups()
    path = Path(text)
    shards = [path] if path.is_file() else list(path.iterdir()) if path.is_dir() else []
    if "*" in path.name:
        shards = list(path.parent.glob(path.name))
    if shards := sorted(shard for shard in shards if shard.is_file() and is_shard(shard)):
        base = _base(source, _path_options(source, options, ("base",)))
        return open_tfrecords(shards, split or "all", path.resolve().name, base=base)
    if path.is_dir() and ("labels=" in options or is_validation_folder(path)):
        chosen = _path_options(source, options, ("labels", "base"))
        labels = Path(chosen["labels"]) if "labels" in chosen else None
        if labels is not None and not labels.exists() and (path / labels).exists():
            labels = path / labels
        return open_validation_folder(path, split or "all", labels=labels, base=_base(source, chosen))
    if not path.exists():
        return None
    listed = _list_of(source, _path_options(source, options, ("evaluation",)))
    return open_tree(path, split or _unless_told(listed), evaluation=listed)


def _list_of(source: str, chosen: dict[str, str]) -> Path | None:
    listed = Path(chosen["evaluation"]).expanduser() if "evaluation" in chosen else None
    if listed is not None and not listed.is_file():
        raise UserError(
            f"{source}: there is no file {str(listed)!r}. Give a text file that names the evaluation images."
        )
    return listed


def _path_options(source: str, options: str, known: tuple[str, ...]) -> dict[str, str]:
    chosen = dict(parse_qsl(options, keep_blank_values=True))
    for key in chosen:
        if key not in known:
            raise UserError(suggest(f"option of {source!r}", key, known))
    return chosen


def _base(source: str, chosen: dict[str, str]) -> int | None:
    value = chosen.get("base")
    if value not in (None, "0", "1"):
        raise UserError(f"{source}: base must be 0 or 1, the number of the first class. Got {value!r}.")
    return None if value is None else int(value)


def _open_embedded(name: str, options: str, split: str) -> ImageSet:
    opener, known = EMBEDDED[name]
    if split not in SPLITS:
        raise UserError(suggest("split", split, SPLITS))
    chosen = {}
    for key, value in parse_qsl(options, keep_blank_values=True):
        if key not in known:
            raise UserError(suggest(f"option of {name}", key, known))
        try:
            chosen[key] = int(value)
        except ValueError:
            raise UserError(f"{name}: {key} must be a whole number. Got {value!r}.") from None
    return opener(split, **chosen)


def _in_cache(name: str) -> Path:
    folder = cache_dir() / name
    archive = folder.with_name(f"{name}.tar")
    for found in (folder, archive):
        if found.exists():
            return found
    raise UserError(
        f"{name} is not in the cache. Put it at {archive}, or set EFFNET_LAB_CACHE to the folder that holds {name}.tar."
    )
