"""Distiller: a frozen teacher, a student of any shape."""

import keras
import networks
import numpy as np
import pytest

import keras_cascade as kc

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def test_teacher_is_frozen_and_student_learns():
    teacher, unpruned = networks.small_convnet(), networks.small_convnet(regularizer="l2")
    for seed, model in enumerate((teacher, unpruned)):
        networks.drawn_alike(model, seed)
    student = kc.prune(unpruned, 0.5, min_channels=2)
    before = [array.copy() for array in teacher.get_weights()]
    start = [array.copy() for array in student.get_weights()]
    distiller = kc.Distiller(student, teacher, temperature=2.0, alpha=0.7)
    distiller.compile(keras.optimizers.Adam(0.01), LOSS, metrics=["accuracy"], jit_compile=False)
    x, y = networks.examples_for(teacher, 32)
    options = {"batch_size": 8, "epochs": 5, "shuffle": False, "verbose": 0}
    logs = distiller.fit(x, y, validation_data=(x, y), **options).history
    assert logs["student_kl"][-1] < 0.5 * logs["student_kl"][0]
    assert teacher.trainable and len(teacher.trainable_weights) > 0
    for old, new in zip(before, teacher.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert any((a != b).any() for a, b in zip(start, student.get_weights(), strict=True))
    np.testing.assert_array_equal(distiller.predict(x, verbose=0), student.predict(x, verbose=0))
    teacher.compile(loss=LOSS, metrics=["accuracy"])
    alone = teacher.evaluate(x, y, verbose=0, return_dict=True)["accuracy"]
    assert logs["val_teacher_accuracy"][-1] == pytest.approx(alone, abs=1e-6)


def _other_architecture():
    inputs = keras.Input((8, 8, 2))
    x = keras.layers.DepthwiseConv2D(3, activation="relu")(inputs)
    x = keras.layers.Flatten()(x)
    return networks.unsettled(keras.Model(inputs, keras.layers.Dense(4)(x), name="other"))


def _keras_own():
    return keras.distillation.LogitsDistillation(3.0, keras.losses.KLDivergence())


@pytest.mark.parametrize("distillation", [lambda: None, _keras_own], ids=["ours", "keras"])
@pytest.mark.parametrize(
    "student",
    [lambda: networks.small_convnet(normalised=False), _other_architecture],
    ids=["same_family", "other"],
)
def test_loss_equals_numpy(student, distillation):
    teacher, student = networks.small_convnet(), student()
    distiller = kc.Distiller(
        student, teacher, temperature=3.0, alpha=0.25, distillation=distillation()
    )
    distiller.compile(keras.optimizers.SGD(0.0), LOSS, jit_compile=False)
    x, y = networks.examples_for(teacher, 8)

    def log_softmax(z):
        return z - np.log(np.exp(z).sum(-1, keepdims=True))

    outputs = [model.predict(x, verbose=0).astype("float64") for model in (teacher, student)]
    labels = -log_softmax(outputs[1])[np.arange(8), y].mean()
    p, q = (log_softmax(z / 3.0) for z in outputs)
    expected = 0.75 * labels + 0.25 * 9.0 * (np.exp(p) * (p - q)).sum(-1).mean()
    logs = distiller.fit(x, y, batch_size=8, verbose=0).history
    assert logs["loss"][0] == pytest.approx(expected, rel=1e-4)


def test_keras_default_distillation_of_logits_is_refused():
    teacher = networks.small_convnet()
    with pytest.raises(ValueError, match=r"Pass loss=keras.losses.KLDivergence\(\)"):
        kc.Distiller(teacher, teacher, distillation=keras.distillation.LogitsDistillation())


def test_a_loss_of_keras_compares_outputs_and_is_weighted_by_sample():
    student, teacher = networks.small_convnet(), networks.small_convnet(regularizer="l2")
    x, y = networks.examples_for(student, 8)
    weights = np.linspace(0.0, 2.0, 8, dtype="float32")
    distiller = kc.Distiller(student, teacher, distillation=keras.losses.MeanSquaredError())
    distiller.compile("sgd", LOSS, run_eagerly=True)
    outputs = [model.predict(x, verbose=0) for model in (teacher, student)]
    logs = distiller.evaluate(x, y, sample_weight=weights, verbose=0, return_dict=True)
    expected = (weights * np.square(outputs[0] - outputs[1]).mean(-1)).mean()
    assert float(logs["student_kl"]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("distillation", "error", "message"),
    [
        (lambda: "mse", TypeError, "takes a keras.losses.Loss, or an object with compute_loss"),
        (
            lambda: keras.distillation.FeatureDistillation("mse", "features", "features"),
            ValueError,
            r"FeatureDistillation of the layers \['features', 'features'\] cannot be had",
        ),
    ],
    ids=["a name", "features"],
)
def test_what_cannot_compare_outputs_is_refused(distillation, error, message):
    model = networks.small_convnet()
    with pytest.raises(error, match=message):
        kc.Distiller(model, model, distillation=distillation())


def test_outputs_must_agree():
    with pytest.raises(ValueError, match="must predict the same classes"):
        kc.Distiller(networks.small_convnet(classes=3), networks.small_convnet(classes=4))


def test_inputs_must_agree():
    models = [
        keras.Sequential([keras.Input((size, 2)), keras.layers.Flatten(), keras.layers.Dense(3)])
        for size in (8, 9)
    ]
    with pytest.raises(ValueError, match=r"takes \(None, 8, 2\), teacher .* \(None, 9, 2\)"):
        kc.Distiller(*models)
    anything = keras.Sequential(
        [keras.Input((None, 2)), keras.layers.GlobalMaxPooling1D(), keras.layers.Dense(3)]
    )
    assert kc.Distiller(models[0], anything).built


@pytest.mark.parametrize("wrap", [lambda loss: [loss], lambda loss: {"logits": loss}])
def test_the_loss_of_the_only_output_may_come_by_its_name(wrap):
    student, teacher = networks.small_convnet(), networks.small_convnet(regularizer="l2")
    x, y = networks.examples_for(student, 8)
    losses = []
    for loss in (LOSS, wrap(LOSS)):
        distiller = kc.Distiller(student, teacher)
        distiller.compile("sgd", loss, run_eagerly=True)
        losses.append(distiller.evaluate(x, y, verbose=0, return_dict=True))
    assert losses[0] == losses[1]
    with pytest.raises(ValueError, match=r"loss names \['other'\]; the model's only output is"):
        distiller.compile("sgd", {"other": LOSS})


def _classes_in_the_middle():
    """Images to three classes at each of eight positions."""
    inputs = keras.Input((8, 2))
    return keras.Model(inputs, keras.layers.Permute((2, 1))(keras.layers.Dense(3)(inputs)))


def test_classes_along_another_axis_need_an_own_distillation():
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, axis=1)
    student, teacher = _classes_in_the_middle(), _classes_in_the_middle()
    with pytest.raises(ValueError, match="along axis -2.*the KL divergence runs over the last"):
        kc.Distiller(student, teacher).compile("sgd", loss)
    own = keras.distillation.LogitsDistillation(3.0, keras.losses.MeanSquaredError())
    distiller = kc.Distiller(student, teacher, distillation=own)
    distiller.compile("sgd", loss, run_eagerly=True)
    x = np.random.default_rng(0).normal(size=(4, 8, 2)).astype("float32")
    y = np.eye(3, dtype="float32")[np.zeros((4, 8), int)].transpose(0, 2, 1)
    assert np.isfinite(distiller.fit(x, y, verbose=0).history["loss"][0])
    assert distiller.output_classes == 3


def test_a_subclassed_model_is_named():
    class Own(keras.Model):
        def call(self, inputs):
            return inputs

    with pytest.raises(TypeError, match=r"Model 'own' \(Own\) does not tell what it returns"):
        kc.Distiller(Own(name="own"), networks.small_convnet())


def test_a_saved_distiller_trains_on_as_the_one_it_was(tmp_path):
    student, teacher = networks.small_convnet(normalised=False), networks.small_convnet()
    distiller = kc.Distiller(student, teacher, temperature=2.0, alpha=0.7)
    distiller.compile(keras.optimizers.Adam(0.01), LOSS, metrics=["accuracy"])
    data = networks.examples_for(teacher, 16)
    fit = {"batch_size": 8, "shuffle": False, "verbose": 0}
    distiller.fit(*data, **fit)
    distiller.save(tmp_path / "distiller.keras")
    loaded = keras.saving.load_model(tmp_path / "distiller.keras")
    assert (loaded.name, loaded.temperature, loaded.alpha) == (distiller.name, 2.0, 0.7)
    losses = [each.fit(*data, **fit).history["loss"] for each in (loaded, distiller)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    assert not loaded._members["teacher"].trainable


def test_frozen_teacher_adds_nothing_but_guidance():
    inputs = keras.Input((4,))
    strict = keras.layers.Dense(6, activity_regularizer=keras.regularizers.L2(1.0))(inputs)
    teacher = keras.Model(inputs, keras.layers.Dense(3)(strict))
    student = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    distiller = kc.Distiller(student, teacher, alpha=0.0)
    distiller.compile("sgd", LOSS, jit_compile=False)
    x, y = networks.examples_for(teacher, 8, classes=3)
    logs = distiller.evaluate(x, y, verbose=0, return_dict=True)
    assert logs["loss"] == pytest.approx(logs["student_loss"], rel=1e-6)


def test_adapted_teacher_is_copied_whole(rng):
    normal = keras.layers.Normalization(axis=-1)
    normal.adapt(rng.normal(5, 3, (64, 4)))
    teacher = keras.Sequential([keras.Input((4,)), normal, keras.layers.Dense(3)])
    student = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    distiller = kc.Distiller(student, teacher)
    x = rng.standard_normal((5, 4)).astype("float32")
    copied, whole = map(keras.ops.convert_to_numpy, (distiller(x)["teacher"], teacher(x)))
    np.testing.assert_allclose(copied, whole, rtol=1e-5)


def test_logits_and_probabilities_do_not_mix():
    with pytest.raises(ValueError, match="ends in probabilities .* the other in logits"):
        kc.Distiller(networks.small_convnet(activation="softmax"), networks.small_convnet())
