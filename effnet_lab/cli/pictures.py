"""Commands about pictures: what a network sees in them, and whether they reach it as they should."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from effnet_lab.cli.inputs import DATA, Data, Limit, Split, chosen, takes_input
from effnet_lab.cli.networks import Json, Variant
from effnet_lab.cli.output import progress, show
from effnet_lab.cli.saying import say

if TYPE_CHECKING:
    from effnet_lab.images.stated import StatedInput

Images = Annotated[
    list[str],
    typer.Argument(help="Files, folders (with the class folders in them), or patterns in quotes: 'photos/*.jpg'."),
]
Weights = Annotated[
    str,
    typer.Option(help="A named model, a .tflite, .safetensors, .keras or .h5 file, a TF1 checkpoint, a SavedModel."),
]


@takes_input
def classify(
    images: Images,
    weights: Weights,
    stated: StatedInput,
    variant: Variant = None,
    labels: Annotated[
        Path | None, typer.Option(help="Class names: one per line, or JSON; a background class is detected.")
    ] = None,
    top: Annotated[int, typer.Option(help="Classes per picture.")] = 5,
    json: Json = False,
) -> None:
    """The most probable classes of each picture. Preprocessing comes with the weights, or is stated.

    Example: effnet-lab classify photo.jpg --weights imagenet --variant lite0 --labels labels_map.txt
    """
    from effnet_lab.evaluate import classify as rank

    table = rank(images, weights, top, variant=variant, labels=labels, preprocess=stated, progress=progress("classify"))
    show(table, json, ("file", "rank", "class_index", "label", "score"))


@takes_input
def features(
    images: Images,
    weights: Weights,
    stated: StatedInput,
    out: Annotated[Path, typer.Option(help="The .npz file to write: files and features, one row per picture.")],
    variant: Variant = None,
    endpoint: Annotated[
        str, typer.Option(help="pooled_features, reduction_1 to 5, block_3, or a layer.")
    ] = "pooled_features",
) -> None:
    """Pooled features, or any other endpoint, of each picture.

    Example: effnet-lab features 'photos/*.jpg' --weights micro3 --out features.npz
    """
    from effnet_lab.evaluate import features as extract

    found = extract(
        images, weights, endpoint, out=out, variant=variant, preprocess=stated, progress=progress("features")
    )
    say(f"{out}: {endpoint}, {' x '.join(map(str, found.values.shape))}")


SHOWN = 12  # of the pipelines that an audit tried, in a table for people


@takes_input
def audit_preprocess(
    model: Annotated[str, typer.Argument(help="A .tflite file, or weights as in `classify`.")],
    stated: StatedInput,
    data: Data = None,
    variant: Variant = None,
    split: Split = None,
    limit: Limit = 200,
    json: Json = False,
) -> None:
    """Which preprocessing a network was trained with: pipelines ranked by top-1 on labelled images, with intervals.

    Crosses normalisation, crop, interpolation, channel order and label offset. A marks the best, B the one in use now.

    Example: effnet-lab audit-preprocess int8.tflite --data photos_by_class
    """
    source = chosen(data, None)
    from effnet_lab.evaluate import audit_preprocess as audit

    found = audit(
        model, source, variant=variant, split=split, limit=limit, preprocess=stated, progress=progress("audit")
    )
    best_and_yours = found.table[(found.table["rank"] <= SHOWN) | (found.table["mark"] != "")]
    show(found.table if json else best_and_yours, json)
    for words in (found.sentence, found.ties):
        say(words, err=json)


def data(
    source: Annotated[str, typer.Argument(metavar="DATA", help=DATA)],
    json: Json = False,
) -> None:
    """Check a data set: damaged files, copies in two splits or two classes, rare classes. Exit code 1 if there is a problem.

    Example: effnet-lab data flowers160
    """
    from effnet_lab.images import check_data

    found = check_data(source, progress=progress("images"))
    show(found.table, json)
    say(found.sentence, err=json)
    if len(found.table):
        raise typer.Exit(1)


COMMANDS = (data, classify, features, audit_preprocess)
