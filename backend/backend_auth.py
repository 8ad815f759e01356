"""How Label Studio proves to AskNext who it is: Basic auth, on the ML backend and the webhook."""

import base64

from backend.settings import Credentials


def authorization_header(credentials: Credentials) -> str:
    """The Basic auth header that Label Studio must send with every event."""
    pair = f"{credentials.user}:{credentials.password}".encode()
    return f"Basic {base64.b64encode(pair).decode()}"


def basic_auth(credentials: Credentials) -> dict[str, str]:
    """The fields of an ML backend in Label Studio that make it send these credentials."""
    return {
        "auth_method": "BASIC_AUTH",
        "basic_auth_user": credentials.user,
        "basic_auth_pass": credentials.password,
    }
