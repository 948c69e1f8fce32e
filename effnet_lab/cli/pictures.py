"""Commands about pictures: what a network sees in them, and whether they reach it as they should."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from effnet_lab.cli.measuring import Data, Limit, Split
from effnet_lab.cli.networks import Json, Variant
from effnet_lab.cli.output import progress, show

Images = Annotated[list[str], typer.Argument(help="Files, folders, or patterns in quotes: 'photos/*.jpg'.")]
Weights = Annotated[
    str,
    typer.Option(help="A named model, a .tflite, .safetensors, .keras or .h5 file, a TF1 checkpoint, a SavedModel."),
]


def classify(
    images: Images,
    weights: Weights,
    variant: Variant = None,
    labels: Annotated[
        Path | None, typer.Option(help="Class names: one per line, or JSON; a background is seen.")
    ] = None,
    top: Annotated[int, typer.Option(help="Classes per picture.")] = 5,
    json: Json = False,
) -> None:
    """The most probable classes of each picture. Preprocessing comes with the weights.

    Example: effnet-lab classify photo.jpg --weights imagenet --variant lite0 --labels labels_map.txt
    """
    from effnet_lab.evaluate import classify as rank
    from effnet_lab.evaluate import open_predictor
    from effnet_lab.evaluate.classify import find_pictures
    from effnet_lab.images.labels import read_labels

    files, predictor = find_pictures(images), open_predictor(weights, variant=variant)
    names = read_labels(labels, predictor.outputs) if labels else None
    table = rank(predictor, files, top, labels=names, progress=progress("classify"))
    show(table, json, ("file", "rank", "class_index", "label", "score"))


def features(
    images: Images,
    weights: Weights,
    out: Annotated[Path, typer.Option(help="The .npz file to write: files and features, one row per picture.")],
    variant: Variant = None,
    endpoint: Annotated[
        str, typer.Option(help="pooled_features, reduction_1 to 5, block_3, or a layer.")
    ] = "pooled_features",
) -> None:
    """Pooled features, or any other endpoint, of each picture.

    Example: effnet-lab features 'photos/*.jpg' --weights micro3 --out features.npz
    """
    from effnet_lab.evaluate.classify import find_pictures
    from effnet_lab.names import UserError

    if out.suffix != ".npz":
        raise UserError(f"--out must end in .npz. Got {str(out)!r}.")
    files = find_pictures(images)
    from effnet_lab.evaluate.features import extract_features, save_features
    from effnet_lab.models import load_model

    found = extract_features(load_model(weights, variant), files, endpoint, progress=progress("features"))
    save_features(found, files, out)
    typer.echo(f"{out}: {endpoint}, {' x '.join(map(str, found.shape))}")


def audit_preprocess(
    model: Annotated[str, typer.Argument(help="A .tflite file, or weights as in `classify`.")],
    data: Data,
    variant: Variant = None,
    split: Split = None,
    limit: Limit = 200,
    json: Json = False,
) -> None:
    """Which preprocessing a network was trained with: pipelines ranked by top-1 on labelled images, with intervals.

    Crosses normalisation, crop, interpolation, channel order and label offset. A marks the best, B what you do now.
    """
    from effnet_lab.evaluate import audit_preprocess as audit
    from effnet_lab.evaluate import open_predictor
    from effnet_lab.images import open_images

    images = open_images(data, split=split, limit=limit)
    table = audit(open_predictor(model, variant=variant), images, progress=progress("audit"))
    hidden = ("model", "scheme", "backend", "data", "n_images")
    show(table if json else table.head(12), json, [column for column in table if column not in hidden])
    for words in (table.attrs["sentence"], table.attrs["ties"]):
        typer.echo(words, err=json)


COMMANDS = (classify, features, audit_preprocess)
