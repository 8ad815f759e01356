"""Training: what trains, what never does, and what is kept of it."""

import hashlib
import json

import numpy as np
import pytest

from backend.errors import LeaseLostError
from backend.rounds import mirror, train
from backend.rounds.schema import apply_label_config
from backend.store import work
from backend.store.tables import Project, TrainingManifest
from tests.backend.text_project import CLASSES, label_config, topic_of


def manifest(project, number=1):
    with project.database.read() as session:
        return session.get(TrainingManifest, (project.id, number))


def members(project, number=1):
    return [tuple(member) for member in manifest(project, number).members]


def test_every_settled_label_trains_and_the_manifest_names_them(text_project):
    text_project.annotate_truly([5, 3, 4])
    text_project.annotate(6, None, skipped=True)
    text_project.annotate(7, None)
    text_project.annotate(8, "cooking", by=1)
    text_project.annotate(8, "weather", by=2)  # a tie
    text_project.train_round(1)
    assert members(text_project) == [(n, topic_of(n)) for n in (3, 4, 5)]


def test_the_digest_proves_the_manifest(trained):
    stored = manifest(trained)
    text = json.dumps(stored.members, separators=(",", ":"))
    assert stored.digest == hashlib.sha256(text.encode()).hexdigest()
    assert trained.context().live_model().metadata["manifest"] == stored.digest


def test_holdouts_never_train(text_project):
    text_project.hold_out(test=range(1, 11), validation=range(11, 16))
    text_project.annotate_truly(range(1, 31))
    text_project.train_round(1)
    assert [task_id for task_id, _ in members(text_project)] == list(range(16, 31))


def test_the_model_does_not_depend_on_the_holdouts_labels(text_project):
    text_project.hold_out(test=range(1, 11), validation=range(11, 16))
    text_project.annotate_truly(range(16, 31))
    text_project.train_round(1)
    before = text_project.context().live_model().head
    for task_id in range(1, 16):
        text_project.annotate(task_id, "weather")
    text_project.train_round(1)
    after = text_project.context().live_model().head
    np.testing.assert_allclose(after.weights, before.weights, atol=1e-3)


def test_a_label_without_an_embedding_waits_for_the_next_round(text_project):
    with text_project.database.write() as session:
        project = session.get_one(Project, text_project.id)
        new = [{"id": 61, "data": {"text": "Fresh snow."}}]
        mirror.write_tasks(text_project.database, session, project, new)
    text_project.annotate(61, "weather")
    text_project.annotate_truly([2, 3])
    text_project.train_round(1)
    assert [task_id for task_id, _ in members(text_project)] == [2, 3]


def test_a_deleted_task_trains_no_more(text_project):
    text_project.annotate_truly([1, 2, 3])
    with text_project.database.write() as session:
        mirror.delete_tasks(session, text_project.id, [2])
    text_project.train_round(1)
    assert [task_id for task_id, _ in members(text_project)] == [1, 3]


def test_outputs_follow_the_labelling_configs_order(trained):
    assert trained.context().live_model().classes == CLASSES


def test_no_model_is_stored_without_its_manifest(text_project):
    """Training has recorded the manifest when it hands the model over to be stored."""
    text_project.annotate_truly(range(1, 10))
    context = text_project.context()
    _, trained_on = train.train(context, 1, text_project.lease("round"))
    assert manifest(text_project) is not None
    assert trained_on == 9
    assert train.stored_model(context, 1) is None


def test_a_worker_that_lost_its_lease_records_nothing(text_project):
    text_project.annotate_truly(range(1, 10))
    dead = work.acquire(text_project.database, text_project.id, "round", -1.0, even_if_done=True)
    text_project.lease("round")
    with pytest.raises(LeaseLostError):
        train.train(text_project.context(), 1, dead)
    assert manifest(text_project) is None


def test_training_again_replaces_the_rounds_manifest(text_project):
    text_project.annotate_truly([1, 2, 3])
    text_project.train_round(1)
    text_project.annotate_truly([4])
    text_project.train_round(1)
    assert len(members(text_project)) == 4


def test_an_interrupted_round_finds_its_stored_model(trained):
    context = trained.context()
    stored = train.stored_model(context, 1)
    assert stored is not None
    assert stored.metadata["round"] == 1
    assert train.stored_model(context, 2) is None


def test_a_stored_model_of_another_label_schema_or_encoder_does_not_fit(trained):
    with trained.database.write() as session:
        project = session.get_one(Project, trained.id)
        apply_label_config(trained.database, session, project, label_config(CLASSES[:2]))
    assert train.stored_model(trained.context(), 1) is None
    with trained.database.write() as session:
        project = session.get_one(Project, trained.id)
        apply_label_config(trained.database, session, project, label_config())
    assert train.stored_model(trained.context(), 1) is not None
    trained.update(config={**trained.row().config, "encoder": "minilm"})
    assert train.stored_model(trained.context(), 1) is None
    assert trained.context().live_model() is None


def test_the_model_goes_on_when_a_class_is_added(trained):
    with trained.database.write() as session:
        project = session.get_one(Project, trained.id)
        apply_label_config(trained.database, session, project, label_config((*CLASSES, "music")))
    trained.train_round(2)
    model = trained.context().live_model()
    assert model.classes == (*CLASSES, "music")
    assert model.head.counts.tolist() == [10, 10, 10, 0]


def test_a_round_without_any_label_has_an_even_model(text_project):
    context = text_project.context()
    model, trained_on = train.train(context, 1, text_project.lease("round"))
    assert trained_on == 0
    even = model.probabilities(np.ones((2, context.encoder.dimension), dtype=np.float32))
    np.testing.assert_allclose(even, 1 / 3, rtol=1e-5)


def test_a_damaged_model_is_no_model_and_the_next_round_replaces_it(trained):
    (trained.context().model_dir(1) / "model.json").write_text("{")
    assert trained.context().live_model() is None
    assert train.stored_model(trained.context(), 1) is None
    trained.train_round(2)
    assert trained.context().live_model().metadata["round"] == 2
