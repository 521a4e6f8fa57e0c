"""Fixtures that every test has: fixed seeds, and the models the invariants run over."""

import functools
import gc

import keras
import networks
import numpy as np
import pytest
import tensorflow as tf

# Replicas to try distribution on; TensorFlow takes no others once it runs.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 4
)


def pytest_collection_finish(session):
    """Spares the garbage collector what the imports made.

    Every `clear_session` collects, and TensorFlow's half a million objects took it longer than
    most tests.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _seeded():
    keras.utils.set_random_seed(7)
    yield
    keras.backend.clear_session()


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.fixture(params=networks.ARCHITECTURES)
def architecture(request):
    """One model of every architecture the invariants must hold on; not to be trained."""
    return _built_once(request.param)


@pytest.fixture(
    params=[
        *networks.ARCHITECTURES,
        *(pytest.param(name, marks=pytest.mark.slow) for name in networks.DEEP),
    ]
)
def architecture_or_deep(request):
    """As `architecture`, and the deep networks too."""
    return _built_once(request.param)


@functools.cache
def _built_once(name):
    return networks.build(name)
