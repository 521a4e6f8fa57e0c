"""Small models, one for each thing a layer rule must get right: `CUT` and `KEPT`.

In every model of `CUT` the group "made" is prunable, and in every model of `KEPT` it is not; a
case of `KEPT` comes with a part of the reason.
"""

from rule_cases.building import IMAGE, chain
from rule_cases.images import CHANNELS_FIRST, CONVOLUTIONS, ELEMENTWISE, NORMALIZATIONS, SPATIAL
from rule_cases.kept import KEPT
from rule_cases.sequences import ATTENTION, DENSE, RECURRENT
from rule_cases.tensors import MERGES, OPERATIONS, REARRANGEMENTS
from rule_cases.whole_models import WHOLE_MODELS

__all__ = ["CUT", "IMAGE", "KEPT", "chain"]

CUT = {
    **CONVOLUTIONS,
    **CHANNELS_FIRST,
    **DENSE,
    **ELEMENTWISE,
    **{f"{name}_normalization": build for name, build in NORMALIZATIONS.items()},
    **SPATIAL,
    **MERGES,
    **REARRANGEMENTS,
    **OPERATIONS,
    **RECURRENT,
    **ATTENTION,
    **WHOLE_MODELS,
}
