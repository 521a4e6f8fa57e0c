"""CascadeDistiller as its users see it: fit, logs, extraction, seeds, and clear errors."""

import invariants
import keras
import networks
import numpy as np
import pytest
from keras import layers
from marks import slow, slow_but

import keras_cascade as kc

# JAX compiles the deeper one for a minute.
OFTEN = "vgg16"
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def fit(model, epochs=3, levels=(0.3, 0.6), eager=False, classes=4, **arguments):
    """A cascade fitted on random images, with its history and data."""
    keras.utils.set_random_seed(5)
    cascade = kc.CascadeDistiller(model, levels, min_channels=1, momentum=0.5, **arguments)
    cascade.compile(
        keras.optimizers.SGD(0.02, momentum=0.9),
        LOSS,
        metrics=["accuracy"],
        run_eagerly=eager,
        jit_compile=False,
    )
    x, y = networks.examples_for(model, 16, classes)
    history = cascade.fit(
        x,
        y,
        batch_size=8,
        epochs=epochs,
        validation_data=(x, y),
        verbose=0,
        callbacks=[kc.CascadeCallback(end=0.7, frequency=1)],
    )
    return cascade, history.history, (x, y)


@pytest.fixture(scope="module")
def fitted():
    """A fitted cascade, its history and data, for tests that only look at it."""
    keras.utils.set_random_seed(7)
    return fit(networks.small_convnet())


@pytest.mark.parametrize("name", slow_but({OFTEN}, networks.ARCHITECTURES))
def test_invariants_of_a_trained_cascade(name):
    """Invariants 1, 2, 3, 5 and 7 on every architecture, with masks by saliency."""
    model = networks.build(name)
    initial = model.get_weights()
    levels = (0.3, 0.6) if len(model.layers) < 100 else (0.6,)  # a deep one takes long
    cascade, logs, (x, y) = fit(model, epochs=2, levels=levels, eager=True, classes=5)
    # 1 and 3: the student and its assistant equal their extractions, at the predicted cost.
    for name in cascade.level_names[1:]:
        small = cascade.extract(name, verify=False)
        pair = cascade._members[name](x, training=False), small(x, training=False)
        masked, alone = map(keras.ops.convert_to_numpy, pair)
        invariants.assert_same_outputs([masked], [alone])
        assert not all(mask.all() for mask in cascade.masks(name).values())
        assert small.count_params() == cascade.graph.params(cascade.masks(name))
        assert kc.profile(small).macs == cascade.graph.macs(cascade.masks(name))
    # 2: the student's metric that fit printed is the extracted student's.
    small.compile(loss=LOSS, metrics=["accuracy"], run_eagerly=True)
    alone = small.evaluate(x, y, verbose=0, return_dict=True)
    assert logs["val_accuracy"][-1] == pytest.approx(alone["accuracy"], abs=1e-6)
    # 7: the student's loss is made of its own labels' loss and its divergence.
    expected = 0.5 * alone["loss"] + 0.5 * logs["val_student_kl"][-1]
    assert logs["val_student_loss"][-1] == pytest.approx(expected, rel=1e-4)
    # 5: the same seed gives the same result, to the bit.
    trained, masks = model.get_weights(), cascade.masks()
    model.set_weights(initial)
    again, logs_again, _ = fit(model, epochs=2, levels=levels, eager=True, classes=5)
    assert logs == logs_again
    for one, other in zip(trained, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    for name, mask in again.masks().items():
        np.testing.assert_array_equal(mask, masks[name])


def test_logs_name_every_level():
    model = networks.drawn_alike(networks.small_convnet())
    cascade, logs, _ = fit(model, levels=(0.2, 0.4, 0.6))
    assert cascade.level_names == ["teacher", "ta1", "ta2", "student"]
    expected = {"loss", "accuracy", "val_loss", "val_accuracy"}
    for name in ("teacher", "ta1", "ta2"):
        expected |= {f"{name}_accuracy", f"val_{name}_accuracy"}
    for name in cascade.level_names:
        expected |= {f"{name}_loss", f"val_{name}_loss", f"{name}_macs"}
    for name in cascade.level_names[1:]:
        expected |= {f"{name}_kl", f"val_{name}_kl", f"{name}_flips"}
    assert set(logs) == expected
    assert logs["student_macs"][-1] == pytest.approx(0.4, abs=0.05)
    assert logs["teacher_macs"] == [1.0] * 3


@pytest.mark.parametrize("levels", [(0.5,), *slow((0.1, 0.2, 0.3, 0.4, 0.5))])
def test_any_number_of_levels(levels):
    cascade, _, (x, _) = fit(networks.small_convnet(), epochs=2, levels=levels, eager=True)
    assert len(cascade.level_names) == len(levels) + 1
    student = cascade.extract()
    small = keras.ops.convert_to_numpy(student(x, training=False))
    invariants.assert_same_outputs([cascade.predict(x, verbose=0)], [small])


@pytest.mark.parametrize("budget", ["macs", "params", "channels"])
@pytest.mark.parametrize("scope", ["global", "layer"])
def test_levels_meet_their_budget(budget, scope):
    model = networks.build("vgg16", classes=4)
    cascade = kc.CascadeDistiller(model, (0.4, 0.7), budget=budget, scope=scope, min_channels=1)
    cascade._gates[0].saliency.assign(np.random.default_rng(0).random(cascade.graph.num_units))
    cascade.update_masks()
    for name, left in cascade.remaining().items():
        target = {"teacher": 0.0, "ta1": 0.4, "student": 0.7}[name]
        assert 1 - left == pytest.approx(target, abs=0.01)


def test_own_normalisation_a_level():
    inputs = keras.Input((8, 8, 2))
    x = layers.Conv2D(6, 3, name="stem", activation="tanh")(inputs)
    x = layers.Conv2D(8, 3, name="inner")(x)  # reads channels that the levels do not all keep
    x = layers.BatchNormalization(name="inner_bn", momentum=0.5)(x)
    x = layers.GlobalAveragePooling2D()(layers.ReLU()(x))
    model = networks.unsettled(keras.Model(inputs, layers.Dense(4)(x)))
    cascade, _, _ = fit(model)
    means = [cascade.extract(k).get_layer("inner_bn").moving_mean.numpy() for k in (0, -1)]
    kept = cascade.masks(-1)["inner"]
    assert not cascade.masks(-1)["stem"].all()
    assert np.abs(means[0][kept] - means[1]).max() > 1e-3
    originals = {id(v) for v in cascade._base.weights}
    student_only = [v for v in cascade._members["student"].weights if id(v) not in originals]
    assert {v.path.split("/")[-1] for v in student_only} == {
        "gamma",
        "beta",
        "moving_mean",
        "moving_variance",
    }


def test_binary_and_probability_outputs():
    for activation, classes, loss, labels in (
        ("sigmoid", 1, "binary_crossentropy", 2),
        ("softmax", 4, "sparse_categorical_crossentropy", 4),
    ):
        model = networks.small_convnet(classes=classes, activation=activation)
        cascade = kc.CascadeDistiller(model, (0.5,), min_channels=1)
        cascade.compile("adam", loss, metrics=["accuracy"], jit_compile=False)
        x, y = networks.examples_for(model, 16, labels)
        callback = kc.CascadeCallback(frequency=1)
        logs = cascade.fit(x, y, batch_size=8, epochs=2, verbose=0, callbacks=[callback]).history
        assert logs["student_kl"][-1] > 0.0


def test_extracting_before_pruning_warns():
    cascade = kc.CascadeDistiller(networks.small_convnet(), (0.5,), min_channels=1)
    with pytest.warns(UserWarning, match="no channel removed.*CascadeCallback"):
        cascade.extract()


def test_levels_by_name_and_number(fitted):
    cascade, _, _ = fitted
    for name, number in (("teacher", 0), ("ta1", 1), ("student", -1)):
        assert cascade.extract(name).count_params() == cascade.extract(number).count_params()
    for bad in (3, "ta2", 1.0):
        with pytest.raises(ValueError, match="No level"):
            cascade.extract(bad)
    with pytest.raises(ValueError, match="never|nothing of it"):
        cascade.set_masks(0, {})
    table = cascade.levels_summary()
    assert all(name in table for name in ("teacher", "ta1", "student", "params", "MACs"))


def test_save_and_load(fitted, tmp_path):
    cascade, _, (x, y) = fitted
    cascade.save(tmp_path / "cascade.keras")
    loaded = keras.models.load_model(tmp_path / "cascade.keras")
    np.testing.assert_array_equal(cascade.predict(x, verbose=0), loaded.predict(x, verbose=0))
    for name, mask in cascade.masks().items():
        np.testing.assert_array_equal(mask, loaded.masks()[name])
    assert cascade.evaluate(x, y, verbose=0) == loaded.evaluate(x, y, verbose=0)


def test_bad_arguments():
    model = networks.small_convnet()
    for levels in ((), (0.5, 0.5), (0.6, 0.4), (0.0, 0.5), (0.5, 1.0)):
        with pytest.raises(ValueError, match="strictly increasing"):
            kc.CascadeDistiller(model, levels)
    for arguments, message in (
        ({"budget": "flops"}, "Unknown budget 'flops'"),
        ({"guidance": "parent"}, "Unknown guidance 'parent'"),
        ({"scope": "net"}, "Unknown scope 'net'"),
        ({"alpha": 1.0}, r"alpha must lie in \[0, 1\)"),
        ({"temperature": 0.0}, "temperature must be above 0"),
        ({"momentum": 1.0}, "momentum must lie"),
        ({"level_weights": (1.0,)}, "level_weights must be 2 numbers, for teacher, student: above"),
        ({"level_weights": (1.0, 0.0)}, "above 0, the teacher's at least 0"),
        ({"level_weights": (-1.0, 1.0)}, "above 0, the teacher's at least 0"),
        ({"level_weights": (1.0, 1.0), "freeze_teacher": True}, "the first, must be 0; got"),
        ({"round_to": 16}, "level: 20.00% .* at most 0.00%"),
    ):
        with pytest.raises(ValueError, match=message):
            kc.CascadeDistiller(model, (0.2,), **arguments)


def test_bad_models():
    inputs = keras.Input((4,))
    dense = layers.Dense(6, name="hidden")(inputs)
    two_outputs = keras.Model(inputs, [layers.Dense(2)(dense), layers.Dense(2)(dense)])
    with pytest.raises(ValueError, match="has 2 outputs"):
        kc.CascadeDistiller(two_outputs, (0.5,), min_channels=1)
    by_name = keras.Model(inputs, {"classes": layers.Dense(2)(dense)})
    with pytest.raises(ValueError, match=r"in a dict.*keras.Model\(model.inputs, model.outputs"):
        kc.CascadeDistiller(by_name, (0.5,), min_channels=1)
    with pytest.raises(ValueError, match="can be pruned"):
        kc.CascadeDistiller(keras.Model(inputs, layers.Dense(2)(inputs)), (0.5,))
    with pytest.raises(ValueError, match="not built"):
        kc.CascadeDistiller(keras.Sequential([layers.Dense(2)]), (0.5,))


def test_bad_compile():
    cascade = kc.CascadeDistiller(networks.small_convnet(), (0.5,), min_channels=1)
    with pytest.raises(ValueError, match="No KL divergence is defined for loss='mse'"):
        cascade.compile("sgd", "mse")
    for optimizer, message in (
        (keras.optimizers.SGD(gradient_accumulation_steps=2), "gradient_accumulation_steps"),
        (keras.optimizers.SGD(use_ema=True), "use_ema=False"),
        (
            keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(use_ema=True)),
            "use_ema=False",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            cascade.compile(optimizer, LOSS)


@pytest.mark.skipif(
    not hasattr(keras.optimizers, "MultiOptimizer"), reason="this Keras has no MultiOptimizer"
)
@pytest.mark.parametrize(
    "wrap", [lambda one: lambda _: one, lambda one: keras.optimizers.OptimizerMap(one)]
)
def test_bad_optimizer_among_several(wrap):
    cascade = kc.CascadeDistiller(networks.small_convnet(), (0.5,), min_channels=1)
    several = keras.optimizers.MultiOptimizer(wrap(keras.optimizers.SGD(use_ema=True)))
    with pytest.raises(ValueError, match="use_ema=False"):
        cascade.compile(several, LOSS)


@pytest.mark.parametrize("wrap", [lambda layer: layer, layers.Bidirectional])
def test_stateful_layers_are_refused(wrap):
    inputs = keras.Input(batch_shape=(4, 5, 3))
    x = wrap(layers.LSTM(8, stateful=True, return_sequences=True, name="memory"))(inputs)
    x = layers.Dense(8)(layers.GlobalAveragePooling1D()(x))
    with pytest.raises(ValueError, match="is stateful"):
        kc.CascadeDistiller(keras.Model(inputs, layers.Dense(2)(x)), (0.2,), min_channels=1)


def test_crossentropy_as_keras_picks_it():
    model = networks.small_convnet(classes=1, activation="sigmoid")
    cascade = kc.CascadeDistiller(model, (0.5,), min_channels=1)
    cascade.compile("adam", "crossentropy", jit_compile=False)
    x, y = networks.examples_for(model, 16, 2)
    assert np.isfinite(cascade.fit(x, y, verbose=0).history["loss"][0])


def test_open_input_size_by_params():
    inputs = keras.Input((None, None, 2))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(8, 3)(inputs))
    model = keras.Model(inputs, layers.Dense(3)(x))
    cascade = kc.CascadeDistiller(model, (0.3,), budget="params", min_channels=1)
    assert "student" in cascade.levels_summary()


def test_extraction_warns_of_a_missed_target():
    cascade = kc.CascadeDistiller(networks.small_convnet(), (0.5,), min_channels=1)
    cascade.update_masks(progress=0.6)
    with pytest.warns(UserWarning, match="asked for 50.0%.*not come to its end"):
        cascade.extract()


def test_evaluate_names_each_result_once(fitted):
    cascade, _, (x, y) = fitted
    results = cascade.evaluate(x, y, verbose=0, return_dict=True)
    as_list = cascade.evaluate(x, y, verbose=0)
    assert dict(zip(cascade.metrics_names, as_list, strict=True)) == results
    np.testing.assert_allclose(cascade.predict_on_batch(x), cascade.predict(x, verbose=0))


@pytest.mark.parametrize("scope", ["global", "layer"])
def test_hard_masks_give_nothing_back(rng, scope):
    def kept(hard_masks):
        """The student's keep vectors as its saliency is drawn anew before every update."""
        cascade = kc.CascadeDistiller(
            networks.small_convnet(), 0.6, min_channels=1, scope=scope, hard_masks=hard_masks
        )
        found = []
        for progress in np.linspace(0.1, 1.0, 10):
            cascade._gates[0].saliency.assign(
                rng.lognormal(sigma=2.0, size=cascade.graph.num_units)
            )
            cascade.update_masks(progress)
            found.append(cascade.graph.keep_vector(cascade.masks()))
        assert 1 - cascade.remaining()["student"] == pytest.approx(0.6, abs=0.08)
        return np.array(found)

    soft, hard = kept(False), kept(True)
    assert (~soft[:-1] & soft[1:]).any()
    assert not (~hard[:-1] & hard[1:]).any()


def test_without_normalisations_of_its_own_a_level_has_the_models():
    model = networks.small_convnet()
    own, shared = (
        kc.CascadeDistiller(model, (0.3, 0.6), min_channels=1, own_normalisation=one)
        for one in (True, False)
    )
    normalisations = [
        layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)
    ]
    weights = sum(len(layer.weights) for layer in normalisations)
    assert weights and len(own.weights) == len(shared.weights) + 2 * weights
    assert {id(weight) for weight in model.weights} <= {id(weight) for weight in shared.weights}
    again = kc.CascadeDistiller.from_config(shared.get_config())
    assert not again.own_normalisation and len(again.weights) == len(shared.weights)
    shared.update_masks()
    x, _ = networks.examples_for(model, 4)
    found, expected = shared.extract()(x, training=False), shared(x, training=False)["student"]
    found, expected = map(keras.ops.convert_to_numpy, (found, expected))
    np.testing.assert_allclose(found, expected, atol=1e-5)
