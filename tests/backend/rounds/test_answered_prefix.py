"""What of a random set may be measured: up to the first unanswered group, in order of chance."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from backend.evaluation.holdout import permanent_random_number
from backend.rounds.answered_prefix import Drawn, answered_prefix, longest_prefix
from backend.rounds.train import measured_tasks, training_tasks
from backend.store.evaluation_tables import HoldoutEra
from backend.store.tables import HandRule, HandRuleTask, Task
from tests.backend.text_project import CLASSES, topic_of


def in_order(project, task_ids):
    secret = project.row().secret
    return sorted(task_ids, key=lambda n: permanent_random_number(secret, str(n)))


def prefix_of(project, role="test", **options):
    with project.database.read() as session:
        return answered_prefix(session, project.row(), role, **options)


class TestMembers:
    """Twelve test tasks of the state, of which the first three in order and the fifth are done."""

    def held(self, project):
        project.hold_out(test=range(31, 43))
        order = in_order(project, range(31, 43))
        project.annotate_truly([*order[:3], order[4]])
        return order

    def test_it_ends_at_the_first_unanswered_one(self, text_project):
        order = self.held(text_project)
        found = prefix_of(text_project)
        assert (found.answered, found.beyond) == (frozenset(order[:3]), frozenset([order[4]]))
        text_project.annotate_truly([order[3]])
        assert prefix_of(text_project).answered == frozenset(order[:5])

    def test_what_was_deleted_or_excluded_by_hand_holds_nothing_up(self, text_project):
        order = self.held(text_project)
        with text_project.database.write() as session:
            session.get_one(Task, (text_project.id, order[3])).deleted_at = 1.0
        assert prefix_of(text_project).answered == frozenset([*order[:3], order[4]])
        rule = HandRule(
            project_id=text_project.id, view_id=1, kind="exclude", title="", digest="", read_at=0.0
        )
        with text_project.database.write() as session:
            session.add(rule)
            session.flush()
            session.add(HandRuleTask(project_id=text_project.id, view_id=1, task_id=order[5]))
        text_project.annotate_truly([order[6]])
        found = prefix_of(text_project)
        assert found.answered == frozenset([*order[:3], order[4], order[6]])
        # The hard ones are those that somebody would rather not have in the figure.
        assert found.unresolved == frozenset([order[5]])

    def test_a_skip_counts_once_nobody_else_is_asked(self, text_project):
        order = self.held(text_project)
        text_project.annotate(order[3], None, skipped=True)
        assert prefix_of(text_project).answered == frozenset(order[:3])
        text_project.annotate(order[3], None, by=2, skipped=True)
        found = prefix_of(text_project)
        assert (found.answered, found.unresolved) == (frozenset(order[:5]), frozenset([order[3]]))

    def test_what_people_disagree_on_is_measured_by_what_was_said_first(self, text_project):
        """Two people settle no tie, and it is the hard tasks that they disagree on."""
        order = self.held(text_project)
        text_project.annotate_truly(order[:4])
        other = next(name for name in CLASSES if name != topic_of(order[1]))
        text_project.annotate(order[1], other, by=2)
        text_project.annotate(order[2], topic_of(order[2]), by=2)
        text_project.annotate(order[5], None)
        found = prefix_of(text_project)
        assert found.unresolved == frozenset([order[5]])  # submitted empty
        assert found.answered == frozenset(order[:6])
        context = text_project.context()
        measured = measured_tasks(context, found.answered)
        assert [CLASSES[label] for label in measured.labels] == [
            topic_of(task) for task in sorted(order[:5])
        ]
        assert order[1] not in training_tasks(context, 1).task_ids
        # Who thinks again has one opinion, his newest.
        text_project.annotate(order[1], CLASSES[0], by=1)
        text_project.annotate(order[1], CLASSES[1], by=1)
        text_project.annotate(order[1], CLASSES[2], by=2)
        measured = measured_tasks(text_project.context(), [order[1]])
        assert measured.labels.tolist() == [1]

    def test_strata_are_read_from_the_era_in_force(self, text_project):
        text_project.hold_out(validation=range(31, 43))
        order = in_order(text_project, range(31, 43))
        with text_project.database.write() as session:
            session.get_one(HoldoutEra, (text_project.id, 1)).strata = ["site"]
            for place, task in enumerate(order):  # the first eight in one stratum, four elsewhere
                row = session.get_one(Task, (text_project.id, task))
                row.fields = {"site": "north" if place < 8 else "south"}
        text_project.annotate_truly(order[:8])
        assert prefix_of(text_project, "validation").answered == frozenset(order[:1])
        text_project.annotate_truly(order[8:10])
        assert prefix_of(text_project, "validation").answered == frozenset(order[:5] + order[8:10])


def test_members_that_joined_later_hold_up_none_of_the_first():
    drawn = [
        Drawn(1, 0.1),
        Drawn(2, 0.2),
        Drawn(3, 0.05, drawn_at=9.0),
        Drawn(4, 0.06, drawn_at=9.0),
    ]
    assert longest_prefix(drawn, {1, 2, 4}, set()) == ({1, 2}, set())
    assert longest_prefix(drawn, {1, 3, 4}, set()) == ({1}, set())


members = st.lists(
    st.tuples(st.integers(0, 8), st.booleans(), st.integers(0, 9)), min_size=1, max_size=25
)


@given(members)
def test_without_strata_it_is_the_obvious_loop(items):
    """Whole groups, in order of u, until one lacks an answer of a task that may be asked."""
    drawn = [Drawn(task, group / 10) for task, (group, _, _) in enumerate(items)]
    answered = {task for task, (_, done, _) in enumerate(items) if done}
    excluded = {task for task, (_, _, by_hand) in enumerate(items) if by_hand == 0}
    wanted, passed_over = set(), set()
    for group in range(9):
        mine = {member.task_id for member in drawn if member.u == group / 10}
        if mine - excluded - answered:
            break
        wanted |= mine & answered
        passed_over |= mine - answered
    assert longest_prefix(drawn, answered, excluded) == (wanted, passed_over)


@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.data(),
)
def test_strata_give_in_proportion(north, south, data):
    """Whatever each answered of its own, both give the same part of their groups, to half a one."""
    done = {
        "north": data.draw(st.integers(0, north)),
        "south": data.draw(st.integers(0, south)),
    }
    rng = np.random.default_rng(north * 100 + south)
    drawn, answered = [], set()
    for stratum, size in (("north", north), ("south", south)):
        for place, u in enumerate(np.sort(rng.random(size))):
            drawn.append(Drawn(len(drawn), float(u), stratum))
            if place < done[stratum]:
                answered.add(len(drawn) - 1)
    found, _ = longest_prefix(drawn, answered, set())
    kept = {s: sum(drawn[t].stratum == s for t in found) for s in ("north", "south")}
    cut = min(
        (
            (done[s] + 0.5) / size
            for s, size in (("north", north), ("south", south))
            if done[s] < size
        ),
        default=2.0,
    )
    for stratum, size in (("north", north), ("south", south)):
        # A prefix of its own, as long as what the stratum that lags behind allows.
        first = [member.task_id for member in drawn if member.stratum == stratum][: kept[stratum]]
        assert found >= set(first)
        assert abs(kept[stratum] - min(cut * size, size)) <= 0.5 + 1e-9 or cut > 1.0
        assert kept[stratum] <= done[stratum]
