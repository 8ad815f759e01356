"""The JSON API for admins and scripts: what the command line shows and does, over HTTP."""

import asyncio
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from backend import backtest_jobs, config_history, stream
from backend.backtest import requests
from backend.connection import write_back
from backend.errors import RequestError
from backend.explanation import explain
from backend.holdouts import manifest, open_test_curve, start_new_era
from backend.labelstudio import LabelStudio
from backend.overview import project_overview
from backend.protocol import decode
from backend.rounds import queue
from backend.rounds.context import ProjectContext
from backend.rounds.near_examples import near_examples
from backend.routes.state import State, state_of
from backend.store import work
from backend.store.projects import all_projects, find
from backend.store.tables import Project
from backend.tokens import load_token

router = APIRouter(prefix="/api")


@router.get("/projects")
async def projects(request: Request) -> dict[str, Any]:
    """Every project: labels, rounds with their metrics, queue, work in progress, errors."""
    state = state_of(request)

    def read() -> list[dict[str, Any]]:
        with state.database.read() as session:
            found = all_projects(session)
        return [project_overview(state.settings, state.database, project) for project in found]

    return {"projects": await asyncio.to_thread(read)}


@router.get("/projects/{number}")
async def project(request: Request, number: int) -> dict[str, Any]:
    """One project, by Label Studio's id."""
    state = state_of(request)
    found = await asyncio.to_thread(_project, state, number)
    return await asyncio.to_thread(project_overview, state.settings, state.database, found)


@router.get("/projects/{number}/queue")
async def window(request: Request, number: int) -> dict[str, Any]:
    """The unanswered positions of the window in force, in the order they are served."""
    state = state_of(request)

    def read() -> dict[str, Any]:
        found = _project(state, number)
        with state.database.read() as session:
            current = queue.current_queue(session, found)
        return {
            "version": found.queue_version,
            "positions": [
                {
                    "task": position.task_id,
                    "ordinal": position.ordinal,
                    "family": position.family,
                    "branch": position.branch,
                    "score": position.score,
                    "blind": position.blind,
                    "probability": position.probability,
                    "details": position.details,
                }
                for position in current.positions
            ],
        }

    return await asyncio.to_thread(read)


@router.get("/projects/{number}/tasks/{task}/explanation")
async def explanation(request: Request, number: int, task: int) -> dict[str, Any]:
    """Why a task is in the queue, or why it is not: one sentence, and what decided it."""
    state = state_of(request)

    def read() -> dict[str, Any]:
        return explain(state.database, _project(state, number), task)

    return await asyncio.to_thread(read)


@router.get("/projects/{number}/holdout")
async def holdout(request: Request, number: int) -> dict[str, Any]:
    """The frozen manifest: members, rule, hash."""
    state = state_of(request)
    return await asyncio.to_thread(lambda: manifest(state.database, _project(state, number)))


@router.get("/projects/{number}/holdout/near")
async def near_holdout(
    request: Request, number: int, threshold: float | None = None
) -> dict[str, Any]:
    """What a near-duplicate threshold keeps from training, with the pairs around it."""
    state = state_of(request)
    if threshold is not None and not 0 < threshold <= 1:
        raise RequestError("threshold", "It is no cosine.", "Give a number above 0, at most 1.")

    def read() -> dict[str, Any]:
        context = ProjectContext(state.settings, state.database, _project(state, number).id)
        try:
            return near_examples(context, threshold)
        finally:
            context.close()

    return await asyncio.to_thread(read)


@router.post("/projects/{number}/holdout/open")
async def open_holdout(request: Request, number: int) -> dict[str, Any]:
    """The sealed test curve; every call is one more look, which is counted."""
    state = state_of(request)
    return await asyncio.to_thread(lambda: open_test_curve(state.database, _project(state, number)))


@router.post("/projects/{number}/holdout/reset")
async def reset_holdout(request: Request, number: int) -> JSONResponse:
    """Give up the hold-outs; the next sync draws those of a new era."""
    state = state_of(request)

    def start() -> int:
        era = start_new_era(state.database, _project(state, number))
        state.pusher.wake()
        return era

    return JSONResponse({"era": await asyncio.to_thread(start)}, status_code=202)


@router.post("/projects/{number}/rank")
async def rank(request: Request, number: int) -> JSONResponse:
    """Ask for a round now."""
    state = state_of(request)

    def ask() -> None:
        work.request(state.database, _project(state, number).id, "round")
        state.pusher.wake()

    await asyncio.to_thread(ask)
    return JSONResponse({"status": "requested"}, status_code=202)


@router.post("/projects/{number}/pause")
async def pause(request: Request, number: int) -> dict[str, str]:
    """Stop the label stream."""
    return await asyncio.to_thread(_switch, state_of(request), number, "pause")


@router.post("/projects/{number}/resume")
async def resume(request: Request, number: int) -> dict[str, str]:
    """Let the label stream go on."""
    return await asyncio.to_thread(_switch, state_of(request), number, "resume")


@router.get("/projects/{number}/config")
async def read_config(request: Request, number: int) -> dict[str, Any]:
    """The configuration in force."""
    state = state_of(request)
    return (await asyncio.to_thread(_project, state, number)).config


@router.put("/projects/{number}/config")
async def write_config(request: Request, number: int) -> dict[str, Any]:
    """Replace the configuration; Label Studio's extra params follow."""
    state = state_of(request)
    document = decode(await request.body())

    def change() -> dict[str, Any]:
        found = _project(state, number)
        outcome = config_history.submit(state.database, found.id, "api", document)
        if not outcome.accepted:
            message = str(outcome.message).removeprefix(f"{outcome.field}: ")
            raise RequestError(outcome.field, message, "The old configuration stays in force.")
        found = _project(state, number)
        with _client(state, found) as client:
            write_back(state.settings, state.database, client, found)
        state.pusher.wake()
        return found.config

    return await asyncio.to_thread(change)


@router.post("/backtests")
async def start_backtest(request: Request) -> JSONResponse:
    """Start a backtest of a project's labels or of rows, or go on with the same one."""
    state = state_of(request)
    document = decode(await request.body())

    def start() -> dict[str, Any]:
        identifier = requests.ask(state.settings, document)
        backtest_jobs.push_backtest(state.settings, identifier)
        return {"id": identifier, "url": f"/api/backtests/{identifier}"}

    return JSONResponse(await asyncio.to_thread(start), status_code=202)


@router.get("/backtests/{identifier}")
async def read_backtest(request: Request, identifier: str) -> dict[str, Any]:
    """How far a backtest is, and its result."""
    return await asyncio.to_thread(requests.state_of, state_of(request).settings, identifier)


def _switch(state: State, number: int, what: str) -> dict[str, str]:
    found = _project(state, number)
    with _client(state, found) as client:
        action = stream.pause if what == "pause" else stream.resume
        action(state.database, client, found)
    return {"state": _project(state, number).state}


def _client(state: State, found: Project) -> LabelStudio:
    url = found.label_studio_url
    return LabelStudio(url, load_token(state.settings, url), patience=10.0)


def _project(state: State, number: int) -> Project:
    with state.database.read() as session:
        found = find(session, number)
    if found is None:
        raise RequestError(
            "project",
            f"Project {number} is not connected.",
            f"Run `asknext connect --project {number}`.",
            404,
        )
    return found
