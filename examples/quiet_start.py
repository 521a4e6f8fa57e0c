"""Imports TensorFlow without its start-up chatter; import this before anything else."""

import os

from keras_cascade_command import quiet_stderr

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
with quiet_stderr():
    import tensorflow as tf
tf.get_logger().setLevel("ERROR")
