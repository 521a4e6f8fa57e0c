"""Rows as a comparison study writes them, with numbers made up."""

import random

METHODS = (
    "teacher", "dense", "distillation", "weight_pruning", "weight_pruning_distilled",
    "channel_pruning", "channel_pruning_distilled", "cascade_1", "cascade_2", "cascade_3",
)  # fmt: skip


def row(method="weight_pruning", amount=0.75, seed=0, accuracy=0.6, **changed):
    """One row with numbers that are easy to work with; a teacher of 80% and 1,000 params."""
    left = round(1000 * (1 - amount))
    return {
        "model": "resnet20", "dataset": "cifar10", "method": method, "amount": amount,
        "seed": seed, "accuracy": accuracy, "teacher_accuracy": 0.8, "params": 1000,
        "nonzero_params": left, "macs": 5000, "teacher_params": 1000, "teacher_macs": 10_000,
        "bytes": 4000, "gzipped_bytes": 900, "teacher_gzipped_bytes": 3600, "latency_ms": 0.3,
        "teacher_latency_ms": 0.4, "steps": 640, "seconds": 30.0,
        "settings": {"epochs": 8, "batch_size": 64}, "versions": {"keras": "3.15.1"},
    } | changed  # fmt: skip


def many_rows(seed, models=("resnet20", "densenet"), amounts=(0.75, 0.9), seeds=(0, 1, 2)):
    """Every method, amount and seed, with numbers drawn from `seed`."""
    draw = random.Random(seed)
    rows = []
    for model in models:
        for number in seeds:
            sizes = draw.randrange(10**5, 10**6), draw.randrange(10**7, 10**8)
            teacher = {
                "teacher_accuracy": draw.uniform(0.7, 0.9),
                "teacher_params": sizes[0],
                "teacher_macs": sizes[1],
                "teacher_gzipped_bytes": draw.randrange(10**6, 2 * 10**6),
                "teacher_latency_ms": draw.uniform(1, 2),
            }
            for method in METHODS:
                for amount in (0.0,) if method in ("teacher", "dense") else amounts:
                    left = 1 - amount * draw.uniform(0.9, 1)
                    measured = {
                        "accuracy": draw.uniform(0.5, 0.9),
                        "nonzero_params": round(left * sizes[0]),
                        "macs": round(left * sizes[1]),
                        "gzipped_bytes": draw.randrange(10**5, 10**6),
                        "latency_ms": draw.uniform(0.3, 2),
                        "seconds": draw.uniform(20, 90),
                    }
                    rows.append(row(method, amount, number, model=model, **teacher, **measured))
    return rows
