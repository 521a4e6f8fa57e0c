"""Every public name says what it takes and gives; `make lint` has mypy hold it to that."""

import importlib
import inspect
import pkgutil

import pytest

import keras_cascade

PACKAGES = [
    "keras_cascade",
    *(f"keras_cascade.{found.name}" for found in pkgutil.iter_modules(keras_cascade.__path__)),
]


def public_functions(module):
    """Pairs of name and function: what `__all__` names, and the public methods of its classes."""
    for name in getattr(module, "__all__", ()):
        value = getattr(module, name)
        if inspect.isclass(value):
            for base in value.__mro__:
                if base.__module__.startswith("keras_cascade."):
                    yield from _methods(base)
        elif inspect.isfunction(value):
            yield name, value


def _methods(cls):
    for name, value in vars(cls).items():
        function = value.fget if isinstance(value, property) else inspect.unwrap(value)
        function = getattr(function, "__func__", function)  # of a class or static method
        # What `dataclasses` writes has its types from the fields.
        written = inspect.isfunction(function) and function.__code__.co_filename != "<string>"
        if written and (not name.startswith("_") or name in ("__init__", "__call__")):
            yield f"{cls.__name__}.{name}", function


def unannotated(function):
    """What of a function's signature has no annotation."""
    signature = inspect.signature(function)
    missing = [
        name
        for name, parameter in signature.parameters.items()
        if parameter.annotation is parameter.empty and name not in ("self", "cls")
    ]
    if signature.return_annotation is signature.empty:
        missing.append("the result")
    return missing


@pytest.mark.parametrize("package", PACKAGES)
def test_public_names_are_annotated(package):
    found = {name: unannotated(value) for name, value in public_functions(_imported(package))}
    assert {name: missing for name, missing in found.items() if missing} == {}


def test_the_packages_have_public_functions():
    """The test above finds something to look at where there is something."""
    counts = {package: len(list(public_functions(_imported(package)))) for package in PACKAGES}
    named = [package for package in PACKAGES if hasattr(_imported(package), "__all__")]
    assert len(named) >= 13 and all(counts[package] for package in named), counts
    assert counts["keras_cascade"] > 100


def test_what_is_not_annotated_is_found():
    def half(here: int, there, *rest, named: str):
        return here, there, rest, named

    assert unannotated(half) == ["there", "rest", "the result"]


def _imported(package):
    return importlib.import_module(package)
