"""What a set of kept channels costs: exact sums of products of channel counts.

A convolution costs positions x kernel x kept inputs x kept filters; a weight has the product of
its axes. Both are *terms*: a coefficient times some counts, each count the number of kept
channels along an axis. `Cost` evaluates all terms of a model at once, and their derivative:
what one more channel costs at the present counts.
"""

import numpy as np


class Cost:
    """A sum of terms over the units of a graph.

    Args:
        terms: list of `(coefficient, [units, ...])`; each `units` is an int array that names, for
            every position along an axis, the unit that stands there.
        units: the number of units.
    """

    def __init__(self, terms, units):
        self._units = units
        self._factors = {}
        # Factor 0 is the constant 1 that fills up short terms.
        self._members, self._multiplicities = [np.zeros(1, int)], [np.zeros(1, int)]
        width = max([len(factors) for _, factors in terms], default=0) or 1
        self._coefficients = np.array([float(coefficient) for coefficient, _ in terms])
        self._slots = np.zeros((len(terms), width), int)
        for row, (_, factors) in enumerate(terms):
            for column, factor in enumerate(factors):
                self._slots[row, column] = self._intern(factor)
        self._starts = np.cumsum([0] + [len(members) for members in self._members[:-1]])
        self._member = np.concatenate(self._members)
        self._multiplicity = np.concatenate(self._multiplicities)
        self._factor_of_member = np.repeat(
            np.arange(len(self._members)), [len(members) for members in self._members]
        )

    def total(self, keep):
        """The cost with the units of the bool array `keep`; an exact int."""
        counts = self._counts(keep)[self._slots].prod(axis=1)
        return int((self._coefficients * counts).sum()) if len(counts) else 0

    def per_unit(self, keep):
        """The marginal cost of each unit at the counts of `keep`; float array."""
        counts = self._counts(keep)[self._slots]
        slopes = np.zeros(len(self._members))
        for column in range(counts.shape[1]):
            others = np.delete(counts, column, axis=1).prod(axis=1)
            np.add.at(slopes, self._slots[:, column], self._coefficients * others)
        slopes[0] = 0.0
        return np.bincount(
            self._member,
            weights=self._multiplicity * slopes[self._factor_of_member],
            minlength=self._units,
        )

    def _intern(self, factor):
        key = factor.tobytes()
        if key not in self._factors:
            members, multiplicities = np.unique(factor, return_counts=True)
            self._factors[key] = len(self._members)
            self._members.append(members)
            self._multiplicities.append(multiplicities)
        return self._factors[key]

    def _counts(self, keep):
        counts = np.add.reduceat(self._multiplicity * keep[self._member], self._starts)
        counts = counts.astype(float)
        counts[0] = 1.0
        return counts
