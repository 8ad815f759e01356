"""A saved model comes back exactly, or is refused; there is no state in between."""

import json
from pathlib import Path

import numpy as np
import pytest

from backend.models.artefact import DamagedModelError, Model, load_model, save_model
from backend.models.ensemble import train_ensemble
from backend.models.head import train_head
from backend.models.loss_head import train_loss_head
from tests.backend.models.test_head import CLASSES, drawn


@pytest.fixture
def model() -> Model:
    rng = np.random.default_rng(0)
    head = train_head(
        rng.standard_normal((60, 5)), np.arange(60) % 3, ["ü", "b", "c"], previous=None, seed=0
    )
    return Model(head, "minilm-0123", 1.7, {"round": 3, "labels": [1, 2]})


def test_it_comes_back_exactly(tmp_path: Path, model: Model) -> None:
    save_model(tmp_path / "models" / "3", model)
    loaded = load_model(tmp_path / "models" / "3")
    pool = np.random.default_rng(1).standard_normal((20, 5))
    np.testing.assert_array_equal(loaded.probabilities(pool), model.probabilities(pool))
    for field in ("encoder_fingerprint", "temperature", "metadata", "classes"):
        assert getattr(loaded, field) == getattr(model, field)
    assert loaded.head.penalty == model.head.penalty
    assert loaded.head.penalty_losses == model.head.penalty_losses
    np.testing.assert_array_equal(loaded.head.counts, model.head.counts)


def test_the_temperature_softens_the_probabilities(model: Model) -> None:
    pool = np.random.default_rng(1).standard_normal((20, 5))
    hot = model.probabilities(pool)
    plain = model.head.probabilities(pool)
    assert (hot.max(axis=1) < plain.max(axis=1)).all()
    np.testing.assert_array_equal(hot.argmax(axis=1), plain.argmax(axis=1))


def test_saving_again_replaces_it_and_leaves_nothing_behind(tmp_path: Path, model: Model) -> None:
    save_model(tmp_path, model)
    save_model(tmp_path, Model(model.head, "other", 2.0))
    assert load_model(tmp_path).encoder_fingerprint == "other"
    assert len(list(tmp_path.iterdir())) == 2


def test_a_crash_before_the_last_rename_leaves_the_old_model(
    tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_model(tmp_path, model)
    replace = Path.replace

    def crash_at_description(self: Path, target: Path) -> Path:
        if target.name == "model.json":
            raise KeyboardInterrupt
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", crash_at_description)
    with pytest.raises(KeyboardInterrupt):
        save_model(tmp_path, Model(model.head, "other", 2.0))
    monkeypatch.undo()
    assert load_model(tmp_path).encoder_fingerprint == "minilm-0123"
    save_model(tmp_path, model)
    assert len([path for path in tmp_path.iterdir() if path.suffix == ".safetensors"]) == 1


def test_an_absent_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(DamagedModelError, match=r"model\.json is missing.*asknext rank"):
        load_model(tmp_path / "nothing")


@pytest.mark.parametrize("damage", ["tensors", "no tensors", "json", "keys", "format"])
def test_a_damaged_model_is_refused(tmp_path: Path, model: Model, damage: str) -> None:
    save_model(tmp_path, model)
    description = tmp_path / "model.json"
    content = json.loads(description.read_text())
    tensors = tmp_path / content["tensors"]
    if damage == "tensors":
        data = bytearray(tensors.read_bytes())
        data[-3] ^= 1
        tensors.write_bytes(data)
    elif damage == "no tensors":
        tensors.unlink()
    elif damage == "json":
        description.write_text(description.read_text()[:-20])
    elif damage == "keys":
        del content["classes"]
        description.write_text(json.dumps(content))
    else:
        description.write_text(json.dumps(content | {"format": 99}))
    with pytest.raises(DamagedModelError, match="cannot be used"):
        load_model(tmp_path)


def test_an_ensemble_and_a_loss_head_come_back_exactly(tmp_path: Path) -> None:
    inputs, labels = drawn(80)
    head = train_head(inputs, labels, CLASSES, previous=None, seed=0)
    ensemble = train_ensemble(
        inputs, labels, CLASSES, head=head, members=3, kind="bootstrap", seed=0
    )
    loss_head = train_loss_head(inputs, labels, head, seed=0)
    model = Model(head, "minilm-0123", 1.3, {}, ensemble, loss_head)
    save_model(tmp_path, model)
    loaded = load_model(tmp_path)
    np.testing.assert_array_equal(loaded.members(inputs), model.members(inputs))
    np.testing.assert_array_equal(loaded.predicted_loss(inputs), model.predicted_loss(inputs))
    plain = Model(head, "minilm-0123")
    assert plain.members(inputs) is plain.predicted_loss(inputs) is None
