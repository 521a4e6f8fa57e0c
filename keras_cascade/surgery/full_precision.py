"""full_precision: float32 as float32, on accelerators too."""

import contextlib
from collections.abc import Iterator

import keras


@contextlib.contextmanager
def full_precision() -> Iterator[None]:
    """Within it float32 is not multiplied as TF32, as newer GPUs do by default.

    TF32 has 10 bits of mantissa, and kernels of different numbers of channels round differently:
    two computations that are equal would seem to differ.
    """
    with _CONTEXTS[keras.backend.backend()]():
        yield


@contextlib.contextmanager
def _on_tensorflow():
    import tensorflow as tf

    was = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(was)


def _on_jax():
    import jax

    return jax.default_matmul_precision("highest")


@contextlib.contextmanager
def _on_torch():
    import torch

    switches = (torch.backends.cuda.matmul, torch.backends.cudnn)
    was = [switch.allow_tf32 for switch in switches]
    for switch in switches:
        switch.allow_tf32 = False
    try:
        yield
    finally:
        for switch, allowed in zip(switches, was, strict=True):
            switch.allow_tf32 = allowed


_CONTEXTS = {"tensorflow": _on_tensorflow, "jax": _on_jax, "torch": _on_torch}
