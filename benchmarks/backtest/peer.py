"""The same runs by scikit-activeml 1.0 and scikit-learn alone, in the peers' environment.

Its classifier has the head's definition, not its code: rows of unit length, centred on the
labelled ones and brought to a mean squared norm of one; scikit-learn's logistic regression with
C = 1 / (2 * penalty * m); the penalty of least held-out log loss over stratified folds, from 50
labels on. Its probabilities are not calibrated.
"""

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skactiveml import pool
from skactiveml.base import SkactivemlClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

METHODS = {
    "margin": "margin_sampling",
    "entropy": "entropy",
    "least_confidence": "least_confident",
}
Rows = NDArray[np.float64]
Numbers = NDArray[np.int64]


class Classifier(SkactivemlClassifier):  # type: ignore[misc]
    """Fitted once a round by `learn`; the library only asks it for probabilities."""

    def __init__(self, classes: int, penalties: tuple[float, ...], default: float) -> None:
        super().__init__(classes=list(range(classes)))
        self.penalties, self.default = penalties, default
        self.classes_ = np.arange(classes)

    def learn(self, rows: Rows, labels: Numbers, seed: int) -> None:
        self._centre = rows.mean(axis=0)
        centred = rows - self._centre
        self._scale = float(np.sqrt((centred**2).sum(axis=1).mean()))
        inputs = centred / self._scale
        penalty = self.default
        counts = np.bincount(labels)
        if len(labels) >= 50 and (counts >= 2).sum() >= 2:
            held_out = [self._held_out(inputs, labels, one, seed) for one in self.penalties]
            penalty = self.penalties[int(np.argmin(held_out))]
        self._model = _fitted(inputs, labels, penalty)
        self.n_features_in_ = rows.shape[1]

    def _held_out(self, inputs: Rows, labels: Numbers, penalty: float, seed: int) -> float:
        losses = []
        folds = StratifiedKFold(5, shuffle=True, random_state=seed)
        for training, rest in folds.split(inputs, labels):
            model = _fitted(inputs[training], labels[training], penalty)
            known = rest[np.isin(labels[rest], model.classes_)]
            place = np.searchsorted(model.classes_, labels[known])
            said = model.predict_log_proba(inputs[known])
            losses.extend(-said[np.arange(len(known)), place])
        return float(np.mean(losses))

    def fit(self, rows: Any, labels: Any, sample_weight: Any = None) -> "Classifier":  # noqa: ARG002
        return self

    def predict_proba(self, rows: Rows) -> Rows:
        found = np.zeros((len(rows), len(self.classes_)))
        found[:, self._model.classes_] = self._model.predict_proba(
            (rows - self._centre) / self._scale
        )
        return found

    def predict(self, rows: Rows) -> Numbers:
        best: Numbers = self.predict_proba(rows).argmax(axis=1)
        return best


def _fitted(inputs: Rows, labels: Numbers, penalty: float) -> LogisticRegression:
    return LogisticRegression(C=1 / (2 * penalty * len(labels)), max_iter=500).fit(inputs, labels)


def curve(job: dict[str, Any], stored: Any, strategy: str, seed: int) -> list[float]:
    """The accuracy at each number of labels."""
    embeddings = stored["embeddings"].astype(np.float64)
    rows = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    labels, test = stored["labels"], stored[f"test {seed}"]
    candidates, labelled = stored[f"pool {seed}"], stored[f"initial {seed}"]
    rng = np.random.default_rng(seed)
    classifier = Classifier(int(labels.max()) + 1, tuple(job["penalties"]), job["default"])
    heights = []
    while True:
        classifier.learn(rows[labelled], labels[labelled], seed)
        heights.append(float((classifier.predict(rows[test]) == labels[test]).mean()))
        if len(labelled) >= job["budget"]:
            return heights
        free = np.setdiff1d(candidates, labelled)
        if strategy == "random":
            picked = rng.permutation(free)[: job["batch"]]
        else:
            known = np.full(len(rows), np.nan)
            known[labelled] = labels[labelled]
            picked = pool.UncertaintySampling(method=METHODS[strategy], random_state=seed).query(
                rows, known, classifier, fit_clf=False, candidates=free, batch_size=job["batch"]
            )
        labelled = np.concatenate([labelled, np.asarray(picked, dtype=np.int64)])


def main() -> None:
    warnings.filterwarnings("ignore")
    folder = Path(sys.argv[1])
    job = json.loads((folder / "job.json").read_text())
    with np.load(folder / "data.npz") as opened:
        stored = dict(opened)
    found = {
        name: [curve(job, stored, name, seed) for seed in range(job["seeds"])]
        for name in job["strategies"]
    }
    (folder / "peer.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
