"""The states of random numbers (dropout's), which Keras counts among no model's weights."""


def seed_states(model):
    """The states of a model's random number generators: list of variables."""
    others = {id(variable) for variable in [*model.weights, *model.metrics_variables]}
    return [variable for variable in model.variables if id(variable) not in others]
