"""What prune_weights trains with."""

import keras
import networks
import numpy as np
import pytest
from keras import layers

import keras_cascade as kc


def test_the_default_loss_knows_a_softmax_in_a_nested_model():
    from keras_cascade.sparsity import training

    inner = keras.Sequential([keras.Input((8, 8, 2)), networks.small_convnet(), layers.Softmax()])
    nested = keras.Sequential([keras.Input((8, 8, 2)), inner])
    assert not training.default_loss(nested).from_logits
    assert training.default_loss(networks.small_convnet()).from_logits


def test_a_teacher_of_classes_along_another_axis_is_refused():
    from keras_cascade.sparsity import training

    model = keras.Sequential([keras.Input((8, 2)), layers.Dense(3), layers.Permute((2, 1))])
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, axis=1)
    with pytest.raises(ValueError, match="along axis -2.*Put the classes last"):
        training.check_teacher(model, model, loss, temperature=2.0, alpha=0.5)


@pytest.mark.parametrize("taught", [False, True])
def test_labels_outside_the_classes_are_named(taught):
    model = networks.small_convnet()
    x, y = networks.examples_for(model, 16)
    teacher = networks.small_convnet() if taught else None
    y[9] = 4
    with pytest.raises(ValueError, match=r"^At batch 2 .*, 1 labels outside the classes 0\.\.3\."):
        kc.prune_weights(model, 0.5, data=(x, y), batch_size=8, teacher=teacher, verbose=0)


@pytest.mark.parametrize("numbers", [True, False])
@pytest.mark.parametrize("batched", [True, False])
def test_labels_of_the_other_kind_are_refused(numbers, batched):
    import tensorflow as tf

    model = networks.small_convnet()
    x, y = networks.examples_for(model, 8)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True) if numbers else None
    data = (x, y if numbers else keras.utils.to_categorical(y, 4))
    if batched:
        data = tf.data.Dataset.from_tensor_slices(data).batch(4)
    with pytest.raises(ValueError, match="^Labels of shape .* are "):
        kc.prune_weights(model, 0.5, data=data, loss=loss, verbose=0)


@pytest.mark.parametrize("loss", ["sparse_categorical_crossentropy", None])
def test_a_loss_that_checks_labels_is_the_loss(loss, rng):
    import tf_keras

    from keras_cascade.sparsity import training

    given = loss or keras.losses.SparseCategoricalCrossentropy(
        from_logits=True, ignore_class=-1, reduction="sum"
    )
    probabilities = rng.dirichlet(np.ones(4), 6).astype("float32")
    outputs = probabilities if loss else np.log(probabilities)
    labels = np.array([0, 3, 2, 1, 1, 0]) if loss else np.array([0, 3, -1, 1, 1, 0])
    weights = rng.random(6).astype("float32")
    checked = training.checked_loss(given, (None, 4))
    found = float(checked(labels, tf_keras.backend.constant(outputs), weights))
    expected = (
        float(keras.losses.get(given)(labels, outputs, weights))
        if not loss
        else np.mean(-weights * np.log(probabilities[np.arange(6), labels]))
    )
    assert found == pytest.approx(expected, rel=1e-5)
    assert int(checked.outside) == 0
    assert np.isnan(float(checked(labels + 1, tf_keras.backend.constant(outputs), weights)))
    assert int(checked.outside) == 1


@pytest.mark.parametrize("kept", [False, True])
def test_frozen_layers_lose_their_smallest_weights_and_no_others_change(kept):
    model = networks.small_convnet()
    model.get_layer("inner").trainable = False
    before = model.get_layer("inner").get_weights()
    keep = ("inner",) if kept else ()
    data = networks.examples_for(model, 24)
    sparse = kc.prune_weights(model, 0.75, data=data, batch_size=8, keep=keep, verbose=0)
    assert not sparse.get_layer("inner").trainable
    kernel, bias = sparse.get_layer("inner").get_weights()
    assert np.mean(kernel == 0.0) == (0.0 if kept else 0.75)
    np.testing.assert_array_equal(kernel[kernel != 0.0], before[0][kernel != 0.0])
    np.testing.assert_array_equal(bias, before[1])
    if not kept:
        assert np.abs(before[0][kernel == 0.0]).max() <= np.abs(kernel[kernel != 0.0]).min()


def test_an_averaging_optimizer_gives_its_averages_with_the_zeros():
    model = networks.small_convnet()
    # An average that nothing is added to: what the model began with.
    optimizer = keras.optimizers.Adam(use_ema=True, ema_momentum=1.0)
    data = networks.examples_for(model, 24)
    sparse = kc.prune_weights(model, 0.75, data=data, optimizer=optimizer, verbose=0)
    for before, after in zip(model.trainable_weights, sparse.trainable_weights, strict=True):
        zeros = after.numpy() == 0.0
        if before.name == "kernel":
            assert abs(np.mean(zeros) - 0.75) <= 1 / zeros.size
        np.testing.assert_array_equal(after.numpy(), np.where(zeros, 0.0, before.numpy()))


def test_without_metrics_there_is_the_loss_alone():
    import tf_keras

    model, seen = networks.small_convnet(), []
    callback = tf_keras.callbacks.LambdaCallback(on_epoch_end=lambda _, logs: seen.append(logs))
    data = networks.examples_for(model, 8)
    kc.prune_weights(model, 0.5, data=data, metrics=None, callbacks=[callback], verbose=0)
    assert set(seen[0]) == {"loss"}


@pytest.mark.parametrize("metrics", ["accuracy", keras.metrics.AUC(), {"logits": ["accuracy"]}])
def test_metrics_that_are_no_list_are_refused(metrics):
    model = networks.small_convnet()
    with pytest.raises(TypeError, match=r'must be a list .* Write metrics=\["accuracy"\]'):
        kc.prune_weights(model, 0.5, data=networks.examples_for(model, 8), metrics=metrics)
