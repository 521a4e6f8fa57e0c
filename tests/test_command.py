"""keras_cascade_command.py: what of the standard error is shown, and what is held back."""

import subprocess
import sys

import pytest

CHATTER = "I0000 00:00:1795 cudart_stub.cc:31] Could not find cuda drivers on your machine."


@pytest.mark.parametrize(
    ("ending", "status", "shown"),
    [("", 0, "news\n"), ("os.abort()", -6, "Fatal Python error: Aborted")],
    ids=["ends", "dies"],
)
def test_chatter_is_held_back_and_what_matters_is_shown(ending, status, shown):
    code = (
        "import os, keras_cascade_command\n"
        "with keras_cascade_command.quiet_stderr():\n"
        f"    os.write(2, b'{CHATTER}\\nnews\\n')\n"
        f"    {ending}\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == status
    assert shown in ended.stderr and CHATTER not in ended.stderr
