"""What prune_weights trains on: every batch of what it takes, and a word about what it does not."""

import itertools

import keras
import networks
import numpy as np
import pytest

import keras_cascade as kc

BATCHES = 3


class Numbered(keras.utils.PyDataset):
    """Batches of tensors in lists, the last one smaller, whose first feature says which they are.

    Args:
        count: of batches; None: endlessly many.
    """

    def __init__(self, count=BATCHES):
        super().__init__()
        self.count, self.asked = count, []

    @property
    def num_batches(self):
        return self.count

    def __getitem__(self, index):
        self.asked.append(index)
        size = 4 if index == BATCHES - 1 else 8
        x = np.full((size, 8, 8, 2), index, "float32")
        return [keras.ops.convert_to_tensor(x), np.arange(size) % 4, None]

    def on_epoch_begin(self):
        self.asked.append("begin")

    def on_epoch_end(self):
        self.asked.append("end")


def _assert_half_zeros(model):
    for weight in model.trainable_weights:
        if weight.name == "kernel":
            zeros = weight.numpy() == 0.0
            assert abs(np.mean(zeros) - 0.5) <= 1 / zeros.size


def test_a_py_dataset_is_gone_through_once_an_epoch_in_an_order_of_chance():
    data, validation = Numbered(), Numbered()
    both = {"data": data, "validation_data": validation}
    keras.utils.set_random_seed(1)
    _assert_half_zeros(kc.prune_weights(networks.small_convnet(), 0.5, **both, epochs=8, verbose=0))
    for asked in (data.asked, validation.asked):
        epochs = [tuple(asked[start : start + 5]) for start in range(1, len(asked), 5)]
        assert asked[0] == 0 and len(epochs) == 8  # a look at the first batch comes before
        assert len(set(epochs)) > 1
        for begin, *places, end in epochs:
            assert (begin, sorted(places), end) == ("begin", [0, 1, 2], "end")


def test_an_endless_py_dataset_is_read_in_order():
    data = Numbered(count=None)
    model = networks.small_convnet()
    with pytest.raises(ValueError, match="Pass steps_per_epoch"):
        kc.prune_weights(model, 0.5, data=data, verbose=0)
    data.asked.clear()
    _assert_half_zeros(kc.prune_weights(model, 0.5, data=data, steps_per_epoch=4, verbose=0))
    assert data.asked[:6] == [0, "begin", 0, 1, 2, 3]


def test_a_py_dataset_without_batches_is_named():
    with pytest.raises(ValueError, match="^The training data is empty"):
        kc.prune_weights(networks.small_convnet(), 0.5, data=Numbered(count=0), verbose=0)


class Loader:
    """Batches of an iterable that is no iterator, as a DataLoader of PyTorch is one."""

    def __iter__(self):
        return itertools.repeat(Numbered()[0], BATCHES)

    def __len__(self):
        return BATCHES


def _of_kind(kind):
    x, y = networks.examples_for(networks.small_convnet(), 8)
    return {"pair": (x, y), "list": [x, y], "loader": Loader(), "array": x}[kind]


@pytest.mark.parametrize(
    ("data", "validation", "message"),
    [
        ("list", None, "training data must .* got a list"),
        ("loader", None, "training data must .* got a Loader"),
        ("array", None, "training data must .* got a ndarray"),
        ("pair", "loader", "validation data must .* got a Loader"),
        ("pair", "array", "validation data must .* got a ndarray"),
    ],
)
def test_data_that_tf_keras_does_not_read_is_refused(data, validation, message):
    given = {"data": _of_kind(data), "validation_data": validation and _of_kind(validation)}
    with pytest.raises(TypeError, match=message):
        kc.prune_weights(networks.small_convnet(), 0.5, **given, verbose=0)


def test_arrays_to_validate_on_may_be_a_list_as_for_fit():
    given = {"data": _of_kind("pair"), "validation_data": _of_kind("list")}
    _assert_half_zeros(kc.prune_weights(networks.small_convnet(), 0.5, **given, verbose=0))
