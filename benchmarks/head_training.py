"""Seconds that one round spends in training the head, cross-validation included.

    python benchmarks/head_training.py [--labels 5000] [--classes 10] [--noise 1.0]

Prints one row per embedding width: from no previous head, from the previous round's head, and the
prediction of a pool of 100,000. The inputs are drawn (class centres plus noise); their difficulty
is printed as the training accuracy.
"""

import argparse
import time

import numpy as np

from backend.models.head import train_head


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--labels", type=int, default=5_000)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--noise", type=float, default=1.0, help="noise norm / centre norm")
    options = parser.parse_args()
    names = [f"class {index}" for index in range(options.classes)]
    for dimension in (256, 384, 1_280):
        rng = np.random.default_rng(0)
        centres = rng.standard_normal((options.classes, dimension)).astype(np.float32)
        labels = rng.integers(options.classes, size=options.labels)
        # Real embeddings have a falling spectrum: most of the variance in few directions.
        spectrum = (np.arange(1, dimension + 1) ** -0.5).astype(np.float32)
        noise = rng.standard_normal((options.labels, dimension)).astype(np.float32)
        inputs = (centres[labels] + 4 * options.noise * noise) * spectrum
        before = train_head(inputs[:-25], labels[:-25], names, previous=None, seed=0)
        started = time.perf_counter()
        cold = train_head(inputs, labels, names, previous=None, seed=0)
        cold_seconds = time.perf_counter() - started
        started = time.perf_counter()
        train_head(inputs, labels, names, previous=before, seed=0)
        warm_seconds = time.perf_counter() - started
        accuracy = (cold.probabilities(inputs).argmax(axis=1) == labels).mean()
        pool = np.tile(inputs, (100_000 // len(inputs) + 1, 1))[:100_000]
        started = time.perf_counter()
        cold.probabilities(pool)
        predict_seconds = time.perf_counter() - started
        print(
            f"d={dimension:5}  labels={options.labels}  classes={options.classes}  "
            f"cold {cold_seconds:5.2f} s  warm {warm_seconds:5.2f} s  "
            f"predict 100,000 {predict_seconds:5.2f} s  penalty {cold.penalty:g} of "
            f"{len(cold.penalty_losses)} tried  training accuracy {accuracy:.3f}"
        )


if __name__ == "__main__":
    main()
