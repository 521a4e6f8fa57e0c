"""Keras' own checkpoints hold all of a cascade: masks, saliency, schedule, optimizer, dropout."""

import keras
import networks
import numpy as np
import pytest
from keras import layers

import keras_cascade as kc
from keras_cascade.cascade.seeds import seed_states

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def compiled():
    keras.utils.set_random_seed(7)
    base = networks.small_convnet()
    # Without a seed dropout on PyTorch draws from the process, whose state no checkpoint holds.
    logits = layers.Dropout(0.2, seed=1)(base.output)
    cascade = kc.CascadeDistiller(keras.Model(base.input, logits), (0.3, 0.6), min_channels=1)
    cascade.compile(keras.optimizers.Adam(0.01), LOSS, metrics=["accuracy"])
    return cascade


def fit(cascade, epochs, *callbacks):
    x, y = networks.examples_for(cascade._base, 32)
    pruning = kc.CascadeCallback(begin=1, end=11, frequency=2)
    cascade.fit(
        x, y, batch_size=8, epochs=epochs, shuffle=False, verbose=0, callbacks=[pruning, *callbacks]
    )
    return cascade


def assert_same(found, expected):
    for name in ("weights", "optimizer", "seeds"):
        pairs = zip(parts(found)[name], parts(expected)[name], strict=True)
        for one, other in pairs:
            np.testing.assert_array_equal(one, other, err_msg=name)
    assert found.schedule_step == expected.schedule_step


def parts(cascade):
    lists = {
        "weights": cascade.weights,
        "optimizer": cascade.optimizer.variables,
        "seeds": seed_states(cascade),
    }
    return {name: list(map(keras.ops.convert_to_numpy, values)) for name, values in lists.items()}


class Killed(Exception):
    pass


def dies_in(epoch):
    def die(batch, logs):
        if die.epoch == epoch and batch == 2:
            raise Killed

    def note(epoch, logs):
        die.epoch = epoch

    return keras.callbacks.LambdaCallback(on_epoch_begin=note, on_train_batch_end=die)


@pytest.mark.slow
def test_backup_and_restore(tmp_path):
    whole = fit(compiled(), 3)
    with pytest.raises(Killed):
        fit(compiled(), 3, keras.callbacks.BackupAndRestore(tmp_path / "backup"), dies_in(1))
    again = fit(compiled(), 3, keras.callbacks.BackupAndRestore(tmp_path / "backup"))
    assert_same(again, whole)


def test_model_checkpoint_is_one_file_that_loads_without_custom_objects(tmp_path):
    path = tmp_path / "cascade.keras"
    saved = compiled()
    with pytest.raises(Killed):
        fit(saved, 3, keras.callbacks.ModelCheckpoint(path, save_freq=6), dies_in(1))
    loaded = keras.saving.load_model(path)
    assert loaded.schedule_step == 6 and saved.schedule_step == 7
    assert int(loaded.optimizer.iterations) == 6
    for level in ("ta1", "student"):
        assert any(values.any() for values in loaded.saliency(level).values())
    weights = tmp_path / "cascade.weights.h5"
    loaded.save_weights(weights)
    other = compiled()
    other.optimizer.build(other.trainable_variables)
    other.load_weights(weights)
    assert_same(other, loaded)
    small = loaded.extract()
    x, _ = networks.examples_for(small, 8)
    alone, level = (model.predict(x, verbose=0) for model in (small, loaded))
    np.testing.assert_allclose(alone, level, atol=1e-5)
