"""How long a run is, for callbacks that go by it.

A run that goes on in the middle of an epoch is two calls of `fit`, of which the first has one short
epoch: what Keras tells callbacks of a `fit` (`params`) is then not the run's length.
"""

import contextlib
from collections.abc import Iterable, Iterator

import keras


class RunLengthCallback(keras.callbacks.Callback):
    """A callback that goes by the length of the whole run, of which a `fit` may be a part."""

    _run: tuple[int, int] | None = None

    @property
    def epochs(self) -> int:
        """Of the whole run."""
        return self._run[0] if self._run else self.params.get("epochs", 0)

    @property
    def steps_per_epoch(self) -> int | None:
        """Of a whole epoch; None where it is unknown."""
        return self._run[1] if self._run else self.params.get("steps")


@contextlib.contextmanager
def run_of(
    callbacks: Iterable[keras.callbacks.Callback], epochs: int, steps_per_epoch: int
) -> Iterator[None]:
    """Within it, callbacks go by these numbers instead of those of each `fit`."""
    counting = [callback for callback in callbacks if isinstance(callback, RunLengthCallback)]
    for callback in counting:
        callback._run = epochs, steps_per_epoch
    try:
        yield
    finally:
        for callback in counting:
            callback._run = None
