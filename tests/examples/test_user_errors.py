"""What the user of a script can put right is one line, whoever found it."""

import subprocess
import sys

import pytest
import running

MAIN = """
import sys
sys.path.insert(0, sys.argv.pop(1))
name = sys.argv.pop(1)
import keras_cascade as kc, user_errors
def main(argv):
    raise getattr(kc, name)("first\\nsecond")
user_errors.run(main)
"""


@pytest.mark.parametrize("name", ["DataError", "NonFiniteLossError"])
def test_one_line_and_exit_code_two(name):
    result = subprocess.run(
        [sys.executable, "-c", MAIN, running.EXAMPLES, name],
        capture_output=True,
        text=True,
        timeout=100,
        env=running.ENVIRONMENT,
    )
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1] == "-c: first second"
    assert "Traceback" not in result.stderr
