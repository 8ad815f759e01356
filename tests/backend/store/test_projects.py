"""Projects: look-up by Label Studio's id, events, errors, version names."""

import re
import time

import sqlalchemy as sa

from backend.store.projects import (
    all_projects,
    find,
    installation_name,
    model_version,
    queue_version,
    record_error,
    record_event,
)
from backend.store.tables import Event, Project


def add(database, label_studio_id, url="http://other.example", **values):
    with database.write() as session:
        project = Project(
            label_studio_url=url,
            label_studio_id=label_studio_id,
            created_at=time.time(),
            secret=b"t" * 32,
            **values,
        )
        session.add(project)
        session.flush()
        return project.id


def test_an_installation_has_one_name_for_ever(database):
    name = installation_name(database)
    assert re.fullmatch(r"[0-9a-f]{8}", name)
    assert installation_name(database) == name


def test_version_names_carry_the_installation_and_tell_queue_and_model_apart():
    assert model_version("0a1b2c3d", 4) == "asknext-0a1b2c3d-m4"
    assert queue_version("0a1b2c3d", 4, 17) == "asknext-0a1b2c3d-q4.17"
    names = {queue_version("a", r, n) for r in range(20) for n in range(200)}
    assert len(names) == 20 * 200


def test_a_project_is_found_by_label_studios_id_in_any_state(database, project_id):
    other = add(database, 12, state="archived")
    with database.read() as session:
        assert find(session, 7).id == project_id
        assert find(session, 12).id == other
        assert find(session, 99) is None


def test_of_two_with_one_id_the_newest_is_found(database, project_id):
    newer = add(database, 7)
    with database.read() as session:
        assert find(session, 7).id == newer != project_id


def test_an_id_that_no_database_holds_finds_nothing(database):
    with database.read() as session:
        for number in (0, -7, 2**31, 2**63, 10**30):
            assert find(session, number) is None


def test_projects_are_listed_by_label_studios_id(database, project_id):
    late, early = add(database, 12), add(database, 3)
    with database.read() as session:
        assert [p.id for p in all_projects(session)] == [early, project_id, late]


def events(database):
    with database.read() as session:
        return [row.message for row in session.scalars(sa.select(Event).order_by(Event.id))]


def test_a_message_that_repeats_is_told_once_with_its_newest_time(database, project_id):
    for message in ("dry", "dry", "dry", "full", "dry"):
        with database.write() as session:
            record_event(session, project_id, "warning", message)
    assert events(database) == ["dry", "full", "dry"]


def test_each_project_has_events_of_its_own(database, project_id):
    other = add(database, 12)
    for number in (project_id, other, project_id):
        with database.write() as session:
            record_event(session, number, "info", "same")
    assert events(database) == ["same", "same"]


def test_an_error_is_remembered_with_its_time_until_it_is_cleared(database, project_id):
    record_error(database, project_id, "sync: no answer")
    with database.read() as session:
        project = session.get_one(Project, project_id)
        assert project.last_error == "sync: no answer"
        assert project.last_error_at is not None
    record_error(database, project_id, None)
    with database.read() as session:
        project = session.get_one(Project, project_id)
        assert (project.last_error, project.last_error_at) == (None, None)
