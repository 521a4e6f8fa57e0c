"""Profile: what a model holds and what it costs to run."""

from keras_cascade.profile.model_profile import ModelProfile, profile

__all__ = ["ModelProfile", "profile"]
