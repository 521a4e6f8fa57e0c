"""The CIFAR networks of keras_cascade.models in PyTorch, and what they hold and cost.

Same layers, filters, initial distribution, BatchNorm momentum and epsilon, same counts of params
and MACs. Two things differ, as they do between Keras and PyTorch anywhere: a 3x3 convolution of
stride 2 on an even map pads both sides by 1 where Keras pads the end only, and BatchNorm's running
variance is the unbiased one.
"""

import collections
import math

import torch
from torch import nn

_VGG_BLOCKS = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
_VGG_HIDDEN_UNITS = 512
_RESNET_FILTERS = (16, 32, 64)
_MINIMUM_FILTERS = 4
# The standard deviation of a standard normal distribution that is cut off at 2, as in Keras.
_TRUNCATED_STD = 0.87962566103423978


def scaled_filters(filters, width):
    """`filters * width` rounded to the nearest integer (halves up), at least 4."""
    return max(_MINIMUM_FILTERS, math.floor(filters * width + 0.5))


def vgg16(image_shape, classes, width=1.0):
    """VGG16 with BatchNorm: 13 convolutions, max pools while there is room, Dense(512), logits.

    Args:
        image_shape: (height, width, channels) of one image.
        classes: number of classes.
        width: multiplier on every filter count and on the hidden units.

    Returns:
        `nn.Module` from float images (batch, channels, height, width) to logits (batch, classes);
        its last layer is `logits`.

    Example:
        >>> vgg16((8, 8, 1), 10, width=0.25)(torch.zeros(2, 1, 8, 8)).shape
        torch.Size([2, 10])
    """
    side, channels = min(image_shape[:2]), image_shape[2]
    parts = collections.OrderedDict()
    for block, (convolutions, filters) in enumerate(_VGG_BLOCKS, start=1):
        for index in range(1, convolutions + 1):
            name = f"block{block}_conv{index}"
            parts[name] = _conv_bn(channels, scaled_filters(filters, width))
            parts[f"{name}_relu"] = nn.ReLU()
            channels = scaled_filters(filters, width)
        if side > 1:
            parts[f"block{block}_pool"] = nn.MaxPool2d(2)
            side //= 2
    units = scaled_filters(_VGG_HIDDEN_UNITS, width)
    parts["global_pool"], parts["flatten"] = nn.AdaptiveAvgPool2d(1), nn.Flatten()
    parts["fc1"] = nn.Linear(channels, units, bias=False)
    parts["fc1_bn"], parts["fc1_relu"] = nn.BatchNorm1d(units), nn.ReLU()
    parts["logits"] = nn.Linear(units, classes)
    return _initialized(nn.Sequential(parts))


def resnet20(image_shape, classes, width=1.0):
    """ResNet-20 for CIFAR with 1x1 convolutions as shortcuts; arguments as `vgg16`."""
    return _resnet(3, image_shape, classes, width)


def resnet56(image_shape, classes, width=1.0):
    """ResNet-56 for CIFAR with 1x1 convolutions as shortcuts; arguments as `vgg16`."""
    return _resnet(9, image_shape, classes, width)


NETWORKS = {network.__name__: network for network in (vgg16, resnet20, resnet56)}


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut, which is a 1x1 convolution where shapes change."""

    def __init__(self, channels, filters, stride):
        super().__init__()
        self.conv1 = _conv_bn(channels, filters, stride=stride)
        self.conv1_relu = nn.ReLU()
        self.conv2 = _conv_bn(filters, filters)
        self.shortcut = nn.Identity()
        if stride != 1 or channels != filters:
            self.shortcut = _conv_bn(channels, filters, kernel_size=1, stride=stride)
        self.relu = nn.ReLU()

    def forward(self, x):
        return self.relu(self.conv2(self.conv1_relu(self.conv1(x))) + self.shortcut(x))


def _resnet(blocks, image_shape, classes, width):
    channels = scaled_filters(_RESNET_FILTERS[0], width)
    parts = collections.OrderedDict()
    parts["stem_conv"], parts["stem_relu"] = _conv_bn(image_shape[2], channels), nn.ReLU()
    for stage, filters in enumerate(_RESNET_FILTERS, start=1):
        filters = scaled_filters(filters, width)
        for block in range(1, blocks + 1):
            stride = 2 if stage > 1 and block == 1 else 1
            parts[f"stage{stage}_block{block}"] = BasicBlock(channels, filters, stride)
            channels = filters
    parts["global_pool"], parts["flatten"] = nn.AdaptiveAvgPool2d(1), nn.Flatten()
    parts["logits"] = nn.Linear(channels, classes)
    return _initialized(nn.Sequential(parts))


def _conv_bn(channels, filters, kernel_size=3, stride=1):
    conv = nn.Conv2d(
        channels, filters, kernel_size, stride=stride, padding=kernel_size // 2, bias=False
    )
    return nn.Sequential(conv, nn.BatchNorm2d(filters, eps=1e-5, momentum=0.1))


def _initialized(network):
    """Sets kernels as Keras' "he_normal" does, and biases to 0."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            std = math.sqrt(2.0 / layer.weight[0].numel()) / _TRUNCATED_STD
            nn.init.trunc_normal_(layer.weight, std=std, a=-2 * std, b=2 * std)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return network


def count_params(network):
    """Number of weights, BatchNorm's moving statistics included, as `keras_cascade.profile` counts.

    Example:
        >>> count_params(resnet20((32, 32, 3), 10))
        274042
    """
    return sum(
        value.numel() for value in network.state_dict().values() if value.is_floating_point()
    )


@torch.no_grad()
def count_macs(network, image_shape):
    """Multiply-accumulates of one image in the kernels of convolutions and dense layers.

    Biases, normalisation, activations and pooling are not counted, as in `keras_cascade.profile`.

    Args:
        network: `nn.Module`; it is left in evaluation mode.
        image_shape: (height, width, channels) of one image.

    Example:
        >>> count_macs(resnet20((32, 32, 3), 10), (32, 32, 3))
        40813184
    """
    macs = []

    def count(layer, inputs, output):
        macs.append(layer.weight.numel() * math.prod(output.shape[2:]))

    kernels = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(count) for layer in kernels]
    network.eval()(example_image(network, image_shape))
    for hook in hooks:
        hook.remove()
    return sum(macs)


def example_image(network, image_shape):
    """A batch of one black image, on the network's device."""
    height, width, channels = image_shape
    return torch.zeros(1, channels, height, width, device=next(network.parameters()).device)
