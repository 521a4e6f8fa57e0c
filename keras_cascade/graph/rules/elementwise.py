"""Layers that treat each channel by itself: activations, dropout, merges of equal shapes."""

import keras

from keras_cascade.graph.rules.registry import Flow, register_rule

# Activations that compute each element from that element alone. Others (softmax, glu, a user's
# own function) may mix channels.
ELEMENTWISE_ACTIVATIONS = frozenset(
    getattr(keras.activations, name)
    for name in (
        "celu elu exponential gelu hard_shrink hard_sigmoid hard_silu hard_tanh leaky_relu linear "
        "log_sigmoid mish relu relu6 selu sigmoid silu soft_shrink softplus softsign sparse_plus "
        "squareplus tanh tanh_shrink threshold"
    ).split()
)


def is_elementwise(activation):
    """Whether an activation function treats every element alone.

    Args:
        activation: a function or layer, as a layer's `activation` attribute holds it; None is
            the identity.

    Returns:
        bool; False for anything not known.
    """
    if activation is None or type(activation) in _ELEMENTWISE_LAYERS:
        return True
    if isinstance(activation, keras.layers.Activation):
        return is_elementwise(activation.activation)
    return isinstance(activation, type(is_elementwise)) and activation in ELEMENTWISE_ACTIVATIONS


def pin_mixing_activation(layer, made, call):
    """Keeps the channels a layer makes whole where its activation may mix them."""
    if not is_elementwise(layer.activation):
        name = getattr(layer.activation, "__name__", type(layer.activation).__name__)
        call.pin(made, f"activation {name} may mix channels")


_ELEMENTWISE_LAYERS = (
    keras.layers.ELU,
    keras.layers.LeakyReLU,
    keras.layers.ReLU,
    keras.layers.ActivityRegularization,
    keras.layers.AlphaDropout,
    keras.layers.Dropout,
    keras.layers.GaussianDropout,
    keras.layers.GaussianNoise,
    keras.layers.Identity,
    keras.layers.SpatialDropout1D,
    keras.layers.SpatialDropout2D,
    keras.layers.SpatialDropout3D,
)


@register_rule(*_ELEMENTWISE_LAYERS)
def elementwise(layer, inputs, call):
    """Channels are handed on as they come."""
    return Flow([call.same(inputs[0])])


@register_rule(keras.layers.Activation)
def activation(layer, inputs, call):
    """As elementwise, for the functions known to be so."""
    if not is_elementwise(layer.activation):
        name = getattr(layer.activation, "__name__", str(layer.activation))
        return call.keep_whole(inputs, f"activation {name} may mix channels")
    return elementwise(layer, inputs, call)


@register_rule(keras.layers.Rescaling)
def rescaling(layer, inputs, call):
    """One scale for all channels; a list of scales belongs to channels by position."""
    if any(
        getattr(value, "ndim", 0) or isinstance(value, list | tuple)
        for value in (layer.scale, layer.offset)
    ):
        return call.keep_whole(inputs, "Rescaling with a value for each channel")
    return elementwise(layer, inputs, call)


@register_rule(
    keras.layers.Add,
    keras.layers.Average,
    keras.layers.Maximum,
    keras.layers.Minimum,
    keras.layers.Multiply,
    keras.layers.Subtract,
)
def merge(layer, inputs, call):
    """Channel i of the result needs channel i of every input: they go together."""
    first = inputs[0]
    rank = len(first.shape)
    if any(len(x.shape) != rank or x.axis != first.axis or len(x) != len(first) for x in inputs):
        return call.keep_whole(inputs, f"{type(layer).__name__} of differing channel axes")
    for other in inputs[1:]:
        call.couple(first.labels, other.labels)
    return Flow([call.same(first)])
