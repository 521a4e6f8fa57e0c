"""One contestant of benchmarks/training.py: times some training steps, and prints one line of JSON.

python benchmarks/training_step.py --model=resnet20 --trainer=cascade --levels=0.25,0.5,0.75
"""

import json
import pathlib
import resource
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "examples"))
import quiet_start  # isort: skip  # noqa: E402, F401

import keras  # noqa: E402
import numpy as np  # noqa: E402
from absl import app, flags  # noqa: E402

import keras_cascade as kc  # noqa: E402
from keras_cascade.models import build_model  # noqa: E402

flags.DEFINE_string("model", "resnet20", "A model of keras_cascade.models.")
flags.DEFINE_float("width", 1.0, "Multiplies every layer's filters.")
flags.DEFINE_enum(
    "trainer",
    "plain",
    ["plain", "keras", "cascade", "sliced", "apart"],
    "plain: the model alone; keras: keras.distillation.Distiller; cascade: masked levels; sliced: "
    "the same after the end of pruning; apart: each level's extracted model by plain fit.",
)
flags.DEFINE_list("levels", ["0.75"], "Fractions of the MACs that the levels remove.")
flags.DEFINE_integer("batch_size", 128, "Images a step.")
flags.DEFINE_integer("steps", 4, "Steps that are timed, after two that are not.")
flags.DEFINE_string("trace", None, "A folder for TensorFlow's profile of the timed steps.")

FLAGS = flags.FLAGS
WARM_UP = 2
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def main(_):
    keras.utils.set_random_seed(0)
    model = build_model(FLAGS.model, (32, 32, 3), 10, width=FLAGS.width, seed=0)
    trainer = _trainer(model)
    if FLAGS.trainer in ("cascade", "sliced", "apart"):
        _draw_masks(trainer)
    floor, fitted = _floor(trainer), [trainer]
    if FLAGS.trainer == "apart":
        fitted = [trainer.extract(name) for name in trainer.level_names]
    results = [_timed(one) for one in fitted]
    found = {
        "seconds_a_step": sum(seconds for seconds, _ in results),
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "floor": floor,
        "traces": max(traces for _, traces in results),
    }
    print(json.dumps(found))


def _timed(trainer):
    """Seconds of a step, and how often it was traced."""
    traces = _count_traces(trainer)
    jit = keras.backend.backend() == "jax"  # on CPUs TensorFlow is faster without
    trainer.compile(keras.optimizers.SGD(0.01), LOSS, metrics=["accuracy"], jit_compile=jit)
    if FLAGS.trainer == "sliced":
        trainer.slice_levels()
    clock = _Clock()
    random = np.random.default_rng(0)
    images = random.standard_normal((FLAGS.batch_size * clock.steps, 32, 32, 3)).astype("float32")
    labels = random.integers(0, 10, len(images))
    callbacks = [clock]
    if FLAGS.trace:
        callbacks.append(
            keras.callbacks.TensorBoard(
                FLAGS.trace, profile_batch=(WARM_UP + 1, clock.steps), write_graph=False
            )
        )
    trainer.fit(images, labels, batch_size=FLAGS.batch_size, verbose=0, callbacks=callbacks)
    return (clock.ended - clock.began) / FLAGS.steps, len(traces)


def _trainer(model):
    if FLAGS.trainer == "plain":
        return model
    if FLAGS.trainer == "keras":
        teacher = build_model(FLAGS.model, (32, 32, 3), 10, width=FLAGS.width, seed=1)
        softened = keras.distillation.LogitsDistillation(loss=keras.losses.KLDivergence())
        return keras.distillation.Distiller(teacher, model, softened)
    return kc.CascadeDistiller(model, tuple(map(float, FLAGS.levels)))


def _floor(trainer):
    """The least work over that of plain fit."""
    if FLAGS.trainer == "plain":
        return 1.0
    if FLAGS.trainer == "keras":
        return 1.0 + 1.0 / 3.0  # a forward pass is a third of a step
    left = trainer.remaining()
    return float(len(left)) if FLAGS.trainer == "cascade" else sum(left.values())


def _draw_masks(cascade):
    random = np.random.default_rng(0)
    for gates in cascade._gates:
        gates.saliency.assign(random.random(gates.saliency.shape))
    cascade.update_masks()


def _count_traces(trainer):
    """A list that grows with every trace of the training step."""
    traces, compute_loss = [], trainer.compute_loss

    def counted(*args, **kwargs):
        traces.append(1)
        return compute_loss(*args, **kwargs)

    trainer.compute_loss = counted
    return traces


class _Clock(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.steps = WARM_UP + FLAGS.steps

    def on_train_batch_end(self, batch, logs=None):
        float(logs["loss"])  # waits for the step
        if batch + 1 == WARM_UP:
            self.began = time.perf_counter()
        self.ended = time.perf_counter()


if __name__ == "__main__":
    app.run(main)
