"""The demo's parts on a real Label Studio: log-ins, files, projects, and the scripted annotator."""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from demo.annotator import GaveUp, Labelled, ScriptedAnnotator, Waiting
from demo.datasets import PHOTO_CONFIG, Dataset
from demo.labelstudio_server import Account, LabelStudioServer
from demo.labelstudio_session import LabelStudioAnswerError, LabelStudioSession, choice_result
from demo.labelstudio_template import build_template, copy_template, template_path
from demo.processes import DemoError
from demo.projects import ProjectStore, ensure_project, link_files
from tests.e2e.conftest import LiveLabelStudio

COLOURS = """<View><Text name="text" value="$text"/>
<Choices name="colour" toName="text"><Choice value="Red"/><Choice value="Blue"/></Choices></View>"""


def colour_project(label_studio: LiveLabelStudio, count: int) -> tuple[int, dict[str, str]]:
    project = label_studio.session.create_project("Colours", COLOURS)
    truth = {f"item-{number}": ("Red", "Blue")[number % 2] for number in range(count)}
    data = [{"text": f"text {source}", "source_id": source} for source in truth]
    assert label_studio.session.import_tasks(project, data) == count
    return project, truth


def annotator(
    session: LabelStudioSession, project: int, truth: dict[str, str], patience: float = 1.0
) -> ScriptedAnnotator:
    return ScriptedAnnotator(session, project, "colour", "text", truth, patience=patience)


def test_the_annotator_submits_true_labels_with_lead_times(label_studio: LiveLabelStudio) -> None:
    project, truth = colour_project(label_studio, 5)
    events = list(annotator(label_studio.session, project, truth).label(3))
    assert [type(event) for event in events] == [Labelled] * 3
    tasks = {task["id"]: task["data"]["source_id"] for task in label_studio.session.tasks(project)}
    for event in events:
        assert isinstance(event, Labelled)
        (annotation,) = label_studio.session.annotations(event.task)
        assert annotation["result"][0]["value"]["choices"] == [truth[tasks[event.task]]]
        assert 2 <= annotation["lead_time"] <= 12
    assert label_studio.session.project(project)["total_annotations_number"] == 3


def test_a_lost_answer_does_not_submit_twice(label_studio: LiveLabelStudio) -> None:
    project, _ = colour_project(label_studio, 1)

    class LosingTransport(httpx.BaseTransport):
        """Hands requests on, and loses the answer of the first submission."""

        def __init__(self) -> None:
            self.inner = httpx.HTTPTransport()
            self.lost = 0

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            answer = self.inner.handle_request(request)
            if request.url.path.endswith("/annotations/") and request.method == "POST":
                answer.read()
                self.lost += 1
                if self.lost == 1:
                    raise httpx.ReadTimeout("lost", request=request)
            return answer

    session = label_studio.session.with_same_token()
    transport = LosingTransport()
    session._client = httpx.Client(base_url=session.url, transport=transport)
    (task,) = session.tasks(project)
    made = session.annotate(task["id"], choice_result("colour", "text", "Red"), 3.25)
    assert transport.lost == 1
    assert [item["id"] for item in session.annotations(task["id"])] == [made["id"]]


def test_an_empty_stream_is_waited_for_and_then_given_up(label_studio: LiveLabelStudio) -> None:
    project, truth = colour_project(label_studio, 2)
    events = list(annotator(label_studio.session, project, truth).label(3))
    assert [type(event) for event in events[:3]] == [Labelled, Labelled, Waiting]
    assert isinstance(events[-1], GaveUp)
    assert "empty" in events[-1].reason


def test_the_annotator_outlasts_a_label_studio_that_is_away(label_studio: LiveLabelStudio) -> None:
    project, truth = colour_project(label_studio, 2)
    labelling = annotator(label_studio.session, project, truth, patience=120).label(2)
    assert isinstance(next(labelling), Labelled)
    label_studio.server.stop()
    try:
        waiting = next(labelling)
        assert isinstance(waiting, Waiting)
        assert "reached" in waiting.reason
    finally:
        label_studio.server.start()
        label_studio.server.wait_until_ready()
    assert isinstance(list(labelling)[-1], Labelled)


def test_a_second_member_is_served_other_tasks(label_studio: LiveLabelStudio) -> None:
    project, truth = colour_project(label_studio, 4)
    mine = label_studio.session.next_task(project)
    assert mine is not None
    (event,) = annotator(label_studio.second, project, truth).label(1)
    assert isinstance(event, Labelled)
    assert event.task != mine["id"]


def test_legacy_tokens_are_off_and_an_api_call_without_token_is_refused(
    label_studio: LiveLabelStudio,
) -> None:
    answer = httpx.get(f"{label_studio.url}/api/projects/", trust_env=False)
    assert answer.status_code == 401
    settings = label_studio.session.request("GET", "/api/jwt/settings")
    assert settings["api_tokens_enabled"] is True
    assert settings["legacy_api_tokens_enabled"] is False


def test_a_wrong_password_is_refused(label_studio: LiveLabelStudio) -> None:
    wrong = Account(label_studio.email, "not-the-password")
    with pytest.raises(LabelStudioAnswerError):
        LabelStudioSession.log_in(label_studio.url, wrong)


def test_a_new_log_in_replaces_the_one_token_that_a_user_may_have(
    label_studio: LiveLabelStudio,
) -> None:
    third = Account("third@asknext.local", "asknext-tests-3")
    old = label_studio.session.invite(third)
    new = LabelStudioSession.log_in(label_studio.url, third)
    assert new.request("GET", "/api/current-user/whoami")["email"] == third.email
    with pytest.raises(LabelStudioAnswerError):
        old.request("GET", "/api/current-user/whoami")


@pytest.fixture
def pictures(tmp_path: Path) -> Dataset:
    folder = tmp_path / "pictures"
    folder.mkdir()
    truth = {}
    for number in range(6):
        truth[f"picture-{number}"] = ("Functional", "Defective")[number % 2]
        (folder / f"picture-{number}.png").write_bytes(grey_picture(number * 40))
    tasks = [
        {"image": f"/data/local-files/?d=pictures/{source}.png", "source_id": source}
        for source in truth
    ]
    return Dataset(
        "image", "Pictures", PHOTO_CONFIG, "condition", "image", tasks, truth, "pictures", folder
    )


def grey_picture(level: int) -> bytes:
    """A PNG of one grey pixel."""

    def chunk(name: bytes, content: bytes) -> bytes:
        body = name + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes([0, level]))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


@pytest.fixture
def store(tmp_path: Path) -> ProjectStore:
    return ProjectStore(tmp_path / "projects.json")


@pytest.fixture
def browser(label_studio: LiveLabelStudio) -> Iterator[httpx.Client]:
    """What a web browser has after the log-in: cookies, and no token."""
    with httpx.Client(base_url=label_studio.url, trust_env=False) as client:
        client.get("/user/login/")
        client.post(
            "/user/login/",
            data={
                "email": label_studio.email,
                "password": label_studio.password,
                "csrfmiddlewaretoken": client.cookies["csrftoken"],
            },
        )
        yield client


def test_pictures_load_with_token_and_in_a_browser_but_not_for_strangers(
    label_studio: LiveLabelStudio, pictures: Dataset, store: ProjectStore, browser: httpx.Client
) -> None:
    link_files(label_studio.server, pictures)
    project = ensure_project(store, label_studio.session, label_studio.server, pictures)
    task = label_studio.session.next_task(project.id)
    assert task is not None
    assert pictures.folder is not None
    content = (pictures.folder / f"{task['data']['source_id']}.png").read_bytes()
    by_token = label_studio.session.download(task["data"]["image"])
    assert by_token.status_code == 200
    assert by_token.headers["content-type"] == "image/png"
    assert by_token.content == content
    assert browser.get(task["data"]["image"]).content == content
    stranger = httpx.get(label_studio.url + task["data"]["image"], trust_env=False)
    assert stranger.status_code == 401


def test_a_project_is_made_once_and_an_interrupted_import_is_completed(
    label_studio: LiveLabelStudio, pictures: Dataset, store: ProjectStore
) -> None:
    session = label_studio.session
    link_files(label_studio.server, pictures)
    project = ensure_project(store, session, label_studio.server, pictures)
    kept = ProjectStore(store.path)
    assert ensure_project(kept, session, label_studio.server, pictures).id == project.id
    gone = next(iter(session.tasks(project.id)))
    session.request("DELETE", f"/api/tasks/{gone['id']}/")
    kept.projects["image"].imported = False
    ensure_project(kept, session, label_studio.server, pictures)
    sources = [task["data"]["source_id"] for task in session.tasks(project.id)]
    assert sorted(sources) == sorted(pictures.truth)


def test_a_project_that_was_deleted_is_made_anew(
    label_studio: LiveLabelStudio, pictures: Dataset, store: ProjectStore
) -> None:
    link_files(label_studio.server, pictures)
    old = ensure_project(store, label_studio.session, label_studio.server, pictures).id
    label_studio.session.request("DELETE", f"/api/projects/{old}/")
    new = ensure_project(store, label_studio.session, label_studio.server, pictures).id
    assert new != old


def test_a_taken_port_is_refused_before_label_studio_moves_elsewhere(
    label_studio: LiveLabelStudio, tmp_path: Path
) -> None:
    other = LabelStudioServer(tmp_path, label_studio.server.port, label_studio.account)
    with pytest.raises(DemoError, match="--port-base"):
        other.start()


def test_the_set_up_has_prepared_a_database_that_is_copied_once(
    label_studio: LiveLabelStudio, tmp_path: Path
) -> None:
    environment = label_studio.server.environment_directory
    assert template_path(environment).exists()
    assert copy_template(environment, tmp_path / "data")
    assert not copy_template(environment, tmp_path / "data")


def test_a_failing_label_studio_gives_no_template(tmp_path: Path) -> None:
    program = tmp_path / "bin" / "label-studio"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho broken >&2\nexit 3\n")
    program.chmod(0o755)
    with pytest.raises(RuntimeError, match="broken"):
        build_template(tmp_path)
    assert not template_path(tmp_path).exists()
