"""Taylor scores of a trained model's channels, read once from data.

Gates of ones stand where channels are read, as in the cascade, in front of frozen copies of the
model's layers; one epoch of plain `fit` trains nothing but takes the gates' gradient on every
batch. The copies cost memory for a second set of weights and buy that nothing a backend does in
`fit` can reach the user's model.
"""

import collections.abc
import itertools
import math
import warnings
from typing import Any

import keras
import numpy as np
from keras import ops, tree

from keras_cascade.graph import ChannelGraph
from keras_cascade.saliency.gates import ChannelGates
from keras_cascade.saliency.targets import Targets, describe_outside
from keras_cascade.surgery import Surgeon
from keras_cascade.surgery.views import build_view
from keras_cascade.typing import Floats

_LABELS = "The Taylor criterion needs labels: pass data=(x, y), or batches (x, y)."
_EMPTY = "data is empty: the Taylor criterion needs at least one batch."


def taylor(graph: ChannelGraph, data: Any, loss: Any) -> Floats:
    """Squared gradient of the loss with respect to a gate on each channel, mean over batches.

    Molchanov et al., "Importance Estimation for Neural Network Pruning", CVPR 2019, section 3.1,
    the gate form of Taylor-FO. The loss is the batch's mean, in inference mode and without
    regularisers.

    Args:
        graph: `ChannelGraph`; its model is not changed.
        data: a tuple `(x, y)` or `(x, y, sample_weight)` of arrays, taken in batches of 32; or
            whatever else `fit` takes that yields such batches: a `tf.data.Dataset`, a
            `keras.utils.PyDataset`, a generator. It is gone through once, so it must end.
        loss: as for `keras.Model.compile`.

    Returns:
        float array of shape `(units,)`; 0 for channels that nothing reads.

    Raises:
        ValueError: `data` or `loss` missing, data without labels, empty or known to be endless,
            gradients that are not finite, labels outside the model's classes.
    """
    arguments = _fit_arguments(data, loss)
    gates = ChannelGates(graph.num_units, momentum=0.0, name=graph.trace.free_name("gates"))
    targets = Targets.of(loss, graph.model.output_shape) if len(graph.model.outputs) == 1 else None
    model = _InferenceTrainer(_frozen_view(graph, gates), gates, targets)
    model.compile(
        optimizer=keras.optimizers.SGD(),
        loss=loss,
        auto_scale_loss=False,  # it would scale the gates' gradients too
        jit_compile="auto" if keras.backend.backend() == "jax" else False,
    )
    mean = _MeanSquare()
    with warnings.catch_warnings():  # a generator is meant to be used up
        warnings.filterwarnings("ignore", message="Your input ran out of data")
        model.fit(**arguments, shuffle=False, verbose=0, callbacks=[mean])
    return mean.result()


class _InferenceTrainer(keras.Model):
    """Trains what is trainable in a view, its gates' probe, with the view in inference mode."""

    def __init__(self, view, gates, targets):
        super().__init__(name="inference_trainer")
        self.view, self.gates = view, gates
        self.output_names = view.output_names
        self.targets = targets
        self.labels_outside = self.add_weight(
            shape=(), initializer="zeros", trainable=False, name="labels_outside", autocast=False
        )
        self.built = True

    def call(self, inputs):
        return self.view(inputs, training=False)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        if y is None:
            raise ValueError(f"{_LABELS} Got x alone.")
        if self.targets:
            (labels,), (outputs,) = tree.flatten(y), tree.flatten(y_pred)
            self.targets.check_labels(labels.shape, outputs.shape)
            if self.targets.sparse:
                safe, outside = self.targets.checked(labels, outputs)
                self.labels_outside.assign_add(outside)
                y = tree.pack_sequence_as(y, [safe])
        return self._compile_loss(y, y_pred, sample_weight)


class _MeanSquare(keras.callbacks.Callback):
    """The mean over batches of the squared gate gradient."""

    def __init__(self):
        super().__init__()
        self._sum, self._batches = 0.0, 0

    def on_train_batch_end(self, batch, logs=None):
        # Reading self.model makes JAX write its state to the variables.
        outside = int(ops.convert_to_numpy(self.model.labels_outside))
        if outside:
            classes = self.model.view.output_shape[self.model.targets.axis]
            raise ValueError(f"At batch {batch + 1}, {describe_outside(outside, classes)}")
        probe = ops.convert_to_numpy(self.model.gates.probe).astype(float)
        self._sum = self._sum + probe**2
        self._batches += 1

    def result(self):
        if not self._batches:
            raise ValueError(_EMPTY)
        if not np.isfinite(self._sum).all():
            raise ValueError(
                "The loss or its gradients became NaN or infinite on this data: look for NaN in "
                "it, and for a loss that expects logits."
            )
        return self._sum / self._batches


def _frozen_view(graph, gates):
    copy = Surgeon(graph.model, graph).extract({}, verify=False)
    copy.trainable = False
    stand_in = {id(layer): copy.get_layer(name) for name, layer in graph.trace.layers.items()}
    return build_view(graph, gates, stand_in, gate_weights=True)


def _fit_arguments(data, loss):
    """What `fit` is given for `data`, or the error that says what to give."""
    if data is None or loss is None:
        raise ValueError(
            "The Taylor criterion needs data=(x, y) (or batches of it) and loss=, as for compile, "
            "such as prune(model, 0.5, criterion='taylor', data=(x, y), "
            "loss='sparse_categorical_crossentropy')."
        )
    if isinstance(data, tuple):
        if len(data) not in (2, 3):
            raise ValueError(f"{_LABELS} A tuple must be (x, y) or (x, y, sample_weight).")
        if any(len(array) == 0 for array in keras.tree.flatten(data)):
            raise ValueError(_EMPTY)
        return dict(zip(("x", "y", "sample_weight"), data, strict=False))
    batches = _known_batches(data)
    if batches == math.inf:
        raise ValueError("data never ends: pass as many batches as will do, data.take(100) say.")
    if batches == 0:
        raise ValueError(_EMPTY)
    if isinstance(data, list) and not all(isinstance(batch, tuple) for batch in data):
        raise ValueError(f"{_LABELS} A list must hold batches (x, y), arrays go in a tuple.")
    if isinstance(data, list | collections.abc.Iterator):
        data = _begun(iter(data))
    return {"x": data}


def _known_batches(data):
    """How many batches a data set has: infinity if it never ends, None if that is not known."""
    if isinstance(data, keras.utils.PyDataset):
        return math.inf if data.num_batches is None else data.num_batches
    if not hasattr(data, "cardinality"):
        return None
    count = int(data.cardinality())
    return {-1: math.inf, -2: None}.get(count, count)  # tf.data's INFINITE and UNKNOWN


def _begun(batches):
    """A generator, as `fit` takes no other iterator, of batches of which there is at least one."""
    first = next(batches, None)
    if first is None:
        raise ValueError(_EMPTY)
    return (batch for batch in itertools.chain([first], batches))
