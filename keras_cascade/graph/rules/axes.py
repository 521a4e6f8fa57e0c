"""Which axes of a layer's tensors are channels, and which are positions."""

import numpy as np


def spatial_size(shape, channel_axis):
    """Number of positions in a tensor besides batch and channels; None if not fixed."""
    sizes = [size for axis, size in enumerate(shape) if axis not in (0, channel_axis)]
    return None if None in sizes else int(np.prod(sizes))


def channel_axis(layer, rank):
    """The channel axis of a layer's tensors, from its `data_format`."""
    return 1 if layer.data_format == "channels_first" else rank - 1


def positive_axes(axis, rank):
    """An axis, or several, counted from 0; all of them for None."""
    return list(range(rank)) if axis is None else [int(one) % rank for one in np.atleast_1d(axis)]
