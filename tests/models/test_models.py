"""The networks have the published sizes, and `build_model` keeps its promises for every family."""

import functools
import math
import random

import keras
import numpy as np
import pytest
from marks import slow, slow_but

from keras_cascade.models import (
    available_models,
    build_model,
    cifar_models,
    densenet,
    densenet40,
    efficientnet_b0,
    mobilenet_v2,
    resnet20,
    resnet32,
    resnet50,
    resnet56,
    synchronize_batch_norm,
    vgg16,
)
from keras_cascade.models.blocks import fitting_strides, scaled_filters


@functools.cache
def built(constructor):
    """The network with all its defaults; not to be changed."""
    return constructor()


def families(*names):
    """The names as parameters of a test, those with more of resnet20's blocks marked slow."""
    return slow_but(set(names) - {"resnet32", "resnet56"}, names)


def trainable_params(model):
    return sum(math.prod(weight.shape) for weight in model.trainable_weights)


def kernel_layers(model):
    return [layer for layer in model.layers if hasattr(layer, "kernel")]


def macs(model):
    """Of Conv2D (no groups), DepthwiseConv2D and Dense: output positions times kernel size."""
    return sum(
        math.prod(layer.output.shape[1:-1]) * math.prod(layer.kernel.shape)
        for layer in kernel_layers(model)
    )


# Published: VGG16-BN 14.99M / 313.7M (HRank); ResNet-20/32/56 0.27M/0.46M/0.85M (He et al. 2016,
# table 6) and 41M/69M/126M; ResNet-50 with CIFAR stem 23.5M / 1.30G. Exact values: by hand below.
# MobileNetV2 and EfficientNet-B0 have no published CIFAR version; their weights are compared with
# those of keras.applications below.
@pytest.mark.parametrize(
    ("constructor", "params", "million_macs"),
    [
        (vgg16, 14_987_210, 313.46),
        (resnet20, 269_722 + 2_752, 40.81),
        (resnet32, 464_154 + 2_752, 69.12),
        (resnet56, 853_018 + 2_752, 125.75),
        (resnet50, 23_520_842, 1297.83),
        (densenet40, 176_122, 72.37),
        (mobilenet_v2, 2_236_682, 87.98),
        (efficientnet_b0, 4_020_358, 116.17),
    ],
)
def test_size_is_the_published_one(constructor, params, million_macs):
    model = built(constructor)
    assert trainable_params(model) == params
    assert macs(model) / 1e6 == pytest.approx(million_macs, abs=0.01)


def test_thin_resnets_exceed_option_a_by_their_projections_only():
    # 2,752 = 16*32 + 32*64 weights + gamma and beta of 32 + 64 channels: what the table above adds
    # to the parameter counts of the networks with parameter-free shortcuts.
    model = built(resnet20)
    shortcuts = [layer for layer in model.layers if "shortcut" in layer.name]
    assert [layer.name for layer in shortcuts] == [
        "stage2_block1_shortcut",
        "stage2_block1_shortcut_bn",
        "stage3_block1_shortcut",
        "stage3_block1_shortcut_bn",
    ]
    extra = sum(math.prod(w.shape) for layer in shortcuts for w in layer.trainable_weights)
    assert extra == 2_752


def test_vgg16_matches_the_published_counts_with_the_biases_of_the_published_code():
    model = built(vgg16)
    channels = sum(layer.kernel.shape[-1] for layer in kernel_layers(model)[:-1])
    assert trainable_params(model) + channels == 14_991_946
    outputs = sum(math.prod(layer.output.shape[1:]) for layer in kernel_layers(model))
    assert (macs(model) + outputs) / 1e6 == pytest.approx(313.74, abs=0.01)


def densenet_bc_params(depth, growth, classes=10, images=3):
    """Trainable parameters of DenseNet-BC for CIFAR, counted from the paper's section 3."""
    params, channels = 9 * images * 2 * growth, 2 * growth
    for block in range(3):
        if block > 0:
            params += 2 * channels + channels * (channels // 2)
            channels //= 2
        for _ in range((depth - 4) // 6):
            params += 2 * channels + channels * 4 * growth
            params += 2 * 4 * growth + 9 * 4 * growth * growth
            channels += growth
    return params + 2 * channels + (channels + 1) * classes


def test_densenet_bc_has_the_parameters_of_the_paper():
    assert trainable_params(built(densenet40)) == densenet_bc_params(40, 12)
    assert trainable_params(densenet40(width=0.5)) == densenet_bc_params(40, 6)
    hundred = densenet._densenet((16, 16, 16), 12, (32, 32, 3), 10, 0.0, "densenet100")
    assert trainable_params(hundred) == densenet_bc_params(100, 12) == 769_162  # 0.8M in table 2


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (mobilenet_v2, keras.applications.MobileNetV2),
        (efficientnet_b0, keras.applications.EfficientNetB0),
    ],
)
def test_weights_are_those_of_the_application(ours, theirs):
    def shapes(model):
        return [weight.shape for weight in model.trainable_weights]

    assert shapes(built(ours)) == shapes(theirs(weights=None, classes=10))


@pytest.mark.parametrize("constructor", [mobilenet_v2, *slow(densenet40, efficientnet_b0)])
def test_strides_leave_two_by_two_pixels(constructor):
    def last_map(side):
        model = constructor((side, side, 3), width=0.1)
        return model.get_layer("global_pool").input.shape[1:3]

    at_32 = 8 if constructor is densenet40 else 4
    assert [last_map(side) for side in (32, 8, 4)] == [(at_32, at_32), (2, 2), (2, 2)]
    assert last_map(16) == (at_32 // 2, at_32 // 2)
    assert last_map(1) == (1, 1)


@pytest.mark.parametrize(
    ("shape", "expected"), [((4, 4), 2), ((3, 8), 1), ((9, 3), 1), ((5, 4), 2), ((1, 1), 1)]
)
def test_fitting_strides(shape, expected):
    x = keras.Input((*shape, 3))
    assert fitting_strides(x, 2) == expected
    assert fitting_strides(x, 1) == 1


@pytest.mark.parametrize("name", families(*cifar_models()))
@pytest.mark.parametrize("input_shape", [(12, 20, 3), *slow((8, 8, 1))])
def test_small_and_oblong_inputs_give_unbounded_logits(name, input_shape):
    model = build_model(name, input_shape, classes=7, width=0.125, seed=0)
    assert model.name == name
    assert model.input_shape == (None, *input_shape)
    images = np.random.default_rng(0).normal(size=(3, *input_shape)).astype("float32")
    logits = keras.ops.convert_to_numpy(model(images))
    assert logits.shape == (3, 7)
    assert np.isfinite(logits).all()
    assert logits.min() < 0
    assert model.layers[-1].name == "logits"
    assert keras.activations.serialize(model.layers[-1].activation) == "linear"


def test_vgg16_leaves_out_the_pools_that_would_empty_the_map():
    def pools(shape):
        model = vgg16(shape, width=0.1)
        return [layer.name for layer in model.layers if "pool" in layer.name]

    assert pools((8, 8, 1)) == ["block1_pool", "block2_pool", "block3_pool", "global_pool"]
    assert len(pools((32, 32, 3))) == 6
    assert len(pools((4, 32, 3))) == 3


def test_layer_names():
    names = {layer.name for layer in built(resnet50).layers}
    assert {"image", "stem_conv", "stem_conv_bn", "stem_conv_relu"} <= names
    assert {"stage4_block3_conv3", "stage4_block3_conv3_bn", "stage4_block3_relu"} <= names
    assert "stage4_block3_conv3_relu" not in names
    assert "stage1_block1_shortcut" in names and "stage1_block2_shortcut" not in names
    assert {"block5_conv3_bn", "fc1_relu"} <= {layer.name for layer in built(vgg16).layers}


def test_no_bias_before_batch_norm():
    for model in map(built, (vgg16, resnet20, resnet50, densenet40, mobilenet_v2)):
        biased = [layer.name for layer in kernel_layers(model) if layer.use_bias]
        assert biased == ["logits"]
    biased = [layer.name for layer in kernel_layers(built(efficientnet_b0)) if layer.use_bias]
    assert biased.pop() == "logits"
    assert len(biased) == 2 * 16
    assert all(name.endswith(("_se_reduce", "_se_expand")) for name in biased)


def test_width_scales_every_filter_count():
    full, half = built(resnet56), resnet56(width=0.5)
    for wide, thin in zip(kernel_layers(full)[:-1], kernel_layers(half)[:-1], strict=True):
        assert thin.filters * 2 == wide.filters
    assert {layer.filters for layer in kernel_layers(resnet20(width=0.01))[:-1]} == {4}


def test_inverted_residuals_scale_to_filters_below_eight_and_in_the_last_convolution_too():
    for constructor in (mobilenet_v2, efficientnet_b0):
        thin = constructor(width=0.25)
        filters = [thin.get_layer(f"stage{stage}_block1_project").filters for stage in (1, 2, 3)]
        assert filters == ([4, 6, 8] if constructor is mobilenet_v2 else [4, 6, 10])
        assert thin.get_layer("last_conv").filters == 320


@pytest.mark.parametrize(
    ("filters", "width", "expected"), [(64, 1.0, 64), (64, 0.3, 19), (10, 0.25, 4), (9, 0.5, 5)]
)
def test_scaled_filters_rounds_halves_up(filters, width, expected):
    assert scaled_filters(filters, width) == expected


@pytest.mark.parametrize("width", [0.0, -1.0, math.inf, math.nan])
def test_bad_width_is_refused(width):
    with pytest.raises(ValueError, match="width must be a finite number > 0"):
        resnet20(width=width)


def test_negative_weight_decay_is_refused():
    with pytest.raises(ValueError, match="weight_decay"):
        resnet20(weight_decay=-1e-4)


@pytest.mark.parametrize(
    "name", slow_but({"resnet20", "MobileNetV2"}, [*cifar_models(), "MobileNetV2", "ConvNeXtTiny"])
)
def test_weight_decay_is_half_the_sum_of_squares(name):
    def leaves(model):
        for layer in model.layers:
            yield from leaves(layer) if isinstance(layer, keras.Model) else [layer]

    width = 1.0 if name == "ConvNeXtTiny" else 0.35
    model = build_model(name, (32, 32, 3), 10, width=width, weight_decay=0.01, seed=0)
    plain = build_model(name, (32, 32, 3), 10, width=width, seed=0)
    assert not plain.losses
    kernels = [
        keras.ops.convert_to_numpy(layer.kernel).astype("float64")
        for layer in leaves(model)
        if hasattr(layer, "kernel") and "depthwise" not in layer.name.lower()
    ]
    assert len(model.losses) == len(kernels)
    expected = 0.005 * sum((kernel**2).sum() for kernel in kernels)
    assert sum(float(loss) for loss in model.losses) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", ["resnet20", "MobileNet"])
def test_seed_fixes_the_weights_and_no_global_state(name):
    def weights(seed):
        return build_model(name, (32, 32, 3), 10, width=0.25, seed=seed).get_weights()

    random.seed(3)
    state = random.getstate()
    first, again, other = weights(7), weights(7), weights(8)
    assert random.getstate() == state
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(first[0], other[0])
    assert not np.array_equal(weights(None)[0], weights(None)[0])


def test_available_models_lists_ours_and_keras():
    names = available_models()
    assert names[:5] == ["vgg16", "resnet20", "resnet32", "resnet56", "resnet50"]
    assert names[5:8] == ["densenet40", "mobilenet_v2", "efficientnet_b0"]
    assert names[:8] == cifar_models()
    assert {"MobileNetV3Small", "DenseNet121", "keras.applications.ResNet50"} <= set(names)
    assert len(names) == len({name.lower() for name in names})


def test_names_are_found_in_any_case_and_ours_come_first():
    assert build_model("ResNet20", (8, 8, 1), 10, width=0.5).name == "resnet20"
    ours = build_model("VGG16", (32, 32, 3), 10, width=0.1)
    assert "block1_conv1_bn" in {layer.name for layer in ours.layers}
    theirs = build_model("keras.applications.resnet50", (32, 32, 3), 10)
    assert "conv1_pad" in {layer.name for layer in theirs.layers}
    assert build_model("mobilenetv3small", (32, 32, 3), 10).output_shape == (None, 10)
    ours = build_model("MobileNet_V2", (32, 32, 3), 10, width=0.25)
    assert ours.get_layer("global_pool").input.shape[1:3] == (4, 4)
    theirs = build_model("mobilenetv2", (32, 32, 3), 10, width=0.25)
    assert theirs.get_layer("out_relu").output.shape[1:3] == (1, 1)


def test_unknown_name_suggests_and_lists():
    with pytest.raises(
        ValueError, match="Did you mean 'resnet56'.*Known models: vgg16, .*Xception"
    ):
        build_model("resnet65", (8, 8, 1), 10)
    with pytest.raises(ValueError, match="Did you mean 'keras.applications.ResNet50'"):
        build_model("keras.applications.resnet51", (8, 8, 1), 10)


def test_width_is_alpha_where_there_is_one_and_refused_elsewhere():
    half = build_model("MobileNetV2", (32, 32, 3), 10, width=0.5)
    assert (
        half.count_params()
        == keras.applications.MobileNetV2(
            (32, 32, 3), alpha=0.5, weights=None, classes=10
        ).count_params()
    )
    with pytest.raises(ValueError, match="DenseNet121 has no width multiplier.*width=0.5"):
        build_model("DenseNet121", (32, 32, 3), 10, width=0.5)


@pytest.mark.parametrize("name", ["EfficientNetB0", *slow("MobileNetV3Small", "EfficientNetV2B0")])
def test_applications_do_not_rescale_normalised_images(name):
    model = build_model(name, (32, 32, 3), 10, seed=0)
    assert model.layers[-1].activation is keras.activations.linear
    scaling = [layer for layer in model.layers if isinstance(layer, keras.layers.Rescaling)]
    assert all((layer.scale, layer.offset) == (1.0, 0.0) for layer in scaling)
    assert len(scaling) == (1 if name == "EfficientNetB0" else 0)


def test_keras_says_when_an_image_is_too_small():
    with pytest.raises(ValueError, match="at least 32x32"):
        build_model("DenseNet121", (8, 8, 3), 10)


@pytest.mark.only_on("tensorflow", reason="Keras synchronises there alone")
@pytest.mark.parametrize("name", families(*cifar_models(), "MobileNet"))
def test_synchronized_reaches_every_batch_norm(name):
    size = 32 if name == "MobileNet" else 8
    width = 0.25 if name == "MobileNet" else 0.02
    model = build_model(name, (size, size, 3), 5, width=width, synchronized=True)
    assert set(_synchronized(model)) == {True}


@pytest.mark.only_on("tensorflow", reason="Keras synchronises there alone")
def test_batch_norm_is_not_synchronized_unasked():
    assert set(_synchronized(build_model("resnet20", (8, 8, 3), 5, width=0.02))) == {False}


def _synchronized(model):
    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    return [layer.synchronized for layer in layers]


@pytest.mark.only_on("tensorflow", reason="Keras synchronises there alone")
def test_synchronised_reaches_nested_models():
    inside = keras.Sequential([keras.Input((4,)), keras.layers.BatchNormalization()])
    model = keras.Sequential([keras.Input((4,)), inside, keras.layers.BatchNormalization()])
    assert synchronize_batch_norm(model) is model
    assert inside.layers[0].synchronized and model.layers[1].synchronized
