"""The command line: every expected failure is one line, and `--json` is JSON alone."""

import json
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from backend.cli import app
from backend.commands.servers import queues_of
from backend.config import QueueConfig
from backend.settings import Settings
from backend.store.database import Database
from backend.store.tables import ConfigChange, Project, Work

# A port that nothing listens on: Label Studio "is down".
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch):
    for name in (
        *("REDIS_URL", "DATABASE_URL", "LABEL_STUDIO_TOKEN"),
        *("ASKNEXT_DATA_DIR", "ASKNEXT_HOST", "ASKNEXT_PORT", "ASKNEXT_PUBLIC_URL"),
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def data_dir(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def database(data_dir):
    opened = Database(Settings(data_dir=data_dir).database)
    opened.migrate()
    yield opened
    opened.dispose()


@pytest.fixture
def project(database):
    with database.write() as session:
        row = Project(
            label_studio_url=NOWHERE,
            label_studio_id=7,
            title="Reviews [of films]",
            kind="text",
            created_at=time.time(),
            secret=b"s" * 32,
            config=QueueConfig(batch_size=20).model_dump(mode="json"),
        )
        session.add(row)
        session.flush()
        return row


@pytest.fixture
def run(data_dir):
    def call(*arguments, environment=None):
        return CliRunner().invoke(
            app,
            ["--data-dir", str(data_dir), *arguments],
            env={"LABEL_STUDIO_TOKEN": "a.b.c", **(environment or {})},
        )

    return call


def error_of(result):
    """The one line of an expected failure."""
    assert result.exit_code == 1, result.output
    assert result.stdout == ""
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.stderr
    assert result.stderr.startswith("Error: ")
    return result.stderr.strip()


class TestErrors:
    def test_without_a_state_every_command_says_what_to_do(self, run, data_dir):
        for command in (
            ["status"],
            ["rank", "--project", "7"],
            ["pause", "--project", "7"],
            ["config", "show", "--project", "7"],
            ["connect", "--url", NOWHERE, "--project", "7"],
            ["worker"],
            ["serve"],
        ):
            assert "asknext up" in error_of(run(*command))
        assert not data_dir.exists() or not list(data_dir.glob("*.sqlite3"))

    @pytest.mark.usefixtures("database")
    def test_a_project_that_is_not_connected(self, run):
        for command in ("status", "rank", "pause", "resume", "disconnect"):
            assert "Project 99 is not connected" in error_of(run(command, "--project", "99"))

    def test_a_wrong_setting_in_the_environment(self, run):
        message = error_of(run("status", environment={"ASKNEXT_PORT": "many"}))
        assert "port" in message

    def test_an_archived_project_is_not_ranked(self, run, database, project):
        with database.write() as session:
            session.get_one(Project, project.id).state = "archived"
        assert "archived" in error_of(run("rank", "--project", "7"))

    @pytest.mark.usefixtures("database")
    def test_an_unknown_queue(self, run):
        assert "asknext-embed" in error_of(run("worker", "--queues", "asknext-nothing"))

    def test_a_schema_of_another_version(self, run, database):
        import sqlalchemy as sa

        with database.write() as session:
            session.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
        assert "asknext migrate" in error_of(run("status"))

    @pytest.mark.usefixtures("database")
    def test_connect_needs_an_address_with_a_scheme_and_a_token(self, run):
        assert "--url" in error_of(run("connect", "--project", "7"))
        message = error_of(run("connect", "--url", "localhost:8080", "--project", "7"))
        assert "http://" in message
        message = error_of(
            run(
                "connect", "--url", NOWHERE, "--project", "7",
                environment={"LABEL_STUDIO_TOKEN": ""},
            )
        )  # fmt: skip
        assert "LABEL_STUDIO_TOKEN" in message

    @pytest.mark.usefixtures("database")
    def test_connect_refuses_a_wrong_configuration_before_it_asks_label_studio(self, run):
        result = run("connect", "--url", NOWHERE, "--project", "7", "--config", "{nonsense")
        assert "not valid JSON" in error_of(result)

    def test_the_entry_point_itself_fails_without_a_traceback(self, tmp_path):
        finished = subprocess.run(
            [sys.executable, "-m", "backend.cli", "status", "--data-dir", str(tmp_path), "--json"],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert finished.returncode == 1
        assert finished.stdout == ""
        assert finished.stderr.startswith("Error: There is no AskNext state")


class TestStarting:
    def test_help_loads_neither_torch_nor_a_database(self):
        code = (
            "import sys\n"
            "from backend.cli import app\n"
            "slow = {'torch', 'label_studio_sdk', 'sqlalchemy', 'rq'} & set(sys.modules)\n"
            "sys.exit(f'loaded {slow}' if slow else 0)"
        )
        subprocess.run([sys.executable, "-c", code], check=True, timeout=60)

    @pytest.mark.usefixtures("project")
    def test_status_loads_no_torch(self, data_dir):
        code = (
            "import sys\n"
            "from typer.testing import CliRunner\n"
            "from backend.cli import app\n"
            f"result = CliRunner().invoke(app, ['status', '--data-dir', {str(data_dir)!r}])\n"
            "sys.exit('torch' if 'torch' in sys.modules else result.exit_code)"
        )
        subprocess.run([sys.executable, "-c", code], check=True, timeout=60)

    def test_migrate_makes_the_state(self, run, data_dir):
        assert run("migrate").exit_code == 0
        Database(Settings(data_dir=data_dir).database).check_revision()
        assert run("status", "--json").exit_code == 0

    @pytest.mark.usefixtures("database")
    def test_options_before_and_after_the_command_mean_the_same(self, data_dir):
        before = CliRunner().invoke(app, ["--data-dir", str(data_dir), "status", "--json"])
        after = CliRunner().invoke(app, ["status", "--json", "--data-dir", str(data_dir)])
        assert before.exit_code == after.exit_code == 0
        assert json.loads(before.stdout) == json.loads(after.stdout)

    def test_every_queue_is_served_whatever_the_number_of_workers(self):
        for workers in range(1, 6):
            served = queues_of(workers)
            assert len(served) == workers
            assert {name for queues in served for name in queues.split(",")} == {
                "asknext-sync",
                "asknext-round",
                "asknext-embed",
                "asknext-backtest",
            }
        # A top-up never waits for embedding, nor does a worker of its own embed beside rounds.
        assert not any("sync" in queues and "embed" in queues for queues in queues_of(2))


class TestStatus:
    @pytest.mark.usefixtures("project")
    def test_json_holds_the_installation_and_every_project(self, run):
        document = json.loads(run("status", "--json").stdout)
        assert document["engine"] is False
        assert document["workers"] == []
        assert [row["id"] for row in document["projects"]] == [7]

    def test_the_table_shows_what_an_admin_asks_about(self, run, database, project):
        with database.write() as session:
            row = session.get_one(Project, project.id)
            row.last_error = "sync: Label Studio [is away]"
            row.last_error_at = time.time()
        shown = run("status", "--project", "7").stdout
        assert "Reviews [of films]" in shown
        assert "sync: Label Studio [is away]" in shown
        assert "0 of 5,000" in shown
        assert "none: start `asknext up`" in shown


class TestRank:
    def test_a_round_is_asked_for_though_no_engine_runs(self, run, database, project):
        result = run("rank", "--project", "7", "--json")
        assert json.loads(result.stdout) == {"project": 7, "status": "requested"}
        with database.read() as session:
            row = session.get_one(Work, (project.id, "round"))
        assert (row.requested, row.done) == (1, 0)


class TestConfig:
    def test_validate_names_the_wrong_field(self, run):
        result = run(
            "config", "validate", '{"strategy": {"chain": ["margin", "nonsense"]}}', "--json"
        )
        assert result.exit_code == 1
        answer = json.loads(result.stdout)
        assert answer["valid"] is False
        assert answer["field"].startswith("strategy.chain[1]")
        assert "window" in error_of(run("config", "validate", "window=3"))

    def test_validate_takes_pairs_json_and_files(self, run, tmp_path):
        yaml = tmp_path / "queue.yaml"
        yaml.write_text("strategy:\n  chain: [margin, k_center]\nwindow: 60\n")
        document = tmp_path / "queue.json"
        document.write_text('{"window": 60}')
        for arguments in (
            [f"@{yaml}"],
            [f"@{document}"],
            ['{"window": 60}'],
            ["window=60", "strategy=entropy"],
        ):
            result = run("config", "validate", *arguments, "--json")
            assert json.loads(result.stdout)["config"]["window"] == 60

    def test_files_that_are_absent_or_broken(self, run, tmp_path):
        assert "cannot be read" in error_of(run("config", "validate", f"@{tmp_path / 'none'}"))
        broken = tmp_path / "broken.yaml"
        broken.write_text("window: [1")
        assert "not valid" in error_of(run("config", "validate", f"@{broken}"))

    @pytest.mark.usefixtures("project")
    def test_set_changes_only_what_it_names(self, run):
        result = run("config", "set", "--project", "7", "strategy=entropy", "window=40", "--json")
        # Label Studio is away: the change is in force all the same, and that is said.
        assert result.exit_code == 0
        assert "still shows the old one" in result.stderr
        config = json.loads(result.stdout)["config"]
        assert (config["strategy"], config["window"], config["batch_size"]) == ("entropy", 40, 20)

    @pytest.mark.usefixtures("project")
    def test_a_whole_document_replaces_everything(self, run):
        result = run("config", "set", "--project", "7", '{"window": 40}', "--json")
        config = json.loads(result.stdout)["config"]
        assert (config["window"], config["batch_size"]) == (40, QueueConfig().batch_size)

    @pytest.mark.usefixtures("project")
    def test_a_wrong_one_is_refused_recorded_and_changes_nothing(self, run):
        assert "window" in error_of(run("config", "set", "--project", "7", "window=3"))
        shown = json.loads(run("config", "show", "--project", "7", "--json").stdout)
        assert shown["config"]["window"] == QueueConfig().window
        assert "window" in shown["refusal"]
        changes = json.loads(run("config", "history", "--project", "7", "--json").stdout)
        assert [(row["source"], row["accepted"]) for row in changes] == [("cli", False)]

    @pytest.mark.usefixtures("project")
    def test_rollback_puts_an_accepted_one_in_force_again(self, run):
        for strategy in ("entropy", "least_confidence", "bad"):
            run("config", "set", "--project", "7", json.dumps({"strategy": strategy}))
        changes = json.loads(run("config", "history", "--project", "7", "--json").stdout)
        by_strategy = {
            row["document"]["strategy"]: row["id"] for row in changes if row["source"] == "cli"
        }
        result = run("config", "rollback", str(by_strategy["entropy"]), "--project", "7", "--json")
        assert json.loads(result.stdout)["config"]["strategy"] == "entropy"
        message = error_of(run("config", "rollback", str(by_strategy["bad"]), "--project", "7"))
        assert "was refused" in message
        assert "does not exist" in error_of(run("config", "rollback", "999", "--project", "7"))

    def test_the_same_change_counts_again_after_another_source_spoke(self, run, database, project):
        from backend import config_history

        run("config", "set", "--project", "7", '{"strategy": "entropy"}')
        config_history.submit(database, project.id, "label-studio", {"strategy": "margin"})
        result = run("config", "set", "--project", "7", '{"strategy": "entropy"}', "--json")
        assert json.loads(result.stdout)["config"]["strategy"] == "entropy"

    @pytest.mark.usefixtures("run")
    def test_an_echo_of_the_old_extra_params_undoes_nothing(self, database, project):
        from backend import config_history

        old, new = {"strategy": "margin"}, {"strategy": "entropy"}
        config_history.submit(database, project.id, "label-studio", old)
        config_history.submit(database, project.id, "cli", new)
        with database.write() as session:
            config_history.note_written_back(session, project.id, new)
        outcome = config_history.submit(database, project.id, "label-studio", old)
        assert outcome.repeated
        with database.write() as session:
            assert session.get_one(Project, project.id).config["strategy"] == "entropy"
            # Later it is an act of the admin's.
            for row in session.query(ConfigChange):
                row.at -= config_history.LATE_ECHO_SECONDS + 1
        config_history.submit(database, project.id, "label-studio", old)
        with database.read() as session:
            assert session.get_one(Project, project.id).config["strategy"] == "margin"

    @pytest.mark.usefixtures("project")
    def test_show_lists_every_setting(self, run):
        shown = run("config", "show", "--project", "7").stdout
        assert all(name in shown for name in QueueConfig.model_fields)


class TestHoldout:
    """`asknext holdout`: the manifest, the sealed curve, a new era."""

    @pytest.fixture
    def drawn(self, database, project):
        from backend.rounds import mirror
        from backend.rounds.holdout import draw_splits

        with database.write() as session:
            row = session.get_one(Project, project.id)
            tasks = [{"id": n, "data": {"text": f"Text {n}"}} for n in range(1, 41)]
            mirror.write_tasks(database, session, row, tasks)
            draw_splits(database, session, row)

    @pytest.mark.usefixtures("project")
    def test_before_the_draw_it_says_when_that_is(self, run):
        result = run("holdout", "show", "--project", "7")
        assert result.exit_code == 1
        assert "not drawn yet" in result.stderr

    @pytest.mark.usefixtures("drawn")
    def test_it_shows_opens_and_resets(self, run):
        shown = json.loads(run("holdout", "show", "--project", "7", "--json").stdout)
        assert shown["digest"][:12] in run("holdout", "show", "--project", "7").stdout
        opened = json.loads(run("holdout", "open", "--project", "7", "--json").stdout)
        assert (opened["looks"], opened["rounds"]) == (1, [])
        assert "look 2" in run("holdout", "open", "--project", "7").stdout
        assert "opened 2 times" in run("status", "--project", "7").stdout
        assert run("holdout", "reset", "--project", "7").exit_code == 1  # nobody said yes
        assert "Era 2" in run("holdout", "reset", "--project", "7", "--yes").stdout
        assert run("holdout", "show", "--project", "7").exit_code == 1
        assert shown["era"] == 1
