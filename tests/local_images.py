"""Data sets of random pixels that TFDS prepares in a moment, without a network."""

import numpy as np
import tensorflow_datasets as tfds


class LocalImages(tfds.core.GeneratorBasedBuilder):
    """Base of the data sets."""

    VERSION = tfds.core.Version("1.0.0")
    SIDES = (None, None)
    SPLITS = {"train": 50, "validation": 9}

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(*self.SIDES, 3)),
            "label": tfds.features.ClassLabel(num_classes=5),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(n) for split, n in self.SPLITS.items()}

    def _generate_examples(self, examples):
        random = np.random.default_rng(examples)
        for index in range(examples):
            height, width = (side or random.integers(20, 60) for side in self.SIDES)
            label = index % 5
            image = random.integers(0, 20, (height, width, 3)) + 50 * label
            yield index, {"image": image.astype("uint8"), "label": label}


class KcVaried(LocalImages):
    """Photographs of varied size."""


class KcThumbnails(LocalImages):
    """Small, oblong images of one size, more of them."""

    SIDES = (24, 16)
    SPLITS = {"train": 50, "test": 9, "validation": 3}
