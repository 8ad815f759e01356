"""Rules by hand: which tabs are rules, what they say together, and what the ranking makes of it."""

import numpy as np
import pytest
import sqlalchemy as sa

from backend.rounds import queue
from backend.rounds.rules import RuleBook, Rules, read_rule_book, tab_of
from backend.store.tables import Event, HandRule, HandRuleTask
from tests.backend.rounds.test_rank import ids, ranker

FILTER = {"conjunction": "and", "items": [{"filter": "filter:tasks:id", "value": 3}]}


def view(title, filters=FILTER):
    return {"id": 5, "data": {"title": title, "filters": filters}}


@pytest.mark.parametrize(
    ("title", "kind", "weight"),
    [
        ("AskNext pin", "pin", 1.0),
        ("asknext PIN urgent ones", "pin", 1.0),
        ("AskNext exclude: blurred", "exclude", 1.0),
        ("AskNext boost 3", "boost", 3.0),
        ("AskNext boost 0.5 the common ones", "boost", 0.5),
        ("AskNext boost 0", "boost", 0.0),
        ("AskNext boost 3: the rare site", "boost", 3.0),
    ],
)
def test_a_title_that_begins_so_makes_a_rule(title, kind, weight):
    tab = tab_of(view(title))
    assert (tab.view_id, tab.kind, tab.weight, tab.error) == (5, kind, weight, None)


@pytest.mark.parametrize("title", ["AskNext queue", "pin", "My AskNext pin", "AskNext pinned", ""])
def test_any_other_tab_is_none(title):
    assert tab_of(view(title)) is None


@pytest.mark.parametrize("weight", ["", " much", " -1", " nan", " 1e9", " 0,5"])
def test_a_boost_without_a_usable_weight_says_how_to_write_it(weight):
    assert "AskNext boost 3" in tab_of(view(f"AskNext boost{weight}")).error


@pytest.mark.parametrize("filters", [None, {}, {"conjunction": "and", "items": []}])
def test_a_tab_without_a_filter_is_not_in_force_for_it_would_mean_every_task(filters):
    assert "no filter" in tab_of(view("AskNext exclude", filters)).error


def test_another_filter_or_title_is_another_rule():
    other = {"conjunction": "or", "items": FILTER["items"]}
    digests = {
        tab_of(view(title, filters)).digest
        for title in ("AskNext boost 2", "AskNext boost 3")
        for filters in (FILTER, other)
    }
    assert len(digests) == 4


def put(project, *rules):
    """Store rules as the sync does: (kind, weight, tasks)."""
    with project.database.write() as session:
        for number, (kind, weight, tasks) in enumerate(rules, start=1):
            session.add(
                HandRule(
                    project_id=project.id, view_id=number, kind=kind, weight=weight, title=kind,
                    digest="", matched=len(tasks), read_at=0.0,
                )
            )  # fmt: skip
            session.flush()
            session.add_all(
                HandRuleTask(project_id=project.id, view_id=number, task_id=task) for task in tasks
            )


def test_an_exclusion_beats_a_pin_and_boosts_multiply(trained):
    put(trained, ("pin", 1, [31, 32]), ("exclude", 1, [32]), ("boost", 3, [33]), ("boost", 2, [33]))
    with trained.database.read() as session:
        book = read_rule_book(session, trained.id)
    assert book == RuleBook(frozenset({31}), frozenset({32}), {33: 6.0})
    tasks = np.array([31, 32, 33])
    assert book.pins_among(tasks).tolist() == [True, False, False]
    assert book.weights_of(tasks).tolist() == [1.0, 1.0, 6.0]


def test_pins_are_chosen_first_and_exclusions_never(trained):
    before = ids(ranker(trained).choose(30, frozenset()))
    pinned, excluded = before[-2:], before[:3]
    put(trained, ("pin", 1, pinned), ("exclude", 1, excluded))
    chosen = ranker(trained).choose(10, frozenset())
    assert sorted(ids(chosen)[:2]) == sorted(pinned)
    assert [choice.branch for choice in chosen] == ["pin"] * 2 + ["margin"] * 8
    assert not set(ids(chosen)) & set(excluded)


def test_a_boost_moves_its_tasks_forward(trained):
    before = ids(ranker(trained).choose(30, frozenset()))
    put(trained, ("boost", 1000, before[-3:]))
    assert set(ids(ranker(trained).choose(30, frozenset()))[:3]) == set(before[-3:])


def test_excluded_tasks_are_no_random_picks_either(trained):
    trained.hold_out(control=[40, 42])
    put(trained, ("exclude", 1, [40, 41]))
    with trained.database.read() as session:
        stock = queue.stock(session, trained.row())
    assert [task for task, _ in stock.control] == [42]
    assert 43 in stock.others
    assert 41 not in stock.others


@pytest.fixture
def tabs(label_studio):
    label_studio.views = [
        {"id": 1, "data": {"title": "AskNext exclude", "filters": above(57)}},
        {"id": 2, "data": {"title": "AskNext pin", "filters": above(59)}},
    ]
    return label_studio


def above(number):
    item = {
        "filter": "filter:tasks:id", "operator": "greater", "type": "Number", "value": number,
    }  # fmt: skip
    return {"conjunction": "and", "items": [item]}


@pytest.fixture
def read(trained, connect):
    """Look at the tabs as a sync does, whenever the last time was."""
    lease = trained.lease("sync")

    def look():
        trained.update(rules_read_at=None)
        changed = Rules(trained.database, connect(), lease).read()
        with trained.database.read() as session:
            return changed, read_rule_book(session, trained.id)

    return look


def test_what_the_tabs_show_is_in_force_until_they_are_gone(trained, tabs, read):
    book = RuleBook(frozenset(), frozenset({58, 59, 60}), {})
    assert read() == (True, book)
    assert trained.row().rules_changed_at is not None
    assert read() == (False, book)
    del tabs.views[0]
    assert read() == (True, RuleBook(frozenset({60}), frozenset(), {}))


@pytest.mark.parametrize("path", ["/api/tasks", "/api/dm/views/"])
def test_a_tab_that_cannot_be_read_for_a_moment_stays_in_force(trained, tabs, read, path):
    _, book = read()
    tabs.fail("GET", path, 500, times=2)
    assert read() == (False, book)
    with trained.database.read() as session:
        assert (
            "cannot be read"
            in session.scalars(sa.select(Event.message).order_by(Event.id.desc())).first()
        )


def test_a_tab_that_never_could_be_read_is_no_rule_and_says_why(trained, tabs, read):
    tabs.fail("GET", "/api/tasks", 500)
    read()
    with trained.database.read() as session:
        errors = dict(session.execute(sa.select(HandRule.kind, HandRule.error)).all())
    assert "500" in errors["exclude"]
    assert errors["pin"] is None
