"""One step of a cascade: losses equal NumPy, saliency equals finite differences."""

import keras
import networks
import numpy as np
import pytest
from marks import slow_case

import keras_cascade as kc

LEVELS = (0.2, 0.4, 0.6)
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def _log_softmax(z):
    z = z - z.max(-1, keepdims=True)
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


def _cascade(rng, model=None, learning_rate=0.0, eager=False, **arguments):
    model = model or networks.small_convnet(normalised=False)
    cascade = kc.CascadeDistiller(model, LEVELS, min_channels=1, momentum=0.0, **arguments)
    cascade.compile(keras.optimizers.SGD(learning_rate), LOSS, jit_compile=False, run_eagerly=eager)
    for level, share in enumerate((0.9, 0.7, 0.5), 1):
        masks = {g.name: rng.random(g.size) < share for g in cascade.graph.prunable_groups}
        for chosen in masks.values():
            chosen[0] = True
        cascade.set_masks(level, masks)
    return cascade


def _outputs(cascade, level, x):
    outputs = cascade.extract(level)(x, training=False)
    return keras.ops.convert_to_numpy(outputs).astype("float64")


def _numpy_losses(outputs, y, guides, alpha, temperature, weight):
    """Per level (loss, kl): written out from DESIGN's formula."""
    losses = []
    for k, z in enumerate(outputs):
        labels = (weight * -_log_softmax(z)[np.arange(len(y)), y]).sum() / len(y)
        if not guides[k]:
            losses.append((labels, None))
            continue
        q = _log_softmax(z / temperature)
        divergences = []
        for j in guides[k]:
            p = _log_softmax(outputs[j] / temperature)
            each = temperature**2 * (np.exp(p) * (p - q)).sum(-1)
            divergences.append((weight * each).sum() / len(y))
        kl = np.mean(divergences)
        losses.append(((1 - alpha) * labels + alpha * kl, kl))
    return losses


@pytest.mark.parametrize(
    ("guidance", "guides"),
    [
        ("cascade", [[], [0], [1], [2]]),
        ("dense", [[], [0], [0, 1], [0, 1, 2]]),
        slow_case("teacher", [[], [0], [0], [0]]),
    ],
)
@pytest.mark.parametrize("weighted", [False, True])
def test_losses_equal_numpy(rng, guidance, guides, weighted):
    model = networks.small_convnet(keras.regularizers.L2(0.1), normalised=False)
    # A single step is cheaper eager than traced; one guidance is traced, as users train.
    eager = guidance != "cascade"
    cascade = _cascade(rng, model, eager=eager, guidance=guidance, alpha=0.3, temperature=2.5)
    x, y = networks.examples_for(model, 12)
    weight = rng.random(12).astype("float32") if weighted else np.ones(12, "float32")
    outputs = [_outputs(cascade, k, x) for k in range(4)]
    expected = _numpy_losses(outputs, y, guides, 0.3, 2.5, weight)
    logs = cascade.fit(x, y, sample_weight=weight, batch_size=12, verbose=0).history
    for name, (loss, kl) in zip(cascade.level_names, expected, strict=True):
        assert logs[f"{name}_loss"][0] == pytest.approx(loss, rel=1e-4)
        if kl is not None:
            assert logs[f"{name}_kl"][0] == pytest.approx(kl, rel=1e-4)
    regularisation = 0.1 * (model.get_layer("stem").kernel.numpy() ** 2).sum()
    total = sum(loss for loss, _ in expected) + regularisation
    assert logs["loss"][0] == pytest.approx(total, rel=1e-4)
    assert regularisation > 0.01 * total


def test_saliency_is_the_loss_gradient_of_each_gate(rng):
    """Central differences of L_k alone in each gate of level k, kept or removed."""
    cascade = _cascade(rng)
    x, y = networks.examples_for(networks.small_convnet(), 8)
    cascade.fit(x, y, batch_size=8, verbose=0)

    def loss_of(name):
        cascade.reset_metrics()
        return cascade.test_on_batch(x, y, return_dict=True)[f"{name}_loss"]

    units = np.concatenate(
        [np.arange(g.size) + g.first_unit for g in cascade.graph.prunable_groups]
    )
    for gates, name in zip(cascade._gates, cascade.level_names[1:], strict=True):
        saliency, mask = gates.current_saliency(1.0), gates.mask.numpy()
        step, measured = 1e-2, np.zeros(len(mask))
        for unit in units:
            ends = []
            for sign in (1, -1):
                moved = mask.copy()
                moved[unit] += sign * step
                gates.mask.assign(moved)
                ends.append(loss_of(name))
            measured[unit] = (ends[0] - ends[1]) / (2 * step)
        gates.mask.assign(mask)
        largest = np.abs(measured).max()
        assert largest > 1e-3
        np.testing.assert_allclose(
            np.sqrt(saliency[units]),
            np.abs(measured[units]),
            rtol=1e-2,
            atol=1e-2 * largest,
            err_msg=name,
        )


def test_weights_of_levels_count_in_the_sum_and_not_in_saliency():
    (one, x, y), (other, _, _) = _with_examples(), _with_examples()
    other.set_weights(one.get_weights())
    plain, weighted = (
        _cascade(np.random.default_rng(1), model, eager=True, level_weights=weights)
        for model, weights in ((one, None), (other, (0.0, 3.0, 0.5, 2.0)))
    )
    for cascade in (plain, weighted):
        cascade.logs = cascade.fit(x, y, batch_size=12, verbose=0).history
    names = plain.level_names
    for name in names:
        assert weighted.logs[f"{name}_loss"] == pytest.approx(plain.logs[f"{name}_loss"], rel=1e-6)
    parts = [plain.logs[f"{name}_loss"][0] for name in names]
    assert weighted.logs["loss"][0] == pytest.approx(np.dot(parts, (0.0, 3.0, 0.5, 2.0)), rel=1e-5)
    for name in names[1:]:
        for group, saliency in plain.saliency(name).items():
            found = weighted.saliency(name)[group]
            np.testing.assert_allclose(found, saliency, atol=1e-4 * saliency.max())


def test_without_the_teachers_loss_the_levels_alone_are_learned_from():
    """One level and the labels alone: the shared kernels move as by the masked model's own loss."""
    model, x, y = _with_examples()
    start = [value.copy() for value in model.get_weights()]
    cascade = kc.CascadeDistiller(
        model, (0.5,), min_channels=1, alpha=0.0, level_weights=(0.0, 1.0)
    )
    cascade.set_masks("student", {"inner": np.arange(8) % 2 == 0})
    cascade.compile(keras.optimizers.SGD(0.1), LOSS, jit_compile=False)
    cascade.fit(x, y, batch_size=12, verbose=0)
    alone, _, _ = _with_examples()
    alone.set_weights(start)
    view = kc.masked_view(alone, {"inner": np.arange(8) % 2 == 0})
    view.compile(keras.optimizers.SGD(0.1), LOSS, jit_compile=False)
    view.fit(x, y, batch_size=12, verbose=0)
    for one, other in zip(model.get_weights(), alone.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    assert np.abs(model.get_weights()[0] - start[0]).max() > 1e-4


def _with_examples():
    model = networks.small_convnet(normalised=False)
    return model, *networks.examples_for(model, 12)


def test_saliency_is_a_moving_average_of_squares(rng):
    model = networks.small_convnet(normalised=False)
    cascade = kc.CascadeDistiller(model, LEVELS, min_channels=1, momentum=0.9)
    cascade.compile(keras.optimizers.SGD(0.0), LOSS, jit_compile=False)
    x, y = networks.examples_for(model, 8)
    cascade.fit(x, y, batch_size=8, epochs=1, verbose=0)
    once = cascade._gates[2].current_saliency(1.0)
    cascade.fit(x, y, batch_size=8, epochs=2, verbose=0)
    np.testing.assert_allclose(
        cascade._gates[2].current_saliency(1.0), once * (1 + 0.9 + 0.81), rtol=1e-4
    )


def test_examples_of_weight_zero_change_nothing(rng):
    x, y = networks.examples_for(networks.small_convnet(normalised=False), 12)
    weight = np.where(np.arange(12) < 8, 1.0, 0.0).astype("float32")
    results = []
    for other in (0.0, 5.0):
        keras.utils.set_random_seed(1)
        x_now = np.where(weight[:, None, None, None] > 0, x, x * 0 + other)
        cascade = _cascade(np.random.default_rng(2), learning_rate=0.1, eager=True)
        logs = cascade.fit(
            x_now, y, sample_weight=weight, batch_size=12, epochs=3, verbose=0
        ).history
        weights = [v.numpy() for v in cascade.weights]
        results.append((logs, weights))
    assert results[0][0] == results[1][0]
    for one, other in zip(results[0][1], results[1][1], strict=True):
        np.testing.assert_array_equal(one, other)


def test_class_weight_is_sample_weight(rng):
    x, y = networks.examples_for(networks.small_convnet(), 12)
    of_class = {0: 1.0, 1: 0.5, 2: 2.0, 3: 0.0}
    logs = []
    for arguments in (
        {"class_weight": of_class},
        {"sample_weight": np.array([of_class[label] for label in y], "float32")},
    ):
        keras.utils.set_random_seed(1)
        cascade = _cascade(np.random.default_rng(2), eager=True)
        logs.append(cascade.fit(x, y, batch_size=12, verbose=0, **arguments).history)
    for name in logs[0]:
        np.testing.assert_allclose(logs[0][name], logs[1][name], rtol=1e-6)


def test_gates_are_not_decayed_or_clipped(rng):
    model = networks.small_convnet(normalised=False)
    x, y = networks.examples_for(model, 8)
    probes = []
    for arguments in ({}, {"weight_decay": 0.5, "global_clipnorm": 1e-4}):
        cascade = kc.CascadeDistiller(model, (0.5,), min_channels=1, momentum=0.0)
        cascade.compile(keras.optimizers.SGD(0.0, **arguments), LOSS, jit_compile=False)
        cascade.fit(x, y, batch_size=8, verbose=0)
        probes.append(cascade._gates[0].probe.numpy())
    assert np.abs(probes[0]).max() > 1e-4
    atol = 1e-6 * np.abs(probes[0]).max()
    np.testing.assert_allclose(probes[0], probes[1], rtol=1e-5, atol=atol)


@pytest.fixture(params=["float64", slow_case("bfloat16")])
def floatx(request):
    before = keras.config.floatx()
    keras.config.set_floatx(request.param)
    yield request.param
    keras.config.set_floatx(before)


@pytest.mark.parametrize("of", ["cascade", "distiller"])
def test_numbers_of_another_width_throughout(of, floatx, rng):
    model = networks.small_convnet(normalised=False)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    if of == "cascade":
        trainer = kc.CascadeDistiller(model, (0.3,), min_channels=1)
    else:
        trainer = kc.Distiller(model, networks.small_convnet())
    trainer.compile(keras.optimizers.SGD(0.01), loss, run_eagerly=True)
    x, y = networks.examples_for(model, 8)
    callbacks = [kc.CascadeCallback(end=3, frequency=1)] if of == "cascade" else []
    logs = trainer.fit(x, y, batch_size=2, verbose=0, callbacks=callbacks).history
    assert np.isfinite([float(value) for value in logs["loss"]]).all()
    student = trainer.extract() if of == "cascade" else model
    assert {variable.dtype for variable in student.trainable_variables} == {floatx}


def test_another_distillation_object_stands_in(rng):
    class SquaredDifference:
        def compute_loss(self, teacher_outputs, student_outputs, **kwargs):
            return keras.ops.mean(keras.ops.square(teacher_outputs - student_outputs))

    cascade = _cascade(rng, distillation=SquaredDifference())
    x, y = networks.examples_for(cascade._base, 8)
    outputs = [_outputs(cascade, k, x) for k in range(4)]
    logs = cascade.fit(x, y, batch_size=8, verbose=0).history
    expected = np.mean((outputs[2] - outputs[3]) ** 2)
    assert logs["student_kl"][0] == pytest.approx(expected, rel=1e-4)


def test_every_level_is_computed_once_a_step(rng):
    model = networks.small_convnet(normalised=False)
    cascade = _cascade(rng, model, eager=True)
    computed, convolve = [], model.layers[1].call
    model.layers[1].call = lambda *args, **kwargs: computed.append(1) or convolve(*args, **kwargs)
    x, y = networks.examples_for(model, 24)
    cascade.fit(x[:8], y[:8], batch_size=8, verbose=0)
    computed.clear()  # JAX has tried the model out before its first step
    cascade.fit(x, y, batch_size=8, verbose=0)
    steps, levels = 3, len(LEVELS) + 1
    assert len(computed) == steps * levels
