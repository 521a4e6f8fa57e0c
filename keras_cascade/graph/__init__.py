"""The channel graph: which channels of a model stand or fall together, and what they cost."""

from keras_cascade.graph.channel_graph import ChannelGraph
from keras_cascade.graph.grouping import ChannelGroup
from keras_cascade.graph.rules import Flow, KeepWhole, register_rule

__all__ = ["ChannelGraph", "ChannelGroup", "Flow", "KeepWhole", "register_rule"]
