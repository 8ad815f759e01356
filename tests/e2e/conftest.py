"""One real Label Studio and one AskNext for all end-to-end tests, on free ports."""

import itertools
import random
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from backend import connection
from backend.settings import Settings
from backend.store.database import Database
from demo.asknext_server import AskNextServer
from demo.datasets import news
from demo.labelstudio_server import Account, LabelStudioServer
from demo.labelstudio_session import LabelStudioSession
from demo.processes import free_port
from tests.e2e.driven import Driven

# Hold-outs are drawn after two totals this far apart (30 s in production), and a dead worker's
# lease ends after 6 s instead of 20.
SETTINGS = {"ASKNEXT_STABLE_TOTAL_SECONDS": "1", "ASKNEXT_LEASE_SECONDS": "6"}
CONFIG = {
    "encoder": "static",
    "strategy": "margin",
    "test_size": 12,
    "validation_size": 6,
    "window": 30,
}
CLASSES = ("business", "entertainment", "politics", "sport", "technology")
SNIPPET_CHARACTERS = 200


def pytest_collection_modifyitems(items):
    """Everything here shares two servers, and so one of the test processes."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.xdist_group("e2e"))


@dataclass
class LiveLabelStudio:
    """A running Label Studio with its admin's session and two more members'.

    Tests that stop the server start it again, on the same port, before they end.
    """

    server: LabelStudioServer
    account: Account
    session: LabelStudioSession
    second_account: Account
    second: LabelStudioSession
    third: LabelStudioSession

    @property
    def url(self) -> str:
        """Where the server is."""
        return self.server.url

    @property
    def email(self) -> str:
        """The admin's log-in."""
        return self.account.email

    @property
    def password(self) -> str:
        """The admin's password."""
        return self.account.password

    @property
    def token(self) -> str:
        """The admin's personal access token."""
        return self.session.token


@pytest.fixture(scope="session")
def label_studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveLabelStudio]:
    """Start Label Studio once for the whole test session."""
    folder: Path = tmp_path_factory.mktemp("label-studio")
    account = Account("admin@asknext.local", "asknext-tests")
    second_account = Account("second@asknext.local", "asknext-tests-2")
    server = LabelStudioServer(folder, free_port(), account)
    server.start()
    try:
        server.wait_until_ready()
        session = LabelStudioSession.log_in(server.url, account)
        second = session.invite(second_account)
        third = session.invite(Account("one-more@asknext.local", "asknext-tests-3"))
        yield LiveLabelStudio(server, account, session, second_account, second, third)
    finally:
        server.stop()


@pytest.fixture(scope="session")
def session(label_studio):
    """The admin, who annotates too."""
    return label_studio.session


@pytest.fixture(scope="session")
def second_session(label_studio):
    """Another member of the organisation."""
    return label_studio.second


@pytest.fixture(scope="session")
def third_session(label_studio):
    """One more."""
    return label_studio.third


@pytest.fixture(scope="session")
def asknext(tmp_path_factory):
    """`asknext up` with its workers and its embedded queue engine."""
    server = AskNextServer(tmp_path_factory.mktemp("asknext"), free_port(), settings=SETTINGS)
    server.start()
    server.wait_until_ready()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def api(asknext):
    """AskNext's HTTP, with its credentials."""
    with httpx.Client(
        base_url=asknext.url, auth=asknext.credentials(), timeout=30, trust_env=False
    ) as client:
        yield client


@pytest.fixture(scope="session")
def texts():
    """Endless (text, class) of real news; a project's are distinct."""
    dataset = news()
    items = {}
    for task in dataset.tasks:
        label = dataset.truth[task["source_id"]].lower()
        items.setdefault(" ".join(task["text"].split())[:SNIPPET_CHARACTERS], label)
    shuffled = list(items.items())
    random.Random(0).shuffle(shuffled)
    return itertools.cycle(shuffled)


@pytest.fixture
def make_project(session, texts):
    """Make a project with some tasks: (number, class by text).

    `fields` gives the further data of the task at a place.
    """

    def make(tasks=60, fields=lambda place: {}):  # noqa: ARG005
        truth = dict(itertools.islice(texts, tasks))
        choices = "".join(f'<Choice value="{name}"/>' for name in CLASSES)
        number = session.create_project(
            "A project of a test",
            '<View><Text name="text" value="$text"/>'
            f'<Choices name="topic" toName="text" choice="single">{choices}</Choices></View>',
        )
        session.import_tasks(
            number, [{"text": text, **fields(place)} for place, text in enumerate(truth)]
        )
        return number, truth

    return make


@pytest.fixture
def run_asknext(asknext):
    """Run a command of AskNext's and return what it printed."""

    def run(*arguments):
        return subprocess.run(
            [asknext.program, *arguments, "--data-dir", str(asknext.data_directory)],
            env=asknext.environment,
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    return run


@pytest.fixture(scope="session")
def connect_number(asknext, label_studio):
    """Do what `asknext connect` does, without starting a program for it (one test does that)."""
    settings = Settings.load(
        data_dir=asknext.data_directory, port=asknext.port, public_url=asknext.url
    )
    database = Database(settings.database)

    def run(number, config):
        connection.connect(
            settings,
            database,
            url=label_studio.url,
            token=label_studio.token,
            label_studio_id=number,
            config=config,
        )

    yield run
    database.dispose()


@pytest.fixture
def connect(make_project, session, asknext, api, connect_number):
    """Make a project and let AskNext drive it; ready when the hold-outs are drawn and queued."""
    opened = []

    def make(tasks=60, config=None, **options):
        number, truth = make_project(tasks, **options)
        connect_number(number, {**CONFIG, **(config or {})})
        driven = Driven(asknext, session, number, truth, api)
        opened.append(driven)
        driven.wait(lambda s: s["holdout"]["era"] > 0 and s["queue"]["test"] > 0)
        driven.settle()
        return driven

    yield make
    for driven in opened:  # a deleted project is left alone, so that the next test has its peace
        if driven.state()["state"] in ("active", "paused"):
            session.request("DELETE", f"/api/projects/{driven.number}/")
            driven.api.post(
                "/webhook", json={"action": "PROJECT_DELETED", "project": {"id": driven.number}}
            )
