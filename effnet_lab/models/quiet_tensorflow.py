"""TensorFlow without its greeting: it writes to stderr before it reads its log level, and again when it looks for a GPU.

Whatever may be the first to need TensorFlow or Keras takes them from here.
"""

from effnet_lab.quiet import quiet

with quiet():
    import tensorflow as tf
    import tf_keras

    tf.config.list_physical_devices()

__all__ = ["tf", "tf_keras"]
