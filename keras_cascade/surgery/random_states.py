"""Random states: where the random numbers come from that a call draws, also in inference."""

import contextlib

import numpy as np
from keras.src.backend.common import global_state


def random_states(operation):
    """The variables with the states of an operation's generators, and of the one for all."""
    weights = set(map(id, getattr(operation, "weights", ())))
    states = [one for one in getattr(operation, "variables", ()) if id(one) not in weights]
    for_all = global_state.get_global_attribute("global_seed_generator")
    return states if for_all is None else [*states, for_all.state]


def values_of(states):
    """Copies of the values of variables."""
    return [np.asarray(state).copy() for state in states]


def assign(states, values):
    """Gives variables values, as far as there are both."""
    for state, value in zip(states, values, strict=False):
        state.assign(value)


@contextlib.contextmanager
def random_states_kept(operations):
    """Whatever is drawn within it, operations draw afterwards what they would have drawn."""
    states = [state for operation in operations for state in random_states(operation)]
    before = values_of(states)
    try:
        yield
    finally:
        assign(states, before)
