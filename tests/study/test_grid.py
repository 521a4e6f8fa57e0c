"""Grid: every combination once, dense methods once for all amounts, user errors by name."""

import pytest

from keras_cascade.study import METHODS, Cell, Grid

ARGUMENTS = {
    "models": ("resnet20@0.5", "vgg16"),
    "datasets": ("digits",),
    "methods": ("teacher", "dense", "weight_pruning", "cascade_1"),
    "amounts": (0.5, 0.75),
    "seeds": (0, 1, 2),
}


def test_cells():
    cells = Grid(**ARGUMENTS).cells()
    assert len(cells) == len(set(cells)) == 2 * 3 * (1 + 1 + 2 + 2)
    assert cells[0] == Cell("resnet20@0.5", "digits", "teacher", 0.0, 0)
    teachers = [cell.teacher for cell in cells]
    assert teachers == sorted(teachers, key=teachers.index)  # those of one teacher stand together
    assert str(cells[2]) == "digits resnet20@0.5 weight_pruning 0.5 seed 0"


@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [
        ("methods", ("pruning",), f"Unknown method 'pruning'. Known methods: {', '.join(METHODS)}"),
        ("amounts", (0.5, 1.0), r"amounts must lie in \(0, 1\).*got 1.0"),
        ("amounts", (-0.1,), "got -0.1"),
        ("seeds", (-1,), "seeds must be at least 0"),
        ("models", ("vgg16@wide",), "Width 'wide' of 'vgg16@wide' must be a number above 0"),
        ("models", ("vgg16@-1",), "must be a number above 0"),
        ("datasets", (), "datasets is empty"),
        ("seeds", (1, 1), "seeds lists something twice"),
    ],
)
def test_user_errors(argument, value, message):
    with pytest.raises(ValueError, match=message):
        Grid(**{**ARGUMENTS, argument: value})
