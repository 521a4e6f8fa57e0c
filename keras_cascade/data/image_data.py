"""ImageData: what `load` returns, whichever pipeline the batches come from."""

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class ImageData:
    """A data set ready for training: what `load` returns.

    Args:
        name: as given to `load`.
        train: batches of (images float32 (batch, height, width, channels), labels int32 (batch,));
            one pass is one epoch, the last batch may be smaller. A `tf.data.Dataset`; from the
            NumPy pipeline with Keras on JAX or PyTorch, `ArrayBatches`.
        test: the same for the test split: every example once, not augmented, in a fixed order.
        classes: number of classes.
        input_shape: (height, width, channels) of one image.
        train_examples: images in one epoch of `train`.
        test_examples: images in `test`.
        steps_per_epoch: batches in one epoch of `train`.
        from_epoch: function from a number of epochs to the endless stream of batches that follows
            them. The order and the augmentation of an epoch depend on its number only, so a run
            can go on where it was broken off; `steps_per_epoch` batches are one epoch.

    Example:
        >>> load("digits", batch_size=32).steps_per_epoch
        45
    """

    name: str
    train: Any
    test: Any
    classes: int
    input_shape: tuple[int, int, int]
    train_examples: int
    test_examples: int
    steps_per_epoch: int
    from_epoch: Any
