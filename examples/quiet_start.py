"""Imports TensorFlow, where it is installed, without its chatter; import this before all else.

Where Keras runs on another backend, the GPUs are left to that one.
"""

import importlib.util
import os

from keras_cascade_command import leave_gpus_to_keras, quiet_stderr

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if importlib.util.find_spec("tensorflow"):
    with quiet_stderr():
        import tensorflow as tf

        leave_gpus_to_keras()
    tf.get_logger().setLevel("ERROR")
