"""Strategies as they are written in a list: names and JSON objects with semicolons between them."""

import json
from typing import Any

from backend.errors import ConfigurationError


def read_strategies(text: str) -> list[Any]:
    """The strategies of a list such as `auto;margin;{"chain": [...]};random`.

    A semicolon inside a JSON string separates nothing.
    Raises ConfigurationError for JSON that does not parse, with the place.
    """
    found: list[Any] = []
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
            found.append(value)
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
                found.append(name.strip())
    return found
