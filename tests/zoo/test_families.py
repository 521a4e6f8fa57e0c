"""One model of each family of `keras.applications`; `make test-zoo` checks all of them."""

import pytest
from marks import slow
from zoo import checking

FAMILIES = slow(
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


@pytest.mark.parametrize("name", FAMILIES)
def test_family_is_cut_exactly(name, tmp_path):
    row = checking.check_model(checking.build(name), tmp_path)
    assert checking.problems(row) == []
