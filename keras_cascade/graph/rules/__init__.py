"""Layer rules, one idea a rule; importing this package registers them all."""

from keras_cascade.graph.rules import (
    attention,
    convolution,
    dense,
    elementwise,
    merging,
    normalization,
    operations,
    rearranging,
    recurrent,
    spatial,
)
from keras_cascade.graph.rules.flow import Flow, KeepWhole
from keras_cascade.graph.rules.registry import (
    CallContext,
    flow_of,
    register_rule,
    rule_arguments,
    rule_inputs,
)

__all__ = [
    "CallContext",
    "Flow",
    "KeepWhole",
    "attention",
    "convolution",
    "dense",
    "elementwise",
    "flow_of",
    "merging",
    "normalization",
    "operations",
    "rearranging",
    "recurrent",
    "register_rule",
    "rule_arguments",
    "rule_inputs",
    "spatial",
]
