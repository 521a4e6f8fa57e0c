"""Where images come from: scikit-learn's embedded digits, and any TensorFlow Datasets name.

A source yields (image as stored, label) one example at a time, in a fixed order, with the numbers
that the pipeline needs beside it. TFDS images stay encoded until `decode`, so that shuffling
and skipping large data sets moves compressed bytes. Data that is found in `data_dir` is read
from there and the network is left alone; only what is absent is handed to TFDS to download.
tensorflow, tensorflow_datasets and scikit-learn are imported inside the functions.
"""

import dataclasses
import difflib
import importlib
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from keras_cascade.data.image_arrays import ImageArrays
from keras_cascade.data.preprocessing import tuned_names

DIGITS = "digits"
_DIGITS_TEST_EXAMPLES = 360


@dataclasses.dataclass(frozen=True)
class Source:
    """Train and test examples as stored, and what is known about them.

    Args:
        train: `tf.data.Dataset` of (image as stored, int32 label).
        test: the same for the test split, in stored order.
        decode: turns one image as stored into an array (height, width, channels).
        image_shape: (height, width, channels); None where the size varies.
        dtype: pixel type after `decode`.
        classes: number of classes.
        train_examples: examples in `train`.
        test_examples: examples in `test`.

    Example:
        >>> array_source(digits_arrays(), max_train_examples=None).image_shape
        (8, 8, 1)
    """

    train: Any
    test: Any
    decode: Callable[[Any], Any]
    image_shape: tuple[int | None, int | None, int]
    dtype: np.dtype
    classes: int
    train_examples: int
    test_examples: int


class UnknownDatasetError(ValueError):
    """A name of no data set that is known here."""


def import_extra(module: str, needed_for: str):
    """Imports an optional dependency, or says how to install it.

    Args:
        module: module name.
        needed_for: what the user wanted, for the message.

    Returns:
        The module.

    Raises:
        ImportError: naming the pip command, where the module cannot be imported.

    Example:
        >>> import_extra("math", "this example").sqrt(4.0)
        2.0
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{needed_for} needs {module}, which cannot be imported ({error}). "
            "Install it with: pip install 'keras_cascade[datasets]'"
        ) from error


def has_tensorflow() -> bool:
    """Whether TensorFlow can be imported; it then has been."""
    try:
        importlib.import_module("tensorflow")
    except ImportError:
        return False
    return True


def digits_arrays() -> ImageArrays:
    """Scikit-learn's 1797 handwritten digits, 8x8 pixels, embedded in its package (no network).

    A stratified split into 1437 training (shuffled) and 360 test images that never changes. Pixels,
    0 to 16 in the original, are scaled to 0..255.

    Returns:
        `ImageArrays` of images (8, 8, 1), 10 classes.

    Raises:
        ImportError: if scikit-learn is not installed.

    Example:
        >>> digits_arrays().x_test.shape
        (360, 8, 8, 1)
    """
    datasets = import_extra("sklearn.datasets", "The data set 'digits'")
    selection = import_extra("sklearn.model_selection", "The data set 'digits'")
    digits = datasets.load_digits()
    images = np.round(digits.images * (255 / 16)).astype("uint8")[..., None]
    labels = digits.target.astype("int32")
    x_train, x_test, y_train, y_test = selection.train_test_split(
        images, labels, test_size=_DIGITS_TEST_EXAMPLES, stratify=labels, random_state=0
    )
    return ImageArrays(x_train, y_train, x_test, y_test, len(digits.target_names))


def array_source(arrays: ImageArrays, max_train_examples: int | None) -> Source:
    """A `Source` of images that are arrays, of the first so many to train on; None is all.

    Raises:
        ImportError: if tensorflow is not installed.
    """
    tf = import_extra("tensorflow", "Loading data sets")
    arrays = arrays.first(max_train_examples)
    return Source(
        train=tf.data.Dataset.from_tensor_slices((arrays.x_train, arrays.y_train)),
        test=tf.data.Dataset.from_tensor_slices((arrays.x_test, arrays.y_test)),
        decode=lambda image: image,
        image_shape=arrays.image_shape,
        dtype=arrays.x_train.dtype,
        classes=arrays.classes,
        train_examples=len(arrays.x_train),
        test_examples=len(arrays.x_test),
    )


def tfds_source(
    name: str,
    data_dir: str | os.PathLike | None,
    max_train_examples: int | None,
    test_splits: tuple[str, ...],
    seed: int,
    in_stored_order: bool = False,
) -> Source:
    """Any TensorFlow Datasets name that has the features "image" and "label".

    Args:
        name: TFDS name, with configuration where it has several ("emnist/letters").
        data_dir: TFDS data folder; None is TFDS' own choice (`TFDS_DATA_DIR`, else
            ~/tensorflow_datasets).
        max_train_examples: keep the first so many in stored order (TFDS shuffles nearly every
            data set once, when it writes it); None is all.
        test_splits: the first of these that exists is the test split.
        seed: for the order in which the files of the training split are read.
        in_stored_order: read one file after the other instead, so that the first so many examples
            are those that `max_train_examples` keeps.

    Returns:
        A `Source`; images stay encoded until `decode`.

    Raises:
        ImportError: if tensorflow or tensorflow_datasets is not installed.
        UnknownDatasetError: if the name is unknown.
        ValueError: if the data set has no image and label features, no training split or no test
            split.
        FileNotFoundError: if `data_dir` does not exist, or the data is not there and TFDS cannot
            download it.

    Example:
        >>> source = tfds_source("cifar10", None, None, ("test",), seed=0)  # doctest: +SKIP
        >>> source.image_shape  # doctest: +SKIP
        (32, 32, 3)
    """
    tf = import_extra("tensorflow", "Loading data sets")
    tfds = import_extra("tensorflow_datasets", f"The data set {name!r}")
    builder = _prepared_builder(tfds, name, data_dir)
    image, label = _image_and_label_features(tfds, name, builder.info.features)
    train_examples, test_split = _splits(name, builder.info.splits, test_splits)
    if max_train_examples is not None:
        train_examples = min(train_examples, max_train_examples)

    def read(split: str, shuffle_files: bool):
        examples = builder.as_dataset(
            split=split,
            shuffle_files=shuffle_files and not in_stored_order,
            decoders=tfds.decode.PartialDecoding(
                {"image": image, "label": label}, {"image": tfds.decode.SkipDecoding()}
            ),
            # The pipeline caches decoded images itself and wants training data in any order.
            read_config=tfds.ReadConfig(
                shuffle_seed=seed,
                try_autocache=False,
                enable_ordering_guard=False,
                **({"interleave_cycle_length": 1} if in_stored_order else {}),
            ),
        )
        return examples.map(lambda example: (example["image"], tf.cast(example["label"], tf.int32)))

    return Source(
        train=read(f"train[:{train_examples}]", shuffle_files=True),
        test=read(test_split, shuffle_files=False),
        decode=image.decode_example,
        image_shape=image.shape,
        dtype=np.dtype(image.np_dtype),
        classes=label.num_classes,
        train_examples=train_examples,
        test_examples=builder.info.splits[test_split].num_examples,
    )


def image_folder_source(path: str, max_train_examples: int | None) -> Source:
    """Image files in folders, as `tfds.ImageFolder` finds them: SPLIT/CLASS/FILE.

    Args:
        path: the folder, with "train" and one of "test", "validation", "val" in it.
        max_train_examples: keep the first so many of the (shuffled) training images; None is all.

    Returns:
        A `Source` of RGB images of varying size, encoded until `decode`.

    Raises:
        ImportError: if tensorflow or tensorflow_datasets is not installed.
        ValueError: if a split is missing, or there are no two classes.
    """
    tf = import_extra("tensorflow", "Loading data sets")
    tfds = import_extra("tensorflow_datasets", f"The folder of images '{path}'")
    builder = tfds.ImageFolder(path)
    splits = {name: split for name, split in builder.info.splits.items() if split.num_examples}
    train_examples, test_split = _splits(path, splits, ("test", "validation", "val"))
    image, label = builder.info.features["image"], builder.info.features["label"]
    if label.num_classes < 2:
        raise ValueError(
            f"'{path}' has one class only, {label.names}; a classifier needs two, each in a folder "
            "of its own in train/ and in the folder to test on."
        )

    def read(split: str):
        examples = builder.as_dataset(
            split=split, decoders={"image": tfds.decode.SkipDecoding()}, shuffle_files=False
        )
        return examples.map(lambda example: (example["image"], tf.cast(example["label"], tf.int32)))

    train_examples = min(train_examples, max_train_examples or train_examples)
    return Source(
        train=read("train").take(train_examples),
        test=read(test_split),
        decode=image.decode_example,
        image_shape=image.shape,
        dtype=np.dtype(image.np_dtype),
        classes=label.num_classes,
        train_examples=train_examples,
        test_examples=splits[test_split].num_examples,
    )


def _prepared_builder(tfds, name: str, data_dir: str | os.PathLike | None):
    import tensorflow as tf

    if data_dir is not None and not tf.io.gfile.isdir(data_dir):
        raise FileNotFoundError(
            f"data_dir={os.fspath(data_dir)!r} is not a folder. Pass the folder that holds "
            f"{name!r} as data_dir (--data_dir), or create it for TFDS to download into."
        )
    try:
        builder = tfds.builder(name, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError:
        # `from None`: TFDS' own message says the same, with all of its thousand names.
        raise UnknownDatasetError(_unknown_name(tfds, name, data_dir)) from None
    if not builder.is_prepared():
        try:
            builder.download_and_prepare()
        except Exception as error:
            raise FileNotFoundError(
                f"{name!r} was not found at {builder.data_path}, and TFDS could not download and "
                f"prepare it ({type(error).__name__}: {error}). Pass the TFDS folder that holds it "
                "as data_dir (--data_dir), or let TFDS download it on a machine with a network."
            ) from error
    return builder


def _unknown_name(tfds, name: str, data_dir: str | os.PathLike | None) -> str:
    known = [DIGITS, *tfds.list_builders(with_community_datasets=False)]
    close = difflib.get_close_matches(name.lower(), known)
    hint = f" Did you mean {' or '.join(repr(match) for match in close)}?" if close else ""
    place = "" if data_dir is None else f" and no folder of data_dir={os.fspath(data_dir)!r}"
    if os.path.isdir(name):
        hint = f" The folder of images is given as './{name}'."
    return (
        f"Unknown data set {name!r}: neither {DIGITS!r} nor a name of TensorFlow Datasets"
        f"{place}.{hint} Known here: {', '.join(tuned_names())}, and the image classification sets "
        "of https://www.tensorflow.org/datasets/catalog/overview"
    )


def _image_and_label_features(tfds, name: str, features):
    by_name = dict(features.items()) if isinstance(features, tfds.features.FeaturesDict) else {}
    image, label = by_name.get("image"), by_name.get("label")
    if not isinstance(image, tfds.features.Image) or not isinstance(
        label, tfds.features.ClassLabel
    ):
        raise ValueError(
            f"{name!r} is no image classification data set: it needs an Image feature 'image' and "
            f"a ClassLabel feature 'label', and has {features}."
        )
    if image.shape[-1] is None:
        raise ValueError(f"{name!r} has images with a varying number of channels: {image.shape}.")
    return image, label


def _splits(name: str, splits, test_splits: tuple[str, ...]) -> tuple[int, str]:
    """Number of training examples, and the name of the split to test on."""
    found = [split for split in test_splits if split in splits]
    if "train" not in splits or not found:
        raise ValueError(
            f"{name!r} needs a split 'train' and one of {', '.join(test_splits)}; it has "
            f"{', '.join(splits) or 'none'}."
        )
    return splits["train"].num_examples, found[0]
