"""Reshaping whose result LiteRT knows before a run.

Keras' Reshape and Flatten read the batch size while they run. In LiteRT nothing behind such a layer
has a known shape, and XNNPACK, which computes tensors of known shape only, leaves all of it to
slower kernels.
"""

import keras

from keras_cascade.graph.tracing import assemble, renamed, replay, symbolic_inputs, trace


def with_known_shapes(model):
    """The same model, sharing its weights, with reshapes whose shapes are constants.

    Args:
        model: a built Functional or Sequential `keras.Model`.

    Returns:
        A functional `keras.Model` with inputs and outputs of the same names.
    """
    traced = trace(model)
    inputs = symbolic_inputs(traced)
    return assemble(traced, inputs, replay(traced, inputs, _constant_reshape), model.name)


def _constant_reshape(call):
    shape = call.outputs[0].shape[1:]
    if not _only_reshapes(call.operation) or None in shape:
        return renamed(call)
    return lambda values, **_: keras.ops.reshape(values, (-1, *shape))


def _only_reshapes(operation):
    if isinstance(operation, keras.layers.Flatten):
        return operation.data_format == "channels_last"  # else it transposes too
    return isinstance(operation, keras.layers.Reshape)
