"""Embedding the pool: each content once, the annotated first, values read as they are used."""

import pytest

from backend.rounds import embed as embedding
from backend.rounds import mirror
from backend.rounds.embed import embed, missing
from backend.rounds.mirror import content_hash
from backend.store.tables import Project
from tests.backend.text_project import TASK_IDS, TextProject, text_of


@pytest.fixture
def project(settings, database):
    """A project without a single embedding."""
    return TextProject(settings, database)


def run(project, **options):
    return embed(project.context(), **{"seconds": 60.0, "report": lambda **_: None, **options})


def hashes(task_ids):
    return [content_hash(text_of(task_id)) for task_id in task_ids]


def test_everything_is_embedded_once(project):
    assert run(project)
    assert project.context().cache.contains(hashes(TASK_IDS)).all()
    with project.database.read() as session:
        assert missing(session, project.context()).all() == []
    shards = project.context().cache.shard_count
    assert run(project)
    assert project.context().cache.shard_count == shards


def test_a_round_embeds_what_is_annotated_and_nothing_else(project):
    project.annotate(5, "cooking")
    assert run(project, only_annotated=True)
    cache = project.context().cache
    assert cache.contains(hashes([5])).all()
    assert len(cache) == 1


def test_the_annotated_come_first(project):
    project.annotate(41, "cooking")
    with project.database.read() as session:
        found = missing(session, project.context())
    assert [item.task_id for item in found.all()[:1]] == [41]
    assert {item.task_id for item in found.others} == set(TASK_IDS) - {41}


def test_a_value_that_changes_meanwhile_is_not_kept_under_its_old_hash(project, monkeypatch):
    listed = embedding.missing

    def change_after_listing(session, context):
        found = listed(session, context)
        session.close()
        with project.database.write() as writing:
            row = writing.get_one(Project, project.id)
            mirror.write_tasks(
                project.database, writing, row, [{"id": 1, "data": {"text": "Now another text."}}]
            )
        return found

    monkeypatch.setattr(embedding, "missing", change_after_listing)
    run(project)
    assert not project.context().cache.contains(hashes([1])).any()
    assert project.context().cache.contains(hashes([2])).all()


def test_measuring_what_is_embedded_already_ends_with_its_slice_too(project):
    config = {**project.row().config, "strategy": {"rare_properties": {"columns": ["text:words"]}}}
    assert run(project)
    project.update(config=config)
    assert not run(project, seconds=0.0)
    with project.database.read() as session:
        assert 0 < len(missing(session, project.context()).all()) < len(TASK_IDS)
    assert run(project)
    with project.database.read() as session:
        assert missing(session, project.context()).all() == []


def test_a_round_measures_what_is_embedded_where_the_strategy_reads_properties(project):
    run(project)
    with project.database.write() as session:
        mirror.write_tasks(
            project.database, session, session.get_one(Project, project.id),
            [{"id": 99, "data": {"text": "never seen before"}}],
        )  # fmt: skip
    config = {**project.row().config, "strategy": {"rare_properties": {"columns": ["text:words"]}}}
    project.update(config=config)
    run(project, only_annotated=True)
    with project.database.read() as session:
        assert [item.task_id for item in missing(session, project.context()).all()] == [99]
