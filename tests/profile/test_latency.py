"""Latency is measured in turns, of what the files hold; no time is asserted."""

import keras
import networks
import pytest

from keras_cascade.deploy import write_artefacts
from keras_cascade.profile import latency, measure_latency

pytestmark = pytest.mark.only_on(
    "tensorflow", "jax", reason="Keras on PyTorch writes no .tflite to be measured"
)
pytest.importorskip("ai_edge_litert", reason="running .tflite needs ai-edge-litert")


@pytest.fixture(scope="module")
def tflite(tmp_path_factory):
    return write_artefacts(networks.small_convnet(), tmp_path_factory.mktemp("model"))["tflite"]


def test_models_take_turns_and_medians_leave_the_warmup_out(tflite, monkeypatch):
    """A clock that a run of the first model moves by 1, 2, 3 ... s and of the second by ten times
    that: the medians tell which runs were counted, and the log in which order."""
    log, clock = [], {"now": 0.0}

    class Model:
        def __init__(self, name, factor):
            self.name, self.factor, self.calls = name, factor, 0

        def invoke(self):
            self.calls += 1
            log.append(self.name)
            clock["now"] += self.factor * self.calls

    models = {"a": Model("a", 1), "b": Model("b", 10)}
    monkeypatch.setattr(latency, "_ready", lambda path, threads: models[path])
    monkeypatch.setattr(latency.time, "perf_counter", lambda: clock["now"])
    medians = measure_latency({"first": "a", "second": "b"}, runs=3, warmup=2)
    assert log == ["a", "b"] * 5
    assert medians == pytest.approx({"first": 4000.0, "second": 40000.0})


def test_files_run(tflite):
    medians = measure_latency({"one": tflite, "two": str(tflite)}, runs=3, warmup=1, threads=1)
    assert list(medians) == ["one", "two"] and min(medians.values()) > 0


def test_integer_inputs_run(tmp_path):
    inputs = keras.Input((6,), dtype="int32")
    outputs = keras.layers.GlobalAveragePooling1D()(keras.layers.Embedding(5, 3)(inputs))
    paths = write_artefacts(keras.Model(inputs, outputs), tmp_path)
    assert measure_latency({"words": paths["tflite"]}, runs=1, warmup=0)["words"] > 0


def test_what_cannot_be_measured_is_refused(tflite, tmp_path):
    with pytest.raises(ValueError, match="paths is empty"):
        measure_latency({})
    for wrong in ({"runs": 0}, {"warmup": -1}, {"threads": 0}):
        with pytest.raises(ValueError, match="must be at least 1"):
            measure_latency({"model": tflite}, **wrong)
    with pytest.raises(ValueError, match="nowhere.tflite"):
        measure_latency({"model": tmp_path / "nowhere.tflite"})
    inputs = keras.Input((None, None, 3))
    open_model = keras.Model(inputs, keras.layers.Conv2D(4, 3, padding="same")(inputs))
    with pytest.raises(ValueError, match="open shape .*fixed input size"):
        measure_latency({"model": write_artefacts(open_model, tmp_path)["tflite"]})
