"""The console script `keras-cascade`, and how TensorFlow is kept quiet at its start.

It stands outside the package because importing anything of that imports TensorFlow. Some of its C++
parts write to the standard error before, or without, reading any log level. Their known lines
are held back; everything else is passed on.
"""

import contextlib
import faulthandler
import importlib.util
import logging
import os
import re
import sys
import tempfile

_CHATTER = re.compile(
    r"^(WARNING: All log messages before absl::InitializeLog|[EIW]0000 00:00:|"
    r"To enable the following instructions|INFO: Created TensorFlow Lite)"
)


@contextlib.contextmanager
def quiet_stderr():
    """Holds back known chatter on the standard error, whoever in this process writes it.

    Where the process dies, what is held dies with it; a traceback of Python is shown even then.
    """
    sys.stderr.flush()
    shown = os.dup(2)
    shows_death = not faulthandler.is_enabled()
    if shows_death:
        faulthandler.enable(shown)
    with tempfile.TemporaryFile(mode="w+") as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(shown, 2)
            if shows_death:
                faulthandler.disable()
            os.close(shown)
            held.seek(0)
            sys.stderr.writelines(line for line in held if not _CHATTER.match(line))


def leave_gpus_to_keras():
    """Hides GPUs from TensorFlow where Keras runs on another backend.

    There TensorFlow reads data and writes files, and would take a GPU's memory for itself as soon
    as it ran anything. It is imported here, and must not have run before.
    """
    import keras

    if keras.backend.backend() != "tensorflow" and importlib.util.find_spec("tensorflow"):
        with quiet_stderr():
            import tensorflow as tf
        tf.config.set_visible_devices([], "GPU")


def run():
    """Runs the command line."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with quiet_stderr():
        from keras_cascade.cli import commands
    logging.getLogger("tensorflow").setLevel("ERROR")
    commands.run(sys.argv)
