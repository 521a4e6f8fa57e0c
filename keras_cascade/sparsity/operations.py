"""Op nodes (`x * 2`, `ops.concatenate`, ...): what TensorFlow calls them, and what Keras 3 does.

Keras 3 keeps an op's options on the operation and its tensors in the call; the functions of
`_TO_TENSORFLOW` take both. The functions of TensorFlow that an entry calls become op layers of
tf_keras. These know which function of TensorFlow they call and keep all its arguments in the call;
the functions of `_FROM_TENSORFLOW` have the same arguments, those of them that Keras 3 can express.
"""

import inspect

import keras
from keras import ops
from keras.src.utils.naming import to_snake_case

from keras_cascade.graph.walk import call_arguments
from keras_cascade.sparsity.toolkit import import_tf_keras
from keras_cascade.sparsity.twins import NoTwin

# Elementwise, all arguments positional, no options: Keras 3's operation and TensorFlow's function.
ELEMENTWISE = {
    "Abs": "math.abs",
    "Absolute": "math.abs",
    "Add": "math.add",
    "Arctan": "math.atan",
    "Arctan2": "math.atan2",
    "Ceil": "math.ceil",
    "Cos": "math.cos",
    "Cosh": "math.cosh",
    "Divide": "math.divide",
    "DivideNoNan": "math.divide_no_nan",
    "Equal": "math.equal",
    "Erf": "math.erf",
    "Exp": "math.exp",
    "Expm1": "math.expm1",
    "Floor": "math.floor",
    "FloorDivide": "math.floordiv",
    "Greater": "math.greater",
    "GreaterEqual": "math.greater_equal",
    "Less": "math.less",
    "LessEqual": "math.less_equal",
    "Log": "math.log",
    "Log1p": "math.log1p",
    "LogicalAnd": "math.logical_and",
    "LogicalNot": "math.logical_not",
    "LogicalOr": "math.logical_or",
    "LogSigmoid": "math.log_sigmoid",
    "Maximum": "math.maximum",
    "Minimum": "math.minimum",
    "Mod": "math.floormod",
    "Multiply": "math.multiply",
    "Negative": "math.negative",
    "NotEqual": "math.not_equal",
    "Power": "math.pow",
    "Reciprocal": "math.reciprocal",
    "Relu": "nn.relu",
    "Relu6": "nn.relu6",
    "Rsqrt": "math.rsqrt",
    "Selu": "nn.selu",
    "Sigmoid": "math.sigmoid",
    "Sign": "math.sign",
    "Silu": "nn.silu",
    "Sin": "math.sin",
    "Sinh": "math.sinh",
    "Softplus": "math.softplus",
    "Softsign": "nn.softsign",
    "Sqrt": "math.sqrt",
    "Square": "math.square",
    "Subtract": "math.subtract",
    "Tan": "math.tan",
    "Tanh": "math.tanh",
    "TrueDivide": "math.divide",
}
_REDUCTIONS = {
    "All": "reduce_all",
    "Amax": "reduce_max",
    "Amin": "reduce_min",
    "Any": "reduce_any",
    "Logsumexp": "reduce_logsumexp",
    "Max": "reduce_max",
    "Mean": "reduce_mean",
    "Min": "reduce_min",
    "Prod": "reduce_prod",
    "Std": "math.reduce_std",
    "Sum": "reduce_sum",
    "Var": "math.reduce_variance",
}
# The others: function of TensorFlow, the operation with its options, and the call's arguments.
_TO_TENSORFLOW = {
    "Argmax": lambda tf, op, x: _arg_extreme(tf, tf.argmax, op, x),
    "Argmin": lambda tf, op, x: _arg_extreme(tf, tf.argmin, op, x),
    "BroadcastTo": lambda tf, op, x: tf.broadcast_to(x, op.shape),
    "Cast": lambda tf, op, x: tf.cast(x, op.dtype),
    "Clip": lambda tf, op, x: tf.clip_by_value(x, op.x_min, op.x_max),
    "Concatenate": lambda tf, op, xs: tf.concat(list(xs), op.axis),
    "Copy": lambda tf, op, x: tf.identity(x),
    "Cumsum": lambda tf, op, x: tf.cumsum(x, op.axis),
    "Einsum": lambda tf, op, *operands: tf.einsum(op.subscripts, *operands),
    "Elu": lambda tf, op, x: tf.where(x > 0, x, tf.math.expm1(tf.minimum(x, 0.0)) * op.alpha),
    "ExpandDims": lambda tf, op, x: tf.expand_dims(x, op.axis),
    "Flip": lambda tf, op, x: tf.reverse(x, _axes(op.axis, x)),
    "Gelu": lambda tf, op, x: tf.nn.gelu(x, approximate=op.approximate),
    "GetItem": lambda tf, op, x, key: x[key],
    "HardSigmoid": lambda tf, op, x: tf.nn.relu6(x + 3.0) / 6.0,
    "HardSilu": lambda tf, op, x: x * tf.nn.relu6(x + 3.0) / 6.0,
    "HardTanh": lambda tf, op, x: tf.clip_by_value(x, -1.0, 1.0),
    "LeakyRelu": lambda tf, op, x: tf.nn.leaky_relu(x, alpha=op.negative_slope),
    "LogSoftmax": lambda tf, op, x: tf.nn.log_softmax(x, axis=op.axis),
    "Matmul": lambda tf, op, x1, x2: tf.matmul(x1, x2),
    "Moveaxis": lambda tf, op, x: tf.transpose(x, _moved(op, x)),
    "OneHot": lambda tf, op, x: tf.one_hot(x, op.num_classes, axis=op.axis),
    "OnesLike": lambda tf, op, x: tf.ones_like(x, dtype=op.dtype),
    "Pad": lambda tf, op, x, constant_values=None: tf.pad(
        x, op.pad_width, op.mode, constant_values or 0
    ),
    "Ravel": lambda tf, op, x: tf.reshape(x, [-1]),
    "Repeat": lambda tf, op, x: tf.repeat(x, op.repeats, op.axis),
    "Reshape": lambda tf, op, x: tf.reshape(x, [-1 if d is None else d for d in op.newshape]),
    "Roll": lambda tf, op, x: tf.roll(x, op.shift, op.axis),
    "Round": lambda tf, op, x: (
        tf.round(x * 10.0**op.decimals) / 10.0**op.decimals if op.decimals else tf.round(x)
    ),
    "Softmax": lambda tf, op, x: tf.nn.softmax(x, axis=op.axis),
    "Split": lambda tf, op, x: tf.split(x, _sizes(op, x), op.axis),
    "Squeeze": lambda tf, op, x: tf.squeeze(x, op.axis),
    "Stack": lambda tf, op, x: tf.stack(list(x), op.axis),
    "StopGradient": lambda tf, op, variable: tf.stop_gradient(variable),
    "Swapaxes": lambda tf, op, x: tf.transpose(x, _swapped(op, x)),
    "Take": lambda tf, op, x, indices: tf.gather(x, indices, axis=op.axis),
    "Tile": lambda tf, op, x: tf.tile(x, op.repeats),
    "Transpose": lambda tf, op, x: tf.transpose(x, op.axes),
    "Unstack": lambda tf, op, x: tf.unstack(x, op.num, op.axis),
    "Where": lambda tf, op, condition, x1, x2: tf.where(condition, x1, x2),
    "ZerosLike": lambda tf, op, x: tf.zeros_like(x, dtype=op.dtype),
}


_FROM_TENSORFLOW = {
    "__operators__.add": lambda x, y: ops.add(x, y),
    "__operators__.getitem": lambda tensor, slice_spec: tensor[_as_key(slice_spec)],
    "broadcast_to": lambda input, shape: ops.broadcast_to(input, shape),
    "cast": lambda x, dtype: ops.cast(x, _dtype(dtype)),
    "clip_by_value": lambda t, clip_value_min, clip_value_max: ops.clip(
        t, clip_value_min, clip_value_max
    ),
    "concat": lambda values, axis: ops.concatenate(values, axis),
    "cumsum": lambda x, axis=0: ops.cumsum(x, axis),
    "einsum": lambda equation, *inputs: ops.einsum(equation, *inputs),
    "expand_dims": lambda input, axis: ops.expand_dims(input, axis),
    "floor_div": lambda x, y: ops.floor_divide(x, y),
    "gather": lambda params, indices, axis=0: ops.take(params, indices, axis),
    "identity": lambda input: ops.copy(input),
    "linalg.matmul": lambda a, b: ops.matmul(a, b),
    "math.argmax": lambda input, axis=0: ops.argmax(input, axis),
    "math.argmin": lambda input, axis=0: ops.argmin(input, axis),
    "math.cumsum": lambda x, axis=0: ops.cumsum(x, axis),
    "math.round": lambda x: ops.round(x),
    "math.truediv": lambda x, y: ops.divide(x, y),
    "nn.elu": lambda features: ops.elu(features),
    "nn.gelu": lambda features, approximate=False: ops.gelu(features, approximate),
    "nn.leaky_relu": lambda features, alpha=0.2: ops.leaky_relu(features, alpha),
    "nn.log_softmax": lambda logits, axis=-1: ops.log_softmax(logits, axis),
    "nn.softmax": lambda logits, axis=-1: ops.softmax(logits, axis),
    "one_hot": lambda indices, depth, axis=-1: ops.one_hot(indices, depth, axis),
    "ones_like": lambda input, dtype=None: ops.ones_like(input, _dtype(dtype)),
    "pad": lambda tensor, paddings, mode="constant", constant_values=0: ops.pad(
        tensor, paddings, mode.lower(), constant_values if mode.lower() == "constant" else None
    ),
    "repeat": lambda input, repeats, axis=None: ops.repeat(input, repeats, axis),
    "reshape": lambda tensor, shape: ops.reshape(tensor, shape),
    "reverse": lambda tensor, axis: ops.flip(tensor, axis),
    "roll": lambda input, shift, axis: ops.roll(input, shift, axis),
    "split": lambda value, num_or_size_splits, axis=0: ops.split(
        value, _ends(num_or_size_splits), axis
    ),
    "squeeze": lambda input, axis=None: ops.squeeze(input, axis),
    "stack": lambda values, axis=0: ops.stack(values, axis),
    "stop_gradient": lambda input: ops.stop_gradient(input),
    "tile": lambda input, multiples: ops.tile(input, multiples),
    "transpose": lambda a, perm=None: ops.transpose(a, perm),
    "unstack": lambda value, num=None, axis=0: ops.unstack(value, num, axis),
    "where": lambda condition, x, y: ops.where(condition, x, y),
    "zeros_like": lambda input, dtype=None: ops.zeros_like(input, _dtype(dtype)),
}


def to_tensorflow(operation):
    """What TensorFlow calls in the place of an op node of Keras 3.

    Args:
        operation: a `keras.Operation` that is no layer.

    Returns:
        Function of the call's arguments, on tensors of TensorFlow or tf_keras.

    Raises:
        NoTwin: an operation that is not in the tables.
    """
    tf, _ = import_tf_keras()
    kind = type(operation).__name__
    known = type(operation).__module__.startswith("keras.src.ops.")
    if known and kind in ELEMENTWISE:
        function = _named(tf, ELEMENTWISE[kind])
        return lambda *args, **kwargs: function(
            *_promoted(tf, call_arguments(operation, args, kwargs).values())
        )
    if known and kind in _REDUCTIONS:
        function = _named(tf, _REDUCTIONS[kind])
        return lambda x: function(x, axis=operation.axis, keepdims=operation.keepdims)
    if known and kind in _TO_TENSORFLOW:
        return lambda *args, **kwargs: _TO_TENSORFLOW[kind](tf, operation, *args, **kwargs)
    raise NoTwin(f"no function of TensorFlow is known for the operation {kind}")


def from_tensorflow(layer):
    """What Keras 3 calls in the place of an op layer of tf_keras.

    Args:
        layer: a TFOpLambda or the like.

    Returns:
        Function of the call's arguments, on tensors of Keras 3.

    Raises:
        NoTwin: a function that is not in the tables.
    """
    symbol = (getattr(layer, "symbol", None) or "").removeprefix("compat.v1.")
    function = _keras_function(symbol)
    if function is None:
        raise NoTwin(f"no operation of Keras 3 is known for TensorFlow's {symbol or layer.name}")
    signature = inspect.signature(layer.function)

    def called(*args, **kwargs):
        # What is left at its default needs no counterpart.
        given = {
            name: value
            for name, value in signature.bind(*args, **kwargs).arguments.items()
            if name != "name" and value is not signature.parameters[name].default
        }
        operands = given.pop("inputs", ()) if symbol == "einsum" else ()
        equation = [given.pop("equation")] if symbol == "einsum" else []
        return function(*equation, *operands, **given)

    return called


def _keras_function(symbol):
    """A function with the parameters of TensorFlow's, or None."""
    reduction = symbol.removeprefix("math.").removeprefix("reduce_")
    reduction = {"variance": "var"}.get(reduction, reduction)
    if "reduce_" in symbol and hasattr(ops, reduction):
        reduce = getattr(ops, reduction)
        return lambda input_tensor, axis=None, keepdims=False: reduce(input_tensor, axis, keepdims)
    if symbol in _FROM_TENSORFLOW:
        return _FROM_TENSORFLOW[symbol]
    for kind, name in ELEMENTWISE.items():
        if name == symbol:
            function = getattr(ops, to_snake_case(kind))
            return lambda *args, **kwargs: function(*args, *kwargs.values())
    return None


def _named(module, path):
    for part in path.split("."):
        module = getattr(module, part)
    return module


def _promoted(tf, operands):
    """Operands in their common dtype: TensorFlow does not mix dtypes, Keras 3 does."""
    operands = list(operands)
    numbers = [isinstance(operand, bool | int | float) for operand in operands]
    common = keras.backend.result_type(
        *(
            type(operand) if number else keras.backend.standardize_dtype(operand.dtype)
            for operand, number in zip(operands, numbers, strict=True)
        )
    )
    to_number = float if keras.backend.is_float_dtype(common) else lambda operand: operand
    return [
        to_number(operand) if number else _cast(tf, operand, common)
        for operand, number in zip(operands, numbers, strict=True)
    ]


def _cast(tf, operand, dtype):
    return operand if operand.dtype == dtype else tf.cast(operand, dtype)


def _arg_extreme(tf, function, op, x):
    if op.axis is None:
        raise NoTwin(f"{type(op).__name__} without an axis runs over the batch too")
    found = tf.cast(function(x, op.axis), "int32")
    return tf.expand_dims(found, op.axis) if op.keepdims else found


def _axes(axis, x):
    """Axes as a list of ints of at least 0; None: all."""
    rank = len(x.shape)
    axes = range(rank) if axis is None else axis if isinstance(axis, list | tuple) else [axis]
    return [one % rank for one in axes]


def _moved(op, x):
    source, destination = _axes(op.source, x), _axes(op.destination, x)
    order = [axis for axis in range(len(x.shape)) if axis not in source]
    for to, axis in sorted(zip(destination, source, strict=True)):
        order.insert(to, axis)
    return order


def _swapped(op, x):
    order = list(range(len(x.shape)))
    one, other = op.axis1 % len(order), op.axis2 % len(order)
    order[one], order[other] = order[other], order[one]
    return order


def _sizes(op, x):
    """How many entries each part of a split has (or into how many equal parts)."""
    if isinstance(op.indices_or_sections, int):
        return op.indices_or_sections
    ends = [0, *op.indices_or_sections, x.shape[op.axis]]
    return [end - start for start, end in zip(ends, ends[1:], strict=False)]


def _as_key(spec):
    """Slices out of what a slicing op layer of tf_keras keeps of them."""
    if isinstance(spec, dict):
        return slice(spec["start"], spec["stop"], spec["step"])
    return tuple(map(_as_key, spec)) if isinstance(spec, list | tuple) else spec


def _dtype(dtype):
    return getattr(dtype, "name", dtype)


def _ends(sizes):
    """Where the parts of a split end, from their sizes; a number of parts as it is."""
    if isinstance(sizes, int):
        return sizes
    return [sum(sizes[: count + 1]) for count in range(len(sizes) - 1)]
