"""Nested models take what they are given as Keras has them take it."""

import invariants
import keras
import pytest
from keras import layers, ops

import keras_cascade as kc
from keras_cascade.graph.tracing import trace


def _fully_convolutional():
    return keras.Sequential(
        [
            keras.Input((None, None, 3)),
            layers.Conv2D(8, 3, name="first"),
            layers.Conv2D(6, 3, activation="relu", name="second"),
        ],
        name="base",
    )


def _around(nested):
    inputs = keras.Input((8, 8, 3))
    x = layers.Flatten()(nested(inputs))
    return keras.Model(inputs, layers.Dense(2, name="out")(x))


def test_shapes_are_those_of_the_call(rng):
    """As of a network for images of any size, called with such of one."""
    model = _around(_fully_convolutional())
    graph = kc.ChannelGraph(model)
    assert graph.macs() == 6 * 6 * 8 * 27 + 4 * 4 * 6 * 72 + 4 * 4 * 6 * 2
    assert {group.name for group in graph.prunable_groups} == {"first", "second"}
    masks = {"first": rng.permutation(8) < 5, "second": rng.permutation(6) < 4}
    invariants.assert_extraction(model, masks)


class _Halved(layers.Layer):
    """Says by its call alone what shape it gives, and takes no `training`."""

    def call(self, inputs):
        return inputs[:, ::2] / 2.0


def test_shapes_are_those_of_the_call_where_training_is_fixed():
    inputs, image = keras.Input((None, None, 3)), keras.Input((8, 8, 3))
    base = keras.Model(inputs, layers.Dropout(0.5)(_Halved()(inputs)))
    model = keras.Model(image, layers.Dense(2)(layers.Flatten()(base(image, training=False))))
    assert trace(model).calls[0].outputs[0].shape == (None, 4, 8, 3)
    invariants.assert_extraction(model, {})


def test_shapes_of_one_nested_model_called_with_two_sizes(rng):
    base = _fully_convolutional()
    small, large = keras.Input((8, 8, 3)), keras.Input((10, 10, 3))
    pooled = [layers.GlobalAveragePooling2D()(base(size)) for size in (small, large)]
    model = keras.Model([small, large], layers.Dense(2)(ops.concatenate(pooled, axis=-1)))
    seconds = [call for call in trace(model).calls if call.name == "second"]
    assert {call.outputs[0].shape[1:] for call in seconds} == {(4, 4, 6), (6, 6, 6)}
    invariants.assert_extraction(model, {"second": rng.permutation(6) < 4})


def _scaling(x):
    return layers.Conv2D(6, 3, name="made")(x * 2.0 - 255.0)


def _dense(x):
    return layers.Dense(4, name="next")(layers.Dense(6, name="made")(x))


@pytest.mark.parametrize(
    ("given", "taken", "inside"),
    [
        (((8, 8, 3), "uint8"), ((8, 8, 3), "float32"), _scaling),
        (((8, 8, 3), "float32"), ((8, 8, 3), "int32"), lambda x: _scaling(ops.cast(x, "float32"))),
        (((8, 8, 3), "float16"), ((8, 8, 3), "float32"), _scaling),
        (((8, 1), "float32"), ((8,), "float32"), _dense),
        (((8, 1), "uint8"), ((8,), "float32"), _dense),
        (((8,), "float32"), ((8, 1), "float32"), lambda x: _dense(layers.Flatten()(x))),
    ],
)
def test_inputs_are_cast_and_of_the_rank_that_the_nested_model_has(given, taken, inside, rng):
    own = keras.Input(taken[0], dtype=taken[1])
    x = layers.Dense(2)(layers.Flatten()(inside(own)))
    inputs = keras.Input(given[0], dtype=given[1])
    # Nothing behind it: of another rank, Keras tells what is behind a wrong shape.
    model = keras.Model(inputs, keras.Model(own, x)(inputs))
    batch = (100 * rng.random((3, *given[0]))).astype(given[1])
    invariants.assert_same_outputs(
        *([ops.convert_to_numpy(each(batch))] for each in (model, kc.masked_view(model, {})))
    )
    invariants.assert_extraction(model, {"made": rng.permutation(6) < 4})


@pytest.mark.parametrize("kind", [list, tuple, dict])
def test_nested_models_of_several_inputs_are_dissolved(kind, rng):
    """Keras notes a mask for each of them, which is None."""

    def structure(**tensors):
        return tensors if kind is dict else kind(tensors.values())

    image, more = keras.Input((8, 8, 3), name="image"), keras.Input((5,), name="more")
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(8, 3, name="conv")(image))
    x = layers.Concatenate()([x, layers.Dense(7, name="beside")(more)])
    outputs = structure(first=layers.Dense(6, name="joint")(x), second=x)
    inner = keras.Model(structure(image=image, more=more), outputs, name="inner")
    image, more = keras.Input((8, 8, 3)), keras.Input((5,))
    flat = keras.tree.flatten(inner(structure(image=image, more=more)))
    model = keras.Model([image, more], layers.Dense(2)(ops.concatenate(flat, axis=-1)))
    assert {g.name for g in kc.ChannelGraph(model).prunable_groups} == {"conv", "beside", "joint"}
    masks = {name: rng.permutation(n) < 4 for name, n in (("conv", 8), ("beside", 7), ("joint", 6))}
    invariants.assert_extraction(model, masks)
    arrays = [rng.normal(size=(2, *each.shape[1:])).astype("float32") for each in (image, more)]
    invariants.assert_same_outputs(
        *([ops.convert_to_numpy(each(arrays))] for each in (model, kc.masked_view(model, {})))
    )


def test_names_of_casts_do_not_count_the_session():
    inputs = keras.Input((8, 8, 3), dtype="uint8")
    model = keras.Model(inputs, _fully_convolutional()(inputs))
    assert [trace(model).calls[0].name for _ in range(2)] == ["base_cast"] * 2
