"""Sharing: weights that more than one operation of a model holds or reads.

One layer used directly and inside a TimeDistributed, or a table that another layer multiplies
with, transposed, too. Channels are followed operation by operation, so what is known of such a
weight by one holder says nothing of the other: all that holds it is kept whole.
"""

import keras
from keras import tree


def variables_read(call):
    """The variables among the arguments of a call: weights that an op node reads itself."""
    leaves = tree.flatten((call.args, call.kwargs))
    return [leaf for leaf in leaves if isinstance(leaf, keras.Variable)]


def shared_weights(traced):
    """The operations of a model that hold or read a weight which another does too.

    Args:
        traced: a `Trace`.

    Returns:
        Dict from the `id` of each such operation to the name of another one.
    """
    holders, seen = {}, set()
    for call in traced.calls:
        variables = variables_read(call)
        if call.is_layer and id(call.operation) not in seen:
            variables += call.operation.weights
        seen.add(id(call.operation))
        for variable in variables:
            holders.setdefault(id(variable), {})[id(call.operation)] = call.name
    sharing = {}
    for names in holders.values():
        for one in names:
            others = [name for other, name in names.items() if other != one]
            if others:
                sharing.setdefault(one, others[0])
    return sharing
