"""What happens to an image on its way into a network: sizes, augmentation, standardisation.

Two treatments, as in the field. Small images of one size (CIFAR, digits) are padded by an eighth
of their side, cropped back at random and mirrored; that runs once per batch, as two gathers, and
takes a third of the time of the same steps image by image. Large images and images of varied size
(ImageNet) get a random resized crop for training, and for testing a centre crop of 224/256 of the
shorter side. All randomness comes from seeds that are passed in (stateless ops).
tensorflow is imported inside the functions: importing this module does not load it.
"""

import dataclasses

import numpy as np

# Bigger sides than this are treated as photographs (ImageNet), not as thumbnails (CIFAR).
LARGEST_SMALL_SIDE = 128
_PADDING_FRACTION = 8  # of a side: 4 pixels of 32 (He et al. 2016, section 4.2), 1 of 8
_RESIZE_FOR_CROP = 256 / 224


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Standardisation and augmentation choices of one data set.

    Args:
        mean: per channel (or one for all), of pixels scaled to 0..1, subtracted.
        std: per channel (or one for all), of pixels scaled to 0..1, divided by.
        flip: whether a mirrored image is still a valid example of its class.
        bgr: reverse the channel order, as the networks that come from Caffe expect.
        test_splits: names of the TFDS split to test on; the first that exists is used.

    Example:
        >>> Recipe(flip=False).mean
        (0.5,)
    """

    mean: tuple[float, ...] = (0.5,)
    std: tuple[float, ...] = (0.5,)
    flip: bool = True
    bgr: bool = False
    test_splits: tuple[str, ...] = ("test", "validation")


_RECIPES = {
    # Mean and deviation of the 1437 training images.
    "digits": Recipe(mean=(0.305,), std=(0.376,), flip=False),
    # The usual constants: over all pixels of the 50,000 training images, per channel.
    "cifar10": Recipe(mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616)),
    "cifar100": Recipe(mean=(0.5071, 0.4865, 0.4409), std=(0.2673, 0.2564, 0.2762)),
    # keras.applications.resnet.preprocess_input: BGR in 0..255 less the mean, not scaled.
    "imagenet2012": Recipe(
        mean=(123.68 / 255, 116.779 / 255, 103.939 / 255),
        std=(1 / 255, 1 / 255, 1 / 255),
        bgr=True,
        test_splits=("validation",),  # the labels of "test" were never published (all -1)
    ),
}

# A mirrored digit or letter is no example of its class.
_NEVER_FLIPPED = frozenset(
    {
        "binary_alpha_digits",
        "cmaterdb",
        "emnist",
        "kmnist",
        "mnist",
        "mnist_corrupted",
        "omniglot",
        "quickdraw_bitmap",
        "svhn_cropped",
    }
)


def recipe_for(name: str) -> Recipe:
    """Recipe of a data set.

    Args:
        name: "digits" or a TFDS name; configuration and version ("emnist/letters:3.1.0") are
            ignored.

    Returns:
        The recipe of "digits", "cifar10", "cifar100" and "imagenet2012"; for any other name
        pixels in -1..1, and mirroring except for the well-known sets of digits and letters.

    Example:
        >>> recipe_for("mnist").flip, recipe_for("stl10").flip
        (False, True)
    """
    base = name.split("/")[0].split(":")[0]
    return _RECIPES.get(base, Recipe(flip=base not in _NEVER_FLIPPED))


def tuned_names() -> tuple[str, ...]:
    """The data sets that have a recipe of their own.

    Example:
        >>> tuned_names()[0]
        'digits'
    """
    return tuple(_RECIPES)


def is_large(image_shape: tuple[int | None, int | None, int]) -> bool:
    """Whether images get the ImageNet treatment: a varied or a large height or width.

    Args:
        image_shape: (height, width, channels) as stored, None where it varies.

    Example:
        >>> is_large((None, None, 3)), is_large((32, 32, 3))
        (True, False)
    """
    return any(side is None or side > LARGEST_SMALL_SIDE for side in image_shape[:2])


def padding(side: int) -> int:
    """How many black pixels are put before and behind so long a side of a small image.

    He et al. 2016, section 4.2: 4 pixels on each side of 32; here an eighth, at least 1.

    Example:
        >>> padding(32), padding(4)
        (4, 1)
    """
    return max(1, side // _PADDING_FRACTION)


def pad_crop_flip(images, seed, flip: bool):
    """Random crop after zero (black) padding, and random mirroring, one draw per image.

    Args:
        images: (batch, height, width, channels), any dtype, static height and width.
        seed: two integers; the same seed gives the same crops.
        flip: whether to mirror left-right with probability 1/2.

    Returns:
        Tensor of the shape and dtype of `images`.

    Example:
        >>> import numpy as np
        >>> pad_crop_flip(np.ones((2, 8, 8, 1), "uint8"), (0, 1), flip=False).shape
        TensorShape([2, 8, 8, 1])
    """
    import tensorflow as tf

    images = tf.convert_to_tensor(images)
    height, width = images.shape[1:3]
    pad_y, pad_x = padding(height), padding(width)
    padded = tf.pad(images, ((0, 0), (pad_y, pad_y), (pad_x, pad_x), (0, 0)))
    draws = tf.random.stateless_uniform((3, tf.shape(images)[0], 1), seed)
    top, left = (
        tf.cast(draw * (2 * pad + 1), tf.int32)
        for draw, pad in zip(tf.unstack(draws[:2]), (pad_y, pad_x), strict=True)
    )
    columns = tf.range(width)[None]
    if flip:
        columns = tf.where(draws[2] < 0.5, columns[:, ::-1], columns)
    # Gathering rows, then columns, is the crop; columns in reverse order are the mirror image.
    cropped = tf.gather(padded, top + tf.range(height)[None], axis=1, batch_dims=1)
    cropped = tf.gather(cropped, left + columns, axis=2, batch_dims=1)
    return tf.ensure_shape(cropped, images.shape)


def random_resized_crop(image, seed, size: int, flip: bool):
    """Random crop of 8% to 100% of the area, aspect ratio 3/4 to 4/3, resized to a square.

    The training augmentation of ImageNet (Szegedy et al. 2015, "Going deeper with convolutions",
    section 6).

    Args:
        image: (height, width, channels), any size and numeric dtype.
        seed: two integers; the same seed gives the same crop.
        size: side of the result in pixels.
        flip: whether to mirror left-right with probability 1/2.

    Returns:
        float32 tensor (size, size, channels), on the scale of the input.

    Example:
        >>> import numpy as np
        >>> random_resized_crop(np.ones((50, 40, 3), "uint8"), (0, 1), 32, flip=True).shape
        TensorShape([32, 32, 3])
    """
    import tensorflow as tf

    crop_seed, flip_seed = tf.unstack(tf.random.split(seed))
    begin, extent, _ = tf.image.stateless_sample_distorted_bounding_box(
        tf.shape(image),
        bounding_boxes=tf.constant([[[0.0, 0.0, 1.0, 1.0]]]),
        seed=crop_seed,
        min_object_covered=0.0,
        aspect_ratio_range=(3 / 4, 4 / 3),
        area_range=(0.08, 1.0),
        max_attempts=10,
    )
    crop = tf.slice(image, begin, extent)
    crop = tf.ensure_shape(crop, (None, None, image.shape[-1]))
    crop = tf.image.resize(crop, (size, size), antialias=True)
    return tf.image.stateless_random_flip_left_right(crop, flip_seed) if flip else crop


def resize_center_crop(image, size: int):
    """Resizes the shorter side to 256/224 of `size` and cuts out the centre.

    The test-time view of ImageNet networks: shorter side 256, centre 224x224.

    Args:
        image: (height, width, channels), any size and numeric dtype.
        size: side of the result in pixels.

    Returns:
        float32 tensor (size, size, channels), on the scale of the input.

    Example:
        >>> import numpy as np
        >>> resize_center_crop(np.ones((50, 40, 3), "uint8"), 32).shape
        TensorShape([32, 32, 3])
    """
    import tensorflow as tf

    sides = tf.cast(tf.shape(image)[:2], tf.float32)
    target = round(size * _RESIZE_FOR_CROP)
    scaled = tf.cast(tf.round(sides * (target / tf.reduce_min(sides))), tf.int32)
    image = tf.image.resize(image, scaled, antialias=True)
    return tf.image.resize_with_crop_or_pad(image, size, size)


def resize(image, size: int):
    """Resizes to a square, ignoring the aspect ratio, and keeps the dtype.

    Args:
        image: (height, width, channels), any numeric dtype.
        size: side of the result in pixels.

    Returns:
        Tensor (size, size, channels) of the dtype of `image`; integers are rounded.

    Example:
        >>> import numpy as np
        >>> resize(np.ones((32, 32, 3), "uint8"), 16).dtype.name
        'uint8'
    """
    import tensorflow as tf

    image = tf.convert_to_tensor(image)
    resized = tf.image.resize(image, (size, size), antialias=True)
    return tf.saturate_cast(tf.round(resized) if image.dtype.is_integer else resized, image.dtype)


def standardize(images, recipe: Recipe, dtype: np.dtype):
    """Scales pixels to 0..1, subtracts the recipe's mean and divides by its deviation.

    Args:
        images: (batch, height, width, channels) on the scale of `dtype`.
        recipe: gives mean, std and channel order.
        dtype: pixel type as stored: integers run from 0 to its maximum, floats from 0 to 1.

    Returns:
        float32 tensor of the same shape.

    Example:
        >>> import numpy as np
        >>> float(standardize(np.full((1, 1, 1, 1), 255, "uint8"), Recipe(), np.uint8)[0, 0, 0, 0])
        1.0
    """
    import tensorflow as tf

    highest = np.iinfo(dtype).max if np.issubdtype(dtype, np.integer) else 1.0
    mean, std = (np.asarray(values, "float32") for values in (recipe.mean, recipe.std))
    standardized = (tf.cast(images, tf.float32) / highest - mean) / std
    return standardized[..., ::-1] if recipe.bgr else standardized
