"""Fixtures that every test has: fixed seeds, and the models the invariants run over."""

import functools

import keras
import networks
import numpy as np
import pytest


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


@pytest.fixture(params=networks.ARCHITECTURES)
def fresh_architecture(request):
    """As `architecture`, for a test that changes the weights."""
    return networks.build(request.param)


@functools.cache
def _built_once(name):
    return networks.build(name)
