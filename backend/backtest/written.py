"""Strategies as they are written in a list: names and JSON objects with semicolons between them."""

import json
from typing import Any

from backend.errors import ConfigurationError


def read_strategies(text: str) -> dict[str, Any]:
    """The strategies of a list such as `auto;margin;{"chain": [...]};random`, by what was written.

    A semicolon inside a JSON string separates nothing.
    Raises ConfigurationError for JSON that does not parse, with the place.
    """
    found: dict[str, Any] = {}
    rest = text.strip()
    while rest:
        if rest[0] in '{["':
            try:
                value, end = json.JSONDecoder().raw_decode(rest)
            except ValueError as error:
                raise ConfigurationError(
                    f"strategies[{len(found)}]",
                    f"{rest[:60]!r} is not valid JSON ({error}); put the whole list in single "
                    "quotes",
                ) from None
            found[value if isinstance(value, str) else rest[:end]] = value
            rest = rest[end:].lstrip()
            if rest and rest[0] != ";":
                raise ConfigurationError(
                    f"strategies[{len(found)}]",
                    f"a semicolon is missing before {rest[:40]!r}",
                )
            rest = rest[1:].lstrip()
        else:
            name, _, rest = rest.partition(";")
            rest = rest.lstrip()
            if name.strip():
                found[name.strip()] = name.strip()
    return found
