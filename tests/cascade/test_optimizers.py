"""Saliency is the same whatever the optimizer does to gradients, and in any precision."""

import keras
import networks
import numpy as np
import pytest
from marks import slow

import keras_cascade as kc

STEPS = 6
SGD = keras.optimizers.SGD


@pytest.fixture
def policy(request):
    keras.config.set_dtype_policy(request.param)
    yield request.param
    keras.config.set_dtype_policy("float32")


def saliencies(optimizer, jit_compile=False):
    """Every level's saliency after some steps: dict from level to a float array."""
    keras.utils.set_random_seed(7)
    cascade = kc.CascadeDistiller(
        networks.small_convnet(regularizer="l2"), (0.3, 0.6), min_channels=1, momentum=0.5
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    cascade.compile(optimizer, loss, jit_compile=jit_compile)
    x, y = networks.examples_for(cascade._base, 8 * STEPS)
    cascade.fit(x, y, batch_size=8, shuffle=False, verbose=0)
    return {
        name: np.concatenate(list(cascade.saliency(name).values())) for name in ("ta1", "student")
    }


@pytest.fixture(scope="module")
def plain():
    return saliencies(SGD(0.05))


def assert_close(found, expected, tolerance):
    for name, values in expected.items():
        assert values.max() > 0
        np.testing.assert_allclose(found[name], values, atol=tolerance * values.max(), rtol=0)


@pytest.mark.parametrize(
    "optimizer",
    [
        *slow(lambda: SGD(0.05, clipnorm=1e3)),
        lambda: SGD(0.05, global_clipnorm=1e3),
        *slow(lambda: SGD(0.05, clipvalue=1e3)),
        *slow(lambda: SGD(0.05, weight_decay=1e-7)),
        *slow(lambda: SGD(0.05, loss_scale_factor=1024.0)),
        lambda: keras.optimizers.LossScaleOptimizer(SGD(0.05), dynamic_growth_steps=2),
    ],
    ids=["clipnorm", "global_clipnorm", "clipvalue", "decay", "loss_scale", "growing_scale"],
)
def test_what_leaves_weights_alone_leaves_saliency_alone(plain, optimizer):
    assert_close(saliencies(optimizer()), plain, 1e-5)


@pytest.mark.parametrize(
    "setting", ["global_clipnorm", "weight_decay", *slow("clipnorm", "clipvalue")]
)
def test_probes_are_neither_clipped_nor_decayed(plain, setting):
    """At rate 0 the weights stay, so that only the probes could show what was done to them."""
    expected = saliencies(SGD(0.0))
    assert_close(saliencies(SGD(0.0, **{setting: 1e-4})), expected, 1e-6)


@pytest.mark.only_on("tensorflow", "jax", reason="jit_compile=True is no XLA on PyTorch")
def test_compiled_by_xla(plain):
    assert_close(saliencies(SGD(0.05), jit_compile=True), plain, 1e-5)


@pytest.mark.parametrize(
    ("policy", "tolerance"),
    [("mixed_float16", 0.01), ("mixed_bfloat16", 0.05)],
    indirect=["policy"],
)
def test_mixed_precision(plain, policy, tolerance):
    assert_close(saliencies(SGD(0.05)), plain, tolerance)


@pytest.mark.parametrize("policy", ["mixed_float16"], indirect=True)
def test_steps_without_gradient_are_no_evidence(policy):
    """A scale that overflows is halved until it fits; only then saliency begins."""
    optimizer = keras.optimizers.LossScaleOptimizer(SGD(0.0), initial_scale=2.0**40)
    for values in saliencies(optimizer).values():
        assert (values == 0.0).all()
