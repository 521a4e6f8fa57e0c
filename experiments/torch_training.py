"""Data on the device and plain training, in PyTorch, for the outside baseline.

Nothing here imports Keras or TensorFlow: the little that is shared with keras_cascade is read from
files of the package that need neither.
"""

import dataclasses
import importlib.util
import math
import pathlib
import pickle
import sys
import time
import zipfile
import zlib

import numpy as np
import torch
from torch import nn
from torch.nn import functional

_PACKAGE = pathlib.Path(__file__).parents[1] / "keras_cascade"
_ARRAYS = ("x_train", "y_train", "x_test", "y_test")
_PADDING_FRACTION = 8  # of a side, as in keras_cascade.data.preprocessing
_TEST_BATCH = 1000


def package_module(path):
    """A module of keras_cascade without its package, which would import Keras.

    Args:
        path: of the file within the package: "data/preprocessing.py".
    """
    name = f"_keras_cascade_{pathlib.Path(path).stem}"
    specification = importlib.util.spec_from_file_location(name, _PACKAGE / path)
    module = sys.modules[name] = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@dataclasses.dataclass(frozen=True)
class Images:
    """A data set, all of it on one device.

    Attributes:
        name: of the data set: the file's, without its ending.
        train, test: uint8 tensors (n, height, width, channels).
        train_labels, test_labels: int64 tensors (n,).
        classes: number of classes.
        recipe: `Recipe` of keras_cascade.data.preprocessing: mean, std, flip.
        crc32: of the four arrays, in hexadecimal digits.
    """

    name: str
    train: torch.Tensor
    train_labels: torch.Tensor
    test: torch.Tensor
    test_labels: torch.Tensor
    classes: int
    recipe: object
    crc32: str

    @property
    def shape(self):
        """(height, width, channels) of one image."""
        return tuple(self.train.shape[1:])


def read_images(path, device, max_train_examples=None, image_size=None):
    """Reads an `.npz` file of arrays, as `keras_cascade.data.load` does.

    Args:
        path: of a file with x_train, y_train, x_test, y_test: uint8 images (n, height, width,
            channels), labels as integers from 0. Its name says which mean and deviation to use.
        device: `torch.device` to hold it all.
        max_train_examples: train on the first so many; None is all.
        image_size: side in pixels to resize to, antialiased; None keeps the size.

    Returns:
        `Images`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds something else.

    Example:

    ```python
    images = read_images("cifar10.npz", torch.device("cpu"), max_train_examples=2000)
    ```
    """
    path = pathlib.Path(path)
    arrays = _checked(path, _read(path))
    for name in ("x_train", "y_train"):
        arrays[name] = arrays[name][:max_train_examples]
    crc32 = 0
    for name in _ARRAYS:
        crc32 = zlib.crc32(np.ascontiguousarray(arrays[name]), crc32)
    x, y = (
        [torch.from_numpy(arrays[f"{letter}_{part}"]).to(device) for part in ("train", "test")]
        for letter in "xy"
    )
    if image_size is not None:
        x = [_resized(images, image_size) for images in x]
    classes = 1 + int(max(labels.max() for labels in y))
    recipe = package_module("data/preprocessing.py").recipe_for(path.stem)
    return Images(path.stem, x[0], y[0], x[1], y[1], classes, recipe, f"{crc32:08x}")


def _read(path):
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no file '{path}': give --data the .npz file with {', '.join(_ARRAYS)}."
        )
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored if name in _ARRAYS}
    except (zipfile.BadZipFile, EOFError, OSError, ValueError) as error:
        raise ValueError(
            f"'{path}' is damaged, or no .npz file of plain arrays: {error}"
        ) from error


def _checked(path, arrays):
    """The arrays with labels int64."""
    missing = [name for name in _ARRAYS if name not in arrays]
    if missing:
        raise ValueError(f"'{path}' lacks {', '.join(missing)}; it must have {', '.join(_ARRAYS)}.")
    for part in ("train", "test"):
        x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
        if x.dtype != np.uint8 or x.ndim != 4 or not len(x):
            raise ValueError(
                f"'{path}': x_{part} must be uint8 images (n, height, width, channels), got "
                f"{x.dtype} {x.shape}."
            )
        if not np.issubdtype(y.dtype, np.integer) or y.shape != (len(x),) or y.min() < 0:
            raise ValueError(
                f"'{path}': y_{part} must be {len(x)} integers from 0, got {y.dtype} {y.shape}."
            )
        arrays[f"y_{part}"] = y.astype(np.int64)
    if arrays["x_train"].shape[1:] != arrays["x_test"].shape[1:]:
        raise ValueError(f"'{path}': the images of x_train and x_test differ in shape.")
    return arrays


def _resized(images, size):
    chunks = [
        functional.interpolate(
            chunk.permute(0, 3, 1, 2).float(), (size, size), mode="bilinear", antialias=True
        )
        for chunk in images.split(_TEST_BATCH)
    ]
    return torch.cat([chunk.round().clamp(0, 255).byte().permute(0, 2, 3, 1) for chunk in chunks])


def pad_crop_flip(images, generator, flip):
    """Random crop after black padding by an eighth of each side, and random mirroring.

    Args:
        images: uint8 tensor (batch, height, width, channels).
        generator: `torch.Generator` on its device.
        flip: whether to mirror with probability 1/2.

    Returns:
        Tensor of the same shape.
    """
    device, (count, height, width, _) = images.device, images.shape
    pad_y, pad_x = (max(1, side // _PADDING_FRACTION) for side in (height, width))
    padded = functional.pad(images, (0, 0, pad_x, pad_x, pad_y, pad_y))

    def drawn(high):
        return torch.randint(high, (count, 1), generator=generator, device=device)

    rows = drawn(2 * pad_y + 1) + torch.arange(height, device=device)
    columns = torch.arange(width, device=device).expand(count, width)
    if flip:
        columns = torch.where(drawn(2) == 1, columns.flip(1), columns)
    columns = columns + drawn(2 * pad_x + 1)
    return padded[
        torch.arange(count, device=device)[:, None, None], rows[:, :, None], columns[:, None]
    ]


def standardize(images, recipe):
    """Images (batch, height, width, channels) as a network takes them: floats, channels first."""
    mean, std = (torch.tensor(values, device=images.device) for values in (recipe.mean, recipe.std))
    return ((images.float() / 255 - mean) / std).permute(0, 3, 1, 2)


@dataclasses.dataclass(frozen=True)
class Stage:
    """How one stage is trained: SGD with Nesterov momentum 0.9, the rate falling to 0 as a cosine.

    Attributes:
        name: "teacher", "sparse" or "fine_tune"; data order and augmentation depend on it.
        epochs: how many.
        learning_rate: where the cosine begins.
        batch_size: images a step; the last batch of an epoch may be smaller.
        weight_decay: coefficient of the kernels in their gradients; biases and BatchNorm have none.
        seed: of data order and augmentation.
    """

    name: str
    epochs: int
    learning_rate: float
    batch_size: int
    weight_decay: float
    seed: int


def train(network, images, stage, regularize=None, state_file=None, recipe=None):
    """Trains a network in place; goes on after the last whole epoch where it was broken off.

    Args:
        network: `nn.Module`, on the device of the images.
        images: `Images`.
        stage: `Stage`.
        regularize: function without arguments, called between the backward pass and the step.
        state_file: `pathlib.Path` where the state is kept after every epoch; None keeps none.
        recipe: dict of what the result depends on; a state of another recipe is not taken up.

    Returns:
        List of a dict for each epoch: stage, epoch (from 1), seconds, and of training loss
        (cross-entropy, without decay) and accuracy (in [0, 1]).

    Raises:
        ValueError: the loss became NaN or infinite.
    """
    optimizer = _optimizer(network, stage)
    steps = stage.epochs * steps_per_epoch(images, stage.batch_size)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: 0.5 * (1 + math.cos(math.pi * step / max(steps, 1)))
    )
    generator = torch.Generator(images.train.device)
    generator.manual_seed(zlib.crc32(f"{stage.seed} {stage.name}".encode()))
    holders = {"network": network, "optimizer": optimizer, "schedule": schedule}
    history = _restored(state_file, recipe, holders, generator)
    for epoch in range(len(history) + 1, stage.epochs + 1):
        started = time.monotonic()
        loss, accuracy = _epoch(network, images, stage, optimizer, schedule, generator, regularize)
        if not math.isfinite(loss):
            raise ValueError(
                f"The loss of stage {stage.name} became {loss} in epoch {epoch}: take a smaller "
                "learning rate for it."
            )
        row = {"stage": stage.name, "epoch": epoch, "loss": loss, "accuracy": accuracy}
        history.append({**row, "seconds": round(time.monotonic() - started, 3)})
        if state_file is not None:
            states = {name: holder.state_dict() for name, holder in holders.items()}
            states |= {"generator": generator.get_state(), "history": history}
            write_torch(state_file, {**states, "recipe": recipe})
    return history


def _optimizer(network, stage):
    decayed, others = [], []
    for layer in network.modules():
        for name, weight in layer.named_parameters(recurse=False):
            kernel = name == "weight" and isinstance(layer, nn.Conv2d | nn.Linear)
            (decayed if kernel else others).append(weight)
    groups = [{"params": decayed, "weight_decay": stage.weight_decay}, {"params": others}]
    return torch.optim.SGD(groups, lr=stage.learning_rate, momentum=0.9, nesterov=True)


def _restored(state_file, recipe, holders, generator):
    """Takes the state up that a run which was broken off has left; returns its history."""
    if state_file is None or not state_file.exists():
        return []
    states = read_torch(state_file)
    if states["recipe"] != recipe:
        return []  # about to be overwritten
    try:
        for name, holder in holders.items():
            holder.load_state_dict(states[name])
    except RuntimeError as error:
        raise ValueError(f"'{state_file}' is of another network; delete it: {error}") from error
    generator.set_state(states["generator"].cpu())
    return states["history"]


def _epoch(network, images, stage, optimizer, schedule, generator, regularize):
    """Trains one epoch; returns its mean loss and accuracy."""
    network.train()
    count, device = len(images.train), images.train.device
    sums = torch.zeros(2, device=device)
    for chosen in torch.randperm(count, generator=generator, device=device).split(stage.batch_size):
        batch = pad_crop_flip(images.train[chosen], generator, images.recipe.flip)
        labels = images.train_labels[chosen]
        optimizer.zero_grad()
        logits = network(standardize(batch, images.recipe))
        loss = functional.cross_entropy(logits, labels)
        loss.backward()
        if regularize is not None:
            regularize()
        optimizer.step()
        schedule.step()
        right = (logits.argmax(1) == labels).sum()
        sums += torch.stack([loss.detach() * len(chosen), right])
    return [value / count for value in sums.tolist()]


def steps_per_epoch(images, batch_size):
    """Batches of one epoch, the last of which may be smaller."""
    return math.ceil(len(images.train) / batch_size)


@torch.no_grad()
def accuracy_on_test(network, images):
    """The share of the test images that a network classifies rightly, in [0, 1]."""
    network.eval()
    right = sum(
        (network(standardize(batch, images.recipe)).argmax(1) == labels).sum()
        for batch, labels in zip(
            images.test.split(_TEST_BATCH), images.test_labels.split(_TEST_BATCH), strict=True
        )
    )
    return int(right) / len(images.test)


def write_torch(path, content):
    """Writes tensors and plain values as a whole file."""
    temporary = path.with_name(f".{path.name}.tmp")
    torch.save(content, temporary)
    temporary.replace(path)


def read_torch(path):
    """Reads what `write_torch` wrote, onto the CPU; refuses anything else by a ValueError."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ValueError(f"'{path}' is damaged: delete it, or restore it. {error}") from error
