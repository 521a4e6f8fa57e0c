"""One of the processes of test_machines.py: trains a cascade on its part of every batch.

python machine_worker.py TASK PORT PROCESS PROCESSES FOLDER
"""

import json
import pathlib
import sys

import keras
import networks
import numpy as np
import tensorflow as tf

import keras_cascade as kc
from keras_cascade.cascade.seeds import seed_states
from keras_cascade.data.sharing import Sharing

BATCH, STEPS, EPOCHS = 8, 4, 3
EXAMPLES = 30  # the last batch, 6, is divided too
STATE, LOGS = "state_{}_of_{}.npz", "logs_{}_of_{}.json"


class Killed(Exception):
    pass


def cascade():
    keras.utils.set_random_seed(7)
    made = kc.CascadeDistiller(
        networks.small_convnet(regularizer="l2"), (0.3, 0.6), min_channels=1, momentum=0.5
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    made.compile(keras.optimizers.SGD(0.05), loss, metrics=["accuracy"])
    return made


class Data:
    """This process's part of batches that all processes draw alike."""

    def __init__(self, sharing):
        x, y = networks.examples_for(networks.small_convnet(), EXAMPLES)
        self._examples, self._sharing = tf.data.Dataset.from_tensor_slices((x, y)), sharing

    def after(self, epochs):
        numbers = tf.data.Dataset.range(epochs, tf.int64.max)
        return numbers.flat_map(lambda n: self._parts(self._examples.shuffle(EXAMPLES, seed=n)))

    def in_order(self):
        return self._parts(self._examples)

    def _parts(self, examples):
        def part(x, y):
            kept = self._sharing.part(tf.shape(y)[0])
            return x[kept], y[kept]

        return examples.batch(BATCH).map(part)


def pruning():
    return kc.CascadeCallback(end=9, frequency=1)


def train(data, folder):
    """All of the training, at one go."""
    made = cascade()
    logs = made.fit(
        data.after(0),
        steps_per_epoch=STEPS,
        epochs=EPOCHS,
        validation_data=data.in_order(),
        callbacks=[pruning()],
        verbose=0,
    )
    return made, logs.history


def resume(data, folder):
    """The same, broken off in the middle of the second epoch and gone on with."""
    seen = []

    def count(batch, logs):
        seen.append(batch)
        if len(seen) == STEPS + 3:
            raise Killed

    def fit(trainer, *callbacks):
        return kc.TrainingBackup(folder / "backup", every=2).fit(
            trainer,
            data.after,
            steps_per_epoch=STEPS,
            epochs=EPOCHS,
            validation_data=data.in_order(),
            callbacks=[pruning(), *callbacks],
            verbose=0,
        )

    try:
        fit(cascade(), keras.callbacks.LambdaCallback(on_train_batch_end=count))
    except Killed:
        made = cascade()
    return made, fit(made)


def restore_from_own_folders(made, folder, process):
    """What a backup says whose folder the processes do not share."""
    try:
        kc.TrainingBackup(folder / ("backup" if process == 0 else "elsewhere")).restore(made)
    except ValueError as error:
        return str(error)


def write(made, logs, folder, *names):
    variables = [*made.weights, *made.optimizer.variables, *seed_states(made)]
    # By position: Keras numbers the names of a second cascade in one process.
    arrays = {f"{i}/{v.name}": keras.ops.convert_to_numpy(v) for i, v in enumerate(variables)}
    student = made.extract().get_weights()
    arrays |= {f"student {i}": weight for i, weight in enumerate(student)}
    np.savez(folder / STATE.format(*names), **arrays)
    (folder / LOGS.format(*names)).write_text(json.dumps(logs))


def main(task, port, process, processes, folder):
    process, processes, folder = int(process), int(processes), pathlib.Path(folder)
    if processes > 1:
        keras.distribution.initialize(f"localhost:{port}", processes, process)
    keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))
    data = Data(Sharing(processes, process, processes))
    made, logs = {"train": train, "resume": resume}[task](data, folder)
    if task == "resume":
        print(restore_from_own_folders(made, folder, process))
    write(made, logs, folder, process, processes)


if __name__ == "__main__":
    main(*sys.argv[1:])
