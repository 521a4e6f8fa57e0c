"""keras_cascade: smaller Keras models by teacher-assistant-student cascades.

    import keras
    import keras_cascade as kc

    # Two assistants, one student; the teacher is the model as it was.
    cascade = kc.CascadeDistiller(model, levels=(0.25, 0.5, 0.75), freeze_teacher=True)
    cascade.compile(optimizer="adam", loss=..., metrics=["accuracy"])
    cascade.fit(train, validation_data=val, epochs=30, callbacks=[kc.CascadeCallback()])
    student = cascade.extract()                                      # plain keras.Model

The core imports keras and NumPy only; it is tested on the TensorFlow, JAX and PyTorch backends.
"""

from keras_cascade.cascade import (
    CascadeCallback,
    CascadeDistiller,
    ConstantSchedule,
    DataError,
    Distiller,
    FiniteLossGuard,
    NonFiniteLossError,
    PolynomialSchedule,
    SoftTargetLoss,
    TeacherAnnealing,
    TrainingBackup,
    TrainingInterrupted,
)
from keras_cascade.deploy import ExportError, export, prune_to_latency
from keras_cascade.graph import (
    ChannelGraph,
    ChannelGroup,
    Flow,
    KeepWhole,
    register_budget,
    register_rule,
)
from keras_cascade.profile import ModelProfile, netscore, performance_efficiency, profile
from keras_cascade.saliency import prune, prune_masks
from keras_cascade.sparsity import SparsityGuard, from_tf_keras, prune_weights, to_tf_keras
from keras_cascade.surgery import Surgeon, SurgeryError, masked_view, pruning_record
from keras_cascade.version import __version__

__all__ = [
    "CascadeCallback",
    "CascadeDistiller",
    "ChannelGraph",
    "ChannelGroup",
    "ConstantSchedule",
    "DataError",
    "Distiller",
    "ExportError",
    "FiniteLossGuard",
    "Flow",
    "KeepWhole",
    "ModelProfile",
    "NonFiniteLossError",
    "PolynomialSchedule",
    "SoftTargetLoss",
    "SparsityGuard",
    "Surgeon",
    "SurgeryError",
    "TeacherAnnealing",
    "TrainingBackup",
    "TrainingInterrupted",
    "__version__",
    "export",
    "from_tf_keras",
    "masked_view",
    "netscore",
    "performance_efficiency",
    "profile",
    "prune",
    "prune_masks",
    "prune_to_latency",
    "prune_weights",
    "pruning_record",
    "register_budget",
    "register_rule",
    "to_tf_keras",
]
