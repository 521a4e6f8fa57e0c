"""Runs several processes that train together on JAX."""

import contextlib
import os
import pathlib
import socket
import subprocess
import sys

TESTS = pathlib.Path(__file__).parent
ENVIRONMENT = {
    **os.environ,
    "KERAS_BACKEND": "jax",
    "JAX_PLATFORMS": "cpu",
    "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",  # XLA's take longer than the few steps of tests
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "PYTHONPATH": os.pathsep.join(map(str, (TESTS, TESTS.parent))),
}


def free_port():
    """A port of this machine that nobody listened on just now."""
    with socket.socket() as one:
        one.bind(("localhost", 0))
        return one.getsockname()[1]


def run_together(script, arguments, timeout=1500):
    """Runs a script in several processes at once, to their end.

    Args:
        script: path.
        arguments: the list of arguments of each process.
        timeout: seconds.

    Returns:
        What each printed.
    """
    with contextlib.ExitStack() as started:
        running = []
        for each in arguments:
            process = subprocess.Popen(
                [sys.executable, str(script), *map(str, each)],
                env=ENVIRONMENT,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            started.callback(process.kill)  # one that failed leaves the others waiting
            running.append(process)
        printed = []
        for process in running:
            out, errors = process.communicate(timeout=timeout)
            assert process.returncode == 0, errors
            printed.append(out)
        return printed
