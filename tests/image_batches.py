"""What tests of the input pipelines ask of batches of TensorFlow's tensors."""

import numpy as np


def batches(dataset):
    return [(images.numpy(), labels.numpy()) for images, labels in dataset]


def stacked(dataset):
    images, labels = zip(*batches(dataset), strict=True)
    return np.concatenate(images), np.concatenate(labels)


def assert_same_batches(first, second):
    for (images, labels), (other_images, other_labels) in zip(first, second, strict=True):
        np.testing.assert_array_equal(images, other_images)
        np.testing.assert_array_equal(labels, other_labels)
