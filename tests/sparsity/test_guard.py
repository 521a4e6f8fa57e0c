"""SparsityGuard: zeros stay zeros while a model is trained on."""

import keras
import networks
import numpy as np
import pytest

import keras_cascade as kc

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
OPTIMIZERS = {
    "momentum": lambda: keras.optimizers.SGD(0.05, momentum=0.9),
    "adam": lambda: keras.optimizers.Adam(0.01),
    "averaging": lambda: keras.optimizers.SGD(0.05, use_ema=True, ema_momentum=0.5),
}


def _sparse():
    """A model whose kernels, but for the first, have three zeros of four at random."""
    model = networks.small_convnet(regularizer="l2")
    random = np.random.default_rng(3)
    for variable in model.trainable_weights[1:]:
        if len(variable.shape) > 1:
            variable.assign(variable * (random.random(variable.shape) < 0.25))
    return model


def _zeros(model):
    return [value == 0.0 for value in model.get_weights() if value.ndim > 1]


def _same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("guarded", [True, False])
def test_zeros_are_kept_and_without_the_guard_lost(optimizer, guarded):
    model = _sparse()
    before, dense = _zeros(model), model.get_layer("stem").get_weights()[0]
    model.compile(OPTIMIZERS[optimizer](), LOSS)
    x, y = networks.examples_for(model, 32)
    model.fit(x, y, batch_size=8, verbose=0, callbacks=[kc.SparsityGuard()] if guarded else [])
    assert _same(_zeros(model), before) == guarded
    kernel = model.get_layer("inner").get_weights()[0]
    assert np.any(kernel != 0.0) and np.any(model.get_layer("stem").get_weights()[0] != dense)


def test_zeros_are_there_in_validation_and_after_every_batch():
    model = _sparse()
    before, seen = _zeros(model), []
    look = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.append(_same(_zeros(model), before)),
        on_epoch_end=lambda epoch, logs: seen.append(_same(_zeros(model), before)),
    )
    look.on_test_begin = lambda logs=None: seen.append(_same(_zeros(model), before))
    model.compile("adam", LOSS)
    x, y = networks.examples_for(model, 16)
    model.fit(
        x, y, batch_size=8, epochs=2, validation_data=(x, y), verbose=0,
        callbacks=[kc.SparsityGuard(), look],
    )  # fmt: skip
    assert len(seen) == 8 and all(seen)


def test_the_student_of_a_distiller_is_guarded():
    model = _sparse()
    before = _zeros(model)
    distiller = kc.Distiller(model, networks.small_convnet())
    distiller.compile("adam", LOSS)
    distiller.fit(
        *networks.examples_for(model, 16), batch_size=8, verbose=0, callbacks=[kc.SparsityGuard()]
    )
    assert _same(_zeros(model), before)


def test_what_is_not_sparse_is_not_guarded():
    model = networks.small_convnet()
    hidden, logits = model.get_layer("hidden").kernel, model.get_layer("logits").kernel
    hidden.assign(np.where(np.arange(60).reshape(6, 10) == 7, 0.0, hidden))  # one of sixty
    logits.assign(np.zeros((10, 4)))  # a gate that begins at zero
    model.compile("sgd", LOSS)
    data = networks.examples_for(model, 8)
    with pytest.raises(ValueError, match="no weight of which 2% are zero.*prune_weights"):
        model.fit(*data, verbose=0, callbacks=[kc.SparsityGuard(min_share=0.02)])
    model.fit(*data, verbose=0, callbacks=[kc.SparsityGuard(min_share=0.01)])
    assert hidden.numpy()[0, 7] == 0.0 and np.count_nonzero(hidden) == 59
    assert np.all(logits.numpy() != 0.0)


def test_a_share_out_of_range_is_refused():
    with pytest.raises(ValueError, match="min_share"):
        kc.SparsityGuard(min_share=0.0)
