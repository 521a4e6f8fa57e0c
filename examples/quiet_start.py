"""Imports TensorFlow, where it is installed, without its chatter; import this before all else."""

import importlib.util
import os

from keras_cascade_command import quiet_stderr

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if importlib.util.find_spec("tensorflow"):
    with quiet_stderr():
        import tensorflow as tf
    tf.get_logger().setLevel("ERROR")
