"""The formats a model is exported to: how each is written, and run in its own runtime.

What a runtime is given and gives back are flat lists of arrays, in the order of the model's inputs
and outputs. TensorFlow, LiteRT and ONNX Runtime are imported when they are needed.
"""

import errno
import os
import re
import warnings

import keras
from keras import tree

from keras_cascade.deploy.examples import functional_of
from keras_cascade.deploy.litert import open_interpreter

QUANTIZATIONS = ("float16", "dynamic", "int8")


class ExportError(RuntimeError):
    """A format that cannot be written here or hold the model, or a file that gives something else.

    Something else than the model gives, that is, on the same examples.
    """


def check_backend():
    """Raises ExportError where Keras cannot export (3.15.1 on PyTorch 2.13)."""
    if keras.backend.backend() == "torch":
        raise ExportError(
            "No SavedModel, LiteRT or ONNX file is written while Keras runs on PyTorch. Save the "
            "model with model.save('model.keras'), then load and export that with "
            "KERAS_BACKEND=tensorflow."
        )


def write_saved_model(model, path, keep_batch=False):
    """Writes a model as a SavedModel folder; an OSError where the disk is full.

    Args:
        model: a functional `keras.Model`.
        path: of the folder.
        keep_batch: whether a batch size that inputs have fixed stays; else it is open, as Keras
            makes it.
    """
    import tensorflow as tf

    options = _export_options()
    if keep_batch:
        options["input_signature"] = [tree.map_structure(_as_it_is, model.input)]
    try:
        model.export(path, format="tf_saved_model", verbose=False, **options)
    except tf.errors.ResourceExhaustedError as error:
        if "No space left" not in str(error):
            raise
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error


def _as_it_is(tensor):
    return keras.InputSpec(shape=tensor.shape, dtype=tensor.dtype, name=tensor.name)


def _export_options():
    """What Keras' export to a SavedModel is told besides, by backend."""
    if keras.backend.backend() != "jax":
        return {}
    from jax.export import default_export_platform

    # JAX writes for its own device alone, and where TensorFlow is run there may be no GPU.
    platforms = dict.fromkeys(["cpu", default_export_platform()])
    return {"jax2tf_kwargs": {"native_serialization_platforms": list(platforms)}}


def write_litert_of(saved_model, path, quantize=None, calibration=()):
    """Converts a SavedModel folder to a `.tflite` file.

    Args:
        saved_model: the folder.
        path: of the file.
        quantize: None, "float16", "dynamic" or "int8"; inputs and outputs stay as they are.
        calibration: for "int8", list of batches, dicts from the name of an input to an array.
    """
    # By way of a SavedModel: Keras' own LiteRT export came only after Keras 3.12.
    import tensorflow as tf
    from tensorflow.lite.python.convert_phase import ConverterError

    check_quantize(quantize)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved_model))
    if quantize is not None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantize == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if quantize == "int8":
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.representative_dataset = lambda: iter(calibration)
    with warnings.catch_warnings():
        # The converter calibrates with TensorFlow's own interpreter, which is to go.
        warnings.filterwarnings("ignore", r"(?s).*tf\.lite\.Interpreter is deprecated")
        try:
            content = converter.convert()
        except (RuntimeError, ConverterError) as error:
            lacking = re.search(r"'tf\.(\w+)' op is neither", str(error))
            reason = f"it has no {lacking[1]}" if lacking else str(error).strip().splitlines()[0]
            if "TensorList" in str(error):
                reason = "a recurrent layer is a loop there; layers made with unroll=True are none"
            raise ExportError(
                f"LiteRT does not take this model as {quantize or 'float32'}: {reason}. Build the "
                'model without that, choose another quantize, or leave "litert" out of formats.'
            ) from error
    path.write_bytes(content)


def check_quantize(quantize):
    """Raises ValueError for an unknown quantization."""
    if quantize is not None and quantize not in QUANTIZATIONS:
        raise ValueError(
            f"quantize must be None or one of {', '.join(QUANTIZATIONS)}, got {quantize!r}."
        )


def check_litert(model, quantize=None):
    """Raises ExportError for a model that LiteRT does not take, as far as one can tell before."""
    for tensor in model.inputs:
        if tensor.dtype == "string" and quantize == "int8":  # TensorFlow 2.21 may crash of it
            raise ExportError(
                f"Input '{tensor.name}' takes strings, on which LiteRT finds no ranges of "
                'activations: take quantize="dynamic" instead of "int8", or cut the model behind '
                "the layer that turns strings into numbers."
            )
    for layer in model._flatten_layers():
        if layer.compute_dtype in ("float16", "bfloat16") and layer.weights:
            raise ExportError(
                f"Layer '{layer.name}' computes in {layer.compute_dtype}, as LiteRT's do not. "
                "Build the whole model anew under keras.config.set_dtype_policy('float32'), give "
                'it the weights (set_weights), and cut it by the same masks. quantize="float16" '
                "stores weights as halves."
            )


def write_onnx(model, path):
    """Writes a model as an ONNX file."""
    require_onnx()
    from keras_cascade.deploy import onnx_operations  # noqa: F401  (tf2onnx knows them from then on)

    with warnings.catch_warnings():
        # Keras looks for names that NumPy has dropped, which tf2onnx still asks for.
        warnings.filterwarnings("ignore", r"In the future `np\.", FutureWarning)
        model.export(path, format="onnx", verbose=False)


def require_onnx():
    """Raises ImportError, or ExportError, unless ONNX files can be written and run."""
    if keras.backend.backend() != "tensorflow":
        raise ExportError(
            "ONNX files are written while Keras runs on TensorFlow. Save the model with "
            "model.save('model.keras'), then load and export that with KERAS_BACKEND=tensorflow."
        )
    try:
        import onnxruntime  # noqa: F401
        import tf2onnx  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"ONNX needs {error.name}: pip install 'keras_cascade[onnx]', or leave \"onnx\" out "
            "of formats."
        ) from error


def as_inputs(model, arrays):
    """Arrays, one for each input, in the structure that the model is called with."""
    if isinstance(model, keras.Sequential):
        return arrays[0]
    return keras.tree.pack_sequence_as(model.input, arrays)


def open_saved_model(path, model):
    """A function that runs a SavedModel in TensorFlow.

    Args:
        path: of the folder.
        model: the `keras.Model` it was written from, for the structure of its inputs.
    """
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))

    def run(arrays):  # `loaded` must live on: its function does not keep its variables alive
        outputs = loaded.serve(as_inputs(model, arrays))
        return [value.numpy() for value in keras.tree.flatten(outputs)]

    return run


def open_litert(path, model):
    """A function that runs a `.tflite` file in LiteRT; arguments as `open_saved_model`."""
    run_signature = open_interpreter(path).get_signature_runner("serving_default")
    names = [tensor.name for tensor in model.inputs]
    taken = list(run_signature.get_input_details())
    if len(taken) == 1:
        names = taken
    # A dict's keys name the outputs, and are flattened in their order; others the export numbers.
    order = None if isinstance(functional_of(model).output, dict) else _output_number

    def run(arrays):
        outputs = run_signature(**dict(zip(names, arrays, strict=True)))
        return [outputs[name] for name in sorted(outputs, key=order)]

    return run


def open_onnx(path, model):
    """A function that runs an ONNX file in ONNX Runtime; arguments as `open_saved_model`."""
    require_onnx()
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as refusals

    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except (refusals.Fail, refusals.InvalidGraph, refusals.NotImplemented) as error:
        raise ExportError(
            f"ONNX Runtime does not take what tf2onnx made of this model: {error}. Leave "
            '"onnx" out of formats.'
        ) from error
    names = [source.name for source in session.get_inputs()]

    def run(arrays):
        return session.run(None, dict(zip(names, arrays, strict=True)))

    return run


def _output_number(name):
    return int(name.removeprefix("output_"))
