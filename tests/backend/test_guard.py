"""In front of every route: Basic auth, and a limit on the body's size."""

import base64
import logging

import pytest
from fastapi.testclient import TestClient

from backend.app import create_app
from backend.settings import Settings
from tests.backend.conftest import PASSWORD, USER

MEGABYTE = 2**20


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def routes(app):
    """(method, path) of every route, those of included routers too, path parameters filled in."""
    waiting, found = list(app.routes), set()
    while waiting:
        route = waiting.pop()
        inner = getattr(route, "original_router", None) or getattr(route, "app", None)
        waiting += getattr(inner, "routes", [])
        for method in getattr(route, "methods", None) or ():
            found.add((method, route.path.replace("{number}", "7").replace("{message:path}", "x")))
    described = {
        (method.upper(), path.replace("{number}", "7").replace("{message}", "x"))
        for path, item in app.openapi()["paths"].items()
        for method in item
    }
    return sorted(found | described)


REFUSED = {
    "no header": None,
    "a wrong password": basic(USER, "a guess"),
    "a wrong user": basic("somebody", PASSWORD),
    "user and password the other way round": basic(PASSWORD, USER),
    "an empty password": basic(USER, ""),
    "the beginning of the password": basic(USER, PASSWORD[:-1]),
    "no colon": "Basic " + base64.b64encode((USER + PASSWORD).encode()).decode(),
    "the scheme alone": "Basic",
    "no Base64": "Basic §§§",
    "Base64 of no text": "Basic " + base64.b64encode(b"\xff\xfe:\xff").decode(),
    "another scheme": "Bearer " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode(),
    "the credentials in the open": f"Basic {USER}:{PASSWORD}",
    "nothing": "",
}


@pytest.mark.parametrize("header", REFUSED.values(), ids=REFUSED)
def test_no_route_answers_without_the_credentials(app, header):
    client = TestClient(app, follow_redirects=False)
    headers = {} if header is None else {"Authorization": header.encode()}
    every = routes(app)
    assert {("POST", "/predict"), ("POST", "/webhook"), ("PUT", "/api/projects/7/config")} <= {
        *every
    }
    for method, path in [*every, ("GET", "/no/such/page"), ("POST", "/health")]:
        answer = client.request(method, path, headers=headers)
        assert answer.status_code == 401, (method, path)
        assert answer.headers["www-authenticate"].startswith("Basic")
        assert PASSWORD not in answer.text + str(answer.headers)
        if method != "HEAD":
            assert answer.json()["field"] == "Authorization"
            assert answer.json()["error"]
            assert answer.json()["mend"]


def test_the_right_credentials_are_admitted_whatever_the_case_of_the_scheme(app):
    client = TestClient(app)
    for scheme in ("Basic", "basic", "BASIC"):
        header = scheme + basic(USER, PASSWORD).removeprefix("Basic")
        assert client.get("/health", headers={"Authorization": header}).status_code == 200


def test_a_password_may_hold_colons_and_any_letter(tmp_path, database):
    settings = Settings(data_dir=tmp_path / "other", user="jürgen", password="a:b:ñ")
    client = TestClient(create_app(settings, database))
    assert client.get("/health", headers={"Authorization": basic("jürgen", "a:b:ñ")}).is_success
    assert client.get("/health", headers={"Authorization": basic("jürgen", "a")}).is_client_error


def test_a_stranger_is_refused_before_the_body_is_read(app):
    def body():
        pytest.fail("the body was read")
        yield b""

    stranger = TestClient(app)
    assert stranger.post("/predict", content=body()).status_code == 401
    huge = {"Content-Length": str(10**12)}
    assert stranger.post("/predict", content=b"{}", headers=huge).status_code == 401


def test_what_somebody_tried_is_not_said_back_nor_logged(app, settings, client, caplog):
    caplog.set_level(logging.DEBUG)
    answer = TestClient(app).get("/health", headers={"Authorization": basic(USER, "hunter2")})
    client.get("/health")
    client.post("/predict", json={"tasks": "wrong"})
    said = answer.text + caplog.text + repr(settings) + repr(settings.credentials()) + repr(app)
    assert "hunter2" not in said
    assert PASSWORD not in said
    assert basic(USER, PASSWORD).removeprefix("Basic ") not in said


# ------------------------------------------------------------------ the body's size


@pytest.fixture
def small(tmp_path, database):
    """A client of an app that takes one megabyte."""
    settings = Settings(
        data_dir=tmp_path / "small", user=USER, password=PASSWORD, max_body_bytes=MEGABYTE
    )
    client = TestClient(create_app(settings, database))
    client.auth = (USER, PASSWORD)
    return client


def document(size):
    """A webhook's JSON body of exactly `size` bytes."""
    return b'{"action": "PROJECT_CREATED"}'.ljust(size)


def test_bodies_of_half_a_gigabyte_are_taken_by_default():
    assert Settings().max_body_bytes == 512 * MEGABYTE


def test_a_body_over_the_limit_is_refused_by_its_length(small):
    answer = small.post("/webhook", content=document(MEGABYTE + 1))
    assert answer.status_code == 413
    assert answer.json()["field"] == "body"
    assert "1 MB" in answer.json()["error"]
    assert answer.json()["mend"]


def test_a_declared_length_is_enough_to_refuse(small):
    answer = small.post("/webhook", content=b"{}", headers={"Content-Length": str(10**12)})
    assert answer.status_code == 413


@pytest.mark.parametrize("path", ["/webhook", "/predict", "/setup", "/validate", "/delete"])
def test_a_body_that_declares_no_length_is_refused_while_it_arrives(small, path):
    sent = []

    def chunks():
        for _ in range(64):
            sent.append(64 * 1024)
            yield document(64 * 1024)

    answer = small.post(path, content=chunks())
    assert answer.status_code == 413
    assert answer.json()["field"] == "body"


def test_a_body_of_exactly_the_limit_is_taken_however_it_comes(small):
    assert small.post("/webhook", content=document(MEGABYTE)).status_code == 201
    halves = (document(MEGABYTE)[: MEGABYTE // 2], document(MEGABYTE)[MEGABYTE // 2 :])
    assert small.post("/webhook", content=(half for half in halves)).status_code == 201


def test_a_length_that_is_no_number_does_not_lift_the_limit(small):
    big = (document(MEGABYTE) for _ in range(2))
    assert small.post("/webhook", content=big, headers={"Content-Length": "many"}).is_client_error
