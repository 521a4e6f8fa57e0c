"""Deploy: a trained model as files, each compared with the model it came from."""

from keras_cascade.deploy.artefacts import (
    largest_differences,
    write_artefacts,
    write_litert,
)
from keras_cascade.deploy.litert import open_interpreter

__all__ = ["largest_differences", "open_interpreter", "write_artefacts", "write_litert"]
