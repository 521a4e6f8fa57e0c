"""What is the user's own and unregistered is carried over, wherever in a layer it is."""

import invariants
import keras
import networks
import numpy as np
import pytest
from keras import layers, ops

import keras_cascade as kc


class _Pull(keras.regularizers.Regularizer):
    def __init__(self, strength):
        self.strength = strength

    def __call__(self, weight):
        return self.strength * ops.sum(ops.square(weight))

    def get_config(self):
        return {"strength": self.strength}


class _Clip(keras.constraints.Constraint):
    def __call__(self, weight):
        return ops.clip(weight, -1.0, 1.0)

    def get_config(self):
        return {}


class _Draw(keras.initializers.Initializer):
    def __call__(self, shape, dtype=None):
        return ops.full(shape, 0.1, dtype)

    def get_config(self):
        return {}


class _Doubling(layers.Layer):
    def call(self, inputs):
        return 2.0 * inputs

    def compute_output_shape(self, input_shape):
        return input_shape


def _bent(x):
    return ops.tanh(2.0 * x)


def _own():
    return {
        "kernel_regularizer": _Pull(0.1),
        "kernel_constraint": _Clip(),
        "bias_initializer": _Draw(),
    }


def _direct():
    return layers.Dense(6, name="cut", activation=_bent, **_own())


def _inside():
    return layers.TimeDistributed(layers.Dense(6, activation=_bent, **_own()), name="cut")


def _recurrent():
    one = layers.LSTM(3, activation=_bent, return_sequences=True, **_own())
    with keras.saving.custom_object_scope({p.__name__: p for p in (_bent, _Pull, _Clip, _Draw)}):
        return layers.Bidirectional(one, name="cut")


def _attention():
    return layers.MultiHeadAttention(2, 3, name="cut", **_own())


def _layer_inside():
    return layers.TimeDistributed(_Doubling(), name="cut")


@pytest.mark.parametrize("kind", [_direct, _inside, _recurrent, _attention, _layer_inside])
def test_parts_of_the_users_own_are_carried_over(kind, rng):
    inputs, layer = keras.Input((5, 4)), kind()
    x = layer(inputs, inputs) if kind is _attention else layer(inputs)
    x = layers.Dense(8, name="more")(x)
    model = networks.unsettled(keras.Model(inputs, layers.Dense(3)(x)))
    masks = invariants.random_masks(kc.ChannelGraph(model), rng)
    small = kc.Surgeon(model).extract(masks)
    assert len(small.losses) == len(model.losses)
    invariants.assert_extraction(model, masks)


class _Parts(layers.Layer):
    """Takes layers, or what Keras has saved of them."""

    def __init__(self, parts, **kwargs):
        super().__init__(**kwargs)
        made = keras.saving.deserialize_keras_object
        self.parts = [made(part) if isinstance(part, dict) else part for part in parts]

    def call(self, inputs):
        for part in self.parts:
            inputs = part(inputs)
        return inputs

    def get_config(self):
        return {**super().get_config(), "parts": self.parts}


class _Around(layers.Layer):
    def __init__(self, inner, **kwargs):
        super().__init__(**kwargs)
        self.inner = inner

    def call(self, inputs):
        return self.inner(inputs)

    def get_config(self):
        return {**super().get_config(), "inner": self.inner}

    @classmethod
    def from_config(cls, config):
        return cls(keras.saving.deserialize_keras_object(config.pop("inner")), **config)


class _Drawing(layers.Layer):
    def __init__(self, seeds, **kwargs):
        super().__init__(**kwargs)
        made = keras.random.SeedGenerator.from_config
        self.seeds = made(seeds["config"]) if isinstance(seeds, dict) else seeds

    def call(self, inputs):
        return inputs + keras.random.normal(ops.shape(inputs), seed=self.seeds)

    def get_config(self):
        return {**super().get_config(), "seeds": self.seeds}


class _Nameless(layers.Layer):
    def __init__(self, units):
        super().__init__()
        self.units = units

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], self.units))

    def call(self, inputs):
        return ops.matmul(inputs, self.kernel)

    def get_config(self):
        return {"units": self.units}


@pytest.mark.parametrize(
    "own",
    [
        lambda: _Parts([layers.Dense(5), layers.Dense(6)]),
        lambda: _Around(layers.Dense(5)),
        lambda: _Drawing(keras.random.SeedGenerator(3)),
        lambda: _Nameless(5),
    ],
)
def test_layers_that_keras_loads_are_made_anew_and_share_nothing(own, rng):
    inputs, layer = keras.Input((4,)), own()
    x = layer(layers.Dense(6, name="read")(layers.Dense(8, name="cut")(inputs)))
    model = networks.unsettled(keras.Model(inputs, layers.Dense(3)(x)))
    small = kc.Surgeon(model).extract({"cut": np.arange(8) < 4})
    assert not set(map(id, small.variables)) & set(map(id, model.variables))
    assert type(small.get_layer(layer.name)) is type(layer)


def test_own_normalisations_have_parts_of_the_users_own():
    inputs = keras.Input((4,))
    x = layers.BatchNormalization(gamma_regularizer=_Pull(0.1))(layers.Dense(8)(inputs))
    cascade = kc.CascadeDistiller(keras.Model(inputs, layers.Dense(3)(x)), (0.3,), min_channels=1)
    assert cascade.extract(0).losses


class _NoConfig(layers.Layer):
    def __init__(self, scale, **kwargs):
        super().__init__(**kwargs)
        self.scale = scale

    def call(self, inputs):
        return self.scale(inputs)


@pytest.mark.parametrize("frozen", [False, True])
def test_a_cascade_refuses_at_once_what_it_could_not_extract(frozen):
    inputs = keras.Input((4,))
    x = _NoConfig(lambda x: 2.0 * x, name="own")(layers.Dense(8)(layers.Dense(8)(inputs)))
    model = keras.Model(inputs, layers.Dense(3)(x))
    with pytest.raises(kc.SurgeryError, match=r"'own' \(_NoConfig\) cannot be made anew"):
        kc.CascadeDistiller(model, (0.3,), min_channels=1, freeze_teacher=frozen)


def test_copies_made_while_a_model_is_loaded_share_nothing(tmp_path):
    inputs = keras.Input((5, 4))
    x = layers.TimeDistributed(layers.Dense(6))(inputs)
    x = layers.GlobalAveragePooling1D()(x)
    model = keras.Model(inputs, layers.Dense(3, activation="softmax")(x))
    distiller = kc.Distiller(model, model)
    distiller.compile("sgd", "sparse_categorical_crossentropy")
    distiller.save(tmp_path / "distiller.keras")
    loaded = keras.saving.load_model(tmp_path / "distiller.keras")
    student, teacher = (loaded._members[name] for name in ("student", "teacher"))
    assert not {id(w) for w in student.weights} & {id(w) for w in teacher.weights}
