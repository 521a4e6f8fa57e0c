"""Lowering: a model with layers replaced that its runtimes would handle badly.

Keras' Reshape and Flatten read the batch size while they run. In LiteRT nothing behind such a layer
has a known shape, and XNNPACK, which computes tensors of known shape only, leaves all of it to
slower kernels. Normalization keeps its statistics in tensors that are no weights, and ONNX files
would ask for them as inputs.
"""

import keras
from keras import ops

from keras_cascade.graph.tracing import Call, assemble, renamed, replay, symbolic_inputs, trace


def lowered(model: keras.Model) -> keras.Model:
    """The same model, sharing its weights, with shapes and statistics that are constants.

    Args:
        model: a built Functional or Sequential `keras.Model`.

    Returns:
        A functional `keras.Model` with inputs and outputs of the same names.

    Raises:
        TypeError, ValueError: as `ChannelGraph`.
    """
    traced = trace(model)
    inputs = symbolic_inputs(traced)
    return assemble(traced, inputs, replay(traced, inputs, _lowered_operation), model.name)


def _lowered_operation(call: Call):
    layer, shape = call.operation, call.outputs[0].shape[1:]
    if isinstance(layer, keras.layers.Normalization):
        return _normalization(layer)
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
