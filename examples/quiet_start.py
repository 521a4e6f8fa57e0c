"""Imports TensorFlow without its start-up chatter; import this before anything else.

TensorFlow writes some lines to the standard error before it reads its own log level. They are
held back while it is imported, and everything but those known lines is passed on.
"""

import os
import re
import sys
import tempfile

_CHATTER = re.compile(
    r"^(WARNING: All log messages before absl::InitializeLog|[IW]0000 00:00:|"
    r"To enable the following instructions)"
)


def import_tensorflow():
    """Imports TensorFlow; what it says beyond the usual chatter still reaches stderr."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    shown = os.dup(2)
    with tempfile.TemporaryFile(mode="w+") as held:
        os.dup2(held.fileno(), 2)
        try:
            import tensorflow  # noqa: F401
        finally:
            sys.stderr.flush()
            os.dup2(shown, 2)
            os.close(shown)
            held.seek(0)
            sys.stderr.writelines(line for line in held if not _CHATTER.match(line))


import_tensorflow()
