"""A trained model on disk: tensors as safetensors, everything else as JSON, no pickle.

`<folder>/model.json` names the tensor file that belongs to it, with its sha256, and is renamed
into place last. So a folder holds a whole model or none, also when an older one is replaced.
"""

import hashlib
import json
import os
import secrets
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.errors import AskNextError
from backend.models.ensemble import Ensemble
from backend.models.head import Head, softmax
from backend.models.loss_head import LossHead

_DESCRIPTION = "model.json"
_FORMAT = 1
LOSS_HEAD_FIELDS = tuple(field.name for field in fields(LossHead))


class DamagedModelError(AskNextError):
    """A model's folder is absent, incomplete or changed; the next round trains a new model."""

    def __init__(self, folder: Path, why: str) -> None:
        super().__init__(
            f"The model in {folder} cannot be used: {why}. Run a round (`asknext rank`) to train "
            "it again."
        )


@dataclass(frozen=True)
class Model:
    """A head with its temperature and the fingerprint of the encoder whose embeddings it takes.

    `ensemble` and `loss_head` are there where the strategy asked for them when it was trained.
    """

    head: Head
    encoder_fingerprint: str
    temperature: float = 1.0
    metadata: dict[str, Any] = field(default_factory=dict)
    ensemble: Ensemble | None = None
    loss_head: LossHead | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes in the order of the probabilities' columns."""
        return self.head.classes

    def probabilities(self, embeddings: NDArray[np.floating]) -> NDArray[np.float32]:
        """(n, c) float32 calibrated class probabilities of embeddings (n, d)."""
        return softmax(self.head.logits(embeddings), self.temperature)

    def members(self, embeddings: NDArray[np.floating]) -> NDArray[np.float32] | None:
        """(k, n, c) float32 calibrated probabilities of the ensemble's members; None without."""
        if self.ensemble is None:
            return None
        return self.ensemble.probabilities(embeddings, self.temperature)

    def predicted_loss(self, embeddings: NDArray[np.floating]) -> NDArray[np.float64] | None:
        """(n,) float64 predicted losses, of no unit; None without a loss head.

        It learned from probabilities before their calibration, and is given the same.
        """
        if self.loss_head is None:
            return None
        return self.loss_head.predict(embeddings, self.head.probabilities(embeddings))


def save_model(folder: Path, model: Model) -> None:
    """Write `model` into `folder`, durably and all or nothing; a model there is replaced.

    `metadata` must be JSON values.
    """
    from safetensors.numpy import save

    head = model.head
    arrays = {"weights": head.weights, "bias": head.bias, "counts": head.counts}
    if model.ensemble is not None:
        arrays |= {"ensemble.weights": model.ensemble.weights, "ensemble.bias": model.ensemble.bias}
    if model.loss_head is not None:
        arrays |= {f"loss_head.{name}": value for name, value in vars(model.loss_head).items()}
    tensors = save({name: np.ascontiguousarray(values) for name, values in arrays.items()})
    name = f"head-{secrets.token_hex(4)}.safetensors"
    description = {
        "format": _FORMAT,
        "tensors": name,
        "sha256": hashlib.sha256(tensors).hexdigest(),
        "classes": list(head.classes),
        "penalty": head.penalty,
        "penalty_losses": [list(pair) for pair in head.penalty_losses],
        "temperature": model.temperature,
        "encoder_fingerprint": model.encoder_fingerprint,
        "metadata": model.metadata,
    }
    text = json.dumps(description, indent=2, ensure_ascii=False, allow_nan=False)
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / name, tensors)
    _write(folder / _DESCRIPTION, text.encode())
    for other in folder.glob("head-*.safetensors"):
        if other.name != name:
            other.unlink(missing_ok=True)


def load_model(folder: Path) -> Model:
    """The model in `folder`. Raises DamagedModelError when it is absent or not as it was saved."""
    from safetensors.numpy import load

    try:
        description = json.loads((folder / _DESCRIPTION).read_text(encoding="utf-8"))
        if description["format"] != _FORMAT:
            raise ValueError(f"format {description['format']} is not known to this version")
        data = (folder / description["tensors"]).read_bytes()
        if hashlib.sha256(data).hexdigest() != description["sha256"]:
            raise ValueError(f"{description['tensors']} has changed since it was saved")
        tensors = load(data)
        head = Head(
            tuple(description["classes"]),
            tensors["weights"],
            tensors["bias"],
            tensors["counts"],
            description["penalty"],
            tuple((penalty, loss) for penalty, loss in description["penalty_losses"]),
        )
        return Model(
            head,
            description["encoder_fingerprint"],
            description["temperature"],
            description["metadata"],
            _ensemble(tensors),
            _loss_head(tensors),
        )
    except FileNotFoundError as error:
        raise DamagedModelError(folder, f"{Path(error.filename).name} is missing") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedModelError(folder, str(error)) from error


def _ensemble(tensors: dict[str, NDArray[Any]]) -> Ensemble | None:
    if "ensemble.weights" not in tensors:
        return None
    return Ensemble(tensors["ensemble.weights"], tensors["ensemble.bias"], tensors["counts"])


def _loss_head(tensors: dict[str, NDArray[Any]]) -> LossHead | None:
    if "loss_head.centre" not in tensors:
        return None
    return LossHead(**{name: tensors[f"loss_head.{name}"] for name in LOSS_HEAD_FIELDS})


def _write(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with temporary.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
