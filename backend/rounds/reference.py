"""Where the model will be used: how pool, test set and training set differ from it, and the
accuracy there.

The pool itself may never have been representative. An admin who has a sample of the real thing
names it (`reference`); whatever is wrong with it becomes a note in the figures, and no round fails.
"""

import logging
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from backend.config import NamedReference
from backend.errors import AskNextError, ConfigurationError, LeaseLostError, ProjectGoneError
from backend.evaluation.reference import (
    DIFFERS,
    FEWEST_EFFECTIVE,
    Sample,
    compare_with_reference,
    importance_weights,
    reweighted_accuracy,
    verdict,
)
from backend.models.artefact import Model
from backend.rounds import queue
from backend.rounds.answered_prefix import answered_prefix
from backend.rounds.context import ProjectContext
from backend.rounds.embedded import embedded_tasks
from backend.rounds.evaluate import group_keys, hits_on
from backend.rounds.fields import Fields, column, read_fields
from backend.rounds.named_test_set import named_test_set
from backend.rounds.reference_file import evenly, read_file
from backend.rounds.reference_tasks import ReferenceTasks, tasks_of_tab, tasks_of_value
from backend.rounds.train import LabelledTasks, measured_tasks
from backend.store.evaluation_tables import ControlScore
from backend.store.projects import record_event
from backend.store.tables import Round, TrainingManifest

logger = logging.getLogger(__name__)

# The comparison's cost grows with the cube of the dimensions; more are cut to the principal ones.
MOST_DIMENSIONS = 256
SETS = {"pool": "the pool", "test": "the test set", "training": "the training set"}
MEASURED = {"validation": "Validation (a)", "control": "Control"}


@dataclass(frozen=True, eq=False)
class _Reference:
    """The rows of the reference that are used, by keys: task ids, or negative ones for a file's.

    size      rows in all
    found_by  fields that differ from the pool's by how the reference was named
    """

    keys: list[int]
    embeddings: npt.NDArray[np.float32]
    fields: Fields
    size: int
    found_by: frozenset[str]
    note: str | None


def reference_report(
    context: ProjectContext, model: Model, round_number: int
) -> dict[str, Any] | None:
    """What this round says of the reference; None where none is named.

    `sets` compares each with it, `reweighted` holds the accuracies there (the test set's is
    sealed), `text` says it in two sentences, `warning` what an admin should heed and `note` why
    there is no figure, or on how much of the reference it stands.

    Raises:
        LeaseLostError: another worker runs this round now.
        ProjectGoneError: the project is no more.
    """
    named = context.config.reference
    if named is None:
        return None
    title = title_of(named)
    try:
        return _Report(context, model, round_number, title, _read(context, named)).document()
    except (LeaseLostError, ProjectGoneError):
        raise
    except (AskNextError, OSError, ValueError, np.linalg.LinAlgError) as error:
        logger.warning("The reference %s: %s", title, error, exc_info=error)
        note = str(error).rstrip(".") + "."
        _tell_once(context, note, round_number)
        return {
            "title": title,
            "note": note,
            "text": f"{title}: no figure. {note}",
            "warning": f"The reference cannot be used. {note}",
        }


def title_of(named: NamedReference) -> str:
    """The reference in a few words."""
    if named.field is not None:
        return f"{named.field} = {named.value}"
    return f"tab {named.tab}" if named.tab is not None else f"file {named.file}"


class _Report:
    """One round's comparison of the project with its reference."""

    def __init__(
        self,
        context: ProjectContext,
        model: Model,
        round_number: int,
        title: str,
        reference: _Reference,
    ) -> None:
        self._context = context
        self._model = model
        self._round = round_number
        self._title = title
        self._reference = reference
        self._hashes = embedded_tasks(context)
        with context.database.read() as session:
            project = context.project()
            self._fields = read_fields(session, project.id) | reference.fields
            members = queue.holdout_roles(session, project)
            self._test_members = {task for task, role in members.items() if role == "test"}
            self._test_was_named = named_test_set(session, project) is not None
            manifest = session.get(TrainingManifest, (project.id, round_number))
        self._trained = [int(row[0]) for row in manifest.members] if manifest else []
        self._pool = self._some(self._hashes)
        self._axes = self._principal_axes()
        self._reference_rows = self._reduced(reference.embeddings)
        self._reference_groups = self._groups(reference.keys)

    def document(self) -> dict[str, Any]:
        """The figures as they are stored with the round."""
        sets = {
            "pool": self._pool,
            "test": self._some(self._test_members),
            "training": self._some(self._trained),
        }
        compared = compare_with_reference(*self._samples(sets))
        judged = {name: verdict(found) for name, found in compared.items()}
        reweighted = {name: self._reweighted(name) for name in ("validation", "control", "test")}
        differing = [name for name in SETS if judged[name][0] == DIFFERS]
        heading = f"{self._title} ({self._reference.size:,} {self._kind()})"
        said = [
            f"{heading}: "
            + "; ".join(f"{SETS[n]} {_in_words(judged[n][0])} ({judged[n][1]})" for n in SETS)
            + "."
        ]
        there = [name for name in MEASURED if reweighted[name]["items"] >= FEWEST_EFFECTIVE]
        said += [f"{MEASURED[name]}: {reweighted[name]['text']}" for name in there or MEASURED]
        warnings = [
            f"{SETS[name].capitalize()} differs clearly from the reference {self._title} "
            f"({judged[name][1]}): figures on it need not hold there."
            for name in differing
            if name != "training"  # the strategy chose it, and nothing is measured on it
        ]
        refused = sorted({reweighted[n]["text"] for n in MEASURED if reweighted[n]["refused"]})
        return {
            "title": self._title,
            "size": self._reference.size,
            "used": len(self._reference.keys),
            "sets": {
                name: {
                    "tasks": len(sets[name]),
                    "verdict": judged[name][0],
                    "text": judged[name][1],
                    **asdict(found),
                }
                for name, found in compared.items()
            },
            "reweighted": reweighted,
            "note": self._reference.note,
            "text": " ".join(said),
            "warning": " ".join(warnings + refused) or None,
        }

    # ---------------------------------------------------------------- the sets

    def _samples(self, sets: dict[str, list[int]]) -> tuple[dict[str, Sample], Sample]:
        keys = self._reference.keys
        metadata: dict[str, dict[str, Any]] = {name: {} for name in sets}
        of_reference: dict[str, Any] = {}
        joined = [*keys, *(task for tasks in sets.values() for task in tasks)]
        ends = np.cumsum([len(keys), *(len(tasks) for tasks in sets.values())])[:-1]
        for name in self._compared_fields():
            values = column(self._fields, joined, name)
            # Nearly unique values (an id, an address) tell every set from every other.
            if values is None or _distinct(values) > len(values) // 2:
                continue
            of_reference[name], *parts = np.split(values, ends)
            for one, part in zip(sets, parts, strict=True):
                metadata[one][name] = part
        samples = {
            name: Sample(self._rows(tasks), metadata[name], self._groups(tasks))
            for name, tasks in sets.items()
        }
        return samples, Sample(self._reference_rows, of_reference, self._reference_groups)

    def _compared_fields(self) -> list[str]:
        """Fields that both the reference and the pool have, but those that say which is which."""
        here = {name for task in self._pool for name in self._fields.get(task, {})}
        there = {name for key in self._reference.keys for name in self._fields.get(key, {})}
        return sorted((here & there) - self._reference.found_by - {self._context.config.group_by})

    def _some(self, tasks: Collection[int]) -> list[int]:
        """At most 5,000 evenly spread ones of those that are embedded."""
        there = sorted(task for task in tasks if task in self._hashes)
        return [there[place] for place in evenly(len(there))] if there else []

    def _rows(self, tasks: Sequence[int]) -> npt.NDArray[np.float32]:
        return self._reduced(self._context.cache.get([self._hashes[task] for task in tasks]))

    def _reduced(self, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return rows if self._axes is None else rows @ self._axes

    def _principal_axes(self) -> npt.NDArray[np.float32] | None:
        """(d, 256) of pool and reference together; None where there are no more dimensions."""
        there = self._reference.embeddings
        if there.shape[1] <= MOST_DIMENSIONS:
            return None
        pool = self._context.cache.get([self._hashes[task] for task in self._pool])
        both = np.concatenate([pool, there])
        both = both - both.mean(axis=0)
        axes = np.linalg.eigh((both.T @ both).astype(np.float64))[1][:, ::-1]
        return np.ascontiguousarray(axes[:, :MOST_DIMENSIONS], dtype=np.float32)

    def _groups(self, keys: list[int]) -> npt.NDArray[np.str_]:
        with self._context.database.read() as session:
            project = self._context.project()
            tasks = [key for key in keys if key >= 0]
            of_tasks = iter(group_keys(session, project, tasks))
        # No task's: a row of a file is a group of its own unless it names one.
        name = self._context.config.group_by
        found = []
        for key in keys:
            group = self._fields.get(key, {}).get(name) if name else None
            of_file = f"row {-key}" if group in (None, "") else f"group {group}"
            found.append(of_file if key < 0 else str(next(of_tasks)))
        return np.array(found, dtype=np.str_)

    # ---------------------------------------------------------------- figures there

    def _reweighted(self, name: str) -> dict[str, Any]:
        """The accuracy on a measured set as it would be on the reference, or why there is none."""
        tasks, hits = self._control() if name == "control" else self._held_out(name)
        refused = False
        if len(hits) < FEWEST_EFFECTIVE:
            figure: dict[str, Any] = dict.fromkeys(("value", "low", "high", "effective_size"))
            figure["text"] = (
                f"{len(hits)} labelled tasks are too few to be reweighted to the reference; "
                f"{FEWEST_EFFECTIVE} are needed."
            )
        else:
            base = self._base(name, tasks.task_ids)
            place = {task: row for row, task in enumerate(base)}
            groups = self._groups(base)
            items = np.array([place[task] for task in tasks.task_ids], dtype=np.int64)
            weights = importance_weights(
                self._rows(base),
                self._reference_rows,
                groups,
                items,
                reference_groups=self._reference_groups,
            )
            figure = asdict(reweighted_accuracy(hits, weights, groups[items]))
            refused = weights.refusal is not None
        plain = float(hits.mean()) if len(hits) else None
        return {**figure, "items": len(hits), "unweighted": plain, "refused": refused}

    def _base(self, name: str, tasks: list[int]) -> list[int]:
        """What the items were drawn from, them included: the pool, or a test set that was named."""
        if name == "test" and self._test_was_named:
            return sorted(set(self._some(self._test_members)) | set(tasks))
        return sorted(set(self._pool) | set(tasks))

    def _held_out(self, role: Any) -> tuple[LabelledTasks, npt.NDArray[np.bool_]]:
        with self._context.database.read() as session:
            # Validation set (a) is the frozen one; the test set's late members are of the pool too.
            late = False if role == "validation" else None
            prefix = answered_prefix(session, self._context.project(), role, late=late)
        tasks = measured_tasks(self._context, prefix.answered)
        return tasks, hits_on(self._model, tasks)

    def _control(self) -> tuple[LabelledTasks, npt.NDArray[np.bool_]]:
        """Control labels of the last rounds, by the models that did not know them."""
        first = self._round - self._context.config.control_rounds
        with self._context.database.read() as session:
            project = self._context.project()
            answered = answered_prefix(session, project, "control").answered
            rows = session.scalars(
                sa.select(ControlScore).where(
                    ControlScore.project_id == project.id,
                    ControlScore.predicted.is_not(None),
                    ControlScore.round >= first,
                )
            )
            predicted = {row.task_id: row.predicted for row in rows if row.task_id in answered}
        tasks = measured_tasks(self._context, predicted)
        classes = self._context.schema.classes
        hits = [
            predicted[task] == classes[label]
            for task, label in zip(tasks.task_ids, tasks.labels, strict=True)
        ]
        return tasks, np.array(hits, dtype=np.bool_)

    def _kind(self) -> str:
        return "rows" if self._reference.fields else "tasks"


# -------------------------------------------------------------------- reading and telling


def _read(context: ProjectContext, named: NamedReference) -> _Reference:
    if named.file is not None:
        rows = read_file(context, named.file)
        keys = [-1 - place for place in range(len(rows.embeddings))]
        fields = dict(zip(keys, rows.fields, strict=True))
        return _Reference(keys, rows.embeddings, fields, rows.rows, frozenset(), rows.note)
    if named.tab is not None:
        found: ReferenceTasks = tasks_of_tab(context, named.tab)
        path = "reference.tab"
    else:
        with context.database.read() as session:
            fields = read_fields(session, context.project_id)
        found = tasks_of_value(fields, str(named.field), named.value)
        path = "reference.value"
    hashes = embedded_tasks(context)
    there = sorted(task for task in found.task_ids if task in hashes)
    if not there:
        raise ConfigurationError(
            path, f"none of the {len(found.task_ids):,} tasks is embedded yet; wait"
        )
    keys = [there[place] for place in evenly(len(there))]
    missing = len(found.task_ids) - len(there)
    note = f"{missing:,} of its tasks are not embedded" if missing else None
    embeddings = context.cache.get([hashes[task] for task in keys])
    return _Reference(keys, embeddings, {}, len(found.task_ids), found.found_by, note)


def _distinct(values: npt.NDArray[Any]) -> int:
    """How many values differ; missing numbers are one."""
    return len(np.unique(values)) if values.dtype.kind == "f" else len(set(values.tolist()))


def _in_words(verdict_of_set: str) -> str:
    words = {DIFFERS: "differs from it", "alike": "is like it"}
    return words.get(verdict_of_set, "cannot be told from it yet")


def _tell_once(context: ProjectContext, note: str, round_number: int) -> None:
    """An event, unless the round before had the same trouble."""
    with context.database.write() as session:
        before = session.get(Round, (context.project_id, round_number - 1))
        figures = (before.metrics if before is not None else None) or {}
        if (figures.get("reference") or {}).get("note") != note:
            record_event(session, context.project_id, "warning", f"The reference: {note}"[:1000])
