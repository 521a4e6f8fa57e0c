"""The bridge: a model and its twin in the other library compute the same, or there is none."""

import keras
import networks
import numpy as np
import pytest
import rule_cases
import tensorflow as tf
import tf_keras
from keras import layers, ops
from marks import slow_but

import keras_cascade as kc
from keras_cascade.sparsity import activations

# Of the models that the channel rules are tested on; all others cross too, but for five whose
# layers or options tf_keras lacks.
CROSSING = """
strided transposed_2d depthwise_multiplier depthwise_1d separable separable_1d grouped
three_dimensions einsum_heads embedding_masked activations prelu_shared dropouts
rescaling batch_normalization batch_plain_normalization layer_all_axes_normalization
group_normalization
unit_normalization max_pooling global_average_keepdims padding_cropping up_sampling resizing
center_crop average subtract concatenate_nested cosine attention additive_attention reshape_open
permute repeat_vector channel_shuffle windows detection_head fixed_batch hand_made_silu rnn
encoder_decoder_lstm encoder_decoder_gru bidirectional_apart time_distributed_bidirectional
multi_head_causal multi_head_by_name multi_head_masked siamese transfer_learning open_size
""".split()
KERAS_3_ACTIVATIONS = sorted(activations.BY_NAME)


def _outputs(model, x):
    return keras.tree.map_structure(
        lambda value: np.asarray(ops.convert_to_numpy(value)), model(x, training=False)
    )


def _assert_equal(one, other, x, tolerance=1e-6):
    for expected, got in zip(
        keras.tree.flatten(_outputs(one, x)), keras.tree.flatten(_outputs(other, x)), strict=True
    ):
        assert np.abs(expected - got).max() <= tolerance * max(1.0, np.abs(expected).max())


@pytest.mark.parametrize("name", slow_but({"resnet20"}, networks.ARCHITECTURES))
def test_twin_gives_the_same_output(name, rng):
    model = networks.build(name)
    x = rng.standard_normal((2, *model.input_shape[1:])).astype("float32")
    twin = kc.to_tf_keras(model)
    _assert_equal(model, twin, x)
    _assert_equal(model, kc.from_tf_keras(twin), x)


@pytest.mark.parametrize(
    "case", [*CROSSING, pytest.param("first_pointwise", marks=pytest.mark.channels_first)]
)
def test_layer_crosses_and_comes_back(case):
    model = rule_cases.CUT[case]()
    back = kc.from_tf_keras(kc.to_tf_keras(model))  # each verified, call by call
    assert [tuple(value.shape) for value in back.get_weights()] == [
        tuple(value.shape) for value in model.get_weights()
    ]


@pytest.mark.parametrize("name", KERAS_3_ACTIVATIONS)
def test_activation_of_keras_3_crosses_and_comes_back(name, tmp_path):
    inputs = keras.Input((6,))
    outputs = layers.Activation(name, name="last")(
        layers.Dense(8, kernel_initializer="he_normal")(inputs)
    )
    twin = kc.to_tf_keras(keras.Model(inputs, outputs))
    assert kc.from_tf_keras(twin).get_layer("last").get_config()["activation"] == name
    twin.save(tmp_path / "twin.keras")
    x = np.linspace(-3, 3, 12).reshape(2, 6)
    _assert_equal(twin, tf_keras.models.load_model(tmp_path / "twin.keras"), x, 0.0)


def _two_in_two_out():
    """A shared layer, a nested model that is called twice, op nodes, inputs and outputs by name."""
    one, other = keras.Input((5,), name="one"), keras.Input((5,), name="other")
    nested = keras.Sequential(
        [keras.Input((5,)), layers.Dense(4, trainable=False), layers.LeakyReLU(0.1)]
    )
    shared = layers.Dense(3, name="shared", kernel_regularizer="l2", bias_constraint="non_neg")
    sides = [shared(nested(value)) for value in (one, other)]
    outputs = {"sum": layers.Add(name="sum")(sides), "product": sides[0] * sides[1] + 1.0}
    return networks.unsettled(keras.Model({"one": one, "other": other}, outputs, name="pair"))


def test_structure_names_and_options_are_kept(rng, tmp_path):
    model = _two_in_two_out()
    twin = kc.to_tf_keras(model)
    x = {name: rng.standard_normal((2, 5)).astype("float32") for name in ("one", "other")}
    for other in (twin, kc.from_tf_keras(twin)):
        _assert_equal(model, other, x)
        assert set(other.output) == {"sum", "product"} and set(other.input) == {"one", "other"}
        assert sorted(other.output_names) == sorted(model.output_names)
        assert sum(layer.name == "shared" for layer in other.layers) == 1
        assert len(other.trainable_weights) == len(model.trainable_weights) == 2
        assert other.name == "pair"
        np.testing.assert_allclose(float(sum(other.losses)), float(sum(model.losses)), rtol=1e-6)
        assert "NonNeg" in type(other.get_layer("shared").bias_constraint).__name__
    twin.save(tmp_path / "pair.keras")
    _assert_equal(twin, tf_keras.models.load_model(tmp_path / "pair.keras"), x, 0.0)
    twin.save(tmp_path / "pair.h5")
    _assert_equal(twin, tf_keras.models.load_model(tmp_path / "pair.h5"), x, 0.0)


def test_what_crosses_shares_nothing_with_the_original():
    model = networks.small_convnet()
    twin = kc.to_tf_keras(model)
    before = model.get_weights()
    for variable in twin.weights:
        variable.assign(variable + 1.0)
    for value, old in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(value, old)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float64"])
def test_dtype_policies_are_kept(policy):
    inputs = keras.Input((6, 6, 3))
    x = layers.Conv2D(4, 3, dtype=policy, name="conv")(inputs)
    model = keras.Model(inputs, layers.Dense(2, dtype="float32")(layers.Flatten()(x)))
    twin = kc.to_tf_keras(model)
    assert twin.get_layer("conv").dtype_policy.name == policy
    assert kc.from_tf_keras(twin).get_layer("conv").dtype_policy.name == policy


def test_an_adapted_normalization_keeps_its_statistics(rng):
    data = rng.standard_normal((20, 3)).astype("float32") * [1.0, 5.0, 9.0] + 3.0
    adapted = layers.Normalization()
    adapted.adapt(data)
    model = keras.Sequential([keras.Input((3,)), adapted])
    twin = kc.to_tf_keras(model)
    _assert_equal(model, twin, data)
    _assert_equal(model, kc.from_tf_keras(twin), data)


def _model_of(*middle, shape=(4, 6)):
    inputs = keras.Input(shape)
    x = inputs
    for layer in middle:
        x = layer(x)
    return keras.Model(inputs, x)


class Doubling(layers.Layer):
    def call(self, inputs):
        return 2 * inputs


REFUSED = {
    "custom layer": (lambda: Doubling(name="mine"), "'mine' .Doubling.*class of your own"),
    "lambda": (lambda: layers.Lambda(lambda x: x), "Lambda holds Python code"),
    "missing layer": (lambda: layers.RMSNormalization(name="rms"), "'rms'.*no RMSNormalization"),
    "missing option": (
        lambda: layers.GRU(2, zero_output_for_mask=True, return_sequences=True, name="gru"),
        "'gru'.*no option zero_output_for_mask=True",
    ),
    "own activation": (
        lambda: layers.Dense(3, activation=lambda x: x * 2, name="own"),
        "'own'.*activation is a function of your own",
    ),
    "missing activation": (
        lambda: layers.Dense(3, activation="sparsemax", name="max"),
        "'max'.*no activation 'sparsemax'",
    ),
    "missing operation": (lambda: lambda x: ops.sort(x), "operation Sort"),
    "batch index": (lambda: lambda x: ops.argmax(x), "without an axis"),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.filterwarnings("ignore:The object being serialized includes a `lambda`")
def test_what_has_no_counterpart_is_refused_by_name(case):
    make, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        kc.to_tf_keras(_model_of(make()))


def test_models_without_a_graph_are_refused():
    class Subclassed(keras.Model):
        def call(self, inputs):
            return inputs

    with pytest.raises(TypeError, match="subclassed"):
        kc.to_tf_keras(Subclassed())
    with pytest.raises(ValueError, match="not built"):
        kc.to_tf_keras(keras.Sequential([layers.Dense(2)]))


def test_a_different_meaning_of_the_same_name_is_found(monkeypatch):
    monkeypatch.delitem(activations.BY_NAME, "hard_sigmoid")
    model = _model_of(layers.Dense(3), layers.Dense(3, activation="hard_sigmoid", name="gate"))
    with pytest.raises(ValueError, match="different things.*first at 'gate'"):
        kc.to_tf_keras(model)
    kc.to_tf_keras(model, verify=False)


def test_a_batch_that_the_model_does_not_take_is_made_smaller():
    """Of any number of steps it takes, beside the 20 that it is for, 1."""
    inputs = keras.Input((None, 3))
    kc.to_tf_keras(keras.Model(inputs, layers.Dense(4)(inputs) + np.ones((1, 20, 4), "float32")))
    folded = keras.Model(inputs, layers.Reshape((4, 15), name="fold")(inputs))
    with pytest.raises(ValueError, match=r"(?s)fails on .*'fold' \(Reshape\): .*fixed sizes"):
        kc.to_tf_keras(folded)
    kc.to_tf_keras(folded, verify=False)


def test_a_mask_that_only_one_library_passes_on_is_found(monkeypatch):
    inputs = keras.Input((7,), dtype="int32")
    x = layers.Embedding(5, 3, mask_zero=True)(inputs)
    x = layers.Dropout(0.5)(x)
    model = keras.Model(inputs, layers.MultiHeadAttention(2, 3, name="reader")(x, x))
    ids = np.array([[1, 2, 0, 0, 3, 0, 0]])
    _assert_equal(model, kc.to_tf_keras(model), ids)
    monkeypatch.setattr(tf_keras.layers.Dropout, "compute_mask", lambda *_: None)
    with pytest.raises(ValueError, match="first at 'reader'"):
        kc.to_tf_keras(model)


def test_the_mode_a_layer_was_called_in_is_the_models_own():
    """Keras 3 overrides training=False of a call, so its twin must not keep it."""
    inputs = keras.Input((50,))
    model = keras.Model(inputs, layers.Dropout(0.5)(inputs, training=False))
    for one in (model, kc.to_tf_keras(model)):
        assert (np.asarray(one(np.ones((1, 50)), training=True)) == 0.0).any()


# From tf_keras.


def _old():
    """A model as written for Keras 2: operators, functions of TensorFlow, "/" in names."""
    old = tf_keras.layers
    inputs = tf_keras.Input((4, 6), name="in")
    block = tf_keras.Sequential([old.Dense(6, "relu", name="fc"), old.LeakyReLU(0.1)], "block")
    x = old.Conv1D(6, 3, padding="same", name="stem/conv", kernel_regularizer="l2")(inputs)
    x = old.BatchNormalization(name="stem/bn")(x)
    x = block(x) * 2 - block(inputs) / 3
    x = tf.nn.relu(tf.concat([x, inputs + tf.ones((6,))], axis=-1))[:, 1:, None]
    x = tf.transpose(tf.reshape(x, [-1, 3, 12]), [0, 2, 1])
    x = tf.reduce_mean(x, axis=-1, keepdims=True) @ tf.constant([[1.0, -1.0]])
    x = old.Multiply(name="multiply")([x, tf.multiply(x, 3.0)])
    x = old.GRU(3, name="rnn", implementation=1)(x, initial_state=old.Dense(3)(inputs[:, 0]))
    return tf_keras.Model(inputs, [tf.clip_by_value(x, -0.5, 0.5), x], name="old")


def test_a_model_of_tf_keras_crosses_and_is_an_ordinary_one(rng, tmp_path):
    old = _old()
    new = kc.from_tf_keras(old, name="new")
    x = rng.standard_normal((3, 4, 6)).astype("float32")
    _assert_equal(old, new, x)
    assert new.name == "new" and new.get_layer("stem_conv").kernel_regularizer is not None
    new.save(tmp_path / "new.keras")
    _assert_equal(new, keras.models.load_model(tmp_path / "new.keras"), x, 0.0)
    _assert_equal(old, kc.to_tf_keras(new), x)
    assert kc.ChannelGraph(new).params() == old.count_params()


def _old_of(*middle):
    inputs = x = tf_keras.Input((4, 6))
    for layer in middle:
        x = layer(x)
    return tf_keras.Model(inputs, x)


def _wrapped():
    from keras_cascade.sparsity.toolkit import import_tfmot

    return import_tfmot().prune_low_magnitude(tf_keras.layers.Dense(2))


OLD_REFUSED = {
    "TF-MOT's wrapper": (lambda: _wrapped(), "strip_pruning"),
    "hard_sigmoid": (lambda: tf_keras.layers.Activation("hard_sigmoid"), "hard_sigmoid"),
    "missing layer": (lambda: tf_keras.layers.ThresholdedReLU(0.5), "no ThresholdedReLU"),
    "missing option": (
        lambda: tf_keras.layers.GRU(2, time_major=True, name="gru"),
        "'gru'.*no option time_major=True",
    ),
    "lambda": (lambda: tf_keras.layers.Lambda(lambda x: x), "Lambda holds Python code"),
    "missing function": (lambda: tf.sort, "TensorFlow's sort"),
    "missing argument": (lambda: lambda x: tf.matmul(x, x, transpose_b=True), "transpose_b"),
    "variable": (
        lambda: lambda x: tf.multiply(x, tf.Variable(2.0, name="own")),
        "tf.Variable of your own, 'own:0'",
    ),
    "training": (
        lambda: lambda x: tf_keras.layers.Dropout(0.5, name="drop")(x, training=True),
        "'drop' was called with training=True",
    ),
}


@pytest.mark.parametrize("case", OLD_REFUSED)
def test_what_keras_3_has_no_counterpart_of_is_refused_by_name(case):
    make, message = OLD_REFUSED[case]
    with pytest.raises(ValueError, match=message):
        kc.from_tf_keras(_old_of(make()))


def test_old_models_without_a_graph_are_refused():
    class Subclassed(tf_keras.Model):
        def call(self, inputs):
            return inputs

    with pytest.raises(TypeError, match="subclassed"):
        kc.from_tf_keras(Subclassed())
    with pytest.raises(TypeError, match="Expected a tf_keras.Model, got Functional"):
        kc.from_tf_keras(_model_of(layers.Dense(2)))
    with pytest.raises(ValueError, match="not built"):
        kc.from_tf_keras(tf_keras.Sequential([tf_keras.layers.Dense(2)]))


def test_a_call_fixed_in_inference_mode_is_warned_of():
    dropout = tf_keras.layers.Dropout(0.5, name="drop")
    old = _old_of(lambda x: dropout(x, training=False))
    with pytest.warns(UserWarning, match="'drop' was called with training=False"):
        kc.from_tf_keras(old)
