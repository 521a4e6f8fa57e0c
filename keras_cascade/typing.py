"""Names for what public functions take and give, as their annotations have them.

Importing this brings NumPy only. `Any` stands for what has no types of its own (Keras' data and
tensors) and for what other libraries make that are imported only where they are needed (TensorFlow,
tf_keras, LiteRT, matplotlib); the docstrings say what it is.
"""

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from keras_cascade.graph.channel_graph import ChannelGraph

Path: TypeAlias = str | os.PathLike[str]
Tensor: TypeAlias = Any
# Of ints, or None for a size that is open, the batch's for one.
Shape: TypeAlias = tuple[Any, ...]

Bools: TypeAlias = NDArray[np.bool_]
Floats: TypeAlias = NDArray[np.floating[Any]]
Ints: TypeAlias = NDArray[np.integer[Any]]

# From group name to a bool array of shape (group.size,), True = keep.
Masks: TypeAlias = dict[str, Bools]

# A level of a cascade: its number, 0 = teacher and -1 = student, or its name.
Level: TypeAlias = int | str

# "macs", "params", "channels", "latency", or what `register_budget` made.
Budget: TypeAlias = str
# Of a `Cost`: a coefficient each, and the axes, as labels or units, whose counts it multiplies.
Terms: TypeAlias = Sequence[tuple[float, list[Ints]]]
Scope: TypeAlias = Literal["global", "layer"]
Guidance: TypeAlias = Literal["cascade", "dense", "teacher"]
Criterion: TypeAlias = (
    Literal["l2", "l1", "bn_scale", "fpgm", "taylor", "random"] | Callable[["ChannelGraph"], Floats]
)
ExportFormat: TypeAlias = Literal["saved_model", "litert", "onnx"]
Pipeline: TypeAlias = Literal["tf.data", "numpy"]
Quantization: TypeAlias = Literal["float16", "dynamic", "int8"]

# What Keras gives callbacks; what `get_config` gives and `from_config` takes; what JSON can hold.
Logs: TypeAlias = dict[str, Any]
Config: TypeAlias = dict[str, Any]
Record: TypeAlias = dict[str, Any]
# What makes the scope that something is done in, as `strategy.scope` does.
ContextMaker: TypeAlias = Callable[[], AbstractContextManager[Any]]
# One row of results, by the names of its columns.
Row: TypeAlias = dict[str, Any]
