"""The channel graph: which channels of a model stand or fall together, and what they cost."""

from keras_cascade.graph.budgets import register_budget
from keras_cascade.graph.channel_graph import ChannelGraph
from keras_cascade.graph.cost import Cost
from keras_cascade.graph.grouping import ChannelGroup
from keras_cascade.graph.rules import Flow, KeepWhole, register_rule
from keras_cascade.graph.segments import Segment, segments

__all__ = [
    "ChannelGraph",
    "ChannelGroup",
    "Cost",
    "Flow",
    "KeepWhole",
    "Segment",
    "register_budget",
    "register_rule",
    "segments",
]
