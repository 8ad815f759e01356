"""One real Label Studio for all end-to-end tests: in a temporary folder, on a free port."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from demo.labelstudio_server import Account, LabelStudioServer
from demo.labelstudio_session import LabelStudioSession
from demo.processes import free_port


@dataclass
class LiveLabelStudio:
    """A running Label Studio with its admin's session and a second member's.

    Tests that stop the server start it again, on the same port, before they end.
    """

    server: LabelStudioServer
    account: Account
    session: LabelStudioSession
    second_account: Account
    second: LabelStudioSession

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
        yield LiveLabelStudio(server, account, session, second_account, second)
    finally:
        server.stop()
