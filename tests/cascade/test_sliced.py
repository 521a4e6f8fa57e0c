"""Levels computed with slices of the weights train as masked ones do."""

import types

import keras
import networks
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from marks import slow

import keras_cascade as kc

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
STEPS = 6


def _frozen_normalisation():
    model = networks.small_convnet()
    model.get_layer("stem_bn").trainable = False
    return model


def _separable():
    inputs = keras.Input((8, 8, 2))
    x = layers.Conv2D(6, 3, groups=2)(inputs)
    x = layers.ReLU()(layers.BatchNormalization()(layers.DepthwiseConv2D(3)(x)))
    x = layers.Concatenate()([x, layers.SeparableConv2D(4, 3, padding="same")(x)])
    x = layers.Conv2DTranspose(8, 3)(x)
    return keras.Model(inputs, layers.Dense(4)(layers.GlobalAveragePooling2D()(x)))


def _sequence():
    inputs = keras.Input((4, 3))
    x = layers.Dense(6)(inputs)
    x = layers.Add()([x, layers.MultiHeadAttention(2, 3)(x, x)])
    x = layers.LSTM(5)(layers.LayerNormalization()(x))
    return keras.Model(inputs, layers.Dense(4)(x))


MORE = ("frozen_normalisation", "separable", "resnet20", "sequence")
MODELS = {
    "convnet": lambda: networks.small_convnet(regularizer="l2"),
    "frozen_normalisation": _frozen_normalisation,
    "resnet20": lambda: networks.build("resnet20", classes=4),
    "sequence": _sequence,
    "separable": _separable,
}


def pruned(name, levels=types.MappingProxyType({}), **options):
    """A compiled cascade whose levels have masks, and data; `levels` are further arguments."""
    keras.utils.set_random_seed(7)
    model = networks.unsettled(MODELS[name]())
    cascade = kc.CascadeDistiller(
        model, (0.2, 0.4), min_channels=1, momentum=0.5, hard_masks=False, **levels
    )
    cascade.compile(keras.optimizers.SGD(0.02, momentum=0.9), LOSS, metrics=["accuracy"], **options)
    x, y = networks.examples_for(model, 8 * STEPS)
    random = np.random.default_rng(0)
    for gates in cascade._gates:
        gates.saliency.assign(random.random(gates.saliency.shape))
    cascade.update_masks()
    return cascade, x, y


def trained(name, sliced, **options):
    cascade, x, y = pruned(name, **options)
    if sliced:
        cascade.slice_levels()
    logs = cascade.fit(
        x, y, batch_size=8, shuffle=False, verbose=0, validation_data=(x[:16], y[:16])
    )
    return cascade, logs.history


def weights_alike(cascade):
    """The model's weights; without normalisation that is a pruned level's.

    That one's moving statistics of removed channels are those of masked ones, or stay as they are.
    """
    found = cascade.graph.trace.layers.values()
    if cascade.freeze_teacher or not cascade.own_normalisation:
        found = [layer for layer in found if not isinstance(layer, layers.BatchNormalization)]
    return [weight for layer in found for weight in layer.weights]


def assert_close(one, other, atol):
    one, other = map(keras.ops.convert_to_numpy, (one, other))
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=atol)


@pytest.mark.parametrize(
    "levels",
    [*slow({}), {"freeze_teacher": True}, *slow({"own_normalisation": False})],
    ids=["trained", "frozen", "shared_normalisation"],
)
@pytest.mark.parametrize("name", ["convnet", *slow(*MORE)])
def test_losses_and_updates_are_those_of_masked_levels(name, levels):
    masked, expected = trained(name, sliced=False, levels=levels)
    sliced, found = trained(name, sliced=True, levels=levels)
    assert sliced.sliced and not masked.sliced
    assert found.keys() == expected.keys()
    for key, values in expected.items():
        if key.startswith("val_") and not masked.own_normalisation:
            continue
        np.testing.assert_allclose(found[key], values, rtol=1e-5, atol=1e-6, err_msg=key)
    moved = 0.0
    cascades = masked, sliced, pruned(name, levels)[0]
    bases = [weights_alike(cascade) for cascade in cascades]
    for one, other, start in zip(*bases, strict=True):
        change = one.numpy() - start.numpy()
        moved = max(moved, np.abs(change).max())
        np.testing.assert_allclose(
            other.numpy() - start.numpy(), change, rtol=1e-4, atol=1e-5, err_msg=one.path
        )
    assert moved > 1e-3
    batch = networks.examples_for(masked._base, 4)[0]
    # Moments that levels share count, of a channel, the masked levels that have lost it too.
    for level in masked.level_names if masked.own_normalisation else ():
        assert_close(sliced.extract(level)(batch), masked.extract(level)(batch), atol=1e-4)


@pytest.mark.only_on("tensorflow", "jax", reason="Keras on PyTorch traces nothing")
def test_callback_slices_after_end_and_traces_once_more():
    cascade, x, y = pruned("convnet")
    traced, states = [], []
    call = cascade.call
    cascade.call = lambda *args, **kwargs: traced.append(kwargs) or call(*args, **kwargs)
    note = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: states.append((cascade.sliced, len(traced)))
    )
    pruning = kc.CascadeCallback(end=STEPS, frequency=1, slice_levels=True)
    cascade.fit(x, y, batch_size=8, epochs=3, shuffle=False, verbose=0, callbacks=[pruning, note])
    first = states[0][1]
    # `end` comes after the step that was computed last by masks.
    expected = [(False, first)] * (STEPS - 1) + [(True, first)] + [(True, first + 1)] * (2 * STEPS)
    assert states == expected
    assert not cascade.sliced
    assert_close(cascade(x[:4])["student"], cascade.extract()(x[:4]), atol=1e-5)


def test_random_states_among_the_weights_are_sliced_whole():
    inputs = keras.Input((6, 8))
    x = layers.MultiHeadAttention(4, 4, dropout=0.1)(inputs, inputs)
    x = layers.Bidirectional(layers.LSTM(4, dropout=0.1, return_sequences=True))(x)
    model = keras.Model(inputs, layers.Dense(4)(layers.GlobalAveragePooling1D()(x)))
    cascade = kc.CascadeDistiller(networks.unsettled(model), (0.3,), min_channels=1)
    cascade.compile("sgd", LOSS)
    cascade.update_masks()
    assert not all(mask.all() for mask in cascade.masks().values())
    cascade.slice_levels()
    x, y = networks.examples_for(model, 8)
    cascade.fit(x, y, batch_size=4, verbose=0)
    assert cascade.sliced
    assert_close(cascade(x)["student"], cascade.extract()(x), atol=1e-5)


@pytest.mark.parametrize("nested", [False, *slow(True)])
def test_activity_regularizers_count_the_channels_that_are_kept(nested):
    model = networks.small_convnet(activity_regularizer="l2")
    if nested:
        model = keras.Sequential([keras.Input((8, 8, 2)), model])
    cascade = kc.CascadeDistiller(model, (0.3,), alpha=0.0, min_channels=1)
    cascade.compile("sgd", LOSS)
    (widest,) = (g for g in cascade.graph.prunable_groups if g.name.endswith("hidden"))
    cascade.set_masks(-1, {widest.name: np.arange(10) < 4})
    cascade.slice_levels()
    x, y = networks.examples_for(model, 8)
    expected, penalties = 0.0, 0.0
    for level in (0, -1):
        alone = cascade.extract(level)
        alone.compile(loss=LOSS)
        expected += alone.evaluate(x, y, verbose=0)
        alone(x)
        penalties += float(sum(alone.losses))
    assert penalties > 0.01
    assert cascade.evaluate(x, y, verbose=0, return_dict=True)["loss"] == pytest.approx(
        expected, rel=1e-5
    )
    logs = cascade.fit(x, y, batch_size=8, verbose=0).history
    assert np.isfinite(logs["loss"]).all() and cascade.sliced


def test_saliency_is_kept_while_levels_are_sliced():
    cascade, x, y = pruned("convnet", run_eagerly=True)
    cascade.fit(x[:16], y[:16], batch_size=8, verbose=0)
    before = cascade.saliency()
    cascade.slice_levels()
    cascade.fit(x, y, batch_size=8, verbose=0)
    for name, values in cascade.saliency().items():
        np.testing.assert_array_equal(values, before[name])


@pytest.mark.parametrize("change", ["update_masks", "set_masks"])
def test_new_masks_undo_slices(change):
    cascade, x, y = pruned("convnet")
    cascade.slice_levels()
    if change == "update_masks":
        cascade.update_masks(0.5)
    else:
        cascade.set_masks(-1, {"stem": np.arange(6) < 2})
    assert not cascade.sliced
    assert_close(cascade(x[:4])["student"], cascade.extract()(x[:4]), atol=1e-5)


@pytest.mark.parametrize("by", slow("guard", "backup", "weights_file"))
def test_a_state_of_other_masks_undoes_slices(by, tmp_path):
    cascade, x, y = pruned("convnet")
    before = cascade.masks()
    if by == "guard":
        broken = x.copy()
        broken[-1] = np.nan
        # A snapshot is taken before the first step only; slices begin with the fourth.
        pruning = kc.CascadeCallback(begin=1, end=3, frequency=1, slice_levels=True)
        with pytest.raises(kc.NonFiniteLossError, match="after step 0 have been put back"):
            cascade.fit(broken, y, batch_size=8, shuffle=False, verbose=0, callbacks=[pruning])
    elif by == "backup":
        backup = kc.TrainingBackup(tmp_path)
        data = tf.data.Dataset.from_tensor_slices((x[:8], y[:8])).repeat()
        backup.fit(
            cascade, lambda epochs: data.batch(8), steps_per_epoch=1, epochs=1, shuffle=False
        )
        _slice_others(cascade, before)
        backup.restore(cascade)
    else:
        cascade.save_weights(tmp_path / "state.weights.h5")
        _slice_others(cascade, before)
        cascade.load_weights(tmp_path / "state.weights.h5")
    assert not cascade.sliced
    for name, mask in cascade.masks().items():
        np.testing.assert_array_equal(mask, before[name])
    assert_close(cascade(x[:4])["student"], cascade.extract()(x[:4]), atol=1e-5)


def _slice_others(cascade, masks):
    cascade.update_masks(0.3)
    cascade.slice_levels()
    assert any((cascade.masks()[name] != mask).any() for name, mask in masks.items())
