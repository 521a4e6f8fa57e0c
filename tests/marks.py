"""Marks of parameters: which of a test's cases are left to `make test-slow`."""

import pytest


def slow_case(*values):
    """One case of a test, with a value for each parameter, marked slow."""
    return pytest.param(*values, marks=pytest.mark.slow)


def slow(*values):
    """The values of one parameter, each marked slow."""
    return [slow_case(value) for value in values]


def slow_but(quick, values):
    """The values of one parameter, all but the quick ones marked slow."""
    return [value if value in quick else slow_case(value) for value in values]
