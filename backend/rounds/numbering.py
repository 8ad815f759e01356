"""How tasks come to their permanent random numbers: the era's secret, groups and strata."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from backend.config import parse_config
from backend.evaluation.holdout import Role, permanent_random_number
from backend.store.evaluation_tables import HoldoutEra, SplitMember
from backend.store.tables import Project, Task

EVERYTHING = "all tasks"


@dataclass(frozen=True)
class Numbering:
    """How a task comes to its number: the era's secret, what groups tasks, what stratifies them."""

    secret: bytes
    group_by: str | None
    strata: tuple[str, ...]

    def key(self, task_id: int, fields: Mapping[str, Any]) -> str:
        """The group's key; a task without a group is a group of its own."""
        group = fields.get(self.group_by) if self.group_by else None
        return str(task_id) if group in (None, "") else f"group {group}"

    def number(self, task_id: int, fields: Mapping[str, Any]) -> float:
        """The permanent random number of the task's group."""
        return permanent_random_number(self.secret, self.key(task_id, fields))

    def stratum(self, fields: Mapping[str, Any]) -> str:
        """The values of the strata's fields in words."""
        if not self.strata:
            return EVERYTHING
        return ", ".join(f"{name} = {fields.get(name, 'missing')}" for name in self.strata)


def numbering(session: Session, project: Project) -> Numbering:
    """That of the era in force; before the first draw, what the configuration would make it."""
    era = current_era(session, project)
    if era is not None and project.holdout_drawn_at is not None:
        return Numbering(era.secret, era.group_by, tuple(era.strata))
    config = parse_config(project.config)
    return Numbering(
        secret_of_draw(project.secret, project.era + 1), config.group_by, tuple(config.strata)
    )


def current_era(session: Session, project: Project) -> HoldoutEra | None:
    """The newest era, None before the first draw."""
    return session.get(HoldoutEra, (project.id, project.era))


def has_role_decided(project: Project) -> sa.ColumnElement[bool]:
    """Whether it is decided for a task if it is held out; before the draw that is so for none, and
    all of them count.
    """
    if project.holdout_drawn_at is None:
        return sa.true()
    return Task.role_era == project.era


def living_members(project: Project, role: Role, *columns: Any) -> sa.Select[Any]:
    """These columns of a role's members in the current era whose task is not deleted."""
    return (
        sa.select(*columns)
        .select_from(SplitMember)
        .join(
            Task,
            sa.and_(Task.project_id == SplitMember.project_id, Task.task_id == SplitMember.task_id),
        )
        .where(
            SplitMember.project_id == project.id,
            SplitMember.era == project.era,
            SplitMember.role == role,
            Task.deleted_at.is_(None),
        )
    )


def secret_of_draw(secret: bytes, era: int, redraw: int = 0) -> bytes:
    """The secret of an era's draw, and of each draw after it: as good as independent."""
    if era == 1 and not redraw:
        return secret
    return hmac.new(secret, f"era {era}.{redraw}".encode(), hashlib.sha256).digest()


def member(
    project_id: int, era: int, task_id: int, role: Role, u: float, drawn_at: float, *, late: bool
) -> dict[str, Any]:
    """The row of a task with a role."""
    return {
        "project_id": project_id,
        "era": era,
        "task_id": task_id,
        "role": role,
        "u": u,
        "late": late,
        "drawn_at": drawn_at,
    }
