"""One prediction: the label, the confidence, and what Label Studio has no field for."""

import math
import threading

import numpy as np
import pytest

from backend.label_schema import LabelSchema
from backend.models.embedding_cache import EmbeddingCache
from backend.prediction import Predictor, answer
from backend.settings import Settings
from tests.backend.text_project import LABEL_CONFIG, text_of

SCHEMA = LabelSchema("topic", "content", "text", "text", ("a", "b", "c"))
NOTHING = {"result": [], "score": None, "model_version": "m0"}


def told(probabilities, classes=("a", "b", "c"), schema=SCHEMA):
    return answer(np.array(probabilities, dtype=np.float32), classes, schema, "m4", NOTHING)


def test_the_score_is_the_confidence_in_the_label_shown():
    prediction = told([0.2, 0.7, 0.1])
    assert prediction["result"] == [SCHEMA.region("b")]
    assert prediction["score"] == pytest.approx(0.7)
    assert prediction["model_version"] == "m4"


def test_the_extra_key_carries_the_distribution_and_its_uncertainties():
    extra = told([0.2, 0.7, 0.1])["asknext"]
    assert extra["probabilities"] == pytest.approx({"a": 0.2, "b": 0.7, "c": 0.1})
    entropy = -sum(p * math.log(p) for p in (0.2, 0.7, 0.1))
    assert extra["entropy"] == pytest.approx(entropy)
    assert extra["margin"] == pytest.approx(0.5)
    assert extra["least_confidence"] == pytest.approx(0.3)


def test_certainty_has_no_entropy():
    extra = told([0.0, 1.0, 0.0])["asknext"]
    assert (extra["entropy"], extra["margin"], extra["least_confidence"]) == (0.0, 1.0, 0.0)


def test_a_class_that_the_labelling_config_lost_is_not_shown():
    assert told([0.1, 0.1, 0.8], classes=("a", "b", "gone")) == NOTHING


def test_probabilities_are_calibrated(trained):
    """The model on disk has a temperature; what is answered is divided by it."""
    context = trained.context()
    model = context.live_model()
    (prediction,) = Predictor(trained.settings, trained.database).predict(
        trained.row(), [(40, {"text": text_of(40)})], LABEL_CONFIG
    )
    (row,) = context_embedding(trained, 40)
    assert prediction["score"] == pytest.approx(float(model.probabilities(row[None]).max()))


def context_embedding(project, task_id):
    from backend.rounds.mirror import content_hash

    return project.context().cache.get([content_hash(text_of(task_id))])


def test_many_requests_at_once_are_all_answered_and_embed_each_content_once(trained):
    predictor = Predictor(trained.settings, trained.database)
    tasks = [(100 + n, {"text": f"Rain and wind, report number {n}."}) for n in range(40)]
    answers = {}

    def ask(name):
        answers[name] = predictor.predict(trained.row(), tasks, LABEL_CONFIG)

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 4
    assert all(value == answers[0] for value in answers.values())
    assert all(prediction["result"] for prediction in answers[0])
    encoder = trained.context().encoder
    cache = EmbeddingCache(trained.settings.embeddings_dir, encoder.fingerprint, encoder.dimension)
    assert len(cache) == 60 + 40


def test_a_request_that_waits_for_another_ones_embedding_gives_up_in_time(trained):
    hurried = Settings(data_dir=trained.settings.data_dir, predict_seconds=0.05)
    predictor = Predictor(hurried, trained.database)
    predictor._encoding.acquire()  # another request embeds for longer than that
    unknown = [(100, {"text": "Never seen before."}), (40, {"text": text_of(40)})]
    first, second = predictor.predict(trained.row(), unknown, LABEL_CONFIG)
    assert (first["result"], first["score"]) == ([], None)
    assert second["result"]


def test_an_encoder_changed_since_the_round_means_no_model(trained):
    config = {**trained.row().config, "encoder": "minilm"}
    trained.update(config=config)
    (prediction,) = Predictor(trained.settings, trained.database).predict(
        trained.row(), [(40, {"text": text_of(40)})], LABEL_CONFIG
    )
    assert (prediction["result"], prediction["score"]) == ([], None)
