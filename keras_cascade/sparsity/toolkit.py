"""The optional toolkits: where TensorFlow, tf_keras and TF-MOT are imported, and how.

TF-MOT works on tf_keras models only. Whoever imports it finds `tf.keras` turned into tf_keras for
the whole process, and TF_USE_LEGACY_KERAS set for the processes started from it; here both stay as
they were, in whatever order TensorFlow, Keras and tf_keras were imported before.
"""

import os
import types

_ADVICE = "pip install 'keras_cascade[tfmot]'"
_LEGACY = "TF_USE_LEGACY_KERAS"


def import_tf_keras():
    """TensorFlow and tf_keras, as a pair of modules.

    Raises:
        ImportError: one of them is not installed.
    """
    try:
        import tensorflow as tf
        import tf_keras
    except ImportError as error:
        raise ImportError(f"Models of tf_keras need tf_keras: {_ADVICE}") from error
    return tf, tf_keras


def import_tfmot():
    """What weight pruning uses of TF-MOT.

    Returns:
        A namespace with `prune_low_magnitude`, `strip_pruning`, `UpdatePruningStep`,
        `PruningSchedule` and `PruneRegistry` (which weights of which layers it prunes).

    Raises:
        ImportError: TF-MOT is not installed.
    """
    tf, _ = import_tf_keras()
    # TF-MOT asks for tf.keras, which decides at its first use, once for all, which Keras it is.
    # Used before, it is what it would have been without TF-MOT; TF-MOT then takes tf_keras itself.
    _ = tf.keras.layers
    before = os.environ.get(_LEGACY)
    try:
        from tensorflow_model_optimization.python.core.sparsity.keras.prune_registry import (
            PruneRegistry,
        )
        from tensorflow_model_optimization.sparsity import keras as sparsity
    except ImportError as error:
        raise ImportError(f"Weight pruning needs TF-MOT: {_ADVICE}") from error
    finally:
        if before is None:
            os.environ.pop(_LEGACY, None)
        else:
            os.environ[_LEGACY] = before
    return types.SimpleNamespace(
        prune_low_magnitude=sparsity.prune_low_magnitude,
        strip_pruning=sparsity.strip_pruning,
        UpdatePruningStep=sparsity.UpdatePruningStep,
        PruningSchedule=sparsity.PruningSchedule,
        PruneRegistry=PruneRegistry,
    )
