"""Op nodes: TensorFlow's function gives what Keras 3's operation gives, and the way back too."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_cascade as kc
from keras_cascade.sparsity.operations import ELEMENTWISE

_TWO = {
    "Add", "Arctan2", "Divide", "DivideNoNan", "Equal", "FloorDivide", "Greater", "GreaterEqual",
    "Less", "LessEqual", "LogicalAnd", "LogicalOr", "Maximum", "Minimum", "Mod", "Multiply",
    "NotEqual", "Power", "Subtract", "TrueDivide",
}  # fmt: skip
_OF_BOOLS = {"LogicalAnd", "LogicalNot", "LogicalOr"}

# Of an input x of shape (None, 4, 6), everywhere above 0.
CASES = {
    "abs_minus": lambda x: abs(-x),
    "all": lambda x: ops.all(x > 0.5, axis=1),
    "any": lambda x: ops.any(x > 0.5, axis=-1, keepdims=True),
    "arange_free_index": lambda x: x[:, None, 1:, ..., -2],
    "argmax": lambda x: ops.argmax(x, axis=1),
    "argmax_keepdims": lambda x: ops.argmax(x, axis=-1, keepdims=True),
    "argmin": lambda x: ops.argmin(x, axis=-1),
    "array_operand": lambda x: x * np.linspace(1, 2, 6).astype("float32"),
    "broadcast_to": lambda x: x + ops.broadcast_to(x[0, 0, 0], (2, 4, 6)),
    "cast": lambda x: ops.cast(3 * x, "int32"),
    "clip": lambda x: ops.clip(x, 0.3, 0.6),
    "concatenate": lambda x: ops.concatenate([x, 2 * x], axis=1),
    "copy": lambda x: ops.copy(x),
    "cumsum": lambda x: ops.cumsum(x, axis=1),
    "divide_by": lambda x: 1 / (x + 1),
    "einsum": lambda x: ops.einsum("bij,bkj->bik", x, x),
    "elu": lambda x: ops.elu(x - 0.5, alpha=0.7),
    "expand_dims": lambda x: ops.expand_dims(x, 2),
    "flip": lambda x: ops.flip(x, axis=1),
    "flip_all": lambda x: ops.flip(x),
    "gelu": lambda x: ops.gelu(x - 0.5, approximate=False),
    "gelu_approximate": lambda x: ops.gelu(x - 0.5),
    "hard_sigmoid": lambda x: ops.hard_sigmoid(8 * x - 4),
    "hard_silu": lambda x: ops.hard_silu(8 * x - 4),
    "hard_tanh": lambda x: ops.hard_tanh(4 * x - 2),
    "int_times_float": lambda x: ops.cast(3 * x, "int32") * x,
    "leaky_relu": lambda x: ops.leaky_relu(x - 0.5, negative_slope=0.1),
    "log_softmax": lambda x: ops.log_softmax(x, axis=1),
    "logsumexp": lambda x: ops.logsumexp(x, axis=1),
    "matmul": lambda x: x @ ops.transpose(x, (0, 2, 1)),
    "max": lambda x: ops.max(x, axis=(1, 2)),
    "mean": lambda x: ops.mean(x, axis=1, keepdims=True),
    "min": lambda x: ops.min(x, axis=-1),
    "moveaxis": lambda x: ops.moveaxis(x, 1, -1),
    "one_hot": lambda x: ops.one_hot(ops.cast(3 * x, "int32"), 4, axis=1),
    "ones_like": lambda x: x + ops.ones_like(x),
    "pad": lambda x: ops.pad(x, [[0, 0], [1, 2], [0, 0]]),
    "pad_constant": lambda x: ops.pad(x, [[0, 0], [1, 2], [0, 0]], constant_values=3.0),
    "pad_reflect": lambda x: ops.pad(x, [[0, 0], [1, 2], [0, 0]], mode="reflect"),
    "prod": lambda x: ops.prod(x, axis=1),
    "ravel": lambda x: ops.ravel(x),
    "repeat": lambda x: ops.repeat(x, 2, axis=1),
    "reshape": lambda x: ops.reshape(x, (-1, 8, 3)),
    "roll": lambda x: ops.roll(x, 2, axis=1),
    "round": lambda x: ops.round(x, 1),
    "round_to_int": lambda x: ops.round(9 * x),
    "softmax": lambda x: ops.softmax(x, axis=1),
    "split": lambda x: ops.split(x, 2, axis=-1)[1],
    "split_at": lambda x: ops.add(*(ops.sum(part, -1) for part in ops.split(x, [1], axis=-1))),
    "squeeze": lambda x: ops.squeeze(x[:, :1], axis=1),
    "stack": lambda x: ops.stack([x, x + 1], axis=-1),
    "std": lambda x: ops.std(x, axis=1),
    "stop_gradient": lambda x: ops.stop_gradient(x),
    "sum": lambda x: ops.sum(x, axis=(1, 2), keepdims=True),
    "swapaxes": lambda x: ops.swapaxes(x, -1, 1),
    "take": lambda x: ops.take(x, np.array([2, 0]), axis=1),
    "tile": lambda x: ops.tile(x, (1, 2, 1)),
    "transpose": lambda x: ops.transpose(x, (0, 2, 1)),
    "unstack": lambda x: ops.unstack(x, axis=1)[2],
    "var": lambda x: ops.var(x, axis=1),
    "where": lambda x: ops.where(x > 0.5, x, -x),
    "zeros_like": lambda x: x + ops.zeros_like(x),
}


def _model(function):
    inputs = keras.Input((4, 6))
    return keras.Model(inputs, function(ops.sigmoid(inputs) + 0.01))


def _elementwise(kind):
    function = getattr(ops, keras.src.utils.naming.to_snake_case(kind))

    def of(x):
        one, other = x - 0.3, ops.flip(x, axis=1)
        if kind in _OF_BOOLS:
            one, other = one > 0.2, other > 0.5
        if kind in ("Log", "Log1p", "Power", "Rsqrt", "Sqrt"):
            one = x
        return function(one, other) if kind in _TWO else function(one)

    return of


@pytest.mark.parametrize("case", [*CASES, *ELEMENTWISE])
def test_op_crosses_and_comes_back(case):
    model = _model(CASES.get(case) or _elementwise(case))
    x = np.random.default_rng(3).standard_normal((2, 4, 6)).astype("float32")
    expected = np.asarray(model(x))
    twin = kc.to_tf_keras(model)
    for other in (twin, kc.from_tf_keras(twin)):
        got = np.asarray(other(x))
        assert got.dtype == expected.dtype
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)
