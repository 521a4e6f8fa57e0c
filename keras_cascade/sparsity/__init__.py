"""Weight pruning: the bridge to TF-MOT, and a guard that keeps its zeros."""

from keras_cascade.sparsity.bridge import from_tf_keras, to_tf_keras
from keras_cascade.sparsity.guard import SparsityGuard
from keras_cascade.sparsity.pruning import prunable_weights, prune_weights

__all__ = ["SparsityGuard", "from_tf_keras", "prunable_weights", "prune_weights", "to_tf_keras"]
