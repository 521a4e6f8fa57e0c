"""Saliency: how much each channel matters, and which to keep under a budget."""

from keras_cascade.saliency.gates import ChannelGates
from keras_cascade.saliency.one_shot import OneShot, prune, prune_masks
from keras_cascade.saliency.ranking import Ranking

__all__ = ["ChannelGates", "Ranking", "OneShot", "prune", "prune_masks"]
