"""The TensorFlow Model Optimization toolkit, loaded late: it takes 5 s."""

from __future__ import annotations

import warnings
from types import ModuleType

from effnet_lab.quiet import quiet


def tfmot() -> ModuleType:
    """``tensorflow_model_optimization``. It accepts tf_keras models only."""
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it compares versions with distutils
        import tensorflow_model_optimization

    toolkit: ModuleType = tensorflow_model_optimization
    return toolkit
