"""Op nodes (`keras.ops` on a symbolic tensor) that work element by element, or sum positions."""

import keras
import numpy as np
from keras.src.models.functional import Functional
from keras.src.ops import core as core_ops
from keras.src.ops import math as math_ops
from keras.src.ops import nn as nn_ops
from keras.src.ops import numpy as numpy_ops

from keras_cascade.graph.rules.axes import positive_axes
from keras_cascade.graph.rules.flow import Flow, KeepWhole
from keras_cascade.graph.rules.registry import known, register_rule


@register_rule(
    core_ops.Cast,
    core_ops.StopGradient,
    *known(
        numpy_ops,
        "Absolute Abs Arccos Arccosh Arcsin Arcsinh Arctan Arctanh Cbrt Ceil Clip Cos Cosh Exp "
        "Exp2 Expm1 Floor Isfinite Isinf Isnan Log Log10 Log1p Log2 LogicalNot NanToNum Negative "
        "OnesLike Reciprocal Round Sign Sin Sinh Sqrt Square Tan Tanh Trunc ZerosLike",
    ),
    *known(
        nn_ops,
        "Celu Elu Gelu HardShrink HardSigmoid HardSilu HardTanh LeakyRelu LogSigmoid Relu Relu6 "
        "Selu Sigmoid Silu SoftShrink Softplus Softsign SparsePlus SparseSigmoid Squareplus "
        "TanhShrink Threshold",
    ),
    *known(math_ops, "Erf Erfc Erfinv Rsqrt"),
)
def elementwise_operation(operation, inputs, call):
    """Each element by itself, within limits (of Clip) that are the same for all channels."""
    limits = (getattr(operation, name, None) for name in ("x_min", "x_max"))
    if any(np.ndim(limit) for limit in limits):
        raise KeepWhole(f"{call.kind} with a constant for each channel")
    return Flow([call.same(inputs[0])])


@register_rule(*known(numpy_ops, "Amax Amin Max Mean Min Prod Std Sum Var All Any CountNonzero"))
def reduction(operation, inputs, call):
    """Positions of a channel become one; over channels, only what leaves zeros out is sound."""
    (x,) = inputs
    if x.fixed:
        return Flow([call.fixed()])
    axes = positive_axes(operation.axis, len(x.shape))
    if x.axis not in axes:
        keeps_axes = getattr(operation, "keepdims", False)  # CountNonzero never does
        before = 0 if keeps_axes else sum(axis < x.axis for axis in axes)
        return Flow([call.output(x.labels, x.axis - before)])
    if call.kind not in ("Sum", "Any"):
        raise KeepWhole(f"{call.kind} over channels")
    return Flow([call.fixed()], reads=(0,))


@register_rule(Functional, keras.Sequential)
def nested_model(layer, inputs, call):
    """Met only where tracing could not take the model apart."""
    raise KeepWhole(
        "a nested model that is inside a layer, or called with a mask, with more inputs than it "
        "takes, or with training= that a layer in it does not take"
    )
