"""The flags of every script that runs a study.

A script takes them as its own with `flags.adopt_module_key_flags(study_flags)`.
"""

from absl import flags

flags.DEFINE_integer(
    "backup_every",
    None,
    "Steps between the states from which a training that is broken off goes on, besides those of "
    "every epoch; default: it begins anew.",
    lower_bound=1,
)
