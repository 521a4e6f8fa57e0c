"""What a set of kept channels costs: exact sums of products of channel counts.

A convolution costs positions x kernel x kept inputs x kept filters; a weight has the product of
its axes. Both are *terms*: a coefficient times some counts, each count the number of kept
channels along an axis. `Cost` evaluates all terms of a model at once, and their derivative:
what one more channel costs at the present counts.
"""

import numpy as np

from keras_cascade.typing import Bools, Floats, Terms


class Cost:
    """A sum of terms over the units of a graph.

    Args:
        terms: list of `(coefficient, [units, ...])`; each `units` is an int array that names, for
            every position along an axis, the unit that stands there.
        units: the number of units.
    """

    def __init__(self, terms: Terms, units: int) -> None:
        width = max([len(factors) for _, factors in terms], default=0) or 1
        self._coefficients = np.array([float(coefficient) for coefficient, _ in terms])
        # Factor 0 is the constant 1 that fills up short terms.
        self._slots = np.zeros((len(terms), width), int)
        distinct = {b"": np.zeros(0, int)}
        number = {b"": 0}
        for row, (_, factors) in enumerate(terms):
            for column, factor in enumerate(factors):
                key = factor.tobytes()
                self._slots[row, column] = number.setdefault(key, len(number))
                distinct[key] = factor
        self._kind_of, self._multiplicity = _kinds(list(distinct.values()), units)

    def total(self, keep: Bools) -> int:
        """The cost with the units of the bool array `keep`; an exact int."""
        counts = self._counts(keep)[self._slots].prod(axis=1)
        return int((self._coefficients * counts).sum()) if len(counts) else 0

    def per_unit(self, keep: Bools) -> Floats:
        """The marginal cost of each unit at the counts of `keep`; float array."""
        counts = self._counts(keep)[self._slots]
        slopes = np.zeros(len(self._multiplicity))
        for column in range(counts.shape[1]):
            others = np.delete(counts, column, axis=1).prod(axis=1)
            np.add.at(slopes, self._slots[:, column], self._coefficients * others)
        return (slopes @ self._multiplicity)[self._kind_of]

    def _counts(self, keep):
        kinds = self._multiplicity.shape[1]
        counts = self._multiplicity @ np.bincount(self._kind_of[keep], minlength=kinds)
        counts[0] = 1.0
        return counts


def _kinds(factors, units):
    """Sorts units into kinds: those that stand equally often in every factor count alike.

    There are about as many kinds as channel groups, far fewer than units.

    Returns:
        The kind of each unit, and the float matrix `(factors, kinds)` of how often a unit of
        each kind stands in each factor.
    """
    kind_of = np.zeros(units, int)
    counted = [np.unique(factor, return_counts=True) for factor in factors]
    for members, multiplicity in counted:
        if len(members):
            signatures = kind_of[members] * (multiplicity.max() + 1) + multiplicity
            split = np.unique(signatures, return_inverse=True)[1]
            kind_of[members] = kind_of.max() + 1 + split
    kinds, kind_of = np.unique(kind_of, return_inverse=True)
    matrix = np.zeros((len(factors), len(kinds)))
    for row, (members, multiplicity) in zip(matrix, counted, strict=True):
        row[kind_of[members]] = multiplicity
    return kind_of, matrix
