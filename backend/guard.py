"""What stands in front of every route: Basic auth, and a limit on the body's size."""

import base64
import binascii
import hmac
import json
from collections.abc import MutableMapping
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.settings import Credentials

CHALLENGE = (b"www-authenticate", b'Basic realm="AskNext", charset="UTF-8"')


class BasicAuth:
    """Refuses every request without the installation's user and password (compared in constant
    time), before its body is read."""

    def __init__(self, app: ASGIApp, credentials: Credentials) -> None:
        self._app = app
        self._user = credentials.user.encode()
        self._password = credentials.password.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._admits(scope):
            await self._app(scope, receive, send)
            return
        await refuse(
            send,
            401,
            {
                "field": "Authorization",
                "error": "The user or password is missing or wrong.",
                "mend": "Send Basic auth with the credentials in AskNext's data folder.",
            },
            CHALLENGE,
        )

    def _admits(self, scope: MutableMapping[str, Any]) -> bool:
        header = next((v for k, v in scope["headers"] if k == b"authorization"), b"")
        kind, _, encoded = header.partition(b" ")
        if kind.lower() != b"basic":
            return False
        try:
            user, _, password = base64.b64decode(encoded, validate=True).partition(b":")
        except (binascii.Error, ValueError):
            return False
        # Both are compared whatever the first says, so that time tells nothing.
        same_user = hmac.compare_digest(user, self._user)
        same_password = hmac.compare_digest(password, self._password)
        return same_user and same_password


class BodyLimit:
    """Answers 413 to bodies over the limit, by their declared length or while they arrive."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = next((v for k, v in scope["headers"] if k == b"content-length"), b"0")
        if declared.isdigit() and int(declared) > self._limit:
            await self._refuse(send)
            return
        seen = 0
        started = False

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._limit:
                raise _TooLargeError
            return message

        async def watched(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, counted, watched)
        except _TooLargeError:
            if not started:
                await self._refuse(send)

    async def _refuse(self, send: Send) -> None:
        await refuse(
            send,
            413,
            {
                "field": "body",
                "error": f"The body is larger than {self._limit // 2**20} MB.",
                "mend": "Send fewer tasks at a time.",
            },
        )


class _TooLargeError(Exception):
    """The body passed the limit while it was being read."""


async def refuse(
    send: Send, status: int, document: dict[str, str], *headers: tuple[bytes, bytes]
) -> None:
    """Answer with a JSON error and nothing else."""
    body = json.dumps(document).encode()
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(body)).encode()),
                *headers,
            ],
        }
    )
    await send({"type": "http.response.body", "body": body})
