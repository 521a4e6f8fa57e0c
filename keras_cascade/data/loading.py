"""Image classification data by name, from either pipeline."""

from typing import Any

from keras_cascade.data.array_pipeline import array_data
from keras_cascade.data.image_data import ImageData
from keras_cascade.data.pipelines import tf_data
from keras_cascade.data.sharing import Sharing
from keras_cascade.data.sources import has_tensorflow
from keras_cascade.typing import Path, Pipeline


def load(
    name: str,
    *,
    batch_size: int,
    data_dir: Path | None = None,
    max_train_examples: int | None = None,
    image_size: int | None = None,
    augment: bool = True,
    seed: int = 0,
    replicas: int = 1,
    process: int = 0,
    processes: int = 1,
    pipeline: Pipeline | None = None,
    decoded: Path | None = None,
) -> ImageData:
    """Loads an image classification data set as shuffled, augmented, normalised batches.

    - "digits": scikit-learn's handwritten digits, 8x8x1, 1437 train / 360 test, no network;
      shifted by at most 1 pixel.
    - "cifar10", "cifar100": per-channel mean and deviation; padded by 4, cropped, mirrored.
    - "imagenet2012": as `keras.applications.resnet.preprocess_input`; random resized crop and
      mirroring for training, shorter side 256 and centre 224x224 for testing.
    - any other TFDS name with features "image" and "label": pixels in -1..1; images of one size
      of up to 128x128 are treated like CIFAR (padded by an eighth of the side), others like
      ImageNet. Sets of digits and letters are not mirrored.
    - "./flowers", "images.npz": a folder of images or a file of arrays, see `own_source`; treated
      like other TFDS names.

    There are two pipelines. "tf.data" takes all of these. "numpy" needs no TensorFlow and takes
    small images: "digits", "images.npz", and TFDS names of which `decode` wrote a file. They draw
    different random numbers; all else is the same.

    Batches depend on `seed` and, as everything in tf.data, on TensorFlow's global seed
    (`keras.utils.set_random_seed`) at the time of this call; on nothing else. Those of "numpy"
    depend on `seed` alone. Each pass over
    `train` is the next epoch, with its own order and augmentation; how many passes `fit` begins is
    Keras' own affair, so to go on in the middle of a run take `from_epoch`.

    Args:
        name: "digits", a TensorFlow Datasets name, with its configuration if it has several, or a
            path.
        batch_size: images per batch, train and test.
        data_dir: folder of prepared TFDS data, which is then used without a network; None is
            TFDS' own. What is absent is downloaded there by TFDS.
        max_train_examples: train on the first so many images in stored order, a fixed subset that
            depends on no seed (TFDS and the split of "digits" shuffle before storing, so classes
            are about, not exactly, balanced); more than there are is all of them.
        image_size: side in pixels of the square images to yield. None is the stored size of
            small images, 224 for large ones.
        augment: False leaves out every random change of the training images; they are still
            shuffled.
        seed: integer >= 0.
        replicas: among how many a batch will be divided. TensorFlow fails where one is left with
            nothing: a last training batch that would is dropped, and test batches are made smaller.
        process: number of this process, from 0, among those that train together; see
            docs/machines.md. Each draws the same batches and yields its own part of each.
        processes: how many they are. Then every batch divides evenly among the replicas, all of
            theirs: a last training batch that does not is dropped, test batches are made smaller.
        pipeline: "tf.data" or "numpy"; None is NumPy's where `decoded` is given or TensorFlow
            cannot be imported. NumPy's feeds one replica only.
        decoded: folder of the files that the NumPy pipeline reads TFDS names from; its default is
            `keras_cascade/decoded` in the user's cache folder. With TensorFlow installed, what is
            absent is decoded there first, from `data_dir`.

    Returns:
        `ImageData`.

    Raises:
        UnknownDatasetError: if the name is unknown.
        ValueError: if the data set is no image classification, an argument is out of range, or
            the NumPy pipeline does not take the data or the replicas.
        FileNotFoundError: if `data_dir` is no folder, or the data is not in it and cannot be
            downloaded; or the NumPy pipeline has no decoded file and no TensorFlow to write it.
        ImportError: if an optional dependency is missing; it names the pip command.

    Example:
        >>> data = load("digits", batch_size=100, seed=1)
        >>> images, labels = next(iter(data.train))
        >>> images.shape, data.classes
        (TensorShape([100, 8, 8, 1]), 10)
    """
    _check_arguments(batch_size, max_train_examples, image_size, seed, pipeline)
    sharing = Sharing(replicas, process, processes)
    sharing.check(batch_size)
    wanted: dict[str, Any] = {
        "data_dir": data_dir,
        "max_train_examples": max_train_examples,
        "image_size": image_size,
        "batch_size": batch_size,
        "augment": augment,
        "seed": seed,
        "sharing": sharing,
    }
    if pipeline is None:
        pipeline = "tf.data" if decoded is None and has_tensorflow() else "numpy"
    if pipeline == "numpy":
        return array_data(name, decoded=decoded, **wanted)
    return tf_data(name, **wanted)


def _check_arguments(
    batch_size: int,
    max_train_examples: int | None,
    image_size: int | None,
    seed: int,
    pipeline: str | None,
) -> None:
    for argument, value in (
        ("batch_size", batch_size),
        ("max_train_examples", max_train_examples),
        ("image_size", image_size),
    ):
        if value is not None and value <= 0:
            raise ValueError(f"{argument} must be at least 1. Received: {value}")
    if seed < 0:
        raise ValueError(f"seed must be at least 0. Received: {seed}")
    if pipeline not in (None, "tf.data", "numpy"):
        raise ValueError(f"pipeline must be 'tf.data', 'numpy' or None. Received: {pipeline!r}")
