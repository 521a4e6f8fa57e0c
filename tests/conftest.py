"""Fixtures that every test has: fixed seeds, and the models the invariants run over."""

import functools
import gc

import keras
import networks
import numpy as np
import pytest
from marks import slow_but

BACKEND = keras.backend.backend()
if BACKEND == "tensorflow":
    import tensorflow as tf

    # Replicas to try distribution on; TensorFlow takes no others once it runs.
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 4
    )
    from keras.src.trainers.data_adapters.array_data_adapter import ArrayDataAdapter

    from keras_cascade.data.autotune import untuned

    # Every pass over arrays would end by waiting for tf.data's tuner: a sixth of some files' time.
    tuned = ArrayDataAdapter.get_tf_dataset
    ArrayDataAdapter.get_tf_dataset = lambda adapter: untuned(tuned(adapter))


NO_CHANNELS_FIRST = "TensorFlow convolves with channels first on a CPU only where oneDNN is on"


def pytest_collection_modifyitems(items):
    """Skips the tests that cannot run here, each with the reason."""
    for item in items:
        if item.get_closest_marker("channels_first") and not networks.can_have_channels_first():
            item.add_marker(pytest.mark.skip(reason=NO_CHANNELS_FIRST))
        for marker in item.iter_markers("only_on"):
            if BACKEND not in marker.args:
                reason = f"only on {', '.join(marker.args)}: {marker.kwargs['reason']}"
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(autouse=True)
def _seeded():
    keras.utils.set_random_seed(7)
    yield
    keras.backend.clear_session()  # collects garbage
    # Spares the next collection what is left. To go through TensorFlow's half a million objects,
    # and what modules and fixtures keep, took longer than most tests.
    gc.freeze()


@pytest.fixture
def rng():
    return np.random.default_rng(7)


# How a model is cut depends little on the backend: on the others two stand for all.
OFTEN = networks.ARCHITECTURES if BACKEND == "tensorflow" else ["vgg16", "resnet20"]


@pytest.fixture(params=slow_but(OFTEN, networks.ARCHITECTURES))
def architecture(request):
    """One model of every architecture the invariants must hold on; not to be trained."""
    return _built_once(request.param)


@pytest.fixture(params=slow_but(OFTEN, [*networks.ARCHITECTURES, *networks.DEEP]))
def architecture_or_deep(request):
    """As `architecture`, and the deep networks too."""
    return _built_once(request.param)


@functools.cache
def _built_once(name):
    return networks.build(name)
