"""TensorBoard's files: what the logs say, once an epoch, however often a run is broken off."""

import keras
import networks
import numpy as np
import pytest
import resumable
import tensorflow as tf
from marks import slow

import keras_cascade as kc
from keras_cascade.cascade import processes
from keras_cascade.cascade.tensorboard import EventFiles

Event = tf.compat.v1.Event


def _events(folder):
    """All events of a folder's files, in the order in which TensorBoard reads them."""
    records = []
    for path in sorted(folder.glob("events.out.tfevents.*")):
        dataset = tf.data.TFRecordDataset(str(path))
        records += [Event.FromString(record) for record in dataset.as_numpy_iterator()]
    return [event for event in records if not event.HasField("file_version")]


def _by_tag(event):
    return {value.tag: value for value in event.summary.value}


def _fit(log_dir, budget="macs", epochs=3, **fit_arguments):
    model = networks.small_convnet()
    cascade = kc.CascadeDistiller(model, (0.3, 0.6), budget=budget, min_channels=1, momentum=0.5)
    loss = "sparse_categorical_crossentropy"
    compiled = keras.backend.backend() == "jax"  # where eager steps are the slower ones
    cascade.compile("sgd", loss, metrics=["accuracy"], jit_compile=compiled)
    x, y = networks.examples_for(model, 16)
    callback = kc.CascadeCallback(begin=0, end=2, frequency=1, log_dir=log_dir)
    logs = cascade.fit(
        x, y, batch_size=8, epochs=epochs, validation_data=(x, y), verbose=0,
        callbacks=[callback], **fit_arguments,
    ).history  # fmt: skip
    return cascade, logs


@pytest.mark.parametrize("budget", ["macs", *slow("params")])
def test_events_hold_the_logs(tmp_path, budget):
    cascade, logs = _fit(tmp_path / "logs", budget)
    expected = {"loss", "ta1_loss", "val_accuracy", "teacher_accuracy", "student_flips"}
    expected |= {f"{level}_{kind}" for level in cascade.level_names for kind in ("macs", budget)}
    assert expected <= set(logs)
    events = _events(tmp_path / "logs")
    assert [event.step for event in events] == [0, 1, 2]
    for epoch, event in enumerate(events):
        values = _by_tag(event)
        scalars = {tag for tag in values if tag.startswith("cascade/")}
        assert scalars == {f"cascade/{name}" for name in logs}
        for name, series in logs.items():
            assert values[f"cascade/{name}"].simple_value == pytest.approx(series[epoch], rel=1e-6)
    last = _by_tag(events[-1])
    for level in ("ta1", "student"):
        for group, mask in cascade.masks(level).items():
            assert last[f"kept_{level}/{group}"].simple_value == mask.sum()
        saliency = np.concatenate(list(cascade.saliency(level).values()))
        histogram = last[f"saliency/{level}"].histo
        positive = np.log10(saliency[saliency > 0])
        assert histogram.num == sum(histogram.bucket) == len(positive)
        assert (histogram.min, histogram.max) == pytest.approx((positive.min(), positive.max()))
        edges = [histogram.min, *histogram.bucket_limit]
        assert list(histogram.bucket) == np.histogram(positive, edges)[0].tolist()


def test_logs_have_macs_whatever_the_budget(tmp_path):
    cascade, logs = _fit(None, "channels", epochs=1)
    for level in cascade.level_names:
        masks = cascade.masks(level)
        left = cascade.graph.macs(masks) / cascade.graph.macs()
        assert logs[f"{level}_macs"] == [pytest.approx(left)]
        assert logs[f"{level}_channels"][0] == pytest.approx(cascade.remaining()[level])
    assert not list(tmp_path.iterdir())


class _Stop(Exception):
    pass


class _StopAfter(kc.TrainingBackup):
    """Ends as a kill would at one place, `batch` None: after an epoch, before its state is kept."""

    def __init__(self, folder, epoch, batch):
        super().__init__(folder, every=1)
        self._place = epoch, batch

    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(batch, logs)
        if (self._epoch, batch) == self._place:
            raise _Stop

    def on_epoch_end(self, epoch, logs=None):
        if (epoch, None) == self._place:
            raise _Stop
        super().on_epoch_end(epoch, logs)


@pytest.mark.parametrize("place", slow((1, None), (0, None), (1, 1), (2, 0)))
def test_a_run_gone_on_with_writes_every_epoch_once(tmp_path, monkeypatch, place):
    train = resumable.recipe.train_cascade
    monkeypatch.setattr(
        resumable.recipe,
        "train_cascade",
        lambda *arguments: train(*arguments, log_dir=tmp_path / "logs"),
    )
    with pytest.raises(_Stop):
        resumable.run(_StopAfter(tmp_path / "backup", *place))
    written = [event.step for event in _events(tmp_path / "logs")]
    epoch, batch = place
    assert written == list(range(epoch + (batch is None)))
    _, logs = resumable.run(kc.TrainingBackup(tmp_path / "backup"))
    events = _events(tmp_path / "logs")
    assert [event.step for event in events] == list(range(resumable.EPOCHS))
    for name, series in logs.items():
        found = [_by_tag(event)[f"cascade/{name}"].simple_value for event in events]
        np.testing.assert_allclose(found, series, rtol=1e-6, err_msg=name)


@pytest.mark.slow
def test_a_run_begun_anew_replaces_the_former_and_no_others(tmp_path):
    other = tmp_path / "events.out.tfevents.1.host.other"
    other.write_bytes(b"of another writer")
    _fit(tmp_path, epochs=3)
    cascade, logs = _fit(tmp_path, epochs=2)
    assert other.read_bytes() == b"of another writer"
    other.unlink()
    assert [event.step for event in _events(tmp_path)] == [0, 1]
    cascade.fit(
        *networks.examples_for(networks.small_convnet(), 16), batch_size=8, initial_epoch=2,
        epochs=3, verbose=0, callbacks=[kc.CascadeCallback(begin=0, end=2, log_dir=tmp_path)],
    )  # fmt: skip
    assert [event.step for event in _events(tmp_path)] == [0, 1, 2]


def test_what_a_kill_left_torn_is_taken_out(tmp_path):
    files = EventFiles(tmp_path, 0)
    for step in range(3):
        files.write(step, {"loss": step + 0.5}, {"saliency": [1.0, 2.0], "nothing": []})
    files.close()
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-5])
    EventFiles(tmp_path, 2).write(2, {"loss": 2.5}, {})
    events = _events(tmp_path)  # raises where a record is torn
    assert [_by_tag(event)["loss"].simple_value for event in events] == [0.5, 1.5, 2.5]
    assert set(_by_tag(events[0])) == {"loss", "saliency"}


@pytest.mark.slow
def test_only_the_first_process_writes(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "is_first", lambda: False)
    _fit(tmp_path / "logs", epochs=1)
    assert not (tmp_path / "logs").exists()


def test_a_folder_that_cannot_be_written_is_an_os_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        _fit(tmp_path / "file" / "logs", epochs=1)
    files = EventFiles(tmp_path / "gone", 0)
    (tmp_path / "gone").rmdir()
    with pytest.raises(OSError, match="gone"):
        files.write(0, {}, {})


def test_a_metric_may_give_a_value_for_each_class(tmp_path):
    model = networks.small_convnet(classes=3)
    cascade = kc.CascadeDistiller(model, (0.4,), min_channels=1)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    cascade.compile("sgd", loss, metrics=[keras.metrics.F1Score(name="f1")], run_eagerly=True)
    x, y = networks.examples_for(model, 16)
    x, y = x[:8], np.eye(3, dtype="float32")[y[:8] % 3]
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(4)
    pruning = kc.CascadeCallback(begin=0, end=1, frequency=1, log_dir=tmp_path / "logs")
    for _ in ("trained", "read again"):
        logs = kc.TrainingBackup(tmp_path / "states").fit(
            cascade, lambda _: data, steps_per_epoch=2, epochs=1, callbacks=[pruning], verbose=0
        )
    values = _by_tag(_events(tmp_path / "logs")[-1])
    (scores,) = logs["f1"]
    assert scores == [
        pytest.approx(values[f"cascade/f1/{place}"].simple_value) for place in range(3)
    ]
