"""Runs a script so that what its user can put right is one line and exit code 2."""

import pathlib
import signal
import sys

from absl import app, flags, logging

from keras_cascade import DataError, NonFiniteLossError, TrainingInterrupted


class Terminated(KeyboardInterrupt):
    """The process was asked to end by SIGTERM."""


def run(main, on_interrupt="Interrupted."):
    """Runs `main(argv)` as `absl.app` does, without tracebacks for user errors.

    Args:
        main: function of the command line that is left after the flags.
        on_interrupt: what to say on Ctrl-C or SIGTERM.
    """

    def guarded(argv):
        verbose = flags.FLAGS.verbosity >= 1
        if not verbose:
            logging.set_verbosity(logging.ERROR)
        signal.signal(signal.SIGTERM, _terminate)
        try:
            if len(argv) > 1:
                raise ValueError(
                    f"Unexpected argument '{argv[1]}'. Options begin with --; see --help."
                )
            main(argv)
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
            NonFiniteLossError,
        ) as error:
            if verbose:
                raise
            script = pathlib.Path(sys.argv[0]).stem
            print(f"{script}: {' '.join(str(error).split())}", file=sys.stderr)
            sys.exit(2)

    app.run(guarded)


def _terminate(number, frame):
    raise Terminated
