"""Deploy: a trained model as files that are compared with it, and measured on their runtimes."""

from keras_cascade.deploy.artefacts import write_keras, write_litert
from keras_cascade.deploy.export import QUANTIZATIONS, ExportError, export
from keras_cascade.deploy.latency import Latency, measure_latency, measure_memory
from keras_cascade.deploy.litert import open_interpreter

__all__ = [
    "QUANTIZATIONS",
    "ExportError",
    "Latency",
    "export",
    "measure_latency",
    "measure_memory",
    "open_interpreter",
    "write_keras",
    "write_litert",
]
