"""What the user of a script can put right, or asked for, is one line, whoever found it."""

import subprocess
import sys

import pytest
import running
from marks import slow_case

MAIN = """
import sys
sys.path.insert(0, sys.argv.pop(1))
name = sys.argv.pop(1)
import os, signal
import keras_cascade as kc
from keras_cascade.cli import user_errors
def main():
    if name.startswith("SIG"):
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a parent may have turned it off
        os.kill(os.getpid(), getattr(signal, name))
        signal.pause()
    raise getattr(kc, name)("first\\nsecond")
user_errors.run(main, "All is kept.")
"""


@pytest.mark.parametrize(
    ("name", "code", "line"),
    [
        ("DataError", 2, "-c: first second"),
        slow_case("SIGINT", 130, "All is kept."),
        slow_case("SIGTERM", 143, "All is kept."),
    ],
)
def test_one_line_and_an_exit_code(name, code, line):
    result = subprocess.run(
        [sys.executable, "-c", MAIN, running.EXAMPLES, name],
        capture_output=True,
        text=True,
        timeout=100,
        env=running.ENVIRONMENT,
    )
    assert result.returncode == code
    assert result.stderr.splitlines()[-1] == line
    assert "Traceback" not in result.stderr
