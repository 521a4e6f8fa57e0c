"""What a random model is made of: for a tensor of each rank, the steps that fit it.

A *maker* is a function `(draw, shape)`, `shape` without the batch, that draws the settings and
returns something to be called on a tensor of that shape. What does not fit a shape is left out of
the draw, so that no draw has to be rejected. Sizes stay small by themselves: what enlarges a
tensor is only drawn for small ones.

Left out is what Keras 3.15 itself gets wrong on TensorFlow. Its `ops.add` takes a summand with one
long axis for a bias and adds it along the last axis, or the second, where the lengths happen to
agree. So no bias where a cut may leave one along another axis: convolutions with channels first,
heads with values of width one, LayerNormalization over rows. And `EinsumDense` with an ellipsis
for several axes gives out their sizes in the wrong order.
"""

from hypothesis import strategies as st
from keras import layers, ops
from networks import can_have_channels_first
from random_operations import (
    arithmetic,
    channel_moves,
    channel_slices,
    count,
    divisor,
    is_small,
    pick,
    position_moves,
    several,
    unknown,
)


def _activation(draw):
    return pick(draw, None, None, "relu", "tanh", "silu", "softmax")


def _bias(draw):
    return draw(st.booleans())


def _filters(draw, groups=1):
    return several(draw) if groups == 1 else groups * pick(draw, 2, 1)


def _window(draw, sizes):
    """Kernel size, strides and padding that leave at least one position on every axis."""
    kernel = [count(draw, 1, 3) for _ in sizes]
    fits = all(k <= size for k, size in zip(kernel, sizes, strict=True))
    padding = pick(draw, "same", "valid") if fits else "same"
    return tuple(kernel), count(draw, 1, 2), padding


# Layers with filters


def _convolution(kind):
    def maker(draw, shape):
        groups = pick(draw, 1, 1, divisor(draw, shape[-1]))  # several are slow to compile
        kernel, strides, padding = _window(draw, shape[:-1])
        return kind(
            _filters(draw, groups),
            kernel,
            strides=strides,
            padding=padding,
            groups=groups,
            activation=_activation(draw),
            use_bias=_bias(draw),
        )

    return maker


def _transposed(kind):
    def maker(draw, shape):
        kernel, strides, padding = _window(draw, shape[:-1])
        strides = strides if is_small(shape) else 1
        return kind(_filters(draw), kernel, strides=strides, padding=padding, use_bias=_bias(draw))

    return maker


def _depthwise(kind):
    def maker(draw, shape):
        kernel, strides, padding = _window(draw, shape[:-1])
        many = count(draw, 1, 2) if is_small(shape) else 1
        return kind(kernel, strides, padding, depth_multiplier=many, use_bias=_bias(draw))

    return maker


def _separable(kind):
    def maker(draw, shape):
        kernel, strides, padding = _window(draw, shape[:-1])
        return kind(_filters(draw), kernel, strides, padding, depth_multiplier=count(draw, 1, 2))

    return maker


def dense(draw, shape):
    return layers.Dense(_filters(draw), activation=_activation(draw), use_bias=_bias(draw))


def _einsum(draw, shape):
    made, bias = _filters(draw), pick(draw, None, "y")
    if len(shape) == 3:
        return layers.EinsumDense("abcx,xy->abcy", (*shape[:2], made), bias_axes=bias)
    return layers.EinsumDense("...x,xy->...y", made, bias_axes=bias)


def _einsum_of_steps(draw, shape):
    steps, width = shape
    new = count(draw, 2, 5)
    equation, made = pick(
        draw,
        ("abc,cd->abd", (steps, new)),
        ("abc,bd->adc", (new, width)),
        ("abc,cd->adb", (new, steps)),
        ("abc,bcd->abd", (steps, new)),
    )
    bias = pick(draw, None, equation[-1], equation[-2:])
    return layers.EinsumDense(equation, output_shape=made, bias_axes=bias)


# Layers that normalise, or treat each channel by itself


def _normalization(draw, shape):
    rank = len(shape) + 1
    everything = list(range(1, rank))
    axis = pick(draw, -1, -1, everything)
    of_rows = {"axis": 1, "center": False}
    return pick(
        draw,
        lambda: layers.BatchNormalization(scale=_bias(draw), center=_bias(draw)),
        lambda: layers.LayerNormalization(axis=axis, scale=_bias(draw), center=_bias(draw)),
        lambda: layers.LayerNormalization(**(of_rows if rank > 2 else {})),
        lambda: layers.RMSNormalization(axis=axis),
        lambda: layers.UnitNormalization(axis=axis),
        lambda: layers.GroupNormalization(pick(draw, -1, divisor(draw, shape[-1]))),
    )()


def _activation_layer(draw, shape):
    axes = list(range(1, len(shape)))  # the positions
    return pick(
        draw,
        lambda: layers.Activation(pick(draw, "relu", "tanh", "gelu", "sigmoid")),
        lambda: layers.LeakyReLU(0.3),
        lambda: layers.PReLU(shared_axes=pick(draw, None, axes, axes[:1]) or None),
        lambda: layers.Softmax(axis=axes or -1),
        lambda: layers.Dropout(0.5),
        lambda: layers.Rescaling(0.7, offset=0.1),
    )()


# Layers that pool, pad, crop or resize


def _positions(rank):
    """The layers of one to three spatial dimensions that move no channel."""

    def named(name):
        return getattr(layers, f"{name}{rank}D")

    def maker(draw, shape):
        options = [
            lambda: named("MaxPooling")(2, padding="same"),
            lambda: named("AveragePooling")(2, strides=1, padding="same"),
            lambda: named("GlobalAveragePooling")(keepdims=True),
        ]
        if is_small(shape):
            options += [lambda: named("ZeroPadding")(1), lambda: named("UpSampling")(2)]
        if min(shape[:-1]) > 2:
            options.append(lambda: named("Cropping")(1))
        if rank == 2:
            options.append(lambda: layers.Resizing(count(draw, 2, 5), count(draw, 2, 5)))
        return pick(draw, *options)()

    return maker


# Blocks for images


def _squeeze_and_excite(draw, shape):
    squeeze, excite = layers.Dense(count(draw, 1, 4), "relu"), layers.Dense(shape[-1], "sigmoid")
    kept = draw(st.booleans())

    def block(x):
        weights = excite(squeeze(layers.GlobalAveragePooling2D(keepdims=kept)(x)))
        return x * (weights if kept else layers.Reshape((1, 1, shape[-1]))(weights))

    return block


def _channels_first(draw, shape):
    """There and back; TensorFlow's convolutions on CPUs know at most 1x1 kernels in this format."""
    first = {"data_format": "channels_first"}
    convolution = [lambda: layers.Conv2D(_filters(draw), 1, use_bias=False, **first)]
    inner = pick(
        draw,
        *(convolution if can_have_channels_first() else []),
        lambda: layers.BatchNormalization(axis=1),
        lambda: layers.GroupNormalization(divisor(draw, shape[-1]), axis=1),
        lambda: layers.GlobalAveragePooling2D(keepdims=True, **first),
    )()
    return lambda x: layers.Permute((2, 3, 1))(inner(layers.Permute((3, 1, 2))(x)))


def _each_frame(draw, shape):
    inner = layers.TimeDistributed(layers.Conv2D(_filters(draw), 1, activation=_activation(draw)))
    return lambda x: inner(ops.expand_dims(x, 1))[:, 0]


# Blocks for sequences


def recurrent(draw, **kwargs):
    kind = pick(draw, layers.SimpleRNN, layers.GRU, layers.LSTM)
    return kind(count(draw, 2, 4), use_bias=_bias(draw), **kwargs)


def _recurrent_steps(draw, shape):
    return recurrent(draw, return_sequences=True, go_backwards=draw(st.booleans()))


def _bidirectional(draw, shape):
    merge = pick(draw, "concat", "sum", "mul", "ave")
    return layers.Bidirectional(recurrent(draw, return_sequences=True), merge_mode=merge)


def _each_step(draw, shape):
    return layers.TimeDistributed(
        pick(draw, dense(draw, shape[1:]), layers.BatchNormalization(), layers.ReLU())
    )


def _self_attention(draw, shape):
    heads = count(draw, 1, 3)
    shared = divisor(draw, heads)
    causal = draw(st.booleans())
    attention = pick(
        draw,
        lambda: layers.MultiHeadAttention(heads, 2, value_dim=count(draw, 1, 3), use_bias=False),
        lambda: layers.MultiHeadAttention(heads, 2, output_shape=_filters(draw), use_bias=False),
        lambda: layers.GroupQueryAttention(2, heads, shared),
    )()
    return lambda x: attention(x, x, use_causal_mask=causal)


def _dot_attention(draw, shape):
    query, value = layers.Dense(shape[-1]), layers.Dense(_filters(draw))
    attention = pick(draw, layers.Attention(use_scale=True), layers.AdditiveAttention())
    return lambda x: attention([query(x), value(x), x])


_ANY = (_normalization, _normalization, _activation_layer, arithmetic, channel_slices)
_ANY += (channel_moves, dense)

MAKERS = {
    1: _ANY,
    2: (
        *_ANY,
        _convolution(layers.Conv1D),
        _convolution(layers.Conv1D),
        _transposed(layers.Conv1DTranspose),
        _depthwise(layers.DepthwiseConv1D),
        _separable(layers.SeparableConv1D),
        _einsum,
        _einsum_of_steps,
        _positions(1),
        position_moves,
        _recurrent_steps,
        _bidirectional,
        _each_step,
        _self_attention,
        _self_attention,
        _self_attention,
        _dot_attention,
    ),
    3: (
        *_ANY,
        *[_convolution(layers.Conv2D)] * 4,
        _transposed(layers.Conv2DTranspose),
        _depthwise(layers.DepthwiseConv2D),
        _depthwise(layers.DepthwiseConv2D),
        _separable(layers.SeparableConv2D),
        _einsum,
        _positions(2),
        _positions(2),
        position_moves,
        _squeeze_and_excite,
        _channels_first,
        _each_frame,
    ),
}


def step(draw, shape):
    """Something to be called on a tensor of that shape, of any kind."""
    rare = count(draw, 0, 19) == 19
    return (unknown if rare else pick(draw, *MAKERS[len(shape)]))(draw, shape)


def to_vector(draw, shape):
    """From positions and channels to a vector."""
    flat = [lambda: layers.Flatten(), lambda: layers.Reshape((-1,))]
    if len(shape) == 1:
        return layers.Identity()
    if len(shape) == 2:
        flat += [
            lambda: layers.GlobalAveragePooling1D(),
            lambda: lambda x: x[:, -1],
            lambda: recurrent(draw),
            lambda: layers.Bidirectional(recurrent(draw)),
        ]
    else:
        flat += [
            lambda: layers.GlobalAveragePooling2D(),
            lambda: layers.GlobalMaxPooling2D(),
            lambda: lambda x: ops.max(x, axis=(1, 2)),
        ]
    return pick(draw, *flat)()


def to_other_rank(draw, shape):
    """From an image to a sequence, and so on."""
    width = shape[-1]
    if len(shape) == 1:
        part = divisor(draw, width)
        return pick(
            draw,
            lambda: layers.RepeatVector(3),
            lambda: layers.Reshape((1, 1, width)),
            lambda: layers.Reshape((part, width // part)),
        )()
    if len(shape) == 2:
        part = divisor(draw, width)
        return pick(
            draw,
            lambda: layers.Reshape((shape[0], 1, width)),
            lambda: lambda x: ops.expand_dims(x, 1),
            lambda: layers.Reshape((shape[0], part, width // part)),
        )()
    height, breadth = shape[:2]
    return pick(
        draw,
        lambda: layers.Reshape((height * breadth, width)),
        lambda: layers.Reshape((height, breadth * width)),
        lambda: layers.TimeDistributed(layers.Flatten()),
        lambda: lambda x: ops.mean(x, axis=1),
    )()
