"""TensorFlow without its greeting: it writes to stderr before it reads its log level, and again when it looks for a GPU."""

from effnet_lab.quiet import quiet

with quiet():
    import tensorflow

    tensorflow.config.list_physical_devices()
