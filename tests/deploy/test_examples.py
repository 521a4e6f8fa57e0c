"""Examples are found in data of any form, and put in the order of a model's inputs."""

import keras
import networks
import numpy as np
import pytest
from keras import layers

from keras_cascade.deploy.examples import examples_of


def test_batches_with_labels_are_examples():
    model = networks.small_convnet()
    x, y = networks.examples_for(model, 40)
    batches = ((x[start : start + 8], y[start : start + 8]) for start in range(0, 40, 8))
    (found,) = examples_of(model, batches)
    np.testing.assert_array_equal(found, x)


def test_examples_may_come_with_labels_or_by_name():
    model = networks.two_branches()
    images, words = np.ones((9, 6, 6, 3)), np.ones((9, 5))
    for data in (
        [images, words],
        ([images, words], np.zeros(9)),
        [([images[:4], words[:4]], np.zeros(4)), ([images[4:], words[4:]], np.zeros(5))],
    ):
        found = examples_of(model, data)
        assert [values.shape for values in found] == [(9, 6, 6, 3), (9, 5)]
    with pytest.raises(ValueError, match="as z_image, a: one array .* as many of each"):
        examples_of(model, [images, words[:3]])


@pytest.mark.filterwarnings("ignore:When providing `inputs` as a dict, all keys")
@pytest.mark.parametrize("by_key", [False, True])
def test_a_dict_of_examples_is_matched_as_the_model_matches_it(by_key):
    """By the names of inputs, which stand in another order; or by the keys they were given in."""
    inputs = [keras.Input((1,), name=name) for name in ("z", "a")]
    model = keras.Model({"k": inputs[0], "j": inputs[1]} if by_key else inputs, sum(inputs))
    x = dict(zip("kj" if by_key else "za", np.arange(18.0).reshape(2, 9, 1), strict=True))
    expected = [x["j"], x["k"]] if by_key else [x["z"], x["a"]]
    batches = [
        {name: values[part] for name, values in x.items()} for part in np.r_[0:9].reshape(3, 3)
    ]
    for data in (x, {**x, "other": np.zeros(3)}, (x, np.zeros(9)), batches, iter(batches)):
        np.testing.assert_array_equal(examples_of(model, data), expected)
    first, second = x
    with pytest.raises(ValueError, match=f"have no '{first}', only '{second}': give an array for"):
        examples_of(model, {second: x[second]})


def test_a_dict_of_examples_is_for_a_sequential_model_too():
    model = keras.Sequential([keras.Input((4,), name="x"), layers.Dense(2)])
    (found,) = examples_of(model, {"x": np.ones((3, 4)), "y": np.zeros(3)})
    np.testing.assert_array_equal(found, np.ones((3, 4)))
