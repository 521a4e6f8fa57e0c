"""How batches are divided among replicas and processes."""

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("sklearn")

from keras_cascade.data import load  # noqa: E402


def batches(dataset):
    return [(images.numpy(), labels.numpy()) for images, labels in dataset]


@pytest.mark.parametrize("split", ["train", "test", "from_epoch"])
def test_the_parts_of_all_processes_are_the_batches_of_one(split):
    def loaded(process, processes):
        # 1437 training images: the last batch is of 237, and divides among 3.
        options = {"batch_size": 300, "replicas": 3, "process": process, "processes": processes}
        data = load("digits", seed=3, **options)
        assert data.steps_per_epoch == 5
        return batches(
            data.from_epoch(2).take(6) if split == "from_epoch" else getattr(data, split)
        )

    parts = [loaded(process, 3) for process in range(3)]
    for whole, *shares in zip(loaded(0, 1), *parts, strict=True):
        assert len({len(labels) for _, labels in shares}) == 1
        for index, expected in enumerate(whole):
            together = np.concatenate([share[index] for share in shares])
            np.testing.assert_array_equal(together, expected)


def test_what_does_not_divide_evenly_among_processes_is_dropped_from_training_only():
    data = load("digits", batch_size=100, replicas=4, process=1, processes=2)
    assert [len(labels) for _, labels in batches(data.train)] == [50] * 14  # 37 are left
    tests = [len(labels) for _, labels in batches(data.test)]
    assert sum(tests) == 180 and all(size % 2 == 0 for size in tests)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"processes": 2}, "must be a multiple of their number. Received: 1"),
        ({"replicas": 3, "processes": 2}, "must be a multiple of their number. Received: 3"),
        ({"replicas": 2, "process": 2, "processes": 2}, "one of 0 to 1. Received: 2"),
        ({"processes": 0}, "processes must be at least 1"),
        ({"replicas": 5, "processes": 5, "batch_size": 32}, "multiple of 5"),
        ({"replicas": 7, "processes": 7, "batch_size": 35}, "360 test images cannot be divided"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        load("digits", **{"batch_size": 32, **arguments})
