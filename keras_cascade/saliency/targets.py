"""Targets: what a labels' loss says of a model's output.

Whether it is logits or probabilities, one class of many or independent yes/no outputs, and which
labels name no class. On such a label some backends crash and others go on without a word, so who
trains asks `Targets.checked` first.
"""

import dataclasses

from keras import losses, ops

_CLASSES = {
    "categorical": (losses.CategoricalCrossentropy, losses.CategoricalFocalCrossentropy),
    "sparse": (losses.SparseCategoricalCrossentropy,),
    "binary": (losses.BinaryCrossentropy, losses.BinaryFocalCrossentropy),
}
_FUNCTIONS = {
    losses.categorical_crossentropy: "categorical",
    losses.categorical_focal_crossentropy: "categorical",
    losses.sparse_categorical_crossentropy: "sparse",
    losses.binary_crossentropy: "binary",
    losses.binary_focal_crossentropy: "binary",
}


@dataclasses.dataclass(frozen=True)
class Targets:
    """What a labels' loss says of a model's output.

    Attributes:
        binary: outputs are independent yes/no, not one class of many.
        sparse: labels are class numbers; None where Keras goes by the labels themselves.
        from_logits: outputs are logits, not probabilities.
        ignored: the label that the loss leaves out, or None.
        axis: the outputs' axis along which the classes lie, counted from the last, -1.
    """

    binary: bool
    sparse: bool | None
    from_logits: bool
    ignored: int | None = None
    axis: int = -1

    @classmethod
    def of(cls, loss, shape):
        """Reads a compiled `loss` argument.

        Args:
            loss: a string, function or `keras.losses.Loss` for one output.
            shape: the output's.

        Returns:
            `Targets`, or None if the loss is no cross-entropy.
        """
        loss = only_loss(loss)
        if isinstance(loss, list | tuple | dict) or loss is None:
            return None
        if isinstance(loss, str) and loss.lower() in ("crossentropy", "ce"):
            return cls(binary=shape[-1] == 1, sparse=None, from_logits=False)  # as Keras picks
        resolved = losses.get(loss)
        for kind, classes in _CLASSES.items():
            if isinstance(resolved, classes):
                return cls(
                    kind == "binary",
                    kind == "sparse",
                    bool(resolved.from_logits),
                    getattr(resolved, "ignore_class", None),
                    # The sparse one has it as an attribute nowhere.
                    _from_last(resolved._fn_kwargs.get("axis", -1), len(shape)),
                )
        kind = next((kind for f, kind in _FUNCTIONS.items() if f is resolved), None)
        return None if kind is None else cls(kind == "binary", kind == "sparse", False)

    def shape_of_labels(self, shape):
        """The shape of labels for outputs of `shape`; None where the loss leaves it open."""
        if self.sparse is None:
            return None
        if not self.sparse:
            return shape
        axis = self.axis % len(shape)
        return (*shape[:axis], *shape[axis + 1 :])

    def check_labels(self, labels, outputs):
        """Refuses one-hot labels of a loss of class numbers, and the other way round.

        Args:
            labels, outputs: their shapes.

        Raises:
            ValueError: the labels are of the other kind.
        """
        classes = outputs[self.axis]
        if self.binary or self.sparse is None or classes in (None, 1):
            return
        if getattr(labels, "rank", 0) is None:  # a tf.data pipeline that does not say
            return
        as_many_axes = len(labels) == len(outputs)
        if self.sparse and as_many_axes and labels[self.axis] == classes:
            raise ValueError(
                f"Labels of shape {tuple(labels)} are one-hot, and the loss takes class numbers. "
                "Use categorical_crossentropy, or give it "
                f"numpy.argmax(labels, axis={self.axis})."
            )
        if not self.sparse and (not as_many_axes or labels[self.axis] == 1):
            raise ValueError(
                f"Labels of shape {tuple(labels)} are class numbers, and the loss takes one-hot "
                f"ones, as outputs of shape {tuple(outputs)} are. Use "
                "sparse_categorical_crossentropy, or give it "
                f"keras.utils.to_categorical(labels, {classes})."
            )

    def check_axis(self, shape):
        """Refuses classes that do not lie along the last axis, over which the KL runs.

        Args:
            shape: the outputs'.

        Raises:
            ValueError: the loss has another axis.
        """
        if self.axis != -1:
            raise ValueError(
                f"The loss compares classes along axis {self.axis} of outputs of shape {shape}; "
                "the KL divergence runs over the last one. Put the classes last in model and "
                "labels (keras.layers.Permute), and leave the loss its axis=-1."
            )

    def outside(self, labels, outputs):
        """Which sparse labels name no class; a bool tensor of the labels' shape."""
        labels = ops.cast(labels, "int32")
        outside = ops.logical_or(labels < 0, labels >= outputs.shape[self.axis])
        if self.ignored is not None:
            outside = ops.logical_and(outside, labels != self.ignored)
        return outside

    def checked(self, labels, outputs):
        """Sparse labels, those that name no class made 0, and the number of these: two tensors."""
        outside = self.outside(labels, outputs)
        count = ops.sum(ops.cast(outside, "float32"))
        return ops.where(outside, ops.zeros_like(labels), labels), count


def only_loss(loss):
    """The loss of the only output, where it comes in a list or dict as for several outputs."""
    if isinstance(loss, list | tuple | dict) and len(loss) == 1:
        return next(iter(loss.values() if isinstance(loss, dict) else loss))
    return loss


def describe_outside(count, classes):
    """What is wrong with labels that name no class, and what to do.

    Args:
        count: of such labels.
        classes: that there are.
    """
    return (
        f"{count} labels outside the classes 0..{classes - 1}. Check the labels, or give the model "
        "as many outputs as there are classes."
    )


def _from_last(axis, rank):
    return axis if axis < 0 else axis - rank
