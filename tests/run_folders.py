"""Folders as `keras-cascade train` leaves them, with numbers made up."""

import hashlib
import json
import random

LEVELS = ("teacher", "ta1", "ta2", "student")
MODELS = ("original", *LEVELS, "l1_finetuned")
EPOCHS, BINS = 6, 12


def results(seed, groups=14, **changed):
    """What results.json holds, drawn from `seed`."""
    draw = random.Random(seed)
    rows = [
        {
            "name": name,
            "accuracy": draw.uniform(0.5, 1),
            "params": draw.randrange(10**4, 10**6),
            "nonzero_params": draw.randrange(10**4, 10**6),
            "macs": draw.randrange(10**6, 10**8),
            "bytes": draw.randrange(10**5, 10**7),
            "seed": seed,
        }
        for name in MODELS
    ]
    return {
        "rows": rows,
        "differences": {"litert": 1e-6},
        "history": _history(draw),
        "cascade": _cascade(draw, groups),
        "command": f"keras-cascade train --dataset=digits --seed={seed}",
        "seconds": draw.randrange(10**4, 10**5) / 10,
        "resumed": False,
        "configuration": {
            "teacher": None, "model": "resnet20", "dataset": "digits", "epochs": EPOCHS,
            "levels": ["0.25", "0.5", "0.75"], "seed": seed,
        },
        "versions": {"keras": "3.15.1"},
    } | changed  # fmt: skip


def write(folder, content, latency=False):
    """Writes a folder with files of models that are none; returns it."""
    folder.mkdir(exist_ok=True)
    (folder / "results.json").write_text(json.dumps(content))
    (folder / "teacher.keras").write_bytes(bytes(4321))
    (folder / "student.keras").write_bytes(bytes(1234))
    (folder / "student").mkdir(exist_ok=True)
    files = {"model.tflite": {"bytes": 98_765, "sha256": "0"}}
    (folder / "student" / "manifest.json").write_text(json.dumps({"files": files}))
    if latency:
        (folder / "latency.json").write_text(json.dumps(_latency()))
    return folder


def _history(draw):
    def series(low, high):
        return [draw.uniform(low, high) for _ in range(EPOCHS)]

    history = {"loss": series(2, 5), "accuracy": series(0, 1), "val_accuracy": series(0, 1)}
    for level in LEVELS:
        history |= {f"{level}_loss": series(0, 3), f"val_{level}_loss": series(0, 3)}
        history |= {f"{level}_macs": series(0, 1), f"{level}_kl": series(0, 1)}
        if level != "student":
            history |= {f"{level}_accuracy": series(0, 1), f"val_{level}_accuracy": series(0, 1)}
        if level != "teacher":
            history[f"{level}_flips"] = [draw.randrange(100) for _ in range(EPOCHS)]
    return history


def _cascade(draw, count):
    groups = [
        {
            "name": f"block{number}_convolution",
            "size": draw.randrange(8, 512),
            "made_by": [f"block{number}_convolution", f"block{number}_shortcut"],
            "prunable": number < count - 1,
            "reason": "" if number < count - 1 else "model output",
        }
        for number in range(count)
    ]
    levels = [
        {
            "name": name,
            "to_remove": None if number == 0 else number / 4,
            "params": draw.randrange(10**4, 10**6),
            "macs": draw.randrange(10**6, 10**8),
            "kept": {group["name"]: draw.randrange(1, group["size"]) for group in groups},
            "saliency": number
            and {
                "kept": [draw.randrange(50) for _ in range(BINS)],
                "removed": [draw.randrange(50) for _ in range(BINS)],
                "zeros": draw.randrange(10),
            }
            or None,
        }
        for number, name in enumerate(LEVELS)
    ]
    edges = [-6 + number / 4 for number in range(BINS + 1)]
    return {
        "budget": "macs", "scope": "global", "groups": groups, "levels": levels,
        "log10_saliency_edges": edges,
    }  # fmt: skip


def _latency():
    return {
        "student_sha256": hashlib.sha256(bytes(1234)).hexdigest(),
        "threads": 2,
        "runs": 77,
        "versions": {"keras": "3.15.1", "cpus": 3},
        "models": {
            "original": {"median_ms": 4.0, "p10_ms": 3.5, "p90_ms": 4.5},
            "student": {"median_ms": 1.0, "p10_ms": 0.875, "p90_ms": 1.25},
        },
    }
