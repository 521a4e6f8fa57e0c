"""The flags of every script that trains: on how many replicas, and what they share.

A script takes them as its own with `flags.adopt_module_key_flags(strategy_flags)`.
"""

from absl import flags

flags.DEFINE_string(
    "strategy",
    "none",
    "none, mirrored (all GPUs), or mirrored:N (N GPUs; without any, N parts of the CPU).",
)
flags.DEFINE_bool(
    "synchronized_batch_norm",
    False,
    "With --strategy: BatchNormalization takes its moments over the whole batch, as one device "
    "does, and not over each replica's part.",
)
