"""Layer rules, one idea a rule; importing this package registers them all."""

from keras_cascade.graph.rules import convolution, dense, elementwise, normalization, spatial
from keras_cascade.graph.rules.registry import CallContext, Flow, flow_of, register_rule

__all__ = [
    "CallContext",
    "Flow",
    "convolution",
    "dense",
    "elementwise",
    "flow_of",
    "normalization",
    "register_rule",
    "spatial",
]
