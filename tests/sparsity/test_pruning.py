"""prune_weights: the zeros are there, the rest of the model is as it was, the teacher teaches."""

import keras
import networks
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from keras import layers
from marks import slow

import keras_cascade as kc
from keras_cascade.sparsity import prunable_weights


def _prune(model, sparsity=0.75, examples=24, **kwargs):
    """Pruned in a run of three steps."""
    kwargs.setdefault("data", networks.examples_for(model, examples))
    return kc.prune_weights(model, sparsity, batch_size=kwargs.pop("batch_size", 8), **kwargs)


def _shares(model):
    """Share of zeros in every weight with two dimensions or more, by its path."""
    return {
        variable.path: float(np.mean(variable.numpy() == 0.0))
        for variable in model.weights
        if len(variable.shape) > 1
    }


def _assert_zeros(model, sparsity, paths=None):
    shares = _shares(model)
    sizes = {variable.path: variable.numpy().size for variable in model.weights}
    for path in paths or shares:
        assert abs(shares[path] - sparsity) <= max(0.005, 1 / sizes[path]), path


@pytest.mark.parametrize("with_teacher", [*slow(False), True])
def test_every_kernel_gets_its_zeros_in_a_run_of_three_steps(with_teacher):
    model = networks.small_convnet(regularizer="l2")
    before = model.get_weights()
    teacher = networks.small_convnet(normalised=False) if with_teacher else None
    sparse = _prune(model, 0.8, teacher=teacher, verbose=0)
    _assert_zeros(sparse, 0.8)
    for value, old in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(value, old)
    assert [layer.get_config() for layer in sparse.layers] == [
        layer.get_config() for layer in model.layers
    ]
    moved = [np.any(a != b) for a, b in zip(sparse.get_weights(), before, strict=True)]
    assert all(moved)  # biases and moving statistics came back too


def test_depthwise_kernels_and_kept_layers_stay_dense():
    model = networks.build("MobileNetV2")
    kinds = (layers.Conv2D, layers.Dense)
    sizes = {
        layer.name: layer.get_weights()[0].size for layer in model.layers if type(layer) in kinds
    }
    kept = next(iter(sizes))
    del sizes[kept]
    assert prunable_weights(model, keep=[kept]) == sizes
    shares = _shares(_prune(_dense_model(), keep=["hidden"], verbose=0))
    assert shares["hidden/kernel"] == 0.0 and shares["logits/kernel"] > 0.7


def _sequence_model():
    """Masked positions, recurrent and attention layers, and a layer that is called twice."""
    inputs = keras.Input((6,), dtype="int32")
    x = layers.Embedding(20, 8, mask_zero=True, name="words")(inputs)
    shared = layers.Dense(8, name="shared")
    x = shared(shared(x))
    x = layers.MultiHeadAttention(2, 4, name="heads")(x, x)
    x = layers.SeparableConv1D(8, 3, name="separable")(x)
    x = layers.LSTM(4, name="lstm")(x)
    return networks.unsettled(keras.Model(inputs, layers.Dense(4, name="logits")(x)))


def test_layers_of_several_weights_and_shared_ones_are_pruned(rng):
    model = _sequence_model()
    data = rng.integers(0, 20, (24, 6)), rng.integers(0, 4, 24)
    sparse = _prune(model, data=data, verbose=0)
    dense = {"separable/depthwise_kernel", "heads/query/bias", "heads/key/bias", "heads/value/bias"}
    assert dense < set(_shares(sparse))
    _assert_zeros(sparse, 0.75, set(_shares(sparse)) - dense)
    assert all(_shares(sparse)[path] < 0.3 for path in dense)


def test_the_wrapped_model_computes_what_the_model_does(rng):
    """TF-MOT's wrappers lose masks, and the value of an attention layer, if left to themselves."""
    from keras_cascade.sparsity import pruning
    from keras_cascade.sparsity.bridge import Bridge
    from keras_cascade.sparsity.zeros import Pattern

    bridge = Bridge(_sequence_model())
    wrapped = bridge.assemble(pruning._wrapped(bridge, Pattern(0.5), [(1, 1.0)], ()))
    assert sum("prune_low_magnitude" in layer.name for layer in wrapped.layers) == 6
    ids = rng.integers(0, 20, (3, 6)) * np.array([1, 1, 1, 1, 0, 0])
    np.testing.assert_array_equal(wrapped(ids), bridge.model(ids))


def _sparsities(schedule, steps):
    """Steps, counted from 1, at which a schedule updates masks, and the sparsity then."""
    found = {step: schedule(tf.constant(step, "int64")) for step in range(1, steps + 1)}
    return {step: round(float(now), 6) for step, (updates, now) in found.items() if updates}


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        ({"steps_per_epoch": 3}, {1: 0.875, 2: 1.0}),
        ({"steps_per_epoch": 1}, {1: 1.0}),
        ({"begin": 2, "end": 9, "frequency": 3}, {5: 0.813411, 8: 0.997085, 9: 1.0}),
        ({"end": 4, "schedule": kc.ConstantSchedule()}, {1: 1.0, 2: 1.0, 3: 1.0, 4: 1.0}),
        ({"end": 4, "schedule": kc.PolynomialSchedule(1)}, {1: 0.25, 2: 0.5, 3: 0.75, 4: 1.0}),
    ],
)
def test_masks_are_updated_at_the_steps_of_the_schedule(window, expected):
    from keras_cascade.sparsity import steps, training

    options = {"batch_size": 2, "steps_per_epoch": None, "begin": 0.0, "end": 0.6}
    options |= {"frequency": None, "schedule": None, **window}
    planned = steps.updates((np.zeros((20, 1)), np.zeros(20)), 1, **options)
    schedule = training.StepSchedule(*zip(*planned, strict=True))
    assert _sparsities(schedule, 12) == expected


def test_a_long_run_has_about_fifty_updates():
    from keras_cascade.sparsity import steps

    data = (np.zeros((999, 1)), np.zeros(999))
    planned = steps.updates(data, 5, 8, None, begin=0.1, end=0.9, frequency=None, schedule=None)
    assert 50 <= len(planned) <= 53
    assert planned[0][0] > 62 and planned[-1] == (562, 1.0)  # of 625 steps


def test_a_schedule_of_tfmot_is_used_as_it_is():
    from tensorflow_model_optimization.sparsity import keras as sparsity

    model = _dense_model()
    constant = sparsity.ConstantSparsity(0.5, begin_step=1, frequency=1)
    _assert_zeros(_prune(model, 0.5, schedule=constant, verbose=0), 0.5)
    with pytest.raises(RuntimeError, match="'hidden' has .* instead of 80.00%"):
        _prune(model, 0.8, schedule=constant, verbose=0)


def _dense_model(size=12, activation="relu"):
    inputs = keras.Input((size,))
    x = layers.Dense(size, activation, name="hidden")(inputs)
    return networks.unsettled(keras.Model(inputs, layers.Dense(4, name="logits")(x)))


def test_zeros_come_in_blocks():
    sparse = _prune(_dense_model(), 0.75, block_size=(2, 2), verbose=0)
    kernel = sparse.get_layer("hidden").get_weights()[0]
    blocks = kernel.reshape(6, 2, 6, 2).swapaxes(1, 2).reshape(36, 4)
    assert np.sum(~blocks.any(axis=-1)) == 27
    uneven = _prune(_dense_model(11), 0.5, block_size=(4, 3), verbose=0)
    assert np.mean(uneven.get_layer("hidden").get_weights()[0] == 0.0) > 0.4


@pytest.mark.parametrize("convolution", [False, True])
def test_two_of_four_weights_along_the_input_channels_are_zero(convolution):
    model = networks.small_convnet() if convolution else _dense_model()
    sparse = _prune(model, 0.5, two_by_four=True, keep=["stem"] if convolution else [], verbose=0)
    kernel = sparse.get_layer("outer" if convolution else "hidden").get_weights()[0]
    groups = np.moveaxis(kernel, -2, -1).reshape(-1, 4)
    assert (np.count_nonzero(groups, axis=-1) == 2).all()


def _numpy_loss(model, teacher, x, y, weights, alpha, temperature, probabilities):
    def log_softmax(values):
        values = values - values.max(-1, keepdims=True)
        return values - np.log(np.exp(values).sum(-1, keepdims=True))

    outputs = [np.asarray(one(x, training=False), "float64") for one in (model, teacher)]
    logits = [np.log(value) for value in outputs] if probabilities else outputs
    labels = -log_softmax(logits[0])[np.arange(len(y)), y]
    student, guide = (log_softmax(value / temperature) for value in logits)
    divergence = temperature**2 * (np.exp(guide) * (guide - student)).sum(-1)
    penalty = 0.01 * np.sum(model.get_layer("stem").get_weights()[0] ** 2)
    return np.mean(weights * ((1 - alpha) * labels + alpha * divergence)) + penalty


@pytest.mark.parametrize("probabilities", [False, True])
def test_loss_under_a_teacher_is_the_formula(probabilities):
    from keras_cascade.sparsity import training
    from keras_cascade.sparsity.bridge import Bridge

    activation = "softmax" if probabilities else None
    model = networks.small_convnet(regularizer="l2", activation=activation)
    teacher = networks.unsettled(networks.small_convnet(activation=activation), seed=8)
    x, y = networks.examples_for(model, 8)
    weights = np.linspace(0.1, 2.0, 8)
    loss = training.default_loss(model)
    twin = Bridge(model).model
    taught = training.taught(twin, teacher, loss, temperature=3.0, alpha=0.7)
    taught.compile(optimizer="sgd", loss=training.in_tf_keras(loss), weighted_metrics=[])
    got = taught.evaluate(x, y, sample_weight=weights, verbose=0)
    expected = _numpy_loss(model, teacher, x, y, weights, 0.7, 3.0, probabilities)
    assert got == pytest.approx(expected, rel=1e-5)
    distiller = kc.Distiller(model, teacher, temperature=3.0, alpha=0.7)
    distiller.compile("sgd", loss)
    ours = distiller.evaluate(x, y, sample_weight=weights, verbose=0, return_dict=True)
    assert got == pytest.approx(ours["loss"], rel=1e-5)
    assert len(taught.trainable_weights) == len(model.trainable_weights)  # not the teacher's


def test_an_annealed_teacher_leaves_the_labels_the_last_word():
    """Over one epoch its weight is the mean of a line to 0: half."""
    model = _dense_model()
    teacher = networks.unsettled(_dense_model(), seed=8)
    data = tf.data.Dataset.from_tensor_slices(networks.examples_for(model, 24)).batch(8)
    common = {"data": data, "batch_size": None, "teacher": teacher, "verbose": 0}
    annealed, half, whole = (
        _prune(model, **common, **options)
        for options in ({"alpha": 0.8, "anneal_teacher": True}, {"alpha": 0.4}, {"alpha": 0.8})
    )
    for found, expected in zip(annealed.get_weights(), half.get_weights(), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    assert np.abs(annealed.get_weights()[0] - whole.get_weights()[0]).max() > 1e-4


def test_soft_targets_of_independent_outputs_are_those_of_keras_cascade(rng):
    from keras_cascade.sparsity.training import SoftTargets

    for from_logits in (False, True):
        teacher, student = rng.uniform(0.05, 0.95, (2, 6, 3)).astype("float32")
        ours = kc.SoftTargetLoss(2.0, from_logits=from_logits, binary=True)
        assert float(SoftTargets(2.0, from_logits, True)(teacher, student)) == pytest.approx(
            float(ours(teacher, student)), rel=1e-5
        )


def _unknown_length(data):
    def batches():
        for start in range(0, 24, 8):
            yield tuple(part[start : start + 8] for part in data)

    return batches


@pytest.mark.parametrize("kind", ["sample_weight", "dataset", "generator"])
def test_data_of_any_kind(kind):
    model = _dense_model()
    x, y = networks.examples_for(model, 24)
    options = {"verbose": 0, "validation_data": (x, y)}
    if kind == "sample_weight":
        options["data"] = (x, y, np.ones(24))
    elif kind == "dataset":
        options["data"] = tf.data.Dataset.from_tensor_slices((x, y)).batch(8)
        options["batch_size"] = None
    else:
        options |= {"data": _unknown_length((x, y))(), "steps_per_epoch": 3, "batch_size": None}
    _assert_zeros(_prune(model, **options), 0.75)


def test_optimizers_losses_and_metrics_of_keras_3_are_translated():
    from keras_cascade.sparsity.training import in_tf_keras

    schedule = keras.optimizers.schedules.CosineDecay(0.1, 10, alpha=0.2)
    optimizer = in_tf_keras(keras.optimizers.SGD(schedule, momentum=0.9, clipnorm=1.0))
    assert isinstance(optimizer, tf_keras.optimizers.SGD)
    assert (optimizer.momentum, optimizer.clipnorm) == (0.9, 1.0)
    config = optimizer.get_config()["learning_rate"]["config"]
    assert config["decay_steps"] == 10 and config["alpha"] == 0.2
    translated = in_tf_keras(
        {
            "a": keras.losses.CategoricalCrossentropy(label_smoothing=0.1),
            "b": keras.losses.mean_squared_error,
            "c": [keras.metrics.TopKCategoricalAccuracy(k=2), "accuracy"],
        }
    )
    assert translated["a"].get_config()["label_smoothing"] == 0.1
    assert isinstance(translated["a"], tf_keras.losses.Loss)
    assert translated["b"] == "mean_squared_error"
    assert isinstance(translated["c"][0], tf_keras.metrics.Metric)
    own = tf_keras.optimizers.Adam(0.01)
    assert in_tf_keras(own) is own
    with pytest.raises(ValueError, match="gradient_accumulation_steps=2"):
        in_tf_keras(keras.optimizers.Adam(gradient_accumulation_steps=2))


def test_a_step_is_traced_once():
    class Traced(tf_keras.metrics.Mean):
        times = 0

        def update_state(self, *args, **kwargs):
            Traced.times += 1
            return super().update_state(0.0)

    metrics = ["accuracy", Traced()]
    _prune(networks.small_convnet(), metrics=metrics)
    assert Traced.times == 1


def test_callbacks_of_tf_keras_run():
    seen = []
    callback = tf_keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(logs))
    _prune(_dense_model(), callbacks=[callback], metrics=["accuracy"], verbose=0)
    assert {"loss", "accuracy"} <= set(seen[0])


@pytest.mark.parametrize(
    ("activation", "message"),
    [("tanh", "The loss became nan"), ("relu", "The loss became nan|Weights of layer 'hidden'")],
)
def test_a_run_that_becomes_nan_gives_no_model(activation, message):
    """TensorFlow's relu may make zeros of NaN, as oneDNN does: then the loss does not show it."""
    model = _dense_model(activation=activation)
    x, y = networks.examples_for(model, 24)
    x[3] = np.nan
    with pytest.raises(kc.NonFiniteLossError, match=message):
        _prune(model, data=(x, y), verbose=0)


def test_weights_that_are_not_finite_are_found_without_the_loss():
    from keras_cascade.sparsity.training import check_finite

    layer = tf_keras.layers.Dense(2)
    layer.build((None, 3))
    check_finite({"hidden": layer})
    layer.set_weights([np.full((3, 2), np.inf), np.zeros(2)])
    with pytest.raises(kc.NonFiniteLossError, match="Weights of layer 'hidden'"):
        check_finite({"hidden": layer})


def test_data_that_fails_is_named_and_changes_nothing():
    model = _dense_model()
    before = model.get_weights()
    x, y = networks.examples_for(model, 24)
    message = r"after step 2: OSError: image 20 cannot be read\. .* prune_weights is unchanged"
    with pytest.raises(kc.DataError, match=message):
        kc.prune_weights(model, 0.5, data=networks.failing_batches(x, y, 20), verbose=0)
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def _in_probabilities():
    return networks.small_convnet(activation="softmax")


BAD = {
    "sparsity": ({"sparsity": 1.0}, ValueError, "sparsity must lie in"),
    "keep": ({"keep": ["steem"]}, ValueError, r"not there: \['steem'\].*'stem'"),
    "begin": ({"begin": 0.7}, ValueError, "begin must come before end"),
    "end": ({"end": 4}, ValueError, "ends at step 4, training already at step 3"),
    "no step": ({"begin": 0.0, "end": 0.1}, ValueError, "Train for more steps"),
    "frequency": ({"frequency": 0}, ValueError, "frequency must be"),
    "half": ({"two_by_four": True}, ValueError, "sparsity=0.5"),
    "both": (
        {"two_by_four": True, "sparsity": 0.5, "block_size": (1, 2)}, ValueError, "not both",
    ),
    "blocks": ({"block_size": (2, 2)}, ValueError, r"layer 'stem' has?.*keep=\['stem'\]"),
    "nothing": (
        {"keep": ["stem", "inner", "outer", "hidden", "logits"]}, ValueError, "besides those in",
    ),
    "alpha": ({"teacher": networks.small_convnet, "alpha": 1.0}, ValueError, "alpha must lie in"),
    "temperature": (
        {"teacher": networks.small_convnet, "temperature": 0.0}, ValueError, "temperature must be",
    ),
    "classes": (
        {"teacher": lambda: networks.small_convnet(classes=5)}, ValueError, "the same classes",
    ),
    "ends": ({"teacher": _in_probabilities}, ValueError, "make them end alike"),
    "loss": (
        {"teacher": networks.small_convnet, "loss": "mean_squared_error"}, ValueError,
        "No KL divergence",
    ),
    "callback": (
        {"callbacks": [keras.callbacks.TerminateOnNaN()]}, TypeError, "a callback of Keras 3",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_arguments_are_named_before_training(case):
    options, error, message = BAD[case]
    if "teacher" in options:
        options = {**options, "teacher": options["teacher"]()}
    with pytest.raises(error, match=message):
        _prune(networks.small_convnet(), verbose=0, **options)


@pytest.mark.parametrize("case", ["arrays", "data set", "epochs"])
def test_no_training_at_all_is_named(case):
    model = networks.small_convnet()
    x, y = networks.examples_for(model, 24)
    options = {
        "arrays": {"data": (x[:0], y[:0])},
        "data set": {
            "data": tf.data.Dataset.from_tensor_slices((x, y)).take(0).batch(8),
            "batch_size": None,
        },
        "epochs": {"epochs": 0},
    }[case]
    with pytest.raises(ValueError, match="There is nothing to train on"):
        _prune(model, verbose=0, **options)


def test_what_only_the_data_can_tell_is_asked_for():
    model = networks.small_convnet()
    data = _unknown_length(networks.examples_for(model, 24))()
    with pytest.raises(ValueError, match="Pass steps_per_epoch"):
        _prune(model, data=data, batch_size=None, verbose=0)


def test_kernels_that_tfmot_cannot_prune_two_by_four_are_named():
    inputs = keras.Input((8, 4))
    x = layers.GlobalAveragePooling1D()(layers.Conv1D(4, 3, name="one_d")(inputs))
    model = keras.Model(inputs, layers.Dense(4)(x))
    with pytest.raises(ValueError, match=r"layer 'one_d' .*\(3, 4, 4\).*keep=\['one_d'\]"):
        _prune(model, 0.5, two_by_four=True, verbose=0)


def test_a_model_with_nothing_to_prune_is_refused():
    inputs = keras.Input((8, 8, 2))
    model = keras.Model(inputs, layers.DepthwiseConv2D(3)(inputs))
    with pytest.raises(ValueError, match="no layer that TF-MOT prunes;"):
        prunable_weights(model)


def test_nothing_of_tfmot_is_left_in_the_result(tmp_path):
    sparse = _prune(_dense_model(), verbose=0)
    sparse.save(tmp_path / "sparse.keras")
    loaded = keras.models.load_model(tmp_path / "sparse.keras")
    assert _shares(loaded) == _shares(sparse)
    assert all(type(layer).__module__.startswith("keras.") for layer in loaded.layers)
