"""TeacherAnnealing: first the teacher's outputs, in the end the labels alone.

What a teacher's outputs say helps a student that is far from it. One that trains on until it is as
good as its teacher is held back by copying it, and goes further by the labels.
"""

from keras_cascade.cascade.guided import GuidedTrainer
from keras_cascade.cascade.run_length import RunLengthCallback
from keras_cascade.typing import Logs


def teacher_share(epoch: int, epochs: int) -> float:
    """The mean over an epoch, counted from 0, of a line from 1 to 0 over all epochs."""
    return 1.0 - (epoch + 0.5) / epochs


class TeacherAnnealing(RunLengthCallback):
    """Lets the guidance's weight against the labels fall from `alpha` to 0 over a `fit`.

    Along a line, once an epoch: in epoch e of n, counted from 0, it is `(1 - (e + 0.5) / n) *
    alpha`, the mean of the line over that epoch. Clark et al., "BAM! Born-Again Multi-Task Networks
    for Natural Language Understanding", ACL 2019 (arXiv 1907.04829), "teacher annealing", mix
    targets so; here the two losses are mixed.

    Raises:
        TypeError: in `fit`, of anything but a `Distiller` or a `CascadeDistiller`.

    Example:

    ```python
    distiller = kc.Distiller(student, teacher=large)
    distiller.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    distiller.fit(train, epochs=10, callbacks=[kc.TeacherAnnealing()])
    ```
    """

    def on_train_begin(self, logs: Logs | None = None) -> None:
        if not isinstance(self.model, GuidedTrainer):
            raise TypeError(
                "TeacherAnnealing takes back the guidance of a Distiller or a CascadeDistiller; "
                f"fit was called on {type(self.model).__name__} '{self.model.name}', which has "
                "none. Wrap the model: distiller = Distiller(model, teacher), and fit that."
            )

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self.model.anneal_guidance(teacher_share(epoch, self.epochs))

    def on_train_end(self, logs: Logs | None = None) -> None:
        self.model.anneal_guidance(1.0)
