"""full_precision: what rounds coarsely is switched off within, and back on behind it."""

import keras
import pytest

from keras_cascade.surgery.full_precision import full_precision


def _tensorflow():
    import tensorflow as tf

    return tf.config.experimental.tensor_float_32_execution_enabled()


def _jax():
    import jax

    return jax.config.jax_default_matmul_precision != "highest"


def _torch():
    import torch

    return torch.backends.cudnn.allow_tf32


COARSE = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}


def test_tf32_is_off_within_and_as_before_behind():
    coarse = COARSE[keras.backend.backend()]
    before = coarse()
    assert before  # the default of all three
    with full_precision():
        assert not coarse()
    assert coarse() == before
    with pytest.raises(KeyError), full_precision():
        raise KeyError
    assert coarse() == before
