"""Tables about a network's answers on images."""

from __future__ import annotations

from effnet_lab.frames.tables import MODEL_FILE, Frame

DATA_CHECK = Frame(  # one row per finding about a data set: a damaged file, a copy elsewhere, a rare class
    name="data_check",
    keys=("data", "problem", "split", "file", "label", "twin"),
    first=("problem", "split", "file", "label", "twin", "detail"),
    values=("detail",),
)
ACCURACY = Frame(  # one row per file and data set; the interval is Wilson's, 95 %
    name="accuracy",
    keys=(*MODEL_FILE, "data"),
    first=("model", "scheme", "top1", "n_images", "top5"),
    values=("n_images", "top1", "top1_lo", "top1_hi", "top5", "calibration_error"),
)
PER_CLASS = Frame(  # one row per class; top1 is the share of its images that were recognised
    name="per_class",
    keys=(*MODEL_FILE, "data", "label"),
    values=("n_images", "top1", "top1_lo", "top1_hi", "precision", "taken_for", "n_taken_for"),
)
# One row per true and predicted class that occur together.
CONFUSION = Frame(name="confusion", keys=(*MODEL_FILE, "data", "label", "predicted"), values=("n_images",))
RELIABILITY = Frame(  # one row per bin of confidence, the probability of the first class
    name="reliability",
    keys=(*MODEL_FILE, "data", "confidence_left"),
    values=("confidence_right", "n_images", "confidence", "top1", "top1_lo", "top1_hi"),
)
MISTAKES = Frame(  # one row per image that a file takes for something else
    name="mistakes",
    keys=(*MODEL_FILE, "data", "image_index"),
    first=("image_index", "label", "predicted", "confidence"),
    values=("label", "predicted", "confidence"),
)
COMPARISON = Frame(  # one row per pair of files on the same images; difference is this file's top-1 less the other's
    name="comparison",
    keys=(*MODEL_FILE, "against", "data"),
    first=("model", "scheme", "against", "difference", "p_value"),
    values=(
        "n_images", "agreement", "top1", "against_top1", "difference", "difference_lo", "difference_hi",
        "n_only_this", "n_only_other", "p_value", "n_images_needed",
    ),
)  # fmt: skip
OUTPUT_ERROR = (
    Frame(  # one row per output of a pair on the same samples; agreement of the largest value, NaN for one value
        name="output_error",
        keys=(*MODEL_FILE, "against", "data", "output_index"),
        values=("n_images", "agreement", "sqnr_outputs_db", "mse", "max_error"),
    )
)
CLASSIFICATION = Frame(  # one row per picture and rank, best first; score is a probability
    name="classification",
    keys=(*MODEL_FILE, "file", "rank"),
    first=("file", "rank", "label", "score"),
    values=("class_index", "label", "score"),
)
CHANGED = Frame(  # one row per image whose first class is another for the other file; the surest answers first
    name="changed",
    keys=(*MODEL_FILE, "against", "data", "image_index"),
    first=("image_index", "label", "predicted", "against_predicted", "confidence", "against_confidence"),
    values=("label", "predicted", "against_predicted", "confidence", "against_confidence"),
)
AUDIT = Frame(  # one row per preprocessing tried; mark A is the best, B the stated one; p_value against the best
    name="audit",
    keys=(*MODEL_FILE, "data", "normalisation", "crop", "interpolation", "channels", "label_offset"),
    first=("mark", "top1", "normalisation", "crop", "interpolation", "channels", "label_offset", "p_value"),
    values=("rank", "mark", "n_images", "top1", "top1_lo", "top1_hi", "p_value", "tied"),
)
