"""Weight pruning: the bridge to TF-MOT, and a guard that keeps its zeros."""

from keras_cascade.sparsity.bridge import to_tf_keras
from keras_cascade.sparsity.pruning import prunable_weights, prune_weights

__all__ = ["prunable_weights", "prune_weights", "to_tf_keras"]
