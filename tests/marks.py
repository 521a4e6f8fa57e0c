"""Marks of parameters: which of a test's cases are left to `make test-slow`."""

import pytest


def slow(*values):
    """The values as parameters of which each is marked slow."""
    return [pytest.param(value, marks=pytest.mark.slow) for value in values]


def slow_case(*values):
    """One case of a test with several parameters, marked slow."""
    return pytest.param(*values, marks=pytest.mark.slow)


def slow_but(quick, values):
    """The values as parameters, all but the quick ones marked slow."""
    return [value if value in quick else slow(value)[0] for value in values]
