"""A classifier on pooled features, fitted in one step instead of trained: nothing else of the network moves."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

from effnet_lab.images import ImageSet
from effnet_lab.models.features import features_model
from effnet_lab.models.loaded import LoadedModel
from effnet_lab.models.variables import assign, variables
from effnet_lab.models.weights import with_new_head
from effnet_lab.models.weights.mapping import HEAD

# Of the inverse penalty; the one that predicts the left-out fifth best is taken.
_STRENGTHS = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
_PARTS = 5


def with_fitted_head(model: LoadedModel, images: ImageSet) -> LoadedModel:
    """The same backbone under a multinomial logistic regression on its pooled features of the images and their mirror images.

    The penalty is chosen by five-fold cross-validation on these images.

    Parameters
    ----------
    model : LoadedModel
        A float network.
    images : ImageSet
        With labels.
    """
    backbone = features_model(model)
    seen = [
        [np.asarray(backbone(b, training=False)) for b in (batch, batch[:, :, ::-1])]
        for batch, _labels in images.batches(model.preprocess)
    ]
    pooled = np.concatenate([np.concatenate(both) for both in zip(*seen, strict=True)]).astype(np.float64)
    labels = np.tile(images.labels, 2)
    best = _penalized(images.labels).fit(pooled, labels)
    best = getattr(best, "best_estimator_", best)
    kernel, bias = best.coef_.T, best.intercept_
    if len(images.classes) == 2:  # one row of coefficients, for the second class
        kernel, bias = np.concatenate([-kernel, kernel], axis=1) / 2, np.concatenate([-bias, bias]) / 2
    fitted = with_new_head(model, images.classes)
    values = {name: variable.numpy() for name, variable in variables(fitted.keras).items()}
    values |= {HEAD[0]: kernel.astype(np.float32), HEAD[1]: bias.astype(np.float32)}
    assign(fitted.keras, values, model.name)
    return fitted


def _penalized(labels: NDArray[Any]) -> LogisticRegression | GridSearchCV:
    """The regression with the penalty still to be chosen; a picture and its mirror image are left out together.

    A class of a single image cannot be left out: then the penalty is the middle one.
    """
    parts = min(_PARTS, int(np.unique(labels, return_counts=True)[1].min()))
    regression = LogisticRegression(C=_STRENGTHS[len(_STRENGTHS) // 2], max_iter=500)
    if parts < 2:
        return regression
    folds = np.empty(len(labels), np.int64)
    folds[np.argsort(labels, kind="stable")] = np.arange(len(labels)) % parts  # every class in every part
    both = np.tile(folds, 2)
    left_out = [(np.flatnonzero(both != part), np.flatnonzero(both == part)) for part in range(parts)]
    return GridSearchCV(regression, {"C": _STRENGTHS}, cv=left_out, scoring="neg_log_loss")
