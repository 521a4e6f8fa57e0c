"""The channel graph: which channels of a model stand or fall together, and what they cost."""

from keras_cascade.graph.channel_graph import ChannelGraph, ChannelGroup
from keras_cascade.graph.rules import Flow, register_rule

__all__ = ["ChannelGraph", "ChannelGroup", "Flow", "register_rule"]
