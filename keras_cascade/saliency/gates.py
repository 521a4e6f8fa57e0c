"""Gates: masks that a level is seen through, and the saliency read off their gradient.

All channels of one level share one vector of gates, one entry a unit of the channel graph. A
place where channels are read multiplies them by its entries of `mask`; the gradient of the loss
with respect to a gate of ones standing there, summed over all places, positions and examples, is
the first-order change of the loss when the channel goes (Molchanov et al., "Importance
Estimation for Neural Network Pruning", CVPR 2019, the gate form of Taylor-FO). It is read for
masked channels too, so that one that becomes useful can come back.

That gradient travels inside plain `fit` on every backend as the "gradient" of a weight, `probe`,
which the optimizer assigns instead of descending (`overwrite_with_gradient`); summed over
replicas, it is squared into the moving average `saliency` at the next step.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_cascade.surgery.views import along_axis
from keras_cascade.typing import Floats, Ints, Tensor


def gradient_probe(probe):
    """A scalar 0 to add to a loss; the "gradient" that reaches `probe` is the loss's own.

    So it is 1, or what a loss-scaling optimizer multiplies the loss by. Such optimizers scale the
    gradients down again, but not those of weights that they only assign.
    """

    @ops.custom_gradient
    def zero(probe):
        def gradient(*args, upstream=None):
            if upstream is None:
                (upstream,) = args
            return ops.cast(upstream, "float32")

        return ops.zeros((), "float32"), gradient

    return zero(ops.convert_to_tensor(probe))


class ChannelGates(keras.layers.Layer):
    """The gates of one level.

    Args:
        units: number of units of the channel graph.
        momentum: of the moving average of the squared gate gradient, in [0, 1).

    Attributes:
        mask: weight of shape `(units,)`, 1 = kept, 0 = removed.
        probe: weight of shape `(units,)`, the gate gradient of the last step.
        saliency: weight of shape `(units,)`, the moving average of `probe ** 2`.
    """

    def __init__(self, units: int, momentum: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self._momentum = momentum
        self._places = []
        shared = {"shape": (units,), "autocast": False, "dtype": "float32"}
        self.mask = self.add_weight(name="mask", initializer="ones", trainable=False, **shared)
        self.saliency = self.add_weight(
            name="saliency", initializer="zeros", trainable=False, **shared
        )
        self.probe = self.add_weight(
            name="probe",
            initializer="zeros",
            trainable=True,
            overwrite_with_gradient=True,
            aggregation="sum",
            **shared,
        )
        self.built = True

    def place(self, units: Ints, axis: int) -> Callable[[Tensor], Tensor]:
        """A function that gates one tensor.

        Args:
            units: int array, the unit at every position along the tensor's channel axis.
            axis: the channel axis, counted from 0.

        Returns:
            A function from a tensor to the gated tensor.
        """
        self._places.append((np.asarray(units), axis))
        index = len(self._places) - 1
        return lambda tensor: self(tensor, place=index)

    def vector(self, units: Ints) -> Tensor:
        """The gates of these units as a float32 vector, for a layer that mixes them inside.

        Args:
            units: int array.

        Returns:
            Tensor of shape `(len(units),)`, 1 = kept, 0 = removed.
        """
        mask, probe = ops.convert_to_tensor(self.mask), ops.convert_to_tensor(self.probe)
        return _gate_vector(mask, probe, np.asarray(units))

    def call(self, inputs: Tensor, place: int) -> Tensor:
        units, axis = self._places[place]
        mask, probe = ops.convert_to_tensor(self.mask), ops.convert_to_tensor(self.probe)
        if keras.backend.is_float_dtype(inputs.dtype):
            return _gate(inputs, mask, probe, units, axis)
        # Whole numbers and truth values have no gradient.
        scale = along_axis(ops.take(mask, units, axis=0), axis, len(inputs.shape))
        return inputs * ops.cast(scale, inputs.dtype)

    def compute_output_spec(self, inputs: keras.KerasTensor, place: int) -> keras.KerasTensor:
        return keras.KerasTensor(inputs.shape, inputs.dtype)

    def fold(self, loss_scale: Tensor) -> None:
        """Takes the gate gradient of the last step into the moving average.

        Args:
            loss_scale: what the loss was multiplied by in that step; 0: there was no such step.
        """
        self.saliency.assign(self._folded(loss_scale))

    def current_saliency(self, loss_scale: Tensor) -> Floats:
        """The moving average with the last step's gradient in it; NumPy array `(units,)`."""
        return ops.convert_to_numpy(self._folded(loss_scale))

    def _folded(self, loss_scale):
        saliency, probe = ops.convert_to_tensor(self.saliency), ops.convert_to_tensor(self.probe)
        fresh = ops.square(ops.divide_no_nan(probe, loss_scale))
        folded = self._momentum * saliency + (1.0 - self._momentum) * fresh
        return ops.where(loss_scale > 0.0, folded, saliency)


def _gate(tensor, mask, probe, units, axis):
    """`tensor * mask` along `axis`; the gradient that reaches `probe` is that of the gate."""
    rank, total = len(tensor.shape), mask.shape[0]
    elsewhere = [position for position in range(rank) if position != axis]

    @ops.custom_gradient
    def gated(x, mask, probe):
        scale = ops.cast(along_axis(ops.take(mask, units, axis=0), axis, rank), x.dtype)

        def gradient(*args, upstream=None):
            if upstream is None:
                (upstream,) = args
            pull = ops.cast(x, "float32") * ops.cast(upstream, "float32")
            at_gate = ops.segment_sum(ops.sum(pull, axis=elsewhere), units, num_segments=total)
            return upstream * scale, ops.zeros_like(mask), at_gate

        return x * scale, gradient

    return gated(tensor, mask, probe)


def _gate_vector(mask, probe, units):
    """`mask` at some units; the gradient with respect to it reaches `probe`."""
    total = mask.shape[0]

    @ops.custom_gradient
    def gates(mask, probe):
        def gradient(*args, upstream=None):
            if upstream is None:
                (upstream,) = args
            pull = ops.segment_sum(ops.cast(upstream, "float32"), units, num_segments=total)
            return ops.zeros_like(mask), pull

        return ops.take(mask, units, axis=0), gradient

    return gates(mask, probe)
