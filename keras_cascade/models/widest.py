"""The widest network of a family that a parameter budget allows.

What a pruned network has to be compared with is a network of its size that was thin from the
start; every family here has one knob for that, its width. Parameters grow with the width in
steps, since filters are whole, so the width is found by bisection over networks that are built.
"""

import keras

from keras_cascade.models.catalog import build_model, cifar_models

# A step of one filter in the widest layer, the 1280 of MobileNetV2, takes 1/1280 of the width.
_RESOLUTION = 2.0**-12


def widest_model(
    name: str,
    input_shape: tuple[int, int, int],
    classes: int,
    max_params: int,
    weight_decay: float = 0.0,
    seed: int | None = None,
    synchronized: bool = False,
) -> keras.Model:
    """Builds the network of a family with the most parameters not above a budget.

    Args:
        name: a network of this package, for example "vgg16": one of `cifar_models()`.
        input_shape: (height, width, channels) of one image.
        classes: number of classes.
        max_params: budget, counted as `keras.Model.count_params` does: with the moving statistics
            of BatchNorm, as the `params` of `keras_cascade.profile`.
        weight_decay: as in `build_model`.
        seed, synchronized: as in `build_model`.

    Returns:
        Untrained `keras.Model` at the largest width in (0, 1], found to 1/4096, whose parameters
        are at most `max_params`; the network of width 1 where that fits. Filters are whole and a
        family's steps may be coarse (densenet40 has twelve sizes), so it may stay well below.
        Takes up to 14 builds, a few seconds.

    Raises:
        ValueError: if even the thinnest network of the family has more parameters, with their
            number; or if `name` is not a network of this package.

    Example:
        >>> widest_model("resnet20", (8, 8, 1), classes=10, max_params=20_000).count_params()
        19457
    """

    if name.lower() not in cifar_models():
        raise ValueError(
            f"widest_model scales one of {', '.join(cifar_models())}. Received: name={name!r}"
        )

    def build(width: float) -> keras.Model:
        return build_model(name, input_shape, classes, width, weight_decay, seed, synchronized)

    model = build(1.0)
    if model.count_params() <= max_params:
        return model
    low, high = 0.0, 1.0
    model = build(_RESOLUTION)  # every filter count at its floor
    if model.count_params() > max_params:
        raise ValueError(
            f"The thinnest {name} for images {input_shape} and {classes} classes has "
            f"{model.count_params():,} parameters. Received: max_params={max_params:,}"
        )
    while high - low > _RESOLUTION:
        width = (low + high) / 2
        candidate = build(width)
        if candidate.count_params() <= max_params:
            low, model = width, candidate
        else:
            high = width
    return model
