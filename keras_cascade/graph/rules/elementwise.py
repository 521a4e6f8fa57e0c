"""Layers that treat each channel by itself: activations, dropout, scales."""

import sys

import keras
import numpy as np
from keras.src.applications.convnext import LayerScale, StochasticDepth
from keras.src.ops import nn as nn_ops

from keras_cascade.graph.rules.axes import positive_axes
from keras_cascade.graph.rules.flow import Flow, KeepWhole
from keras_cascade.graph.rules.registry import known, register_rule

# Activations that compute each element from that element alone. Others (softmax, glu, a user's
# own function) may mix channels.
ELEMENTWISE_ACTIVATIONS = frozenset(
    [
        *known(
            keras.activations,
            "celu elu exponential gelu hard_shrink hard_sigmoid hard_silu hard_tanh leaky_relu "
            "linear log_sigmoid mish relu relu6 selu sigmoid silu soft_shrink softplus softsign "
            "sparse_plus sparse_sigmoid squareplus tanh tanh_shrink threshold",
        ),
        *known(
            keras.ops,
            "abs absolute arcsinh arctan cos cosh elu celu erf exp expm1 gelu hard_shrink "
            "hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu log1p log_sigmoid negative "
            "relu relu6 selu sigmoid sign silu sin sinh soft_shrink softplus softsign sparse_plus "
            "sparse_sigmoid sqrt square squareplus swish tanh tanh_shrink",
        ),
    ]
)
_ELEMENTWISE_IN_TENSORFLOW = (
    "elu gelu leaky_relu relu relu6 selu sigmoid silu softplus softsign swish tanh"
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
    return isinstance(activation, type(is_elementwise)) and (
        activation in ELEMENTWISE_ACTIVATIONS or activation in _of_tensorflow()
    )


def _of_tensorflow():
    """TensorFlow's own elementwise activations, where a model may have them: it is loaded."""
    module = getattr(sys.modules.get("tensorflow"), "nn", None)
    return known(module, _ELEMENTWISE_IN_TENSORFLOW)


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
    StochasticDepth,
)


@register_rule(*_ELEMENTWISE_LAYERS)
def elementwise(layer, inputs, call):
    """Channels are handed on as they come; the shape of a Dropout's noise may count them."""
    (x,) = inputs
    noise = getattr(layer, "noise_shape", None)
    if noise is None or x.fixed or noise[x.axis] in (None, 1):
        return Flow([call.same(x)])
    counted = (*noise[: x.axis], x.labels, *noise[x.axis + 1 :])
    return Flow([call.same(x)], config={"noise_shape": counted})


@register_rule(keras.layers.Activation)
def activation(layer, inputs, call):
    """As elementwise, for the functions known to be so."""
    (x,) = inputs
    if layer.activation is keras.activations.softmax and x.axis != len(x.shape) - 1:
        return Flow([call.same(x)])
    if not is_elementwise(layer.activation):
        name = getattr(layer.activation, "__name__", str(layer.activation))
        raise KeepWhole(f"activation {name} may mix channels")
    return elementwise(layer, inputs, call)


@register_rule(keras.layers.Softmax, nn_ops.Softmax, nn_ops.LogSoftmax)
def softmax(layer, inputs, call):
    """Leaves each channel alone unless it sums over them, or has a mask for each."""
    (x,) = inputs
    if x.axis is not None and x.axis in positive_axes(layer.axis, len(x.shape)):
        raise KeepWhole(f"{call.kind} mixes channels")
    mask = getattr(call.arguments.get("mask"), "shape", ())
    aligned = len(mask) - len(x.shape) + (x.axis or 0)
    if not x.fixed and aligned >= 0 and mask[aligned] != 1:
        raise KeepWhole(f"{call.kind} with a mask for each channel")
    return Flow([call.same(x)])


@register_rule(keras.layers.PReLU)
def prelu(layer, inputs, call):
    """A slope for each element, but for the axes that share one."""
    (x,) = inputs
    if x.axis is None or x.axis in (layer.shared_axes or ()):
        return Flow([call.same(x)])
    return Flow([call.same(x)], weights=[(layer.alpha, {x.axis - 1: x.labels})])


@register_rule(LayerScale)
def layer_scale(layer, inputs, call):
    """A scale for each channel of the last axis."""
    x = call.along(inputs[0])
    return Flow(
        [call.same(x)],
        weights=[(layer.gamma, {0: x.labels})],
        config={"projection_dim": x.labels},
    )


@register_rule(keras.layers.Rescaling)
def rescaling(layer, inputs, call):
    """One scale for all channels; a list of scales belongs to channels by position."""
    if any(np.ndim(value) for value in (layer.scale, layer.offset)):
        raise KeepWhole("Rescaling with a value for each channel")
    return elementwise(layer, inputs, call)
