"""The HTTP application: every route behind Basic auth and the body limit, errors as JSON."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from sqlalchemy.exc import OperationalError

from backend.errors import AskNextError, LabelStudioError, RequestError
from backend.guard import BasicAuth, BodyLimit
from backend.prediction import Predictor
from backend.routes import api, ml
from backend.routes.state import Pusher, State
from backend.settings import Settings
from backend.store.database import Database

logger = logging.getLogger(__name__)


def create_app(settings: Settings, database: Database) -> FastAPI:
    """The application of one installation; sweeps for due work while it is served."""
    pusher = Pusher(settings, database)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        database.check_revision()
        pusher.start()
        yield
        pusher.stop()

    app = FastAPI(title="AskNext", version=version("asknext"), lifespan=lifespan)
    app.state.asknext = State(
        settings, database, Predictor(settings, database), pusher, app.version
    )
    app.include_router(ml.router)
    app.include_router(api.router)
    app.add_exception_handler(RequestError, _request_error)
    app.add_exception_handler(AskNextError, _known_error)
    app.add_exception_handler(OperationalError, _busy)
    # The last one added is the first that a request meets.
    app.add_middleware(BodyLimit, limit=settings.max_body_bytes)
    app.add_middleware(BasicAuth, credentials=settings.credentials())
    return app


async def _request_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestError)
    return JSONResponse(
        {"field": error.field, "error": error.message, "mend": error.mend},
        status_code=error.status,
    )


async def _known_error(_: Request, error: Exception) -> JSONResponse:
    status = 502 if isinstance(error, LabelStudioError) else 409
    return JSONResponse({"error": str(error)}, status_code=status)


async def _busy(_: Request, error: Exception) -> JSONResponse:
    logger.warning("The state database is busy: %s", error)
    return JSONResponse(
        {"error": "The state database is busy.", "mend": "Try again in a moment."},
        status_code=503,
        headers={"Retry-After": "2"},
    )
