"""Saliency: how much each channel matters, and which to keep under a budget."""

from keras_cascade.saliency.gates import ChannelGates
from keras_cascade.saliency.one_shot import prune, prune_masks
from keras_cascade.saliency.ranking import Ranking

__all__ = ["ChannelGates", "Ranking", "prune", "prune_masks"]
