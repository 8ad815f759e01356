"""Which tasks are embedded, and the embeddings of a whole pool."""

import numpy as np

from backend.rounds.embedded import embedded_tasks, pool_embeddings
from backend.rounds.mirror import content_hash
from tests.backend.text_project import TASK_IDS, TEXTS


def test_every_living_embedded_task_is_listed_with_its_content(text_project):
    found = embedded_tasks(text_project.context())
    assert list(found) == TASK_IDS
    assert found[3] == content_hash(TEXTS[2])


def test_a_pools_embeddings_are_in_the_order_asked_for(text_project):
    context = text_project.context()
    hashes = [content_hash(text) for text in reversed(TEXTS)]
    np.testing.assert_array_equal(pool_embeddings(context, hashes), context.cache.get(hashes))


def test_up_to_a_twentieth_may_be_missing_and_stands_at_the_mean(text_project):
    context = text_project.context()
    hashes = [content_hash(text) for text in TEXTS]
    known = context.cache.get(hashes[3:])
    some = [None, content_hash("A text that nobody embedded."), b"", *hashes[3:]]
    found = pool_embeddings(context, some)
    np.testing.assert_array_equal(found[3:], known)
    np.testing.assert_allclose(found[:3], np.tile(known.mean(axis=0), (3, 1)), rtol=1e-6)
    assert pool_embeddings(context, [None, *some]) is None
    assert pool_embeddings(context, []) is None
