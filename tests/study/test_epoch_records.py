"""EpochRecords: what is recorded of a cascade's levels. tests/study/test_runner.py runs it."""

import math
import types

import keras
import numpy as np
import pytest

from keras_cascade.study import epoch_records
from keras_cascade.study.epoch_records import EpochRecords, _saliency_correlations


@pytest.mark.parametrize("silence, said", [(0.0, [1, 2, 3]), (math.inf, [])])
def test_a_long_training_says_how_far_it_is(monkeypatch, silence, said):
    monkeypatch.setattr(epoch_records, "_SILENCE", silence)
    lines, records = [], []
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    watch = EpochRecords("teacher", records, None, say=lines.append)
    model.fit(np.eye(2), np.arange(2), epochs=3, callbacks=[watch], verbose=0)
    assert len(records) == 3
    assert lines == [
        f"    teacher, epoch {epoch} of 3: loss {records[epoch - 1]['loss']:.3f}, "
        f"accuracy {records[epoch - 1]['accuracy']:.2%}"
        for epoch in said
    ]


def test_saliency_is_correlated_by_rank_with_the_next_larger_level():
    """Spearman's coefficient is 1 - 6 (sum of squared differences of ranks) / (n^3 - n)."""
    saliency = {
        "ta1": {"a": np.array([1.0, 2.0]), "b": np.array([3.0, 4.0])},
        "ta2": {"a": np.array([0.0, 7.0]), "b": np.array([7.5, 9e9])},
        "student": {"a": np.array([7.0, 0.0]), "b": np.array([9.0, 8.0])},
    }
    cascade = types.SimpleNamespace(
        level_names=["teacher", "ta1", "ta2", "student"], saliency=saliency.get
    )
    expected = {"ta2": 1.0, "student": 1 - 6 * (1 + 1 + 1 + 1) / (64 - 4)}
    assert _saliency_correlations(cascade) == pytest.approx(expected)


def test_channels_of_one_saliency_share_a_rank():
    """Ranks 1.5 1.5 3 4 and 3.5 2 3.5 1: about 2.5, products sum to -2.25 and squares to 4.5."""
    saliency = {
        "ta1": {"a": np.array([0.0, 0.0, 3.0, 4.0])},
        "student": {"a": np.array([5.0, 2.0, 5.0, 1.0])},
    }
    cascade = types.SimpleNamespace(
        level_names=["teacher", "ta1", "student"], saliency=saliency.get
    )
    assert _saliency_correlations(cascade) == pytest.approx({"student": -2.25 / 4.5})
