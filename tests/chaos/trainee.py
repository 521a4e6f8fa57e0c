"""A run that another process may kill at any point: it says where it is and waits to be let go on.

    python tests/chaos/trainee.py FOLDER OUTPUT [LIMIT]

States go to FOLDER, the state at the end to OUTPUT (.npz). Each line it prints names a point, and
it goes on when it reads a line. With LIMIT no file may grow beyond so many bytes from the second
step on, as on a full disk.
"""

import io
import os
import pathlib
import resource
import signal
import sys

ROOT = pathlib.Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "examples"), str(ROOT / "tests")]
import quiet_start  # isort: skip  # noqa: E402, F401

import keras  # noqa: E402
import numpy as np  # noqa: E402
from resumable import run, state  # noqa: E402

import keras_cascade as kc  # noqa: E402


def main(folder, output, limit=None):
    seen = []

    def before_step(batch, logs):
        seen.append(batch)
        if limit and len(seen) == 2:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), resource.RLIM_INFINITY))
        _reach("before a step")

    def after_step(batch, logs):
        _reach("after a step and its mask update, before its state is written")

    np.savez = _in_two_halves(np.savez)
    points = keras.callbacks.LambdaCallback(
        on_train_batch_begin=before_step, on_train_batch_end=after_step
    )
    try:
        cascade, _ = run(kc.TrainingBackup(folder, every=1), points)
    except OSError as error:
        print(error, file=sys.stderr)
        sys.exit(3)
    np.savez_compressed(output, **state(cascade))


def _reach(point):
    print(point, flush=True)
    sys.stdin.readline()


def _in_two_halves(savez):
    def written(file, **arrays):
        memory = io.BytesIO()
        savez(memory, **arrays)
        content = memory.getvalue()
        file.write(content[: len(content) // 2])
        file.flush()
        os.fsync(file.fileno())
        _reach("while a state is written")
        file.write(content[len(content) // 2 :])

    return written


if __name__ == "__main__":
    main(*sys.argv[1:])
