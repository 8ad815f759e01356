"""A reference that is a part of the project's tasks: those with a value, or those of a tab."""

import json
import logging
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backend.config import digest_of
from backend.errors import ConfigurationError, LabelStudioError, ProjectGoneError
from backend.labelstudio import PAGE_SIZE
from backend.rounds.context import ProjectContext
from backend.rounds.fields import Fields
from backend.settings import write_private_file

logger = logging.getLogger(__name__)

# The tasks of a tab whose filter is unchanged are read again this often.
KEPT_SECONDS = 600.0
_FILTERED_FIELD = re.compile(r"filter:tasks:data\.(.+)")


@dataclass(frozen=True)
class ReferenceTasks:
    """The tasks, and the fields that they were found by, in which they differ from the pool."""

    task_ids: frozenset[int]
    found_by: frozenset[str]


def tasks_of_value(fields: Fields, name: str, value: Any) -> ReferenceTasks:
    """The living tasks whose field has this value.

    Raises:
        ConfigurationError: there is none.
    """
    wanted = str(value)
    found = frozenset(task for task, values in fields.items() if str(values.get(name)) == wanted)
    if not found:
        seen = sorted({str(values[name]) for values in fields.values() if name in values})
        known = f"its values are {', '.join(seen[:10])}" if seen else "no task has that field"
        raise ConfigurationError(
            "reference.value", f"no task has {name} = {wanted!r}; {known}. Name one that occurs"
        )
    return ReferenceTasks(found, frozenset({name}))


def tasks_of_tab(context: ProjectContext, title: str) -> ReferenceTasks:
    """The tasks that a Data Manager tab shows, at most ten minutes old while its filter stands.

    What was read before stays good where Label Studio does not answer now.

    Raises:
        ConfigurationError: there is no such tab, it has no filter, or it was never readable.
    """
    path = _kept_at(context)
    kept = _kept(path, title)
    try:
        filters = _filters(context, title)
        found_by = fields_of(filters)
        digest = digest_of([title, filters])
        now = time.time()
        if kept and kept["digest"] == digest and now - kept["read_at"] < KEPT_SECONDS:
            return ReferenceTasks(frozenset(kept["tasks"]), found_by)
        tasks = _read(context, filters)
    except ProjectGoneError:
        raise
    except LabelStudioError as error:
        if kept:
            logger.warning(
                "The tab %r cannot be read; its tasks stay as they were: %s", title, error
            )
            return ReferenceTasks(frozenset(kept["tasks"]), frozenset(kept["found_by"]))
        raise ConfigurationError(
            "reference.tab", f"the tab {title!r} cannot be read ({error}); check its filter"
        ) from None
    if not tasks:
        raise ConfigurationError(
            "reference.tab", f"the tab {title!r} shows no task; mend its filter"
        )
    document = {
        "title": title,
        "digest": digest,
        "found_by": sorted(found_by),
        "read_at": now,
        "tasks": tasks,
    }
    write_private_file(path, json.dumps(document))
    return ReferenceTasks(frozenset(tasks), found_by)


def _filters(context: ProjectContext, title: str) -> Mapping[str, Any]:
    views = context.client.views(context.project().label_studio_id)
    titled = {str((view.get("data") or {}).get("title") or "").strip(): view for view in views}
    view = titled.get(title.strip())
    if view is None:
        names = ", ".join(repr(name) for name in titled if name) or "none"
        raise ConfigurationError(
            "reference.tab", f"there is no Data Manager tab {title!r}; there are {names}"
        )
    filters = dict(view["data"].get("filters") or {})
    if not filters.get("items"):
        raise ConfigurationError(
            "reference.tab", f"the tab {title!r} has no filter, so it is the whole pool; add one"
        )
    return filters


def fields_of(filters: Mapping[str, Any]) -> frozenset[str]:
    """The fields of `task.data` that a tab filters by."""
    names = (_FILTERED_FIELD.fullmatch(str(item.get("filter"))) for item in filters["items"])
    return frozenset(name.group(1) for name in names if name)


def _read(context: ProjectContext, filters: Mapping[str, Any]) -> list[int]:
    found: list[int] = []
    page = 1
    while True:
        tasks, total = context.client.tasks(
            context.project().label_studio_id,
            fields="task_only",
            include="id",
            filters=filters["items"],
            conjunction=filters.get("conjunction", "and"),
            page=page,
        )
        found += [int(task["id"]) for task in tasks]
        if len(tasks) < PAGE_SIZE or len(found) >= total:
            return sorted(set(found))
        page += 1


def _kept_at(context: ProjectContext) -> Path:
    return context.settings.data_dir / "tabs" / f"{context.project_id}.json"


def _kept(path: Path, title: str) -> dict[str, Any] | None:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return dict(document) if document["title"] == title and document["tasks"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
