"""Schedules: how far along its target a level is, from the progress of pruning."""

import abc
from typing import Self

import keras

from keras_cascade.typing import Config


class Schedule(abc.ABC):
    """A function from progress in [0, 1] to the share of the target that holds then."""

    @abc.abstractmethod
    def __call__(self, progress: float) -> float:
        """The share of the target, in [0, 1], at a progress in [0, 1]."""

    def get_config(self) -> Config:
        """The arguments that make this schedule again."""
        return {}

    @classmethod
    def from_config(cls, config: Config) -> Self:
        """Makes a schedule from what `get_config` returned."""
        return cls(**config)


@keras.saving.register_keras_serializable(package="keras_cascade")
class PolynomialSchedule(Schedule):
    """Rises from `initial` to 1, fast at first: `1 + (initial - 1) * (1 - progress) ** power`.

    Zhu & Gupta, "To prune, or not to prune", 2017, section 3; the cubic is TF-MOT's default too.

    Args:
        power: exponent, above 0; 3 by default.
        initial: share of the target already at the beginning, in [0, 1].

    Raises:
        ValueError: an argument out of range.

    Example:

    ```python
    callback = kc.CascadeCallback(schedule=kc.PolynomialSchedule(power=1))
    ```
    """

    def __init__(self, power: float = 3.0, initial: float = 0.0) -> None:
        if power <= 0 or not 0.0 <= initial <= 1.0:
            raise ValueError(
                f"PolynomialSchedule needs power > 0 and initial in [0, 1], got power={power}, "
                f"initial={initial}."
            )
        self.power, self.initial = power, initial

    def __call__(self, progress: float) -> float:
        return 1.0 + (self.initial - 1.0) * (1.0 - progress) ** self.power

    def get_config(self) -> Config:
        return {"power": self.power, "initial": self.initial}


@keras.saving.register_keras_serializable(package="keras_cascade")
class ConstantSchedule(Schedule):
    """The whole target from the beginning: masks may change until the end, their number does not.

    Example:

    ```python
    callback = kc.CascadeCallback(begin=0.2, schedule=kc.ConstantSchedule())
    ```
    """

    def __call__(self, progress: float) -> float:
        return 1.0
