"""Runs a script so that what its user can put right is one line and exit code 2."""

import errno
import pathlib
import signal
import sys

from absl import app, flags, logging

from keras_cascade import (
    DataError,
    ExportError,
    NonFiniteLossError,
    SurgeryError,
    TrainingInterrupted,
)


class Terminated(KeyboardInterrupt):
    """The process was asked to end by SIGTERM."""


def run(main, on_interrupt="Interrupted.", *, arguments=(), argv=None, program=None):
    """Runs `main` as `absl.app` does, without tracebacks for user errors.

    Args:
        main: function of the positional arguments.
        on_interrupt: what to say on Ctrl-C or SIGTERM.
        arguments: names of the positional arguments; one that ends in "..." takes the rest, one
            in brackets may be left out.
        argv: the command line; None: this process's.
        program: what errors begin with; None: the script's name.

    Raises:
        SystemExit: with code 2 where the user can put something right (with --verbosity=1 the
            error itself is raised), 130 after Ctrl-C, 143 after SIGTERM.
    """
    program = program or pathlib.Path(sys.argv[0]).stem

    def guarded(argv):
        verbose = flags.FLAGS.verbosity >= 1
        if not verbose:
            logging.set_verbosity(logging.ERROR)
        signal.signal(signal.SIGTERM, _terminate)
        try:
            _check_arguments(argv[1:], arguments)
            main(*argv[1:])
        except TrainingInterrupted as stopped:
            print(f"\n{stopped}", file=sys.stderr)
            sys.exit(128 + stopped.signal_number)
        except KeyboardInterrupt as stopped:
            print(f"\n{on_interrupt}", file=sys.stderr)
            number = signal.SIGTERM if isinstance(stopped, Terminated) else signal.SIGINT
            sys.exit(128 + number)
        except (
            ValueError,
            TypeError,
            ImportError,
            OSError,
            DataError,
            ExportError,
            NonFiniteLossError,
            SurgeryError,
        ) as error:
            if verbose:
                raise
            _exit(program, error)

    def parse(argv):
        try:
            return flags.FLAGS(argv)
        except flags.Error as error:
            return _exit(program, f"{error} See --help.")

    app.run(guarded, argv=argv, flags_parser=parse)


def _check_arguments(given, names):
    takes_more = bool(names) and names[-1].endswith("...")
    if len(given) < len(names) and not names[len(given)].startswith("["):
        raise ValueError(f"Say {names[len(given)].rstrip('.')}; see --help.")
    if len(given) > len(names) and not takes_more:
        raise ValueError(
            f"Unexpected argument '{given[len(names)]}'. Options begin with --; see --help."
        )


def _exit(program, error):
    message = " ".join(str(error).split())
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        message += ". Free some space there, or write to another disk."
    print(f"{program}: {message}", file=sys.stderr)
    sys.exit(2)


def _terminate(number, frame):
    raise Terminated
