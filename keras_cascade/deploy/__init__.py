"""Deploy: a trained model as files, each compared with the model it came from."""

from keras_cascade.deploy.artefacts import largest_differences, write_artefacts

__all__ = ["largest_differences", "write_artefacts"]
