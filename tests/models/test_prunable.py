"""Our networks can be cut: every filter but the logits, exactly."""

import invariants
import networks
import pytest

import keras_cascade as kc
from keras_cascade.models import build_model

# VGG16 and the residual networks are among `networks.ARCHITECTURES`, which every test cuts.
WIDTHS = {"densenet40": 0.4, "mobilenet_v2": 0.25, "efficientnet_b0": 0.25}


@pytest.fixture(scope="module", params=WIDTHS)
def network(request):
    """A thin network for 16x16x3 images and five classes; not to be trained."""
    name = request.param
    model = build_model(name, (16, 16, 3), 5, width=WIDTHS[name], seed=3)
    return networks.unsettled(model)


def test_every_filter_but_the_logits_is_prunable(network):
    graph = kc.ChannelGraph(network)
    kept_whole = [group.name for group in graph.groups if not group.prunable]
    assert kept_whole == ["logits"]
    cut = {layer for group in graph.prunable_groups for layer in group.producers}
    # A depthwise convolution makes no channels of its own: they pass through it.
    makers = [x.name for x in network.layers if hasattr(x, "filters")]
    assert set(makers) - {"logits"} == cut


def test_random_masks_extract_exactly(network, rng):
    graph = kc.ChannelGraph(network)
    invariants.assert_extraction(network, invariants.random_masks(graph, rng))


def test_pruned_to_half_the_macs(network):
    half = kc.prune(network, 0.5)  # compares itself with the masked network
    macs = kc.profile(network).macs
    assert 0.45 * macs < kc.profile(half).macs <= 0.5 * macs
