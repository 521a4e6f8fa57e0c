"""Invariants 1, 3 and 6 on random models under random masks.

The few models of every run are always the same. `make test-random` draws many more, from a seed
that it prints; a failure is then shrunk to a small model and shown call by call.
"""

import os

import hypothesis
import invariants
import keras
import numpy as np
import pytest
import random_graphs
from hypothesis import strategies as st
from marks import slow_but

import keras_cascade as kc

EXAMPLES = int(os.environ.get("RANDOM_EXAMPLES", "24"))
SEED = int(os.environ.get("RANDOM_SEED", "1"))
SHRINK = [hypothesis.Phase.shrink] if "RANDOM_SEED" in os.environ else []
PARTS = 2  # one for `make test`, one for `make test-slow`


def _for_random_models(examples, seed):
    """Decorator: runs a function of a model, a kind of masks and a seed on that many models."""

    def run(function):
        settings = hypothesis.settings(
            max_examples=examples,
            database=None,
            deadline=None,
            phases=[hypothesis.Phase.generate, *SHRINK],
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        drawn = random_graphs.models(), st.sampled_from(random_graphs.MASKS), st.integers(0, 999)
        hypothesis.seed(seed)(settings(hypothesis.given(*drawn)(function)))()

    return run


@pytest.mark.parametrize("part", slow_but({0}, range(PARTS)))
def test_random_models_are_cut_exactly(part):
    removed = []

    @_for_random_models(EXAMPLES // PARTS, SEED * PARTS + part)
    def check(model, kind, seed):
        graph = kc.ChannelGraph(model)
        hypothesis.note(f"{random_graphs.listing(graph)}\n{graph.summary()}")
        removed.append(random_graphs.assert_exact(model, graph, kind, seed))

    assert np.mean(removed) > 0.5  # else what was drawn says little


def test_extracted_random_models_survive_a_file(tmp_path):
    path = tmp_path / "small.keras"

    @_for_random_models(EXAMPLES // 5, SEED)
    def check(model, kind, seed):
        graph = kc.ChannelGraph(model)
        masks = random_graphs.masks_of(graph, kind, seed)
        small = kc.Surgeon(model, graph).extract(masks, verify=False)
        small.save(path)
        read = keras.saving.load_model(path, safe_mode=False)
        invariants.assert_same_outputs(invariants.outputs_of(small), invariants.outputs_of(read))
