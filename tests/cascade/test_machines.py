"""Two processes, as on two machines, do together what one does alone (docs/machines.md)."""

import json

import machine_worker
import machines
import numpy as np
import pytest

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True, scope="module")
def _needs_jax():
    pytest.importorskip("jax", reason="only JAX trains on several machines")


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """State and logs of one process that is given whole batches."""
    folder = tmp_path_factory.mktemp("alone")
    together("train", 1, folder)
    return outcome(folder, 0, 1)


def together(task, processes, folder):
    """Runs the processes of one training to their end; returns what each printed."""
    port = machines.free_port()
    return machines.run_together(
        machine_worker.__file__,
        [(task, port, process, processes, folder) for process in range(processes)],
    )


def outcome(folder, *names):
    with np.load(folder / machine_worker.STATE.format(*names)) as state:
        logs = json.loads((folder / machine_worker.LOGS.format(*names)).read_text())
        return dict(state), logs


def assert_same_everywhere(folder):
    """Bit for bit: whoever writes the student writes that of all."""
    (first, logs), (second, other_logs) = (outcome(folder, process, 2) for process in (0, 1))
    assert logs == other_logs
    masks = [name for name in first if name.endswith("/mask")]
    assert len(masks) == 2 and not any(first[name].all() for name in masks)
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name], err_msg=name)


def assert_close(found, expected, names):
    for name in names:
        scale = max(1e-3, np.abs(expected[name]).max())
        np.testing.assert_allclose(
            found[name], expected[name], rtol=1e-5, atol=1e-5 * scale, err_msg=name
        )


def test_two_processes_do_what_one_does(tmp_path, alone):
    together("train", 2, tmp_path)
    assert_same_everywhere(tmp_path)
    (state, logs), (expected, expected_logs) = outcome(tmp_path, 0, 2), alone
    assert list(state) == list(expected) and set(logs) == set(expected_logs)
    assert_close(state, expected, expected)
    divergences = {name for name in logs if name.endswith("_kl")}
    assert_close(logs, expected_logs, set(logs) - divergences)
    for name in divergences:  # T^2 = 16 times small differences of logarithms, rounded at 1e-7
        np.testing.assert_allclose(
            logs[name], expected_logs[name], rtol=1e-5, atol=2e-6, err_msg=name
        )
    assert sum(logs["student_flips"]) > 0


def test_two_processes_go_on_from_one_backup(tmp_path, alone):
    printed = together("resume", 2, tmp_path)
    assert_same_everywhere(tmp_path)
    (state, logs), (expected, expected_logs) = outcome(tmp_path, 0, 2), alone
    assert_close(state, expected, expected)
    # Means over the epoch that was broken off cover what came after.
    assert logs["student_macs"] == expected_logs["student_macs"]
    assert len(logs["loss"]) == machine_worker.EPOCHS
    for text in printed:
        assert "must be one folder that all machines share" in text
