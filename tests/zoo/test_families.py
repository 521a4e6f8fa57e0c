"""One model of each family of `keras.applications`; `make test-zoo` checks all of them."""

import pytest
from zoo import checking

FAMILIES = (
    "VGG16",
    "ResNet50",
    "ResNet50V2",
    "DenseNet121",
    "MobileNet",
    "MobileNetV2",
    "MobileNetV3Small",
    "EfficientNetB0",
    "EfficientNetV2B0",
    "Xception",
    "InceptionV3",
    "NASNetMobile",
    "ConvNeXtTiny",
)


QUICK = {"VGG16", "MobileNet", "MobileNetV3Small"}


def families():
    """The names as parameters of a test, all but the quickest marked slow."""
    return [
        pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in FAMILIES
    ]


@pytest.mark.parametrize("name", families())
def test_family_is_cut_exactly(name, tmp_path):
    row = checking.check_model(checking.build(name), tmp_path)
    assert checking.problems(row) == []
