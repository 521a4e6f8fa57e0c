"""A run that diverges, or has wrong labels, stops, says where, and loses nothing."""

import keras
import networks
import numpy as np
import pytest
from marks import slow

import keras_cascade as kc

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def _cascade(loss=LOSS, eager=False):
    """Eager is cheaper where a test takes a step or two of what another test runs traced."""
    cascade = kc.CascadeDistiller(networks.small_convnet(), (0.5,), min_channels=1)
    cascade.compile(
        keras.optimizers.Adam(0.01),
        loss,
        metrics=["accuracy"],
        jit_compile=False,
        run_eagerly=eager,
    )
    return cascade


class _AfterEpoch(keras.callbacks.Callback):
    """Keeps the weights as they are when each epoch begins."""

    def on_train_begin(self, logs=None):
        self.weights = []

    def on_epoch_begin(self, epoch, logs=None):
        self.weights.append([v.numpy().copy() for v in self.model.weights])


@pytest.mark.parametrize("bad", [np.nan, *slow(np.inf)])
def test_bad_images_stop_training_with_good_weights(bad):
    cascade, recorder = _cascade(), _AfterEpoch()
    x, y = networks.examples_for(cascade._base, 32)
    x_bad = x.copy()
    x_bad[20] = bad

    def batches():
        for epoch in range(2):
            images = x_bad if epoch else x
            for start in range(0, 32, 8):
                yield images[start : start + 8], y[start : start + 8]

    with pytest.raises(kc.NonFiniteLossError, match=r"at step 7 \(epoch 2, batch 3\).*after step"):
        cascade.fit(
            batches(),
            steps_per_epoch=4,
            epochs=2,
            verbose=0,
            callbacks=[recorder, kc.CascadeCallback(begin=0, end=6)],
        )
    for kept, now in zip(recorder.weights[1], cascade.weights, strict=True):
        np.testing.assert_array_equal(kept, now.numpy())
    # The state is whole: training goes on.
    logs = cascade.fit(x, y, batch_size=8, verbose=0).history
    assert np.isfinite(logs["loss"][0])


def test_guard_on_a_plain_model():
    model = networks.small_convnet()
    model.compile("sgd", LOSS, jit_compile=False)
    x, y = networks.examples_for(model, 32)
    x[-1] = np.nan
    with pytest.raises(kc.NonFiniteLossError, match="nan at step 4.*Lower the learning rate"):
        model.fit(
            x, y, batch_size=8, shuffle=False, verbose=0, callbacks=[kc.FiniteLossGuard(every=1)]
        )
    assert all(np.isfinite(array).all() for array in model.get_weights())
    with pytest.raises(ValueError, match="at least 1 step"):
        kc.FiniteLossGuard(every=0)


@pytest.mark.parametrize("label", [4, *slow(-1)])
def test_labels_outside_the_classes(label):
    cascade = _cascade(eager=label < 0)
    x, y = networks.examples_for(cascade._base, 16)
    y[9] = label
    before = [v.numpy().copy() for v in cascade.weights]
    with pytest.raises(ValueError, match=r"at step 2 .*labels outside the classes 0\.\.3"):
        cascade.fit(x, y, batch_size=8, shuffle=False, verbose=0)
    for old, new in zip(before, cascade.weights, strict=True):
        if not new.path.endswith("labels_outside"):
            np.testing.assert_array_equal(old, new.numpy())


@pytest.mark.parametrize("numbers", [True, False])
def test_labels_of_the_other_kind(numbers):
    """Class numbers for a loss of one-hot labels, and the other way round."""
    cascade = _cascade(keras.losses.CategoricalCrossentropy(from_logits=True) if numbers else LOSS)
    x, y = networks.examples_for(cascade._base, 16)
    y = y if numbers else keras.utils.to_categorical(y, 4)
    with pytest.raises(
        ValueError, match="^Labels of shape .* are " + ("class numbers" if numbers else "one-hot")
    ):
        cascade.fit(x, y, batch_size=8, verbose=0)


def test_labels_for_several_outputs():
    cascade = _cascade(eager=True)
    x, y = networks.examples_for(cascade._base, 8)
    with pytest.raises(ValueError, match="one output, and labels came as a dict of 2"):
        cascade.fit(x, {"logits": y, "more": y}, verbose=0)


def test_ignored_label_is_not_outside():
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)
    cascade = _cascade(loss, eager=True)
    x, y = networks.examples_for(cascade._base, 16)
    y[3] = -1
    assert np.isfinite(cascade.fit(x, y, batch_size=8, verbose=0).history["loss"][0])
    assert cascade.labels_outside() == 0


def test_bad_labels_in_validation_and_evaluation():
    cascade = _cascade()
    x, y = networks.examples_for(cascade._base, 16)
    for run in (
        lambda: cascade.fit(x, y, batch_size=8, validation_data=(x, y + 3), verbose=0),
        lambda: cascade.evaluate(x, y + 3, verbose=0),
    ):
        with pytest.raises(ValueError, match=r"In evaluation, .* outside the classes 0\.\.3"):
            run()
    assert np.isfinite(cascade.fit(x, y, batch_size=8, verbose=0).history["loss"][0])
    x[3] = np.nan
    with pytest.raises(kc.NonFiniteLossError, match="bad values in the data"):
        cascade.fit(x, y, batch_size=8, verbose=0)


def test_bad_labels_of_a_distiller():
    distiller = kc.Distiller(networks.small_convnet(), networks.small_convnet())
    distiller.compile("sgd", LOSS, run_eagerly=True)
    x, y = networks.examples_for(networks.small_convnet(), 16)
    with pytest.raises(ValueError, match=r"outside the classes 0\.\.3"):
        distiller.fit(x, y + 3, batch_size=8, verbose=0)


@pytest.mark.only_on("tensorflow", "jax", reason="Keras on PyTorch runs each step alone")
def test_steps_are_counted_within_executions():
    cascade = kc.CascadeDistiller(networks.small_convnet(), (0.5,), min_channels=1)
    cascade.compile("sgd", LOSS, jit_compile=False, steps_per_execution=2)
    x, y = networks.examples_for(cascade._base, 32)
    x[-1] = np.nan
    with pytest.raises(kc.NonFiniteLossError, match="at step 4"):
        cascade.fit(x, y, batch_size=8, shuffle=False, verbose=0)


def test_validation_that_is_not_finite_stops_too():
    cascade = _cascade(eager=True)
    x, y = networks.examples_for(cascade._base, 16)
    bad = np.full_like(x, np.nan)
    with pytest.raises(kc.NonFiniteLossError, match="in the validation of epoch 1"):
        cascade.fit(x, y, batch_size=8, validation_data=(bad, y), verbose=0)


def _hiding_nan():
    """A ReLU that makes 0 of NaN, on TensorFlow: all weights are lost, and the loss is not."""
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras.layers.Conv2D(4, 3, activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(4),
        ]
    )
    x, y = networks.examples_for(model, 32)
    x[20] = np.nan
    return model, x, y


def _all_finite(model):
    return all(np.isfinite(array).all() for array in model.get_weights())


def test_lost_weights_stop_training_under_a_finite_loss():
    model, x, y = _hiding_nan()
    model.compile("adam", LOSS, jit_compile=False)
    run = {"batch_size": 8, "shuffle": False, "verbose": 0}
    with pytest.raises(kc.NonFiniteLossError, match="after step 0 have been put back.*bad values"):
        model.fit(x, y, epochs=2, **run, callbacks=[kc.FiniteLossGuard()])
    assert _all_finite(model)
    # Where the last snapshot is no older than a step, no more is lost.
    with pytest.raises(kc.NonFiniteLossError, match="after step [12] have been put back"):
        model.fit(x, y, **run, callbacks=[kc.FiniteLossGuard(every=1)])
    assert _all_finite(model)


def test_lost_weights_of_a_cascade():
    model, x, y = _hiding_nan()
    cascade = kc.CascadeDistiller(model, (0.5,), min_channels=1)
    cascade.compile("adam", LOSS, jit_compile=False)
    with pytest.raises(kc.NonFiniteLossError, match="after step 0 have been put back"):
        cascade.fit(x, y, batch_size=8, shuffle=False, verbose=0)
    assert _all_finite(cascade)


class _Spoiler(keras.callbacks.Callback):
    """Makes a weight NaN after the last batch of an epoch."""

    def __init__(self, index):
        super().__init__()
        self.index = index

    def on_train_batch_end(self, batch, logs=None):
        if batch + 1 == self.params["steps"]:
            weight = self.model.weights[self.index]
            weight.assign(keras.ops.full(weight.shape, float("nan")))


def test_what_the_last_step_lost_is_found():
    model = networks.small_convnet()
    model.compile("sgd", LOSS, run_eagerly=True)
    x, y = networks.examples_for(model, 16)
    for index, name in ((0, "stem/kernel"), (4, "stem_bn/moving_mean")):
        with pytest.raises(
            kc.NonFiniteLossError,
            match=rf"weight '{name}' .*stayed finite, by step 2 \(epoch 1, batch 2\)",
        ):
            guard = kc.FiniteLossGuard(every=1)
            model.fit(x, y, batch_size=8, verbose=0, callbacks=[guard, _Spoiler(index)])
        assert _all_finite(model)


def test_weights_that_were_never_finite():
    model = networks.small_convnet()
    model.compile("sgd", LOSS, run_eagerly=True)
    x, y = networks.examples_for(model, 8)
    odd = model.add_weight(shape=(2,), initializer="zeros", trainable=False, name="mask")
    odd.assign([0.0, -np.inf])  # by design: nothing that training did
    model.fit(x, y, verbose=0, callbacks=[kc.FiniteLossGuard()])
    model.layers[1].kernel.assign(np.full((3, 3, 2, 6), np.nan))
    with pytest.raises(kc.NonFiniteLossError, match="'stem/kernel' is NaN or infinite before the"):
        model.fit(x, y, verbose=0, callbacks=[kc.FiniteLossGuard()])
