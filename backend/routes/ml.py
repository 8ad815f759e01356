"""The endpoints that Label Studio 1.23 calls on an ML backend."""

import asyncio
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response

from backend import config_history, jobs
from backend.errors import RequestError, UnsupportedLabelConfigError
from backend.label_schema import parse_label_config
from backend.protocol import (
    decode,
    predict_request,
    project_number,
    setup_request,
    webhook_request,
)
from backend.routes.state import State, state_of
from backend.store import work
from backend.store.projects import all_projects, find, installation_name, model_version
from backend.store.tables import Project

router = APIRouter()

# After any of these something may be new; everything else is answered and ignored.
NUDGES = frozenset(
    {
        "ANNOTATION_CREATED",
        "ANNOTATIONS_CREATED",
        "ANNOTATION_UPDATED",
        "ANNOTATIONS_DELETED",
        "ANNOTATION_DELETED",
        "TASKS_CREATED",
        "TASKS_DELETED",
        "PROJECT_UPDATED",
        "PROJECT_DELETED",
    }
)


@router.get("/")
@router.get("/health")
async def health(request: Request) -> dict[str, Any]:
    """Label Studio asks this before everything else, many times a minute."""
    return {"status": "UP", "model_class": "AskNext", "v": state_of(request).version}


@router.post("/setup")
async def setup(request: Request) -> Response:
    """Take the labelling config and the admin's extra params; answer the live model's version."""
    state = state_of(request)
    wanted = setup_request(decode(await request.body()))
    return await asyncio.to_thread(_setup, state, wanted)


def _setup(state: State, wanted: Any) -> Response:
    with state.database.read() as session:
        project = find(session, wanted.label_studio_id)
    if project is None:
        # A backend added by hand: it works once the project is connected.
        control = (
            wanted.extra_params.get("control") if isinstance(wanted.extra_params, dict) else None
        )
        try:
            parse_label_config(wanted.label_config, control)
        except UnsupportedLabelConfigError as error:
            return _refused(str(error))
        return JSONResponse({"model_version": _version(state, 0)})
    if wanted.extra_params is not None and project.state != "disconnected":
        document = wanted.extra_params or {}
        outcome = config_history.submit(state.database, project.id, "label-studio", document)
        if not outcome.accepted and not outcome.repeated:
            return _refused(str(outcome.message))
        if outcome.accepted and not outcome.repeated:
            jobs.push_due(state.settings, state.database)
    return JSONResponse({"model_version": _version(state, project.model_round)})


def _refused(message: str) -> Response:
    """Label Studio shows an admin only the status and the address of a refused setup."""
    short = " ".join(message.split())[:300]
    return RedirectResponse(f"/refused/{quote(short, safe=' ').replace(' ', '-')}", status_code=303)


@router.get("/refused/{message:path}")
async def refused(message: str) -> Response:
    """The page whose address tells an admin why `/setup` was refused."""
    return JSONResponse(
        {"error": message, "mend": "Correct the extra params in the model's settings."},
        status_code=422,
    )


@router.post("/predict")
async def predict(request: Request) -> dict[str, Any]:
    """One prediction a task."""
    state = state_of(request)
    body = await request.body()
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(state.predictor.threads, _predict, state, body)


def _predict(state: State, body: bytes) -> dict[str, Any]:
    wanted = predict_request(decode(body))
    project = _project_or_refuse(state, wanted.label_studio_id)
    if project is None:
        version = _version(state, 0)
        nothing: dict[str, Any] = {"result": [], "score": None, "model_version": version}
        return {"results": [nothing for _ in wanted.tasks], "model_version": version}
    try:
        results = state.predictor.predict(project, wanted.tasks, wanted.label_config)
    except UnsupportedLabelConfigError as error:
        raise RequestError(
            "label_config", str(error), "Mend the labelling config or name the control."
        ) from error
    return {"results": results, "model_version": _version(state, project.model_round)}


@router.post("/webhook")
async def webhook(request: Request) -> Response:
    """A nudge: the project is synced soon. Nothing in the payload is believed."""
    state = state_of(request)
    wanted = webhook_request(decode(await request.body()))
    await asyncio.to_thread(_nudge, state, wanted)
    return JSONResponse({"status": "ok"}, status_code=201)


def _nudge(state: State, wanted: Any) -> None:
    if wanted.label_studio_id is None:
        return
    with state.database.read() as session:
        project = find(session, wanted.label_studio_id)
    if project is None or project.state not in ("active", "paused"):
        return
    if wanted.action == "START_TRAINING":
        state.pusher.nudge(project.id, "round")
    elif wanted.action in NUDGES:
        state.pusher.nudge(project.id, "sync")


@router.get("/versions")
async def versions(request: Request) -> dict[str, Any]:
    """The live model's version; Label Studio asks without saying for which project."""
    state = state_of(request)
    body = await request.body()
    document = decode(body) if body else dict(request.query_params)
    number = project_number(document.get("project"))

    def read() -> list[str]:
        with state.database.read() as session:
            if number is not None:
                found = find(session, number)
                rounds = {found.model_round if found else 0}
            else:
                driven = [p for p in all_projects(session) if p.state in work.DRIVEN]
                rounds = {project.model_round for project in driven} or {0}
        return [_version(state, live) for live in sorted(rounds)]

    return {"versions": await asyncio.to_thread(read)}


@router.post("/validate")
async def validate(request: Request) -> Response:
    """Whether AskNext can learn from a labelling config."""
    config = decode(await request.body()).get("config")
    if not isinstance(config, str):
        raise RequestError("config", "It is missing.", 'Send {"config": "<View>…</View>"}.')
    try:
        schema = await asyncio.to_thread(parse_label_config, config)
    except UnsupportedLabelConfigError as error:
        raise RequestError("config", str(error), "Correct the labelling config.") from error
    return JSONResponse({"status": "ok", "control": schema.control, "classes": schema.classes})


@router.post("/job_status")
async def job_status(request: Request) -> dict[str, Any]:
    """The state of a training job; AskNext's rounds are seen in `asknext status` instead."""
    job = decode(await request.body()).get("job")
    return {"job_status": "unknown", "id": job, "error": None, "created_at": None}


@router.post("/delete")
async def delete(request: Request) -> dict[str, str]:
    """The ML backend was removed in Label Studio; records and labels stay."""
    state = state_of(request)
    document = decode(await request.body())
    await asyncio.to_thread(
        _nudge, state, webhook_request({"action": "PROJECT_UPDATED", **document})
    )
    return {"status": "ok"}


@router.post("/duplicate_model")
async def duplicate_model(request: Request) -> dict[str, str]:
    """A duplicated project starts without a model: it must be connected for itself."""
    document = decode(await request.body())
    for name in ("project_src", "project_dst"):
        if not isinstance(document.get(name), str | int):
            raise RequestError(name, "It is missing.", "Name both projects.")
    return {"status": "ok"}


def _project_or_refuse(state: State, label_studio_id: int | None) -> Project | None:
    if label_studio_id is None:
        raise RequestError("project", "It is missing.", 'Send Label Studio\'s "<id>.<timestamp>".')
    with state.database.read() as session:
        return find(session, label_studio_id)


def _version(state: State, round_number: int) -> str:
    return model_version(installation_name(state.database), round_number)
