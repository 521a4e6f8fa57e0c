"""Command lines run as their user runs them, several in one process."""

import json
import os
import pathlib
import subprocess
import sys

# One process for all: starting TensorFlow takes longer than most commands. A command's flags are
# known to its process from then on, so they must be of one command.
_SEVERAL = """
import contextlib, importlib, io, json, sys
from absl.testing import flagsaver
import keras_cascade_command
with keras_cascade_command.quiet_stderr():
    from keras_cascade.cli import commands
lines = json.loads(sys.argv[1])
importlib.import_module(f"keras_cascade.cli.{lines[0][0]}_command")  # so that its flags stay
for line in lines:
    out, errors, code = io.StringIO(), io.StringIO(), 0
    with flagsaver.flagsaver(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        try:
            commands.run(["keras-cascade", *line])
        except SystemExit as stopped:
            code = stopped.code or 0
    print(json.dumps([code, out.getvalue(), errors.getvalue()]))
"""


def run(command, *lines):
    """Runs one command with several lists of arguments.

    Returns:
        List of `(exit code, standard output, standard error)`.
    """
    given = json.dumps([[command, *map(str, line)] for line in lines])
    result = _process([sys.executable, "-c", _SEVERAL, given])
    assert result.returncode == 0, result.stderr
    return [tuple(json.loads(line)) for line in result.stdout.splitlines() if line[:1] == "["]


def assert_user_errors(command, common, cases):
    """Each case, arguments and a piece of the message, must end in one line and exit code 2."""
    outcomes = run(command, *([*common, *arguments] for arguments, _ in cases))
    for (arguments, message), (code, _, errors) in zip(cases, outcomes, strict=True):
        assert code == 2 and message in errors, (arguments, code, errors)
        assert len(errors.splitlines()) == 1, (arguments, errors)


def run_console_script(*arguments):
    """Runs the installed script; returns the `subprocess.CompletedProcess`."""
    return _process([pathlib.Path(sys.executable).with_name("keras-cascade"), *arguments])


def _process(command):
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env={**os.environ})
