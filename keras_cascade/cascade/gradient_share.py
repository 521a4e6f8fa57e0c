"""gradient_shares: how much of what moves the shared weights comes from each level."""

import keras
import numpy as np
from keras import ops

from keras_cascade.cascade.cascade_distiller import CascadeDistiller
from keras_cascade.typing import Floats


def gradient_shares(cascade: CascadeDistiller, x: Floats, y: Floats) -> dict[str, float]:
    """The share of each level in the gradient of the weights that levels have in common.

    With g_k the gradient of what level k adds to the cascade's loss and g their sum, the share is
    <g_k, g> / <g, g>: shares sum to 1, and one below 0 says that the level pulls against the
    others. Regularisers, which belong to no level, are left out. Levels run in inference mode, so
    that nothing of the cascade changes.

    Args:
        cascade: a compiled `CascadeDistiller`, on one device.
        x: images, shape `(batch, ...)`.
        y: labels, as for `fit`.

    Returns:
        Dict from level name to float; all 0 where the whole gradient is 0.

    Example:

    ```python
    from keras_cascade.cascade import gradient_shares

    print(gradient_shares(cascade, x_train[:128], y_train[:128]))
    ```
    """
    own = keras.layers.BatchNormalization if cascade.own_normalisation else ()
    shared = [
        weight
        for layer in cascade.graph.trace.layers.values()
        if not isinstance(layer, own)
        for weight in layer.trainable_weights
    ]

    def losses():
        return cascade.member_losses(ops.convert_to_tensor(y), cascade(x, training=False))

    found = _GRADIENTS[keras.backend.backend()](losses, shared)
    gradients = {name: _flat(gradient) for name, gradient in found.items()}
    whole = sum(gradients.values())
    length = float(whole @ whole)
    return {
        name: float(gradients[name] @ whole) / length if length and name in gradients else 0.0
        for name in cascade.level_names
    }


def _on_tensorflow(losses, weights):
    import tensorflow as tf

    sources = [weight.value for weight in weights]
    with tf.GradientTape(persistent=True) as tape:
        values = losses()
    return {
        name: tape.gradient(value, sources, unconnected_gradients="zero")
        for name, value in values.items()
    }


def _on_jax(losses, weights):
    import jax

    def losses_at(values):
        with keras.StatelessScope(list(zip(weights, values, strict=True))):
            return losses()

    return jax.jacrev(losses_at)([weight.value for weight in weights])


def _on_torch(losses, weights):
    import torch

    sources = [weight.value for weight in weights]
    return {
        name: torch.autograd.grad(value, sources, retain_graph=True, materialize_grads=True)
        for name, value in losses().items()
    }


def _flat(gradients):
    return np.concatenate([ops.convert_to_numpy(gradient).ravel() for gradient in gradients])


_GRADIENTS = {"tensorflow": _on_tensorflow, "jax": _on_jax, "torch": _on_torch}
