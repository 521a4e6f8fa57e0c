"""Lowering: a model with layers replaced that its runtimes would handle badly.

Keras' Reshape and Flatten read the batch size while they run. In LiteRT nothing behind such a layer
has a known shape, and XNNPACK, which computes tensors of known shape only, leaves all of it to
slower kernels. Normalization keeps its statistics in tensors that are no weights, and ONNX files
would ask for them as inputs. Grouped convolutions are compiled by XLA in TensorFlow, which ONNX
cannot express. Augmentation draws its random numbers where it changes nothing too, which LiteRT has
no operation for.
"""

import functools

import keras
import numpy as np
from keras import ops

from keras_cascade.graph.tracing import Call, assemble, renamed, replay, symbolic_inputs, trace

# RandomCrop is none of them: it crops the middle.
_ONLY_IN_TRAINING = (
    keras.layers.RandomBrightness,
    keras.layers.RandomContrast,
    keras.layers.RandomFlip,
    keras.layers.RandomRotation,
    keras.layers.RandomTranslation,
    keras.layers.RandomZoom,
)


def lowered(model: keras.Model, ungrouped: bool = False) -> keras.Model:
    """The same model, sharing its weights, with shapes and statistics that are constants.

    Args:
        model: a built Functional or Sequential `keras.Model`.
        ungrouped: whether grouped convolutions become depthwise ones, or one for each group.

    Returns:
        A functional `keras.Model` with inputs and outputs of the same names. What is replaced has
        its present weights as constants.

    Raises:
        TypeError, ValueError: as `ChannelGraph`.
    """
    traced = trace(model)
    inputs = symbolic_inputs(traced)
    operation = functools.partial(_lowered_operation, ungrouped=ungrouped)
    return assemble(traced, inputs, replay(traced, inputs, operation), model.name)


def _lowered_operation(call: Call, ungrouped):
    layer, shape = call.operation, call.outputs[0].shape[1:]
    if isinstance(layer, keras.layers.Normalization):
        return _normalization(layer)
    if isinstance(layer, _ONLY_IN_TRAINING):
        return lambda values, **_: ops.cast(values, call.outputs[0].dtype)
    if ungrouped and _is_grouped(layer):
        return _convolution_by_groups(layer)
    if _only_reshapes(layer) and None not in shape:
        return lambda values, **_: ops.reshape(values, (-1, *shape))
    return renamed(call)


def _only_reshapes(layer):
    if isinstance(layer, keras.layers.Flatten):
        return layer.data_format == "channels_last"  # else it transposes too
    return isinstance(layer, keras.layers.Reshape)


def _normalization(layer):
    """What a Normalization computes, with its statistics as arrays."""
    mean, variance = (ops.convert_to_numpy(values) for values in (layer.mean, layer.variance))
    scale = ops.convert_to_numpy(ops.maximum(ops.sqrt(variance), keras.config.epsilon()))

    def normalize(values, **_):
        values = ops.cast(values, layer.compute_dtype)
        return values * scale + mean if layer.invert else (values - mean) / scale

    return normalize


def _is_grouped(layer):
    return (
        isinstance(layer, keras.layers.Conv1D | keras.layers.Conv2D)
        and layer.groups > 1
        and layer.data_format == "channels_last"
        and layer.padding in ("same", "valid")
    )


def _convolution_by_groups(layer):
    """What a grouped convolution computes: filters stand group by group, as inputs do."""
    kernel, groups = ops.convert_to_numpy(layer.kernel), layer.groups
    settings = {"strides": layer.strides, "padding": layer.padding}
    settings |= {"data_format": "channels_last", "dilation_rate": layer.dilation_rate}
    depthwise = np.reshape(kernel, (*kernel.shape[:-2], groups, -1))

    def convolve(values, **_):
        values = ops.cast(values, layer.compute_dtype)
        if kernel.shape[-2] == 1:  # a group is one channel
            outputs = ops.depthwise_conv(values, depthwise, **settings)
        else:
            parts, kernels = ops.split(values, groups, axis=-1), np.split(kernel, groups, axis=-1)
            pairs = zip(parts, kernels, strict=True)
            outputs = ops.concatenate([ops.conv(*pair, **settings) for pair in pairs], axis=-1)
        if layer.use_bias:
            outputs = outputs + ops.convert_to_numpy(layer.bias)
        return layer.activation(outputs)

    return convolve
