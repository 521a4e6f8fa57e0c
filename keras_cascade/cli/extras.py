"""Optional dependencies that a command uses at its end, looked for before its hours of training."""

import importlib.util

# What is imported, what it is for, and the extra of setup.cfg that brings it.
_EXTRAS = {
    "ai_edge_litert": ("Running a .tflite file", "litert"),
    "matplotlib": ("Drawing plots", "report"),
}


def require(*modules: str) -> None:
    """Refuses to begin where a module that is needed later is not installed.

    Args:
        *modules: names of `_EXTRAS`.

    Raises:
        ImportError: one is missing; the message names what to install for all that are.
    """
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        purposes = ", ".join(f"{_EXTRAS[name][0]} needs {name}" for name in missing)
        extras = ",".join(_EXTRAS[name][1] for name in missing)
        raise ImportError(f"{purposes}: pip install 'keras_cascade[{extras}]'")
