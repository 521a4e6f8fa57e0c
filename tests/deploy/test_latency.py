"""Latency is measured in turns, of what the files hold; no time is asserted."""

import keras
import networks
import pytest

from keras_cascade.deploy import (
    latency,
    measure_latency,
    measure_memory,
    write_litert,
)

pytestmark = pytest.mark.only_on(
    "tensorflow", "jax", reason="Keras on PyTorch writes no .tflite to be measured"
)
pytest.importorskip("ai_edge_litert", reason="running .tflite needs ai-edge-litert")


def written(model, folder):
    write_litert(model, folder / "model.tflite")
    return folder / "model.tflite"


@pytest.fixture(scope="module")
def tflite(tmp_path_factory):
    return written(networks.small_convnet(), tmp_path_factory.mktemp("model"))


@pytest.mark.parametrize("seconds, untimed", [(1.0, 1), (0.02, 3), (1e-5, 5)])
def test_models_take_turns_and_figures_leave_the_warmup_out(monkeypatch, seconds, untimed):
    """A clock that the last run of the first model's turns moves by 1, 2, 3 ... s and of the
    second's by ten times that: the figures tell which runs counted, and the log in which order.
    Before it come five runs, or fewer if they are long."""
    log, clock = [], {"now": 0.0}

    def made(name, factor):
        def run():
            log.append(name)
            turn, untimed_left = divmod(log.count(name), untimed + 1)
            clock["now"] += seconds if untimed_left else factor * turn

        return run

    models = {"a": made("a", 1), "b": made("b", 10)}
    monkeypatch.setattr(latency, "_ready", lambda artefact, threads: models[artefact])
    monkeypatch.setattr(latency.time, "perf_counter", lambda: clock["now"])
    found = measure_latency({"first": "a", "second": "b"}, runs=11, warmup=2)
    assert log == [name for _ in range(13) for name in "ab" for _ in range(untimed + 1)]
    # Turns 3 to 13 are counted.
    for name, factor in (("first", 1000.0), ("second", 10_000.0)):
        figures = found[name].p10_ms, found[name].median_ms, found[name].p90_ms
        assert figures == pytest.approx((4 * factor, 8 * factor, 12 * factor))


def test_files_and_keras_models_run(tflite):
    artefacts = {"one": tflite, "two": str(tflite), "keras": networks.small_convnet()}
    found = measure_latency(artefacts, runs=3, warmup=1, threads=1)
    assert list(found) == ["one", "two", "keras"]
    for figures in found.values():
        assert 0 < figures.p10_ms <= figures.median_ms <= figures.p90_ms


def test_memory_is_that_of_the_model(tmp_path):
    """Ten million weights of four bytes."""
    model = keras.Sequential([keras.Input((1000,)), keras.layers.Dense(10_000)])
    assert 40e6 <= measure_memory(written(model, tmp_path)) < 200e6


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("raise SystemExit('no room')", r"status 1\): no room"),
        ("import os; os.kill(os.getpid(), 9)", r"status -9\): no reason was given"),
    ],
)
def test_a_process_that_fails_is_told_with_its_reason(tflite, monkeypatch, program, reason):
    monkeypatch.setattr(latency, "_MEMORY", program)
    with pytest.raises(RuntimeError, match=f"model.tflite could not be run .*{reason}"):
        measure_memory(tflite)


def test_integer_inputs_run(tmp_path):
    inputs = keras.Input((6,), dtype="int32")
    outputs = keras.layers.GlobalAveragePooling1D()(keras.layers.Embedding(5, 3)(inputs))
    words = written(keras.Model(inputs, outputs), tmp_path)
    assert measure_latency({"words": words}, runs=1, warmup=0)["words"].median_ms > 0


def test_what_cannot_be_measured_is_refused(tflite, tmp_path):
    with pytest.raises(ValueError, match="artefacts is empty"):
        measure_latency({})
    for wrong in ({"runs": 0}, {"warmup": -1}, {"threads": 0}):
        with pytest.raises(ValueError, match="must be at least 1"):
            measure_latency({"model": tflite}, **wrong)
    with pytest.raises(ValueError, match="nowhere.tflite"):
        measure_latency({"model": tmp_path / "nowhere.tflite"})
    (tmp_path / "text.tflite").write_text("hello")
    for measure in (measure_memory, lambda path: measure_latency({"model": path})):
        with pytest.raises(ValueError, match="LiteRT cannot open .*text.tflite' as a .tflite file"):
            measure(tmp_path / "text.tflite")
    for artefacts in (tflite, [tflite], networks.small_convnet()):
        with pytest.raises(TypeError, match="artefacts must be a dict .*, got"):
            measure_latency(artefacts)
    with pytest.raises(TypeError, match=r"of a .tflite file, not of model .*write_litert\("):
        measure_memory(networks.small_convnet())
    inputs = keras.Input((None, None, 3))
    convolved = keras.layers.Conv2D(4, 3, padding="same")(inputs)
    for outputs in (convolved, keras.layers.GlobalAveragePooling2D()(convolved)):
        open_model = written(keras.Model(inputs, outputs), tmp_path)
        with pytest.raises(ValueError, match="open shape .*fixed input size"):
            measure_latency({"model": open_model})
    with pytest.raises(ValueError, match="open shape .*build it with a fixed input size"):
        measure_latency({"model": keras.Model(inputs, convolved)})
