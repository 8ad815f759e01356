"""The demo from start to end: servers, user, projects, connections, labelling, watching."""

import fcntl
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from demo.annotating import Annotating
from demo.annotator import ScriptedAnnotator
from demo.asknext_server import AskNextServer
from demo.datasets import Dataset, news, photos
from demo.display import AnnotatorProgress, Display, access_panel
from demo.guardian import Guardian
from demo.labelstudio_server import Account, LabelStudioServer
from demo.labelstudio_session import LabelStudioAnswerError, LabelStudioSession
from demo.processes import DemoError
from demo.projects import CONFIGS, DemoProject, ProjectStore, ensure_project, link_files
from demo.report import Access, ReportFile, report_document, write_private

# A local server for one person, with a log-in that is easy to type; it listens on 127.0.0.1 only.
ACCOUNT = Account("admin@asknext.local", "asknext-demo")
WATCH_SECONDS = 1.0


@dataclass(frozen=True)
class Options:
    """What the command line asks for; ports are `port_base` and the one after it."""

    annotate: int
    report: Path | None
    port_base: int
    data_directory: Path
    keep: bool


class Demo:
    """One run of the demo; `run` returns when it is done or stopped, with nothing left behind."""

    def __init__(self, options: Options, console: Console) -> None:
        self.options = options
        self.console = console
        folder = options.data_directory.resolve()
        self.folder = folder
        self.label_studio = LabelStudioServer(folder / "label-studio", options.port_base, ACCOUNT)
        self.asknext = AskNextServer(folder / "asknext", options.port_base + 1)
        self._new_token = False
        self._begun = time.monotonic()

    def run(self) -> None:
        """Start everything, label if asked to, and watch until stopped.

        Raises:
            DemoError: something could not be started or connected, or a server has ended.
        """
        with ExitStack() as stack:
            stack.enter_context(self._only_one())
            datasets = [news(), photos()]
            for dataset in datasets:
                link_files(self.label_studio, dataset)
            guardian = Guardian()
            stack.callback(guardian.close)
            stack.callback(self._say, "Everything has ended; the same command resumes from here.")
            stack.callback(self.label_studio.stop)
            stack.callback(self.asknext.stop)
            stack.callback(self._say, "Ending every server ...")
            self._say("Starting Label Studio and AskNext ...")
            self.label_studio.start()
            guardian.watch(self.label_studio.process.pid)
            self.asknext.start()
            guardian.watch(self.asknext.process.pid)
            self.label_studio.wait_until_ready()
            self._say(f"Label Studio is served at {self.label_studio.url}")
            session = self._session()
            stack.callback(session.close)
            projects = self._projects(session, datasets)
            self._say("Tasks can be labelled.")
            self.asknext.wait_until_ready()
            self._say(f"AskNext is served at {self.asknext.url}")
            self._connect(session, projects)
            access = self._access()
            titles = {
                project.id: dataset.title
                for project, dataset in zip(projects, datasets, strict=True)
            }
            self.console.print(access_panel(access, titles))
            self._watch(access, self._annotators(session, projects, datasets))

    @contextmanager
    def _only_one(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "demo.lock").open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise DemoError(
                    f"A demo already runs on {self.folder}. Stop it first, or use another "
                    "--data-dir and --port-base."
                ) from error
            yield

    def _session(self) -> LabelStudioSession:
        """Return the admin's session, with the token of the last run where it still works."""
        path = self.folder / "label-studio-token"
        if path.exists():
            session = LabelStudioSession(self.label_studio.url, path.read_text().strip())
            try:
                session.request("GET", "/api/current-user/whoami")
            except LabelStudioAnswerError:
                session.close()
            else:
                return session
        session = LabelStudioSession.log_in(self.label_studio.url, ACCOUNT)
        write_private(path, session.token)
        self._new_token = True
        return session

    def _projects(self, session: LabelStudioSession, datasets: list[Dataset]) -> list[DemoProject]:
        store = ProjectStore(self.folder / "projects.json")
        projects = []
        for dataset in datasets:
            projects.append(ensure_project(store, session, self.label_studio, dataset))
            self._say(f"{dataset.title}: {len(dataset.tasks):,} tasks in Label Studio")
        self._store = store
        return projects

    def _connect(self, session: LabelStudioSession, projects: list[DemoProject]) -> None:
        for project in projects:
            if project.connected_url == self.asknext.url and not self._new_token:
                continue
            # Only the first connection brings a configuration: a later one would undo what an
            # admin has set since.
            first = project.connected_url is None
            self.asknext.connect(
                self.label_studio.url,
                session.token,
                project.id,
                CONFIGS[project.kind] if first else None,
            )
            project.connected_url = self.asknext.url
            self._store.save()
            self._say(f"AskNext drives project {project.id}")

    def _access(self) -> Access:
        user, password = self.asknext.credentials()
        return Access(
            label_studio_url=self.label_studio.url,
            asknext_url=self.asknext.url,
            email=ACCOUNT.email,
            password=ACCOUNT.password,
            asknext_user=user,
            asknext_password=password,
        )

    def _annotators(
        self,
        session: LabelStudioSession,
        projects: list[DemoProject],
        datasets: list[Dataset],
    ) -> Annotating:
        annotators = [
            ScriptedAnnotator(
                session.with_same_token(),
                project.id,
                dataset.from_name,
                dataset.to_name,
                dataset.truth,
                seed=project.id,
            )
            for project, dataset in zip(projects, datasets, strict=True)
        ]
        return Annotating(annotators if self.options.annotate else [], self.options.annotate)

    def _watch(self, access: Access, annotating: Annotating) -> None:
        report = ReportFile(self.options.report) if self.options.report else None
        progress: dict[int, AnnotatorProgress] = annotating.progress
        annotating.start()
        done = False
        with Display(self.console) as display:
            while True:
                self._check_servers()
                projects = self.asknext.projects()
                if projects is not None:
                    if not done and annotating.known_to(projects):
                        done = True
                        self._say("AskNext has seen every label of the scripted annotator.")
                    display.update(projects, progress)
                    if report is not None:
                        report.write(report_document(access, projects, done))
                    if not self.options.keep and (done or not annotating.count):
                        return
                if annotating.failures and not self.options.keep:
                    raise DemoError("The annotator gave up. " + " ".join(annotating.failures))
                time.sleep(WATCH_SECONDS)

    def _check_servers(self) -> None:
        for process in (self.label_studio.process, self.asknext.process):
            if not process.running:
                raise process.failure("has ended unexpectedly")

    def _say(self, text: str) -> None:
        seconds = time.monotonic() - self._begun
        self.console.print(f"[{seconds:5.1f} s] {text}", markup=False, highlight=False)
