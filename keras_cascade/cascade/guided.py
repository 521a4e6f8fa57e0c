"""GuidedTrainer: several models trained in one step, each by the labels and by its teachers.

Every member's loss is L_k = (1 - alpha) * labels_k + alpha * mean over its guides of
T^2 KL(guide || k), and the labels' loss alone where it has no guide; the step minimises their
(weighted) sum plus the regularisers, each counted once. It is written with `call`, `compute_loss`
and `compute_metrics`, which plain `fit` calls on every Keras backend. The cascade and plain
distillation are both this, with other members.
"""

from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from typing import Any

import keras
from keras import ops, tree
from keras.src.backend.common.masking import get_keras_mask

from keras_cascade.cascade import data_faults, replicas
from keras_cascade.cascade.guard import guarded_fit
from keras_cascade.cascade.losses import SoftTargetLoss, check_distillation, check_guidance
from keras_cascade.cascade.member_metrics import MemberMetrics
from keras_cascade.cascade.seeds import seed_states
from keras_cascade.saliency.targets import Targets, describe_outside, only_loss
from keras_cascade.typing import Config, Floats, Tensor


class GuidedTrainer(MemberMetrics):
    """Trains members together; the last one is the main one, whose metrics carry plain names.

    Args:
        members: dict from name to `keras.Model`, the largest first; all with one output.
        guides: dict from a member's name to the list of names whose outputs guide it.
        temperature: T of the softened outputs, above 0.
        alpha: weight of the guidance against the labels, in [0, 1).
        distillation: None for T^2 KL; or a `keras.losses.Loss` of the teacher's and the student's
            outputs, or an object with `compute_loss(teacher_outputs, student_outputs)` such as a
            `keras.distillation.LogitsDistillation`.
        frozen: names of members that are run in inference mode and not trained.
        weights: dict from a member's name to what its loss is multiplied by in the sum; 1 where
            it is not named.
    """

    def __init__(
        self,
        members: dict[str, keras.Model],
        guides: dict[str, list[str]],
        *,
        temperature: float,
        alpha: float,
        distillation: Any = None,
        frozen: Iterable[str] = (),
        weights: Mapping[str, float] | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(members, name=name)
        check_guidance(members.values(), temperature, alpha)
        check_distillation(distillation)
        self._guides = guides
        self._frozen = tuple(frozen)
        self._freeze_members()
        self._member_weights = dict.fromkeys(members, 1.0) | dict(weights or {})
        self.temperature, self.alpha, self.distillation = temperature, alpha, distillation
        # A variable, so that a compiled step sees what a callback makes of it.
        self._guidance_weight = self.add_weight(
            shape=(), initializer="zeros", trainable=False, name="guidance_weight", autocast=False
        )
        self.anneal_guidance(1.0)
        self._guidance_loss = distillation
        self._targets = None
        trained = [key for key in members if key not in self._frozen]
        self._loss_trackers = {key: keras.metrics.Mean(f"{key}_loss") for key in trained}
        self._kl_trackers = {key: keras.metrics.Mean(f"{key}_kl") for key in trained if guides[key]}
        self._bad_labels = self.add_weight(
            shape=(), initializer="zeros", trainable=False, name="labels_outside", autocast=False
        )
        self.built = True

    # What Keras asks of a model

    def call(self, inputs: Any, training: bool = False) -> dict[str, Tensor]:
        """All members' outputs: dict from name to tensor."""
        outputs = {}
        for name in self._members:
            trained = training and name not in self._frozen
            outputs[name] = self._computer_of(name)(inputs, training=trained)
        return outputs

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        *,
        metrics: Any = None,
        weighted_metrics: Any = None,
        **kwargs: Any,
    ) -> None:
        """As `keras.Model.compile`; every member gets the metrics.

        Args:
            optimizer: a Keras optimizer or its name.
            loss: the labels' loss; a cross-entropy, unless `distillation` was given. It may come
                in a list, or in a dict by the name of the output.
            metrics: list of metrics for every member; each keeps its own state.
            weighted_metrics: likewise, weighted by `sample_weight`.
            **kwargs: `jit_compile`, `run_eagerly`, `steps_per_execution`, ...

        Raises:
            ValueError: a loss for which no KL is defined, one along another axis than the last, or
                one of an output that there is not.
        """
        self._freeze_members()  # who set `trainable` on this trainer, set it on all it holds
        shape = self._members[self._main].output_shape
        self._check_names(loss)
        loss = only_loss(loss)
        self._targets = Targets.of(loss, shape)
        if self.distillation is None:
            if self._targets is None:
                raise ValueError(
                    f"No KL divergence is defined for loss={loss!r}: outputs must be "
                    "probabilities or logits. Use a cross-entropy loss, or pass distillation=, "
                    "such as keras.losses.MeanSquaredError()."
                )
            self._targets.check_axis(shape)
            self._guidance_loss = SoftTargetLoss(
                self.temperature, self._targets.from_logits, self._targets.binary
            )
        self._label_loss = loss
        super().compile(
            optimizer, loss, metrics=metrics, weighted_metrics=weighted_metrics, **kwargs
        )
        self._compile_others(metrics, weighted_metrics)
        labels = self._targets and self._targets.shape_of_labels(shape)
        if labels:
            self._build_metrics(labels, shape)

    def compile_from_config(self, config: Config) -> None:
        """Compiles a loaded trainer as the saved one was; Keras calls it."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: str | int = "auto",
        callbacks: Any = None,
        **kwargs: Any,
    ) -> keras.callbacks.History:
        """As `keras.Model.fit`; a loss or weight that is not finite stops it and loses nothing.

        Raises:
            NonFiniteLossError: one became NaN or infinite; the last good weights are back.
            ValueError: labels outside the model's classes; data that is empty or has no labels.
            DataError: a tf.data pipeline failed; its own error is the cause.
        """
        self._bad_labels.assign(0.0)
        self.anneal_guidance(1.0)  # a `fit` that was broken off may have left less of it
        return guarded_fit(
            super().fit,
            x,
            y,
            batch_size=batch_size,
            epochs=epochs,
            verbose=verbose,
            callbacks=callbacks,
            **kwargs,
        )

    def evaluate(
        self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any
    ) -> list[float] | dict[str, float]:
        """As `keras.Model.evaluate`; a list of results is in the order of `metrics_names`.

        Raises:
            ValueError: labels outside the model's classes; data that is empty or has no labels.
            DataError: a tf.data pipeline failed; its own error is the cause.
        """
        self._bad_labels.assign(0.0)
        # `fit` hands over its own list of callbacks, and says itself how far it had come.
        in_fit = isinstance(kwargs.get("callbacks"), keras.callbacks.CallbackList)
        if not in_fit:
            data_faults.check(x, y, "evaluation")
        with nullcontext() if in_fit else data_faults.named(lambda: "in evaluation"):
            results = super().evaluate(x, y, *args, **{**kwargs, "return_dict": True})
        if not results:
            raise ValueError(data_faults.empty("evaluation"))
        outside = self.labels_outside()
        if outside:
            self._bad_labels.assign(0.0)
            raise ValueError(f"In evaluation, {self.describe_bad_labels(outside)}")
        return results if kwargs.get("return_dict") else self._in_order(results)

    def predict(self, *args: Any, **kwargs: Any) -> Floats:
        """The main member's output, as `keras.Model.predict`."""
        return self._members[self._main].predict(*args, **kwargs)

    def predict_on_batch(self, x: Any) -> Floats:
        """The main member's output, as `keras.Model.predict_on_batch`."""
        return self._members[self._main].predict_on_batch(x)

    def train_step(self, *arguments: Any) -> Any:
        """As Keras does, but nothing of a step happens where the data has no batch for it."""
        with data_faults.waiting_for(arguments[-1]):
            return super().train_step(*arguments)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Tensor:
        """The weighted sum of the members' losses and the regularisers; a scalar tensor."""
        # Before anything waits for other replicas: layers keep one list of losses for all of them.
        regularisers = [self._aggregate_additional_loss(term) for term in self.losses]
        y = y[0] if isinstance(y, list | tuple) and len(y) == 1 else y
        if y is None:
            raise ValueError("Training and evaluation need labels: pass y, or batches (x, y).")
        if isinstance(y, list | tuple | dict):
            raise ValueError(
                f"The model has one output, and labels came as a {type(y).__name__} of {len(y)}: "
                "pass them as one array."
            )
        safe_labels, finite = self._checked_labels(y, y_pred[self._main])
        batch = ops.shape(tree.flatten(x)[0])[0]
        count, share = replicas.count(), replicas.share_of_batch(batch)
        mask = get_keras_mask(y_pred[self._main])
        shares = (
            self._label_share(share, safe_labels, mask, sample_weight),
            share if mask is None else replicas.share_of_batch(replicas.weight_of(mask)),
        )
        total: Any = 0.0
        for name in self._loss_trackers:
            loss, divergence = self._member_loss(name, safe_labels, y_pred, sample_weight, shares)
            total = total + self._member_weights[name] * loss
            self._loss_trackers[name].update_state(_divided(loss, share) * count, batch)
            if divergence is not None:
                self._kl_trackers[name].update_state(_divided(divergence, share) * count, batch)
        # By share too: activities are penalised by the mean over this replica's examples; in mixed
        # precision in their own, narrow dtype.
        share = ops.cast(share, total.dtype)
        total = total + share * sum(ops.cast(term, total.dtype) for term in regularisers)
        return ops.where(finite, _logged_as(total, _divided(total, share)), float("nan"))

    @property
    def losses(self) -> list[Tensor]:
        """What layers and regularisers add to the loss; without what frozen members would."""
        frozen = [term for name in self._frozen for term in self._members[name].losses]
        left_out = set(map(id, frozen))
        return [term for term in super().losses if id(term) not in left_out]

    @property
    def output_classes(self) -> int:
        """How many classes the members' output has, as the loss reads it."""
        axis = self._targets.axis if self._targets else -1
        return self._members[self._main].output_shape[axis]

    # What Keras saves

    def save_own_variables(self, store: Any) -> None:
        """As Keras does, and the states of the random numbers (dropout) of all members."""
        super().save_own_variables(store)
        for index, state in enumerate(seed_states(self)):
            store[f"seed_{index}"] = state

    def load_own_variables(self, store: Any) -> None:
        """The counterpart of `save_own_variables`."""
        names = [name for name in store.keys() if not name.startswith("seed_")]  # noqa: SIM118
        super().load_own_variables({name: store[name] for name in names})
        for index, state in enumerate(seed_states(self)):
            state.assign(store[f"seed_{index}"])

    # Pieces

    def _freeze_members(self):
        for name in self._frozen:
            self._members[name].trainable = False

    def _computer_of(self, name):
        """What computes a member's output."""
        return self._members[name]

    def member_losses(self, y: Tensor, outputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """What each trained member adds to the loss that is minimised; nothing is logged.

        Args:
            y: labels.
            outputs: dict from member name to its output, as `call` returns it.

        Returns:
            Dict from member name to a scalar tensor, its weight in the sum included.
        """
        return {
            name: self._member_weights[name]
            * self._member_loss(name, y, outputs, None, (1.0, 1.0))[0]
            for name in self._loss_trackers
        }

    def anneal_guidance(self, share: float) -> None:
        """Lets the guidance weigh `share * alpha` against the labels, until the next `fit`.

        Args:
            share: in [0, 1].
        """
        self._guidance_weight.assign(share * self.alpha)

    def labels_outside(self) -> int:
        """How many labels outside the classes were seen so far."""
        return int(ops.convert_to_numpy(self._bad_labels))

    def describe_bad_labels(self, count: int) -> str:
        """What is wrong with labels that name no class, and what to do."""
        return describe_outside(count, self.output_classes)

    def _check_names(self, loss):
        """Refuses a dict of losses that names other outputs than the members'."""
        names = getattr(self._members[self._main], "output_names", None)  # Sequential has none
        if isinstance(loss, dict) and names and set(loss) != set(names):
            raise ValueError(f"loss names {sorted(loss)}; the model's only output is {names}.")

    def _member_loss(self, name, y, y_pred, sample_weight, shares):
        """This replica's part of a member's loss, and of its divergence (None without guides).

        Args:
            shares: what the labels' loss and the divergence of this replica count.
        """
        labels = self._compile_loss(y, y_pred[name], sample_weight)
        label_share, share = (ops.cast(one, labels.dtype) for one in shares)
        labels = labels * label_share
        guides = self._guides[name]
        if not guides:
            return labels, None
        terms = [self._divergence(y_pred[guide], y_pred[name], sample_weight) for guide in guides]
        divergence = ops.cast(sum(terms) / len(terms), labels.dtype) * share
        alpha = ops.cast(self._guidance_weight, labels.dtype)
        return (1.0 - alpha) * labels + alpha * divergence, divergence

    def _label_share(self, share, labels, mask, sample_weight):
        """What the labels' loss of this replica counts, by what that loss is the mean of."""
        reduction = getattr(self._label_loss, "reduction", "sum_over_batch_size")
        if reduction == "sum":
            return 1.0
        weights = [] if mask is None else [mask]
        if self._targets and self._targets.ignored is not None:
            weights.append(ops.not_equal(labels, self._targets.ignored))
        if reduction == "mean_with_sample_weight" and sample_weight is not None:
            weights.append(sample_weight)
        return replicas.share_of_batch(replicas.weight_of(*weights)) if weights else share

    def _divergence(self, teacher, student, sample_weight):
        teacher = ops.stop_gradient(teacher)
        if isinstance(self._guidance_loss, keras.losses.Loss):
            return self._guidance_loss(teacher, student, sample_weight)
        return self._guidance_loss.compute_loss(teacher, student)

    def _checked_labels(self, y, outputs):
        """Labels that name a class, and whether all did: where not, the loss becomes NaN.

        Some backends crash on such a label and others ignore it; this way all stop alike, and the
        guard can say what was wrong.
        """
        if self._targets is None:
            return y, True
        self._targets.check_labels(y.shape, outputs.shape)
        if not self._targets.sparse:
            return y, True
        safe, count = self._targets.checked(y, outputs)
        self._bad_labels.assign_add(count)
        return safe, ops.equal(count, 0.0)


def _divided(value, share):
    """`value / share`, and 0 for a replica that has no examples."""
    return ops.divide_no_nan(value, ops.cast(share, value.dtype))


def _logged_as(loss, value):
    """A tensor with the gradient of `loss`, which Keras logs as `value`."""
    return loss + ops.stop_gradient(value - loss)
