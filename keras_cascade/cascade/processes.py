"""What one process knows of the others that it trains with; see docs/machines.md.

Only JAX trains in several processes. Its arrays are global there: a step gives every process the
same values, so that losses, saliency and masks need no care. Files do.
"""

import hashlib

import keras
import numpy as np


def count():
    """How many processes train together: an int."""
    return _jax().process_count() if keras.backend.backend() == "jax" else 1


def is_first():
    """Whether this is the one process that writes files."""
    return count() == 1 or _jax().process_index() == 0


def wait_for_all(place):
    """Returns when all processes have called it.

    Args:
        place: a name for the place in the code, the same in all of them.
    """
    check_alike(place, f"The processes do not all wait for '{place}'.")


def check_alike(text, message):
    """Raises where the processes do not all have the same text; all of them must call it.

    Args:
        text: str.
        message: of the error.

    Raises:
        ValueError: with that message, in every process.
    """
    if count() == 1:
        return
    from jax.experimental import multihost_utils

    digest = np.frombuffer(hashlib.sha256(text.encode()).digest(), "int32")
    found = multihost_utils.process_allgather(digest)
    if not (found == digest).all():
        raise ValueError(message)


def _jax():
    import jax

    return jax
