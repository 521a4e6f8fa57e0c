"""Imports TensorFlow, where it is installed, without its chatter; import this before all else."""

import importlib.util

from keras_cascade_command import quiet_stderr, set_up_tensorflow

set_up_tensorflow()
if importlib.util.find_spec("tensorflow"):
    with quiet_stderr():
        import tensorflow as tf
    tf.get_logger().setLevel("ERROR")
