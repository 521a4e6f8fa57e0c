"""Which `tf.distribute` strategy a script runs under, by name."""

import contextlib
from typing import Any

import keras

from keras_cascade.typing import ContextMaker


def distribution_scope(name: str) -> tuple[contextlib.AbstractContextManager[Any], int]:
    """The scope in which to build, compile and train models.

    Args:
        name: "none"; "mirrored": all GPUs; "mirrored:N": N GPUs, or where there are none, N logical
            devices on the CPU, to try it out. Logical devices must be asked for before TensorFlow
            has run anything.

    Returns:
        A context manager, and the number of replicas.

    Raises:
        ValueError: another name, a number below 1, more replicas than there are GPUs, or a
            strategy of TensorFlow where Keras runs on something else.
        RuntimeError: TensorFlow has run already, and has no such logical devices.

    Example:

    ```python
    scope, replicas = recipe.distribution_scope("none")
    with scope:
        model = keras.applications.MobileNetV2(weights=None)
    ```
    """
    make_scope, replicas = distribution_scopes(name)
    return make_scope(), replicas


def distribution_scopes(name: str) -> tuple[ContextMaker, int]:
    """As `distribution_scope`, for what enters the scope several times.

    Returns:
        A function that makes a context manager, and the number of replicas.
    """
    if name == "none":
        return contextlib.nullcontext, 1
    kind, _, number = name.partition(":")
    if kind != "mirrored" or (number and not (number.isdecimal() and int(number) > 0)):
        raise ValueError(
            f"Unknown strategy '{name}': use none, mirrored, or mirrored:N with N replicas."
        )
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"strategy={name} is one of tf.distribute: set KERAS_BACKEND=tensorflow (it is "
            f"{keras.backend.backend()}), or use strategy=none."
        )
    import tensorflow as tf

    # Listing logical devices starts TensorFlow, which takes no logical CPUs from then on.
    gpus = tf.config.list_logical_devices("GPU") if tf.config.list_physical_devices("GPU") else []
    wanted = int(number) if number else max(1, len(gpus))
    if gpus and wanted > len(gpus):
        raise ValueError(f"strategy={name}: there are {len(gpus)} GPUs.")
    devices = [gpu.name for gpu in gpus[:wanted]] or _logical_cpus(tf, wanted)
    strategy = tf.distribute.MirroredStrategy(devices)
    return strategy.scope, strategy.num_replicas_in_sync


def _logical_cpus(tf, count):
    cpu = tf.config.list_physical_devices("CPU")[0]
    if len(tf.config.get_logical_device_configuration(cpu) or [None]) < count:
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * count
        )
    return [device.name for device in tf.config.list_logical_devices("CPU")[:count]]
