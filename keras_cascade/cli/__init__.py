"""The command line: `keras-cascade COMMAND ...`, one module a command, absl flags in each."""
