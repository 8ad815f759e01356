"""Configuration documents as they are typed on a command line."""

import json
from pathlib import Path
from typing import Any

from backend.errors import AskNextError, ConfigurationError


def read_document(text: str) -> Any:
    """A document from JSON text, or from the YAML or JSON file that `@name` names.

    Raises:
        AskNextError: the file cannot be read.
        ConfigurationError: the text is neither JSON nor YAML.
    """
    if not text.startswith("@"):
        try:
            return json.loads(text)
        except ValueError as error:
            raise ConfigurationError(
                "",
                f"this is not valid JSON ({error}); write an object such as "
                """'{"strategy": "margin"}', or name a file with @file.yaml""",
            ) from None
    path = Path(text[1:])
    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise AskNextError(f"{path} cannot be read ({error}); name a file after the @.") from None
    import yaml

    try:  # JSON is YAML, but its errors are clearer from its own parser
        return json.loads(content) if path.suffix == ".json" else yaml.safe_load(content) or {}
    except (ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ConfigurationError("", f"{path} is not valid: {reason}") from None


def read_pairs(pairs: list[str]) -> dict[str, Any]:
    """Settings from `key=value` pairs; a value is JSON where it can be, else a string.

    Raises:
        ConfigurationError: a pair has no `=`.
    """
    document: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise ConfigurationError(
                pair, "write key=value pairs such as strategy=margin, or one whole document"
            )
        try:
            document[key.strip()] = json.loads(value)
        except ValueError:
            document[key.strip()] = value
    return document
