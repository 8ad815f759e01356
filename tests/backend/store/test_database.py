"""The state database: one schema revision, short transactions, a backup before a migration."""

import sqlite3
import threading

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from backend.errors import SchemaRevisionError
from backend.settings import Settings
from backend.store.database import ROWS_A_STATEMENT, Database
from backend.store.tables import Base, Installation, Project, Task


@pytest.fixture
def fresh(tmp_path):
    """A database that nobody has migrated."""
    opened = Database(f"sqlite:///{tmp_path / 'folder' / 'state.sqlite3'}")
    yield opened
    opened.dispose()


def file_of(database):
    return database.url.removeprefix("sqlite:///")


def tables(database):
    with sqlite3.connect(file_of(database)) as connection:
        return {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}


def set_revision(database, revision):
    with sqlite3.connect(file_of(database)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))


def backups(database):
    from pathlib import Path

    return list(Path(file_of(database)).parent.glob("*.backup.sqlite3"))


def test_a_fresh_database_is_refused_until_it_is_migrated(fresh):
    with pytest.raises(SchemaRevisionError, match=r"none.*asknext migrate"):
        fresh.check_revision()
    fresh.migrate()
    fresh.check_revision()


def test_the_migrations_make_exactly_the_tables_that_the_code_uses(fresh):
    fresh.migrate()
    with fresh.read() as session:
        connection = session.connection()
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_migrating_again_keeps_everything_and_makes_no_backup(database, project_id):
    before = tables(database)
    database.migrate()
    database.migrate()
    with database.read() as session:
        assert session.get(Project, project_id) is not None
    assert tables(database) == before
    assert backups(database) == []


@pytest.mark.parametrize("revision", ["0000", "9999_from_a_later_version"])
def test_another_versions_schema_is_refused_with_the_way_out(database, revision):
    set_revision(database, revision)
    with pytest.raises(SchemaRevisionError) as refused:
        database.check_revision()
    assert revision in str(refused.value)
    assert "asknext migrate" in str(refused.value)


def test_the_server_does_not_start_on_another_versions_schema(app, database):
    from fastapi.testclient import TestClient

    set_revision(database, "9999")
    with pytest.raises(SchemaRevisionError), TestClient(app):
        pytest.fail("the server started")


def test_a_backup_is_made_before_an_existing_schema_is_changed(database, project_id):
    # A real schema that this version cannot upgrade: the backup comes first all the same.
    set_revision(database, "0000")
    with pytest.raises(Exception, match="0000"):
        database.migrate()
    (backup,) = backups(database)
    assert "0000" in backup.name
    with sqlite3.connect(backup) as connection:
        (found,) = connection.execute("SELECT id FROM project").fetchall()
    assert found == (project_id,)


def test_processes_that_migrate_at_once_take_turns(tmp_path):
    url = f"sqlite:///{tmp_path / 'state.sqlite3'}"
    errors = []

    def migrate():
        try:
            database = Database(url)
            database.migrate()
            database.check_revision()
            database.dispose()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=migrate) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


# ------------------------------------------------------------------ transactions


def test_a_write_is_all_or_nothing(database, project_id):
    def write_half():
        with database.write() as session:
            session.get_one(Project, project_id).title = "half"
            session.flush()
            raise InterruptedError

    with pytest.raises(InterruptedError):
        write_half()
    with database.read() as session:
        assert session.get_one(Project, project_id).title == ""


def test_what_is_changed_in_a_read_is_not_kept(database, project_id):
    with database.read() as session:
        session.get_one(Project, project_id).title = "not kept"
        session.flush()
    with database.read() as session:
        assert session.get_one(Project, project_id).title == ""


def test_concurrent_read_and_change_loses_no_update(database, project_id):
    def count_up():
        for _ in range(20):
            with database.write() as session:
                session.get_one(Project, project_id).total += 1

    threads = [threading.Thread(target=count_up) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as session:
        assert session.get_one(Project, project_id).total == 80


def test_reading_goes_on_while_somebody_writes(database, project_id):
    with database.write() as writing:
        writing.get_one(Project, project_id).title = "being written"
        writing.flush()
        with database.read() as reading:
            assert reading.get_one(Project, project_id).title == ""


def test_a_row_of_a_project_that_does_not_exist_is_refused(database):
    with pytest.raises(sa.exc.IntegrityError), database.write() as session:
        session.add(Task(project_id=99, task_id=1, u=0.5))


# ------------------------------------------------------------------ upsert


def test_upsert_inserts_new_rows_and_replaces_the_given_columns_of_known_ones(database, project_id):
    def row(task_id, **values):
        return {"project_id": project_id, "task_id": task_id, **values}

    with database.write() as session:
        database.upsert(session, Task, [row(1, u=0.1, value="a", group_key="g")])
        database.upsert(session, Task, [row(1, u=0.1, value="b"), row(2, u=0.2, value="c")])
        database.upsert(session, Task, [])
    with database.read() as session:
        found = {task.task_id: task for task in session.scalars(sa.select(Task))}
    assert {number: task.value for number, task in found.items()} == {1: "b", 2: "c"}
    assert found[1].group_key == "g"


def test_upsert_takes_any_number_of_rows(database, project_id):
    many = 3 * ROWS_A_STATEMENT + 1
    with database.write() as session:
        database.upsert(
            session,
            Task,
            [{"project_id": project_id, "task_id": n, "u": 0.5} for n in range(many)],
        )
    with database.read() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Task)) == many


def test_upsert_of_keys_alone_leaves_known_rows_be(database):
    with database.write() as session:
        database.upsert(session, Installation, [{"id": 1, "name": "a", "created_at": 1.0}])
        database.upsert(session, Installation, [{"id": 1, "name": "b", "created_at": 2.0}])
    with database.read() as session:
        assert session.get_one(Installation, 1).name == "b"


def test_the_default_state_is_a_file_in_the_data_folder(settings, database):
    assert database.url == Settings(data_dir=settings.data_dir).database
    assert database.dialect == "sqlite"


def test_a_database_of_an_early_first_schema_takes_new_projects_after_its_upgrade(fresh):
    from alembic import command

    from backend.store.database import _alembic_config

    config = _alembic_config()
    with fresh._engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.commit()
    with sqlite3.connect(file_of(fresh)) as connection:
        connection.execute("ALTER TABLE project ADD COLUMN dry_picks INTEGER NOT NULL DEFAULT 0")
    fresh.migrate()
    fresh.check_revision()
    with fresh.read() as session:
        context = MigrationContext.configure(session.connection())
        assert compare_metadata(context, Base.metadata) == []
