"""A grid of tiny networks on random images; as a program, one that a test can kill.

python tiny_grid.py FOLDER METHOD,METHOD
"""

import contextlib
import sys
import types

import networks
import tensorflow as tf

from keras_cascade import recipe
from keras_cascade.data import ImageData
from keras_cascade.study import Grid, Protocol, StudyRunner, methods, teachers

STEPS = 4  # an epoch
TOTAL_STEPS = 2 * STEPS


def use_tiny(setattr):
    """A tiny network under every name, and 32 random images under the name of every data set."""

    def load(name, *, batch_size, **_):
        x, y = networks.examples_for(networks.small_convnet(), 32)
        batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(batch_size)
        return ImageData(
            name, batches, batches, 4, x.shape[1:], 32, 32, STEPS, lambda start: batches.repeat()
        )

    def narrower(network, *_, **__):
        return networks.small_convnet(normalised=False)

    setattr(teachers.data, "load", load)
    for module in (teachers.models, methods):
        setattr(module, "build_model", lambda *_, **__: networks.small_convnet(regularizer="l2"))
    setattr(methods, "widest_model", narrower)


def runner(
    folder,
    names,
    amounts=(0.4,),
    say=lambda line: None,
    replicas=1,
    make_scope=contextlib.nullcontext,
    variants=types.MappingProxyType({}),
    protocol=types.MappingProxyType({}),
    results="results.jsonl",
    teachers=None,
    others=(),
    backup_every=None,
    **settings,
):
    """A `StudyRunner` of these methods, of `TOTAL_STEPS` steps each."""
    settings = {
        "epochs": 1,
        "recover_epochs": 1,
        "teacher_epochs": 1,
        "min_channels": 1,
        "budget": "params",
        **settings,
    }
    protocol = {"litert": False, **protocol}  # writing and timing files would take most of the time
    grid = Grid(("tiny",), ("noise",), tuple(names), amounts, (0,), variants)
    return StudyRunner(
        grid,
        Protocol(recipe.Settings(**settings), batch_size=8, replicas=replicas, **protocol),
        folder,
        say=say,
        make_scope=make_scope,
        results=results,
        teachers=teachers,
        others=others,
        backup_every=backup_every,
    )


if __name__ == "__main__":
    use_tiny(setattr)
    runner(sys.argv[1], sys.argv[2].split(","), say=lambda line: print(line, flush=True)).run()
