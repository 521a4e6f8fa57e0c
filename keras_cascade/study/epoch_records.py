"""EpochRecords: what became of a model, or of every level of a cascade, in each epoch."""

import itertools
import time

import keras
import numpy as np

from keras_cascade.cascade import CascadeDistiller, gradient_shares
from keras_cascade.report import write_json

_METRICS = ("accuracy", "val_accuracy")
_EXAMPLES = 32  # all levels' gradients on them stand in memory at once
_OF_LEVELS = ("loss", "kl", "flips")
_SILENCE = 60.0  # seconds after which a training says how far it is


class EpochRecords(keras.callbacks.Callback):
    """Appends one dict for every epoch to a list.

    Each has stage, epoch (from 0), seconds, loss, accuracy and, where the test split is watched,
    val_accuracy. Of a `CascadeDistiller` there is besides "levels": dict from each level's name to
    its accuracy, loss, kl (against its guides), params, macs, flips (channels whose mask changed in
    the epoch), gradient_share (see `gradient_shares`, of 32 training images) and, from the second
    pruned level on, saliency_correlation (Spearman's, over all channels, with the saliency of the
    next larger level: 1 where both rank them alike).

    Args:
        stage: what the epochs are of.
        records: list that is appended to.
        images: `data.ImageData`, whose first batch gradients are taken on; None: no shares, which
            can be had on one replica only.
        path: of a file that holds the whole list after every epoch; None: none. Of an epoch in
            which a training was broken off, losses and metrics are those of its rest.
        say: function that shows a line of progress, at the end of an epoch and at most one a
            minute; None: none is shown.
    """

    def __init__(self, stage, records, images, path=None, say=None):
        super().__init__()
        self._stage, self._records, self._images = stage, records, images
        self._path, self._say = path, say
        self._batch = None
        self._started = self._said = time.monotonic()

    def on_train_begin(self, logs=None):
        self._started = time.monotonic()

    def on_epoch_begin(self, epoch, logs=None):
        self._records[:] = [
            record
            for record in self._records
            if record["stage"] != self._stage or record["epoch"] < epoch
        ]

    def on_epoch_end(self, epoch, logs=None):
        record = self.add(epoch, logs)
        if isinstance(self.model, CascadeDistiller):
            record["levels"] = self._levels(logs)
        if self._path is not None:
            write_json(self._path, self._records)
        self._started = time.monotonic()  # no epoch pays for what is looked at

    def add(self, epoch, logs):
        """Appends the record of an epoch that any library's `fit` logged; returns it."""
        record = {
            "stage": self._stage,
            "epoch": epoch,
            "seconds": round(time.monotonic() - self._started, 2),
            **{name: float(logs[name]) for name in ("loss", *_METRICS) if name in logs},
        }
        self._records.append(record)
        self._started = time.monotonic()
        if self._say is not None and self._started - self._said >= _SILENCE:
            self._said = self._started
            self._say(f"    {_progress(record, (self.params or {}).get('epochs'))}")
        return record

    def _levels(self, logs):
        cascade = self.model
        params, macs = cascade.remaining("params"), cascade.remaining("macs")
        shares = gradient_shares(cascade, *self._first_batch()) if self._images else {}
        correlations = _saliency_correlations(cascade)
        whole = cascade.graph.params(), cascade.graph.macs()
        return {
            name: {
                "params": round(whole[0] * params[name]),
                "macs": round(whole[1] * macs[name]),
                **({"gradient_share": shares[name]} if shares else {}),
                **({"saliency_correlation": correlations[name]} if name in correlations else {}),
                **_of_level(logs, name, main=name == cascade.level_names[-1]),
            }
            for name in cascade.level_names
        }

    def _first_batch(self):
        if self._batch is None:  # of a stream of its own: passes over `train` count epochs
            x, y = next(iter(self._images.from_epoch(0)))
            few = (
                keras.ops.convert_to_numpy(x)[:_EXAMPLES],
                keras.ops.convert_to_numpy(y)[:_EXAMPLES],
            )
            self._batch = few
        return self._batch


def _progress(record, epochs):
    """The record of an epoch in words; how many there are is not always known."""
    of_all = f" of {epochs}" if epochs else ""
    figures = [f"loss {record['loss']:.3f}"] if "loss" in record else []
    figures += [f"{name} {record[name]:.2%}" for name in _METRICS if name in record]
    return f"{record['stage']}, epoch {record['epoch'] + 1}{of_all}: {', '.join(figures)}"


def _saliency_correlations(cascade):
    ranks = {}
    for name in cascade.level_names[1:]:
        saliency = np.concatenate(list(cascade.saliency(name).values()))
        ranks[name] = _mean_ranks(saliency)
    return {
        name: float(np.corrcoef(ranks[larger], ranks[name])[0, 1])
        for larger, name in itertools.pairwise(ranks)
    }


def _mean_ranks(values):
    """Ranks from 1 on; equal values, as the zeros of dead channels, share the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (counts.cumsum() - (counts - 1) / 2)[place]


def _of_level(logs, name, main):
    """What the logs say of one level, under its plain names."""
    names = {figure: f"{name}_{figure}" for figure in _OF_LEVELS}
    for metric in _METRICS:
        prefix, plain = ("val_", metric[4:]) if metric.startswith("val_") else ("", metric)
        names[metric] = metric if main else f"{prefix}{name}_{plain}"
    return {figure: float(logs[key]) for figure, key in names.items() if key in logs}
