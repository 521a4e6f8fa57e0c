"""LiteRT, imported when a model is to run on it."""

from typing import Any

from keras_cascade.typing import Path


def open_interpreter(path: Path, threads: int | None = None) -> Any:
    """Opens a `.tflite` file.

    Args:
        path: of the file.
        threads: how many it may use; None leaves that to LiteRT.

    Returns:
        An `ai_edge_litert.interpreter.Interpreter` without allocated tensors.

    Raises:
        ImportError: LiteRT is not installed (the extra `litert`).
        ValueError: there is no such file, or it is no LiteRT model.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise ImportError(
            "Running a .tflite file needs LiteRT: pip install 'keras_cascade[litert]'"
        ) from error
    try:
        return Interpreter(model_path=str(path), num_threads=threads)
    except ValueError as error:  # which need not name the file
        raise ValueError(f"LiteRT cannot open '{path}' as a .tflite file: {error}") from error
