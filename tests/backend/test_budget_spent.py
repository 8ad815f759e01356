"""What the database adds up is what the obvious loop over all annotations finds."""

from datetime import UTC, datetime, timedelta
from itertools import count

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend.budget import Spent, is_spent, spent
from backend.config import QueueConfig
from backend.store.tables import Annotation

_updates = count()
CONNECTED = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)

annotations = st.lists(
    st.fixed_dictionaries(
        {
            "completed_by": st.sampled_from([None, 1, 2]),
            "cancelled": st.booleans(),
            "ground_truth": st.sampled_from([False, False, False, True]),
            "deleted_at": st.sampled_from([None, None, None, 1.0]),
            "lead_time": st.none() | st.floats(0.1, 5_000.0),
            # From a day before the connection to three weeks after it, often in the same second.
            "created_at": st.one_of(
                st.timedeltas(timedelta(days=-1), timedelta(days=21)),
                st.sampled_from([timedelta(0), timedelta(days=7), timedelta(milliseconds=500)]),
            ),
            "whole": st.booleans(),
            "zone": st.sampled_from(["Z", "+00:00"]),
        }
    ),
    max_size=40,
)


def the_obvious_loop(rows):
    paid = [
        row
        for row in rows
        if not row["ground_truth"] and row["deleted_at"] is None and row["at"] >= CONNECTED
    ]
    submitted = [row for row in paid if not row["cancelled"]]
    hours = 0.0
    for annotator in {row["completed_by"] for row in paid}:
        times = [
            row["lead_time"]
            for row in paid
            if row["completed_by"] == annotator and row["lead_time"] is not None
        ]
        if times:
            hours += np.minimum(times, np.quantile(times, 0.95)).sum() / 3600
    pace = None
    if len(submitted) >= 10:
        moments = sorted(row["at"] for row in submitted)
        recent = [at for at in moments if at >= moments[-1] - timedelta(days=7)]
        days = (recent[-1] - recent[0]) / timedelta(days=1)
        pace = (len(recent) - 1) / days if days * 24 >= 0.25 else None
    return Spent(len(submitted), len(paid) - len(submitted), hours, pace)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=annotations)
def test_it_is_the_obvious_loop(text_project, drawn):
    text_project.update(created_at=CONNECTED.timestamp())
    # As in Label Studio, every change has a moment of its own.
    updated_at = f"{next(_updates):08d}"
    rows = []
    for row in drawn:
        at = CONNECTED + row["created_at"]
        if row["whole"]:
            at = at.replace(microsecond=0)
        rows.append({**row, "at": at})
    with text_project.database.write() as session:
        session.execute(sa.delete(Annotation))
        for number, row in enumerate(rows):
            session.add(
                Annotation(
                    project_id=text_project.id,
                    annotation_id=number,
                    task_id=number,
                    created_at=row["at"].isoformat().replace("+00:00", row["zone"]),
                    updated_at=updated_at,
                    **{
                        name: row[name]
                        for name in (
                            "completed_by",
                            "cancelled",
                            "ground_truth",
                            "deleted_at",
                            "lead_time",
                        )
                    },
                )
            )
    wanted = the_obvious_loop(rows)
    with text_project.database.read() as session:
        found = spent(session, text_project.id)
        config = QueueConfig(budget=100, budget_hours=1.0).model_dump(mode="json")
        text_project.update(config=config)
        over = is_spent(session, text_project.row())
    assert (found.annotations, found.skips) == (wanted.annotations, wanted.skips)
    assert found.hours == pytest.approx(wanted.hours)
    assert found.per_day == pytest.approx(wanted.per_day)
    assert over == (found.annotations >= 100 or found.hours >= 1.0)


def test_annotations_are_not_read_one_by_one(text_project):
    """However many there are: the database answers with one row an annotator at most."""
    fetched = []

    def keep(state):
        if state.is_select:
            fetched.append(state.invoke_statement().freeze())
            return fetched[-1]()
        return None

    text_project.update(created_at=CONNECTED.timestamp())
    with text_project.database.write() as session:
        session.add_all(
            Annotation(
                project_id=text_project.id,
                annotation_id=number,
                task_id=number,
                completed_by=number % 3,
                lead_time=float(number),
                created_at=(CONNECTED + timedelta(minutes=number)).isoformat(),
                updated_at="",
            )
            for number in range(200)
        )
    with text_project.database.read() as session:
        sa.event.listen(session, "do_orm_execute", keep)
        found = spent(session, text_project.id)
    assert found.annotations == 200
    assert sum(len(result.data) for result in fetched) <= 10
