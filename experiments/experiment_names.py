"""The experiments: which there are, and in which order they are run and shown."""

import pathlib

from keras_cascade import study

HERE = pathlib.Path(__file__).parent
# What the papers claim first; what follows asks why.
_FIRST = ("vgg16_cifar10", "resnet56_cifar10", "resnet50_cifar10", "vgg16_cifar100", "assistants")


def names():
    """A list of the names of the files beside this one, those that others build upon first."""
    found = {path.stem for path in HERE.glob("*.toml") if path.name != study.COMMON}
    return [name for name in _FIRST if name in found] + sorted(found - set(_FIRST))


def path_of(name):
    """The `pathlib.Path` of an experiment's file."""
    return HERE / f"{name}.toml"
