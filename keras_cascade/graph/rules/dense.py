"""Dense: a contraction of the last axis."""

import keras

from keras_cascade.graph.rules.elementwise import pin_mixing_activation
from keras_cascade.graph.rules.registry import Flow, register_rule, spatial_size


@register_rule(keras.layers.Dense)
def dense(layer, inputs, call):
    """Every unit reads all input channels; a unit is a channel made."""
    (x,) = inputs
    if not x.last:
        return call.keep_whole(inputs, "Dense along an axis that is not its input's channels'")
    made = call.draw(layer.units)
    pin_mixing_activation(layer, made, call)
    rows = spatial_size(call.output_shapes[0], len(x.shape) - 1)
    return Flow(
        [call.output(made)],
        weights=[
            (layer.kernel, {0: x.labels, 1: made}),
            *([(layer.bias, {0: made})] if layer.use_bias else []),
        ],
        reads=(0,),
        config={"units": made},
        macs=None if rows is None else [(rows, [x.labels, made])],
    )
