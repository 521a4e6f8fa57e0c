"""A progress bar that fits a line, for trainers that log more than a person can read."""

from collections.abc import Sequence

import keras

from keras_cascade.typing import Logs


class EpochProgress(keras.callbacks.Callback):
    """One bar an epoch, with the few logs that matter.

    Args:
        title: what is being trained.
        names: the logs to show, those that are there, in this order.

    Example:

    ```python
    cascade.fit(train, verbose=0, callbacks=[EpochProgress("cascade", ["loss", "accuracy"])])
    ```
    """

    def __init__(self, title: str, names: Sequence[str]) -> None:
        super().__init__()
        self._title, self._names = title, names

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        print(f"{self._title}, epoch {epoch + 1}/{self.params['epochs']}")
        # The logs are running means already: the bar must not average them again.
        self._bar = keras.utils.Progbar(self.params["steps"], stateful_metrics=self._names)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._bar.update(batch + 1, self._shown(logs), finalize=False)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self._bar.update(self.params["steps"], self._shown(logs), finalize=True)

    def _shown(self, logs):
        return [(name, float(logs[name])) for name in self._names if name in (logs or {})]
