"""Where Keras runs on another backend than TensorFlow, TensorFlow is given no GPU."""

import importlib.util
import subprocess
import sys

import pytest
import running
from marks import slow_case

# A GPU that is not there, seen by TensorFlow until it runs anything.
PROGRAM = """
import sys
import tensorflow as tf
from tensorflow.python.eager import context
seen = context.context()
seen._initialize_physical_devices()
gpu = context.PhysicalDevice("/physical_device:GPU:0", "GPU")
seen._physical_devices.append(gpu)
seen._visible_device_list.append(gpu)
sys.path.insert(0, sys.argv[1])
{start}
print(len(tf.config.get_visible_devices("GPU")))
"""
SCRIPT = "import quiet_start"
COMMAND = """
import keras_cascade_command
sys.argv = ["keras-cascade", "export", "nothing.keras", "--output_dir=nowhere"]
try:
    keras_cascade_command.run()
except SystemExit:
    pass
"""


@pytest.mark.parametrize(
    ("start", "backend", "gpus"),
    [
        (SCRIPT, "jax", 0),
        (COMMAND, "jax", 0),
        slow_case(SCRIPT, "torch", 0),
        slow_case(SCRIPT, "tensorflow", 1),
        slow_case(COMMAND, "tensorflow", 1),
    ],
)
def test_gpus_are_left_to_the_backend(start, backend, gpus):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed (the backends extra brings it)")
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(start=start), running.EXAMPLES],
        capture_output=True,
        text=True,
        timeout=100,
        env={**running.ENVIRONMENT, "KERAS_BACKEND": backend},
    )
    assert ended.stdout.splitlines() == [str(gpus)], ended.stderr
