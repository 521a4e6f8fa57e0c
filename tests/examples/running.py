"""Runs an example as its user does, in a process of its own."""

import json
import os
import pathlib
import subprocess
import sys

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"
ENVIRONMENT = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}

# Runs a script once for each list of flags, and prints what each run ended with and wrote.
_SEVERAL_RUNS = """
import contextlib, importlib, io, json, pathlib, sys
script, runs = pathlib.Path(sys.argv[1]), json.loads(sys.argv[2])
sys.path.insert(0, str(script.parent))
module = importlib.import_module(script.stem)
from absl.testing import flagsaver
for flags in runs:
    sys.argv = [str(script), *flags]
    code, errors = None, io.StringIO()
    with flagsaver.flagsaver(), contextlib.redirect_stderr(errors):
        try:
            module.run()
        except SystemExit as stopped:
            code = stopped.code
    print(json.dumps([code, errors.getvalue()]))
"""


def run(script, *flags):
    """Runs a script to its end; returns the `subprocess.CompletedProcess`."""
    return _python(EXAMPLES / script, *flags)


def assert_user_errors(script, common, cases):
    """Each case, flags and a piece of the message, must end in one line and exit code 2."""
    # One process for all of them: starting TensorFlow takes longer than the errors.
    runs = [[*common, *flags] for flags, _ in cases]
    result = _python("-c", _SEVERAL_RUNS, EXAMPLES / script, json.dumps(runs))
    assert result.returncode == 0 and result.stderr == "", result.stderr
    outcomes = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(outcomes) == len(cases)
    for (flags, message), (code, errors) in zip(cases, outcomes, strict=True):
        assert code == 2 and message in errors, (flags, code, errors)
        assert "Traceback" not in errors and len(errors.splitlines()) == 1, (flags, errors)


def _python(*arguments):
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=400,
        env=ENVIRONMENT,
    )
