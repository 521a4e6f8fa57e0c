"""Imports TensorFlow without its start-up chatter; import this before anything else.

Some C++ parts write to the standard error before, or without, reading any log level. Their known
lines are held back; everything else is passed on.
"""

import contextlib
import os
import re
import sys
import tempfile

_CHATTER = re.compile(
    r"^(WARNING: All log messages before absl::InitializeLog|[IW]0000 00:00:|"
    r"To enable the following instructions|INFO: Created TensorFlow Lite)"
)


@contextlib.contextmanager
def quiet_stderr():
    """Holds back known chatter on the standard error, whoever in this process writes it."""
    sys.stderr.flush()
    shown = os.dup(2)
    with tempfile.TemporaryFile(mode="w+") as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(shown, 2)
            os.close(shown)
            held.seek(0)
            sys.stderr.writelines(line for line in held if not _CHATTER.match(line))


os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
with quiet_stderr():
    import tensorflow as tf
tf.get_logger().setLevel("ERROR")
