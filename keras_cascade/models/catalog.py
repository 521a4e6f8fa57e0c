"""Networks by name: the CIFAR networks of this package and all of `keras.applications`.

`build_model` is what command lines call: one name, one set of arguments, and untrained networks
that agree on their conventions - logits out, normalised images in, L2 on kernels, one seed.
The applications do not offer all of that themselves, so their layers are rewritten once, from
their own configurations, where a weight decay or the built-in input scaling asks for it.
"""

import contextlib
import difflib
import inspect
import random
from collections.abc import Callable, Iterator
from typing import Any

import keras

from keras_cascade.models.blocks import l2_decay, synchronize_batch_norm
from keras_cascade.models.densenet import densenet40
from keras_cascade.models.efficientnet import efficientnet_b0
from keras_cascade.models.mobilenet import mobilenet_v2
from keras_cascade.models.resnet import resnet20, resnet32, resnet50, resnet56
from keras_cascade.models.vgg import vgg16

_OURS: dict[str, Callable[..., keras.Model]] = {
    "vgg16": vgg16,
    "resnet20": resnet20,
    "resnet32": resnet32,
    "resnet56": resnet56,
    "resnet50": resnet50,
    "densenet40": densenet40,
    "mobilenet_v2": mobilenet_v2,
    "efficientnet_b0": efficientnet_b0,
}
_APPLICATIONS = "keras.applications."

# Not "depthwise_regularizer": MobileNet (Howard et al. 2017, section 3.2) puts "very little or no
# weight decay on the depthwise filters since there are so few parameters in them".
_DECAYED_KERNELS = ("kernel_regularizer", "pointwise_regularizer")


def _applications() -> dict[str, Callable[..., keras.Model]]:
    """Every constructor of `keras.applications`, by the name that reaches it here."""
    found = inspect.getmembers(keras.applications, inspect.isfunction)
    return {
        _APPLICATIONS + name if name.lower() in _OURS else name: constructor
        for name, constructor in found
    }


def cifar_models() -> list[str]:
    """Names of the networks of this package: for small images, and of any width.

    Example:
        >>> cifar_models()[:2]
        ['vgg16', 'resnet20']
    """
    return list(_OURS)


def available_models() -> list[str]:
    """Names that `build_model` knows.

    Returns:
        The networks of this package first, then those of `keras.applications`. VGG16 and ResNet50
        exist in both; Keras' ImageNet versions go by "keras.applications.VGG16" and
        "keras.applications.ResNet50". The underscore tells our mobilenet_v2 and efficientnet_b0
        from Keras' MobileNetV2 and EfficientNetB0.

    Example:
        >>> available_models()[0]
        'vgg16'
    """
    return [*_OURS, *_applications()]


def build_model(
    name: str,
    input_shape: tuple[int, int, int],
    classes: int,
    width: float = 1.0,
    weight_decay: float = 0.0,
    seed: int | None = None,
    synchronized: bool = False,
) -> keras.Model:
    """Builds an untrained image classifier that ends in logits.

    Args:
        name: one of `available_models()`, in any case. Any constructor of `keras.applications`
            may carry the prefix "keras.applications."; "VGG16" and "ResNet50" need it, being the
            CIFAR networks of this package otherwise. "mobilenet_v2" and "efficientnet_b0" are for
            small images, "MobileNetV2" and "EfficientNetB0" Keras' own, which reduce an image 32
            times.
        input_shape: (height, width, channels). The networks of this package take any size, those
            of `keras.applications` have a smallest one (32 to 75) and say so themselves.
        classes: number of classes.
        width: multiplier on the filter counts; `alpha` of MobileNet, MobileNetV2 and MobileNetV3.
        weight_decay: L2 on convolution and dense kernels (not depthwise ones), counted as SGD's
            weight decay is in the papers: the loss gains `weight_decay / 2 * sum(kernel ** 2)`.
        seed: makes the initial weights (and dropout) reproducible and leaves every global random
            state as it was; None draws them from Keras' global state.
        synchronized: whether BatchNorm takes its moments over all replicas of a `tf.distribute`
            strategy, not over each one's part of the batch.

    Returns:
        `keras.Model` from images (batch, height, width, channels) that are already normalised
        (`keras_cascade.data.load` yields such) to logits (batch, classes). Input scaling inside
        the applications is off: `include_preprocessing=False` where it is an argument, the
        Rescaling(1/255) that EfficientNetB0-B7 always contain set to 1.

    Raises:
        ValueError: if the name is unknown (with the nearest names and the whole list), if `width`
            is not 1 for a network without a width multiplier, or if an argument is out of range.

    Example:
        >>> build_model("resnet20", (8, 8, 1), classes=10, width=0.5, seed=0).name
        'resnet20'
    """
    applications = _applications()
    ours = _OURS.get(name.lower())
    with _seeded(seed):
        if ours is not None:
            model = ours(input_shape, classes, width, weight_decay=weight_decay)
        else:
            constructor = _find_application(name, applications)
            model = _build_application(constructor, input_shape, classes, width, weight_decay)
    return synchronize_batch_norm(model) if synchronized else model


def _find_application(
    name: str, applications: dict[str, Callable[..., keras.Model]]
) -> Callable[..., keras.Model]:
    by_key = {known.lower().removeprefix(_APPLICATIONS): known for known in applications}
    key = name.lower().removeprefix(_APPLICATIONS)
    if key in by_key:
        return applications[by_key[key]]
    prefixed = name.lower().startswith(_APPLICATIONS)
    candidates = by_key if prefixed else by_key | {ours: ours for ours in _OURS}
    close = [candidates[match] for match in difflib.get_close_matches(key, candidates)]
    hint = f" Did you mean {' or '.join(repr(match) for match in close)}?" if close else ""
    raise ValueError(
        f"Unknown model {name!r}.{hint} Known models: {', '.join(available_models())}."
    )


def _build_application(
    constructor: Callable[..., keras.Model],
    input_shape: tuple[int, int, int],
    classes: int,
    width: float,
    weight_decay: float,
) -> keras.Model:
    parameters = inspect.signature(constructor).parameters
    arguments: dict[str, Any] = {}
    if "include_preprocessing" in parameters:
        arguments["include_preprocessing"] = False
    if "alpha" in parameters:
        arguments["alpha"] = width
    elif width != 1.0:
        raise ValueError(
            f"keras.applications.{constructor.__name__} has no width multiplier, so width must be "
            f"1.0 (MobileNet, MobileNetV2, MobileNetV3 and {', '.join(_OURS)} have one). "
            f"Received: width={width}"
        )
    model = constructor(
        weights=None,
        input_shape=input_shape,
        classes=classes,
        classifier_activation=None,
        **arguments,
    )
    return _with_our_conventions(model, weight_decay)


def _with_our_conventions(model: keras.Model, weight_decay: float) -> keras.Model:
    """The same network with L2 on its kernels and no scaling of its input."""
    regularizer = l2_decay(weight_decay)
    scales_input = any(isinstance(layer, keras.layers.Rescaling) for layer in model.layers)
    if regularizer is None and not scales_input:
        return model

    def rewrite(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = layer.get_config()
        if isinstance(layer, keras.layers.Rescaling):
            # Left at 1/255 it would shrink normalised images to below BatchNorm's epsilon.
            config |= {"scale": 1.0, "offset": 0.0}
        if regularizer is not None and not _is_depthwise(config):
            config |= {key: regularizer for key in _DECAYED_KERNELS if key in config}
        return type(layer).from_config(config)

    # Recursive: ConvNeXt keeps its stem and its downsampling in nested Sequential models.
    return keras.models.clone_model(model, clone_function=rewrite, recursive=True)


def _is_depthwise(config: dict) -> bool:
    """Whether a `Conv2D` is depthwise by its groups, as ConvNeXt writes it."""
    return config.get("groups", 1) > 1 and config["groups"] == config.get("filters")


@contextlib.contextmanager
def _seeded(seed: int | None) -> Iterator[None]:
    """Makes the default seeds of layers and initializers reproducible within the block.

    Keras draws each of them from Python's `random`; borrowing that state for the block reaches
    the constructors of `keras.applications`, which take no seed, without
    `keras.utils.set_random_seed` and its lasting effect on the whole process.
    """
    if seed is None:
        yield
        return
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)
