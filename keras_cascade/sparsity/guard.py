"""SparsityGuard: weights that are zero stay zero while a model is trained on."""

import keras
import numpy as np
from keras import ops

from keras_cascade.typing import Logs


class SparsityGuard(keras.callbacks.Callback):
    """Keeps the zeros of a sparse model while it is fine-tuned by `fit`, on any backend.

    Without it the first steps of plain training make all the weights non-zero again. What is zero
    when training begins is set back to zero after every batch, so before every validation and
    checkpoint too. It guards trainable weights with two or more dimensions (kernels, embeddings),
    of a model or of what trains one (`Distiller`). With `steps_per_execution` above 1 the weights
    are free within the steps that are run at once.

    Args:
        min_share: least share of zeros that makes a weight a sparse one. The default leaves out
            single zeros that chance made. A weight of nothing but zeros is not guarded: it is one
            that begins so (a gate), not one that was pruned.

    Raises:
        ValueError: `min_share` out of range; in `fit`, a model without a sparse weight.

    Example:

    ```python
    sparse = kc.prune_weights(model, 0.5, data=train)
    sparse.compile("adam", loss)
    sparse.fit(train, epochs=5, callbacks=[kc.SparsityGuard()])
    ```
    """

    def __init__(self, min_share: float = 0.01) -> None:
        super().__init__()
        if not 0.0 < min_share < 1.0:
            raise ValueError(f"min_share must lie in (0, 1), got {min_share}.")
        self.min_share = min_share
        self._kept = {}

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._kept = {}
        for index, variable in enumerate(self.model.trainable_weights):
            nonzero = ops.convert_to_numpy(variable) != 0.0
            if nonzero.ndim >= 2 and self.min_share <= 1.0 - np.mean(nonzero) < 1.0:
                self._kept[index] = ops.convert_to_tensor(nonzero, dtype=variable.dtype)
        if not self._kept:
            raise ValueError(
                f"Model '{self.model.name}' has no weight of which {self.min_share:.0%} are zero, "
                "so there is no sparsity to keep. Make it sparse first, by prune_weights, or leave "
                "SparsityGuard out."
            )

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._restore()

    def on_test_begin(self, logs: Logs | None = None) -> None:
        self._restore()  # an averaging optimizer or callback may have put other weights in

    def on_train_end(self, logs: Logs | None = None) -> None:
        self._restore()
        self._kept = {}

    def _restore(self):
        if self._kept:
            # Reading self.model makes JAX write its state to the variables.
            weights = self.model.trainable_weights
            for index, kept in self._kept.items():
                weights[index].assign(weights[index] * kept)
