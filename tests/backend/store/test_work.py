"""Work is coalesced in SQL, and a lease has one holder, who may write only while it is his."""

import threading
import time

import pytest

from backend.errors import LeaseLostError
from backend.store import work
from backend.store.tables import Project, Work


def acquire(database, project_id, seconds=30.0, **options):
    return work.acquire(
        database, project_id, "round", seconds, **{"even_if_done": False, **options}
    )


def test_any_number_of_requests_while_a_run_goes_on_is_one_more_run(database, project_id):
    work.request(database, project_id, "round")
    lease = acquire(database, project_id)
    for _ in range(25):
        work.request(database, project_id, "round")
    work.release(lease)
    assert work.due(database) == [(project_id, "round")]
    work.release(acquire(database, project_id))
    assert work.due(database) == []


def test_a_second_worker_finds_no_lease(database, project_id):
    work.request(database, project_id, "round")
    assert acquire(database, project_id) is not None
    assert acquire(database, project_id) is None


def test_nothing_requested_means_no_lease_unless_a_stage_needs_it(database, project_id):
    assert acquire(database, project_id) is None
    assert acquire(database, project_id, even_if_done=True) is not None


def test_an_expired_lease_is_taken_over_and_its_holder_may_write_no_more(database, project_id):
    work.request(database, project_id, "round")
    dead = acquire(database, project_id, seconds=-1.0)
    assert work.due(database) == [(project_id, "round")]
    heir = acquire(database, project_id)
    assert heir.fence == dead.fence + 1
    with pytest.raises(LeaseLostError):
        dead.check()

    def write_all_the_same():
        with database.write() as session:
            session.get_one(Project, project_id).title = "written by the dead"
            dead.check(session)

    with pytest.raises(LeaseLostError):
        write_all_the_same()
    with database.read() as session:
        assert session.get_one(Project, project_id).title == ""
    assert not dead.renew()
    work.release(dead)
    heir.check()


def test_the_heartbeat_keeps_a_lease_alive(database, project_id):
    work.request(database, project_id, "round")
    lease = acquire(database, project_id, seconds=0.4)
    with work.heartbeat(lease):
        time.sleep(1.0)
        assert acquire(database, project_id) is None
    time.sleep(0.6)
    assert acquire(database, project_id) is not None


def test_a_pushed_job_is_not_pushed_again_until_it_must_be_lost(database, project_id):
    work.request(database, project_id, "round")
    work.mark_pushed(database, project_id, "round")
    assert work.due(database) == []
    later = time.time() + work.LOST_AFTER_SECONDS + 1
    assert work.due(database, later) == [(project_id, "round")]


def test_a_failure_keeps_the_request_and_waits_longer_each_time(database, project_id):
    work.request(database, project_id, "round")
    waits = []
    for _ in range(3):
        work.release(acquire(database, project_id), failed=True)
        assert work.due(database) == []
        with database.write() as session:
            row = session.get_one(Work, (project_id, "round"))
            waits.append(row.not_before - time.time())
            row.not_before = 0.0
    assert waits == sorted(waits)
    assert waits[2] > 2 * waits[0]
    assert work.due(database) == [(project_id, "round")]


def test_projects_that_are_gone_ask_for_no_work(database, project_id):
    work.request(database, project_id, "round")
    with database.write() as session:
        session.get_one(Project, project_id).state = "archived"
    assert work.due(database) == []


def test_a_borrowed_lease_waits_for_its_holder_and_does_not_fulfil_requests(database, project_id):
    work.request(database, project_id, "sync")
    holder = work.acquire(database, project_id, "sync", 30.0, even_if_done=False)
    threading.Timer(0.3, work.release, [holder], {"fulfils": False}).start()
    with work.borrow(database, project_id, "sync", 30.0, patience=5.0):
        assert work.acquire(database, project_id, "sync", 30.0, even_if_done=True) is None
    assert work.due(database) == [(project_id, "sync")]


def test_a_borrower_without_patience_is_told(database, project_id):
    holder = work.acquire(database, project_id, "sync", 30.0, even_if_done=True)
    with (
        pytest.raises(LeaseLostError),
        work.borrow(database, project_id, "sync", 30.0, patience=0.3),
    ):
        pytest.fail("the lease was held by another")
    holder.check()


def test_a_round_that_syncs_would_starve_is_promoted_once(database, project_id):
    work.request(database, project_id, "round")
    work.mark_pushed(database, project_id, "round")
    assert work.impatient(database) == []
    later = time.time() + work.PATIENCE_SECONDS["round"] + 1
    assert work.impatient(database, later) == [(project_id, "round")]
    work.mark_promoted(database, project_id, "round")
    assert work.impatient(database, later) == []
    work.release(acquire(database, project_id))
    assert work.impatient(database, later) == []


def test_a_job_that_began_before_its_push_was_recorded_is_not_thought_to_wait(database, project_id):
    work.request(database, project_id, "round")
    lease = acquire(database, project_id)
    work.mark_pushed(database, project_id, "round")
    work.request(database, project_id, "round")
    work.release(lease)
    assert work.due(database) == [(project_id, "round")]


def test_a_project_that_is_disconnected_meanwhile_is_left_alone(database, project_id):
    work.request(database, project_id, "round")
    lease = acquire(database, project_id)
    with database.write() as session:
        session.get_one(Project, project_id).state = "disconnected"
    with pytest.raises(LeaseLostError, match="disconnected"):
        lease.check()
    work.release(lease)
    assert acquire(database, project_id, even_if_done=True) is None
