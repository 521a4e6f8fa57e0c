"""Sizes of a model: weights, non-zero weights, bytes, multiply-accumulates."""

import dataclasses

import keras
import numpy as np
from keras import ops

from keras_cascade.graph import ChannelGraph


@dataclasses.dataclass(frozen=True)
class ModelProfile:
    """What a model holds and costs.

    Attributes:
        params: number of weights.
        trainable_params: those of them that training changes.
        nonzero_params: those that are not exactly 0.
        macs: multiply-accumulates of one example's forward pass, in the kernels of convolutions,
            Dense, EinsumDense and recurrent layers and the products of attention and Dot;
            biases, normalisation, activations, pooling and merges are not counted. None if the
            input size is not fixed.
        bytes: of the weights as they are stored in memory.
        uncounted_layers: names of layers with weights whose MACs are not known and not in `macs`.
    """

    params: int
    trainable_params: int
    nonzero_params: int
    macs: int | None
    bytes: int
    uncounted_layers: tuple[str, ...] = ()


def profile(model: keras.Model) -> ModelProfile:
    """Counts a model's weights, bytes and MACs.

    Args:
        model: a built Functional or Sequential `keras.Model`.

    Returns:
        A `ModelProfile`.

    Raises:
        TypeError, ValueError: as `ChannelGraph(model)`.

    Example:

    ```python
    print(kc.profile(model).macs)
    ```
    """
    graph = ChannelGraph(model)
    weights = [ops.convert_to_numpy(variable) for variable in model.weights]
    return ModelProfile(
        params=sum(array.size for array in weights),
        trainable_params=sum(int(np.prod(v.shape)) for v in model.trainable_weights),
        nonzero_params=sum(int(np.count_nonzero(array)) for array in weights),
        macs=graph.macs() if graph.has_fixed_input else None,
        bytes=sum(array.nbytes for array in weights),
        uncounted_layers=tuple(graph.uncounted_layers),
    )
