"""Networks: a specification to a Keras model, and weights from every origin."""

from effnet_lab.quiet import quiet

with quiet():  # TensorFlow greets on stderr before it reads its log level, and again when it looks for a GPU
    import tensorflow

    tensorflow.config.list_physical_devices()

from effnet_lab.models.baselines import BASELINES, build_baseline
from effnet_lab.models.build import build_model
from effnet_lab.models.loaded import LoadedModel
from effnet_lab.models.weights import embedded_models, load_model, save_model

__all__ = ["BASELINES", "LoadedModel", "build_baseline", "build_model", "embedded_models", "load_model", "save_model"]
