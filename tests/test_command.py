"""keras_cascade_command.py: what is set before TensorFlow is imported."""

import os

import pytest

import keras_cascade_command


@pytest.mark.parametrize(
    ("set_by_user", "expected"), [(None, ("3", "1")), ("0", ("0", "0"))], ids=["nothing", "both"]
)
def test_what_the_user_has_set_for_tensorflow_stays(set_by_user, expected, monkeypatch):
    names = ("TF_CPP_MIN_LOG_LEVEL", "TF_ENABLE_ONEDNN_OPTS")
    for name in names:
        monkeypatch.setenv(name, "put back after the test")
        if set_by_user is None:
            del os.environ[name]
        else:
            os.environ[name] = set_by_user
    keras_cascade_command.set_up_tensorflow()
    assert tuple(os.environ[name] for name in names) == expected
