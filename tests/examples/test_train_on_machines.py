"""The script for several machines: two processes to the end, and user errors in one line."""

import subprocess
import sys

import keras
import machines
import pytest
import running

from keras_cascade import report

SCRIPT = "train_on_machines.py"


@pytest.mark.slow
def test_two_processes_write_one_student(tmp_path):
    pytest.importorskip("jax", reason="only JAX trains on several machines")
    pytest.importorskip("sklearn", reason="digits come with scikit-learn")
    common = [
        f"--coordinator=localhost:{machines.free_port()}",
        "--processes=2",
        "--model=vgg16",
        "--width=0.0625",
        "--max_train_examples=128",
        "--teacher_epochs=1",
        "--epochs=1",
        "--recover_epochs=1",
        "--levels=0.3,0.6",
    ]
    folders = [tmp_path / "first", tmp_path / "second"]
    flags = [
        [*common, f"--process_id={process}", f"--output_dir={folder}"]
        for process, folder in enumerate(folders)
    ]
    first, second = machines.run_together(running.EXAMPLES / SCRIPT, flags)
    assert "recovery, epoch 1/1" in first
    assert all("Gloo" in line for line in second.splitlines())  # JAX says that it connected
    assert not folders[1].exists()
    (run,) = report.read_runs(folders[:1])
    rows, history = run["rows"], run["history"]
    assert len(history["loss"]) == run["configuration"]["epochs"] == 1
    assert f"{rows[1]['accuracy']:.2%}" in first
    assert rows[1]["macs"] == pytest.approx(0.4 * rows[0]["macs"], rel=0.03)
    student = keras.models.load_model(folders[0] / "student.keras")  # here on TensorFlow
    assert student.count_params() == rows[1]["params"]


USER_ERRORS = [
    (["--processes=2"], "--coordinator=host:port"),
    (["--processes=2", "--coordinator=nohost"], "--coordinator=host:port"),
    (["--process_id=1"], "--processes=1 are numbered from 0"),
    (["--levels=half"], "--levels must be numbers"),
    (["--output_dir=/proc/nowhere"], "Cannot write to the output folder"),
    (["left", "over"], "Unexpected argument 'left'"),
]


@pytest.mark.slow
def test_user_errors_are_one_line(tmp_path):
    pytest.importorskip("jax", reason="only JAX trains on several machines")
    running.assert_user_errors(SCRIPT, [f"--output_dir={tmp_path}"], USER_ERRORS)


WITHOUT_TENSORFLOW = """
import runpy, sys
sys.modules["tensorflow"] = None  # so that importing it raises
sys.argv = sys.argv[1:]
sys.path.insert(0, sys.argv.pop(0))
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_what_is_missing_without_tensorflow_is_one_line(tmp_path):
    pytest.importorskip("jax", reason="only JAX trains on several machines")
    script = running.EXAMPLES / SCRIPT
    flags = ["--processes=2", "--coordinator=localhost:1", f"--output_dir={tmp_path}"]
    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT_TENSORFLOW, script.parent, script, *flags],
        capture_output=True,
        text=True,
        timeout=100,
        env={**running.ENVIRONMENT, "KERAS_BACKEND": "jax"},
    )
    assert ended.returncode == 2 and len(ended.stderr.splitlines()) == 1, ended.stderr
    assert "TensorFlow is not installed" in ended.stderr
    assert "pip install tensorflow" in ended.stderr


@pytest.mark.slow
def test_another_backend_is_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(running.ENVIRONMENT, "KERAS_BACKEND", "tensorflow")
    cases = [([], "KERAS_BACKEND=tensorflow: Keras trains in several processes on jax only")]
    running.assert_user_errors(SCRIPT, [], cases)
