"""Variants: methods with settings of their own, so that a study can change one thing at a time."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from keras_cascade.study.protocol import Protocol
from keras_cascade.typing import Record

# What may differ between the methods of one study and leaves them comparable: the same teacher,
# the same images, as many of them.
_FREE = (
    "alpha",
    "anneal_teacher",
    "begin",
    "cascade_scope",
    "criterion",
    "dense_ends",
    "end",
    "epochs",
    "freeze_teacher",
    "guidance",
    "hard_masks",
    "level_losses",
    "momentum",
    "own_normalisation",
    "prune_learning_rate",
    "recover_alpha",
    "recover_epochs",
    "recover_from",
    "scope",
    "shape_of",
    "spacing",
    "temperature",
)


@dataclasses.dataclass(frozen=True)
class Variant:
    """A method with settings of its own.

    Attributes:
        method: a name in `METHODS`.
        settings: dict of what differs from the study's protocol, with the names of
            `Protocol.as_dict`.
        label: what readers are shown; None: the method's.

    Raises:
        ValueError: a setting that would make methods incomparable.

    Example:

    ```python
    Variant("cascade_2", {"guidance": "dense"}, "cascade, dense guidance")
    ```
    """

    method: str
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    label: str | None = None

    def __post_init__(self) -> None:
        fixed = sorted(set(self.settings) - set(_FREE))
        if fixed:
            raise ValueError(
                f"A variant of {self.method} cannot change {', '.join(fixed)}: methods of one "
                f"study have the same teacher and images. It can change {', '.join(_FREE)}."
            )

    def applied_to(self, protocol: Protocol) -> Protocol:
        """The protocol with this variant's settings.

        Raises:
            ValueError: a value out of range, or another number of epochs in all.
        """
        changed = protocol.changed(self.settings)
        if changed.epochs != protocol.epochs:
            raise ValueError(
                f"A variant of {self.method} has {changed.epochs} epochs (epochs + "
                f"recover_epochs), the study {protocol.epochs}: let them be equal, so that all "
                "methods see as many images."
            )
        return changed

    def as_dict(self) -> Record:
        """What a row keeps of it."""
        return {"method": self.method, **self.settings}
