"""freeze_teacher=True: level 0 is the model as it was, and trains no more; the others do."""

import copy
import json

import keras
import networks
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from marks import slow

import keras_cascade as kc

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
LEVELS = (0.3, 0.6)


def made(model=None, **options):
    model = model or networks.small_convnet(regularizer="l2")
    options = {"freeze_teacher": True, "min_channels": 1, "momentum": 0.5, **options}
    return kc.CascadeDistiller(model, LEVELS, **options)


def fit(cascade, optimizer="adamw", epochs=1, callbacks=(), **options):
    """Eager steps: few of them are cheaper so. Returns the logs."""
    cascade.compile(optimizer, LOSS, metrics=["accuracy"], run_eagerly=True)
    x, y = networks.examples_for(cascade.graph.model, 32)
    options = {"batch_size": 8, "shuffle": False, "verbose": 0, **options}
    return cascade.fit(x, y, epochs=epochs, callbacks=list(callbacks), **options).history


def pruning(**options):
    return kc.CascadeCallback(**{"begin": 0, "end": 4, "frequency": 1, **options})


def arrays(variables):
    return [keras.ops.convert_to_numpy(variable).copy() for variable in variables]


def outputs(model, x):
    return keras.ops.convert_to_numpy(model(x, training=False))


def assert_equal(found, expected):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def assert_pruned(cascade):
    """What the callback is asked for, the levels have: those of the frozen teacher, all."""
    assert all(mask.all() for mask in cascade.masks("teacher").values())
    left = cascade.remaining()
    assert left["teacher"] == 1.0
    for name, level in zip(cascade.level_names[1:], LEVELS, strict=True):
        assert 1 - left[name] == pytest.approx(level, abs=0.08)


@pytest.mark.parametrize("sliced", [False, True], ids=["masked", "sliced"])
def test_teacher_stays_to_the_bit_while_the_rest_trains(sliced):
    model = networks.small_convnet(regularizer="l2")
    x, y = networks.examples_for(model, 32)
    cascade = made(model)
    original, start = kc.surgery.copy_model(model), arrays(model.weights)
    before = outputs(original, x)
    end = 2 if sliced else 4
    logs = fit(cascade, callbacks=[pruning(end=end, slice_levels=sliced)], validation_data=(x, y))
    np.testing.assert_array_equal(cascade(x)["teacher"], before)
    assert_equal(arrays(cascade.extract("teacher").weights), start)
    np.testing.assert_allclose(outputs(cascade.extract(0), x), before, rtol=1e-5, atol=1e-6)
    # All of the model is in some level: no weight is left behind, its normalisation's neither.
    for variable, old in zip(model.weights, start, strict=True):
        assert not np.array_equal(arrays([variable])[0], old), variable.path
    trained = set(map(id, cascade.trainable_variables))
    assert set(map(id, model.trainable_variables)) <= trained
    assert not trained & set(map(id, cascade._members["teacher"].variables))
    assert_pruned(cascade)
    original.compile(loss=LOSS, metrics=["accuracy"], run_eagerly=True)
    alone = original.evaluate(x, y, verbose=0, return_dict=True)["accuracy"]
    assert logs["val_teacher_accuracy"] == [pytest.approx(alone, abs=1e-6)]
    assert not {"teacher_loss", "val_teacher_loss"} & set(logs)
    assert {"ta1_loss", "student_loss", "teacher_accuracy", "teacher_macs"} <= set(logs)


def _ends(normalised, alpha, **options):
    """The cascade after one plain step on random masks, and its logs."""
    model = networks.small_convnet("l2", normalised)
    networks.drawn_alike(model)
    cascade = made(model, alpha=alpha, **options)
    random = np.random.default_rng(1)
    for level, share in zip(("ta1", "student"), (0.8, 0.5), strict=True):
        masks = {g.name: random.random(g.size) < share for g in cascade.graph.prunable_groups}
        for mask in masks.values():
            mask[0] = True
        cascade.set_masks(level, masks)
    start = arrays(model.weights)
    logs = fit(cascade, keras.optimizers.SGD(0.1), batch_size=32)
    return cascade, logs, start


# A guide with normalisation is another one in inference mode: there the labels alone count.
@pytest.mark.parametrize(("normalised", "alpha"), [(False, 0.5), (True, 0.0)])
def test_first_step_is_that_of_a_teacher_whose_loss_counts_nothing(normalised, alpha):
    frozen, found, start = _ends(normalised, alpha)
    other, expected, _ = _ends(normalised, alpha, freeze_teacher=False, level_weights=(0, 1, 1))
    for name in set(found) - ({"teacher_accuracy", "ta1_kl"} if normalised else set()):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-5, err_msg=name)
    models = [(frozen.graph.model, other.graph.model)] if not normalised else []
    models += [(frozen.extract(level), other.extract(level)) for level in ("ta1", "student")]
    for pair in models:
        for one, reference in zip(*(arrays(model.weights) for model in pair), strict=True):
            np.testing.assert_allclose(one, reference, rtol=1e-4, atol=1e-6)
    after = arrays(frozen.graph.model.weights)
    moved = [np.abs(a - b).max() for a, b in zip(after, start, strict=True) if a.ndim > 1]
    assert min(moved) > 1e-4
    for level in ("ta1", "student"):
        for group, values in other.saliency(level).items():
            one = frozen.saliency(level)[group]
            np.testing.assert_allclose(one, values, rtol=1e-3, atol=1e-5 * values.max())


def _through_keras_file(cascade, fresh, folder):
    cascade.save(folder / "cascade.keras")
    return keras.saving.load_model(folder / "cascade.keras")


def _through_weights_file(cascade, fresh, folder):
    cascade.save_weights(folder / "cascade.weights.h5")
    fresh.optimizer.build(fresh.trainable_variables)
    fresh.load_weights(folder / "cascade.weights.h5")
    return fresh


def _through_backup(cascade, fresh, folder):
    backup = kc.TrainingBackup(folder)
    x, y = networks.examples_for(cascade.graph.model, 8)
    data = tf.data.Dataset.from_tensor_slices((x, y)).repeat().batch(8)
    backup.fit(cascade, lambda epochs: data, steps_per_epoch=1, epochs=1, shuffle=False, verbose=0)
    backup.restore(fresh)
    return fresh


@pytest.mark.parametrize(
    "through", [*slow(_through_keras_file, _through_weights_file), _through_backup]
)
def test_what_is_restored_has_the_frozen_weights_and_trains_on_alike(through, tmp_path):
    cascade = made()
    fit(cascade, callbacks=[pruning()])
    fresh = made(networks.drawn_alike(networks.small_convnet(regularizer="l2"), seed=99))
    fresh.compile("adamw", LOSS, metrics=["accuracy"], run_eagerly=True)
    restored = through(cascade, fresh, tmp_path)
    assert restored.freeze_teacher
    x, y = networks.examples_for(cascade.graph.model, 16)
    teacher, shared = cascade._members["teacher"], cascade.graph.model
    assert any((a != b).any() for a, b in zip(*map(_weights, (teacher, shared)), strict=True))
    for again in (False, True):
        assert_equal(_weights(restored._members["teacher"]), _weights(teacher))
        assert_equal(_weights(restored.graph.model), _weights(shared))
        for levels in zip(restored(x).values(), cascade(x).values(), strict=True):
            np.testing.assert_array_equal(*map(keras.ops.convert_to_numpy, levels))
        for level in cascade.level_names:
            assert_equal(restored.masks(level).values(), cascade.masks(level).values())
        if not again:
            for one in (cascade, restored):
                one.run_eagerly = True
                one.fit(x, y, batch_size=8, shuffle=False, verbose=0)


def _weights(model):
    return arrays(model.weights)


def test_config_says_it_and_one_without_it_is_not_frozen():
    config = made().get_config()
    assert config["freeze_teacher"] is True and config["level_weights"] == [0.0, 1.0, 1.0]
    again = kc.CascadeDistiller.from_config(copy.deepcopy(config))
    assert again.freeze_teacher and again.get_config().keys() == config.keys()
    del config["freeze_teacher"]  # as files of before it was there
    assert not kc.CascadeDistiller.from_config(config).freeze_teacher


def test_records_name_the_weights_that_a_level_is_cut_from():
    model = networks.small_convnet()
    untrained = kc.pruning_record(kc.ChannelGraph(model), {})["parent"]
    cascade = made(model)
    fit(cascade, callbacks=[pruning()])
    teacher, student = map(cascade.pruning_record, ("teacher", "student"))
    assert teacher["parent"] == untrained
    assert student["parent"] == kc.pruning_record(kc.ChannelGraph(model), {})["parent"] != untrained
    assert teacher["freeze_teacher"] is student["freeze_teacher"] is True
    json.dumps([teacher, student])
    assert cascade.levels_summary().splitlines()[2].split()[0] == "teacher"
    first = kc.cascade.level_records(cascade)["levels"][0]
    assert first["params"] == model.count_params() and first["saliency"] is None


def test_extracted_teacher_may_be_trained_where_the_model_may():
    model = networks.small_convnet()
    model.get_layer("inner").trainable = False
    cascade = made(model)
    fit(cascade)
    for level in cascade.level_names:
        small = cascade.extract(level)
        assert [layer.name for layer in small.layers if not layer.trainable] == ["inner"]


def test_trainable_set_on_the_whole_cascade_thaws_no_teacher():
    cascade = made()
    start = arrays(cascade._members["teacher"].weights)
    cascade.trainable = False
    cascade.trainable = True
    fit(cascade)
    assert_equal(arrays(cascade._members["teacher"].weights), start)


class Penalty(layers.Layer):
    """Adds to the loss whatever passes through it."""

    def call(self, inputs):
        self.add_loss(keras.ops.mean(keras.ops.square(inputs)))
        return inputs


def test_frozen_teacher_adds_nothing_to_the_loss():
    inputs = keras.Input((6, 4))
    x = layers.Dense(6, activity_regularizer="l2", kernel_regularizer="l2")(inputs)
    x = Penalty()(x)
    x = layers.GlobalAveragePooling1D()(layers.Conv1D(5, 2, name="conv")(x))
    model = keras.Model(inputs, layers.Dense(3)(x))
    cascade = kc.CascadeDistiller(
        model, (0.3,), budget="params", min_channels=1, freeze_teacher=True
    )
    x, y = networks.examples_for(model, 8, classes=3)
    cascade.compile(keras.optimizers.SGD(0.0), LOSS, jit_compile=False)
    logs = cascade.evaluate(x, y, verbose=0, return_dict=True)
    # The student has no masks yet, so what it adds is what the model adds on its own.
    model(x)
    expected = float(sum(model.losses))
    assert expected > 0.01 and len(model.losses) == 3
    assert logs["loss"] - logs["student_loss"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("of", ["cascade", "distiller"])
def test_padded_steps_count_in_no_metric(of, rng):
    inputs = keras.Input((6,), dtype="int32")
    x = layers.GRU(6, return_sequences=True)(layers.Embedding(12, 6, mask_zero=True)(inputs))
    model = keras.Model(inputs, layers.Dense(4)(x))
    x, y = rng.integers(1, 12, (8, 6)), rng.integers(0, 4, (8, 6))
    x[:, 3:] = 0
    model.compile(loss=LOSS, metrics=["accuracy"], run_eagerly=True)
    expected = model.evaluate(x, y, verbose=0, return_dict=True)["accuracy"]
    options = {"budget": "params", "freeze_teacher": True, "min_channels": 1}
    trainer = (
        kc.CascadeDistiller(model, (0.3,), **options)
        if of == "cascade"
        else kc.Distiller(keras.models.clone_model(model), model)
    )
    trainer.compile("sgd", LOSS, metrics=["accuracy"], run_eagerly=True)
    logs = trainer.evaluate(x, y, verbose=0, return_dict=True)
    assert logs["teacher_accuracy"] == expected
    counted = (keras.ops.convert_to_numpy(model(x)).argmax(-1) == y)[:, :3]
    assert expected == pytest.approx(counted.mean(), abs=1e-6)


@pytest.mark.parametrize("policy", ["mixed_float16", *slow("mixed_bfloat16")])
def test_mixed_precision(policy):
    keras.config.set_dtype_policy(policy)
    try:
        cascade = made(networks.small_convnet(regularizer="l2", activity_regularizer="l2"))
        start = arrays(cascade._members["teacher"].weights)
        logs = fit(cascade, callbacks=[pruning()])
    finally:
        keras.config.set_dtype_policy("float32")
    assert_equal(arrays(cascade._members["teacher"].weights), start)
    assert {weight.dtype for weight in cascade._members["teacher"].weights} == {"float32"}
    assert 0.0 < logs["ta1_kl"][0] < np.inf
    assert_pruned(cascade)


@pytest.mark.parametrize("guidance", ["dense", "teacher"])
def test_every_guidance(guidance):
    """With one step at rate 0 the divergences are those of the models on their own."""
    cascade = made(networks.small_convnet(normalised=False), guidance=guidance, temperature=2.0)
    cascade.update_masks()
    x, y = networks.examples_for(cascade.graph.model, 32)
    levels = {name: outputs(cascade.extract(name), x) for name in cascade.level_names}
    logs = fit(cascade, keras.optimizers.SGD(0.0), batch_size=32)
    guides = ["teacher", "ta1"] if guidance == "dense" else ["teacher"]

    def log_softmax(z):
        z = z.astype("float64") / 2.0
        return z - np.log(np.exp(z).sum(-1, keepdims=True))

    q = log_softmax(levels["student"])
    each = [
        4.0 * (np.exp(p) * (p - q)).sum(-1).mean() for p in (log_softmax(levels[g]) for g in guides)
    ]
    assert logs["student_kl"][0] == pytest.approx(np.mean(each), rel=1e-3)


def test_a_loss_for_a_frozen_teacher_is_refused():
    with pytest.raises(ValueError, match="freeze_teacher=True .* must be 0; got"):
        made(level_weights=(1.0, 1.0, 1.0))
    assert made(level_weights=(0.0, 2.0, 1.0)).get_config()["level_weights"] == [0.0, 2.0, 1.0]
