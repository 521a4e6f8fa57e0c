"""The commands of `keras-cascade`, their help, and how one is run.

A command is a module with a docstring, which is its help, flags, the names of its positional
`ARGUMENTS`, and `main(*arguments)`. Only the one that is asked for is imported, so that each has
its own flags.
"""

import difflib
import importlib
import shlex
import sys

from absl import flags

from keras_cascade.cli import user_errors
from keras_cascade_command import leave_gpus_to_keras

COMMANDS = {
    "inspect": "what of a model can be cut, what not and why, and what each layer costs",
    "profile": "params, multiply-accumulates and bytes of models, and their latency",
    "prune": "cut a model once, by the norms of its filters",
    "train": "a teacher-assistants-student cascade, from a model or from scratch",
    "compare": "weight pruning, channel pruning, distillation and cascades on a grid",
    "report": "one HTML page of what train or compare wrote to a folder",
    "export": "SavedModel, LiteRT and ONNX files that were run and compared with the model",
}
_typed = []
_HELP = {"--help", "-h", "--helpshort", "--helpfull", "-help"}


def run(argv):
    """Runs a command line.

    Args:
        argv: list of str, the program's name first.

    Raises:
        SystemExit: with code 2 where the user can put something right, 130 after Ctrl-C.
    """
    program, *rest = argv
    if not rest or rest[0] in _HELP:
        print(_overview())
        sys.exit(0 if rest else 2)
    name, *arguments = rest
    if name not in COMMANDS:
        close = difflib.get_close_matches(name, COMMANDS)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        print(
            f"keras-cascade: unknown command '{name}'.{hint} There are {', '.join(COMMANDS)}.",
            file=sys.stderr,
        )
        sys.exit(2)
    module = importlib.import_module(f"keras_cascade.cli.{name}_command")
    if _HELP & set(arguments):
        print(_help(name, module))
        sys.exit(0)
    if name != "inspect":  # which neither reads data nor writes files, and should not wait for it
        leave_gpus_to_keras()
    flags.FLAGS.set_gnu_getopt(True)  # flags may stand behind the model
    _typed[:] = ["keras-cascade", name, *arguments]
    user_errors.run(
        module.main,
        getattr(module, "ON_INTERRUPT", "Interrupted."),
        arguments=module.ARGUMENTS,
        argv=[program, *arguments],
        program=f"keras-cascade {name}",
    )


def command_line():
    """The command or script that is being run, as one types it in a shell: str."""
    return shlex.join(_typed or ["python", *sys.argv])


def _overview():
    width = max(map(len, COMMANDS))
    lines = [f"  {name.ljust(width)}  {what}" for name, what in COMMANDS.items()]
    return "\n".join(
        [
            "keras-cascade makes Keras models smaller.",
            "",
            *lines,
            "",
            "keras-cascade COMMAND --help says more.",
        ]
    )


def _help(name, module):
    usage = " ".join(["keras-cascade", name, *module.ARGUMENTS, "[flags]"])
    return f"{usage}\n\n{module.__doc__}\n{flags.FLAGS.module_help(module)}"
