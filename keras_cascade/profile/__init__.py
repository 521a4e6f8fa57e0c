"""Profile: what a model holds, what it costs to run, and what is gained for what is lost."""

from keras_cascade.profile.efficiency import gzipped_bytes, netscore, performance_efficiency
from keras_cascade.profile.model_profile import ModelProfile, profile

__all__ = [
    "ModelProfile",
    "gzipped_bytes",
    "netscore",
    "performance_efficiency",
    "profile",
]
