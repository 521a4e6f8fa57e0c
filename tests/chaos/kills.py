"""Kills a run with SIGKILL, damages its newest state, fills its disk; and starts it again."""

import collections
import pathlib
import subprocess
import sys

import numpy as np

TRAINEE = pathlib.Path(__file__).with_name("trainee.py")


class Trainee:
    """One process of the run in `trainee.py`.

    Args:
        folder: where its states are.
        output: where it writes its state at the end.
        limit: largest size of a file in bytes; None: none.
    """

    def __init__(self, folder, output, limit=None):
        options = [] if limit is None else [str(limit)]
        self._process = subprocess.Popen(
            [sys.executable, str(TRAINEE), str(folder), str(output), *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.said = []

    def live(self, points=None, point=None):
        """Lets the process run until it has reached so many points, and kills it there.

        Args:
            points: how many; None: to its end.
            point: only points of this name count; None: all.

        Returns:
            The name of the point where it was killed; None if it ended by itself before.
        """
        for line in self._process.stdout:
            name = line.strip()
            if not _is_point(name):
                self.said.append(name)
                continue
            if points is not None and point in (None, name):
                points -= 1
                if points <= 0:
                    self._process.kill()
                    self._process.communicate()
                    return name
            self._process.stdin.write("\n")
            self._process.stdin.flush()
        self.errors = self._process.communicate()[1]
        self.code = self._process.returncode
        return None


def finished(folder, output):
    """Lets the run go to its end; returns the `Trainee`, whose end was a good one."""
    trainee = Trainee(folder, output)
    trainee.live()
    if trainee.code:
        raise RuntimeError(f"The run did not end well ({trainee.code}): {trainee.errors}")
    return trainee


def same(output, expected):
    """Whether two states have the same bits."""
    with np.load(output) as one, np.load(expected) as other:
        return one.files == other.files and all(
            one[name].tobytes() == other[name].tobytes() for name in one.files
        )


def states(folder):
    """The paths of the states in a folder, the newest first; their bytes besides."""
    return {path.name: path.read_bytes() for path in sorted(folder.glob("epoch_*"), reverse=True)}


def damage_newest(folder):
    """Cuts the newest state in two, as a lost sector would; returns whether there was another."""
    found = sorted(folder.glob("epoch_*"), reverse=True)
    if len(found) < 2:
        return False
    content = found[0].read_bytes()
    found[0].write_bytes(content[: len(content) // 2])
    return True


def killed_runs(kills, random, folder, expected, say):
    """Kills runs at random points until there are enough kills; lets each come to its end.

    Args:
        kills: how many.
        random: `random.Random`.
        folder: an empty folder.
        expected: the state at the end of a run that was not killed.
        say: called with a line after every kill.

    Returns:
        Dict with `kills`, `survived` (those of runs that ended with the same bits), `points` (kills
        by the point at which they came), `damaged` (states cut in two) and `runs`.
    """
    result = {"kills": 0, "survived": 0, "damaged": 0, "runs": 0}
    points = collections.Counter()
    while result["kills"] < kills:
        result["runs"] += 1
        states_of_run = folder / f"run_{result['runs']}"
        output = folder / f"run_{result['runs']}.npz"
        died = 0
        while result["kills"] + died < kills:
            point = Trainee(states_of_run, output).live(random.randint(1, 14))
            if point is None:
                break
            died += 1
            points[point] += 1
            if random.random() < 0.25 and damage_newest(states_of_run):
                result["damaged"] += 1
            say(f"kill {result['kills'] + died} of {kills}: {point}")
        if not output.exists():
            finished(states_of_run, output)
        result["kills"] += died
        result["survived"] += died * same(output, expected)
    return {**result, "points": dict(points)}


def full_disk(folder, expected):
    """What a disk that is full from the second step on does to a run.

    Returns:
        Dict with `message`, `lost` (states that were there before and are not, or differ) and
        `same` (whether the run, given room, ended with the same bits).
    """
    output = folder / "full.npz"
    first = Trainee(folder / "full", output)
    first.live(5)
    before = states(folder / "full")
    limited = Trainee(folder / "full", output, limit=4096)
    limited.live()
    after = states(folder / "full")
    lost = [name for name, content in before.items() if after.get(name) != content]
    message = limited.errors.strip().splitlines()[-1] if limited.code == 3 else limited.errors
    finished(folder / "full", output)
    message = message.replace(str(folder), "...")
    return {"message": message, "lost": lost, "same": same(output, expected)}


def _is_point(line):
    return line.startswith(("before a step", "after a step", "while a state"))
