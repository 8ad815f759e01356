"""Label Studio's tokens on the wire: a personal access token, or a legacy one."""

import threading
import time
from collections.abc import Generator

import httpx

from backend.errors import LabelStudioRefusedError, LabelStudioUnreachableError

ACCESS_TOKEN_SECONDS = 240.0  # Label Studio's access tokens live 300 s
UNAVAILABLE = (502, 503, 504)


class TokenAuth(httpx.Auth):
    """A personal access token (exchanged for short-lived access tokens), or a legacy token."""

    requires_response_body = True

    def __init__(self, base_url: str, token: str) -> None:
        self._refresh_url = f"{base_url}/api/token/refresh/"
        self._token = token
        self._legacy = token.count(".") != 2
        self._access: str | None = None
        self._refreshed_at = 0.0
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return "TokenAuth(***)"

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        if self._legacy:
            request.headers["Authorization"] = f"Token {self._token}"
            yield request
            return
        if self._access is None or time.monotonic() - self._refreshed_at > ACCESS_TOKEN_SECONDS:
            yield from self._refresh()
        request.headers["Authorization"] = f"Bearer {self._access}"
        response = yield request
        if response.status_code == 401:
            yield from self._refresh()
            request.headers["Authorization"] = f"Bearer {self._access}"
            yield request

    def _refresh(self) -> Generator[httpx.Request, httpx.Response, None]:
        response = yield httpx.Request("POST", self._refresh_url, json={"refresh": self._token})
        if response.status_code != 200:
            if response.status_code >= 500:  # its own trouble says nothing about the token
                raise LabelStudioUnreachableError("Label Studio is not available right now.")
            raise LabelStudioRefusedError(
                response.status_code,
                "Label Studio refused the access token; make a new personal access token under "
                "Account & Settings and run `asknext connect` with it again.",
            )
        with self._lock:
            self._access = str(response.json()["access"])
            self._refreshed_at = time.monotonic()
