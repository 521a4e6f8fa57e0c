"""Operations of TensorFlow that tf2onnx lacks, for its register; imported where ONNX is written."""

import numpy as np
from tf2onnx import utils
from tf2onnx.handler import tf_op


@tf_op("Erfc")
class Erfc:
    """1 - erf(x), which TensorFlow's exact gelu is made of."""

    @classmethod
    def version_9(cls, ctx, node, **_):
        """The form of ONNX's operation set 9, the first with Erf."""
        (values,), outputs = node.input, node.output
        shapes, dtypes = node.output_shapes, node.output_dtypes
        one = np.ones((), utils.map_onnx_to_numpy_type(dtypes[0]))
        minuend = ctx.make_const(utils.make_name("one"), one).output[0]
        ctx.remove_node(node.name)
        subtrahend = ctx.make_node("Erf", [values], shapes=shapes, dtypes=dtypes).output[0]
        ctx.make_node("Sub", [minuend, subtrahend], outputs=outputs, shapes=shapes, dtypes=dtypes)
