"""The selection benchmark: runs of real child processes on a small pool, and its judge."""

import json
import subprocess
import sys

import numpy as np
import pytest

from benchmarks.selection.__main__ import EXPECTED, main
from benchmarks.selection.comparison import Comparison
from benchmarks.selection.data import Arrays, make_arrays
from benchmarks.selection.job import Job
from benchmarks.selection.judging import judged, ranking, uniformity
from benchmarks.selection.loops import LOOPS
from benchmarks.selection.peers import MODULES, PEERS, WITHOUT_LABELLED
from benchmarks.selection.process import ROOT, STOPPED, run

N, SIZE = 500, 20
SMALL = ["--n", str(N), "--d", "16", "--labelled", "40", "--size", str(SIZE)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("arrays")
    make_arrays(path, n=N, dimensions=16, classes=4, labelled=40, kind="clustered", seed=3)
    return path


@pytest.fixture
def job(folder):
    def made(strategy, role="asknext", **changes):
        return Job(**{"n": N, "size": SIZE, "folder": str(folder), **changes}, role=role,
                   strategy=strategy)  # fmt: skip

    return made


def loop_picks(folder, job):
    picks = []
    for _ in LOOPS[job.strategy](Arrays(folder, N), job, picks):
        pass
    return np.array(picks)


def test_a_run_without_libraries_reports_each_contender_and_what_is_absent(tmp_path):
    file = tmp_path / "report.json"
    main([*SMALL, "--strategies", "k_center", "margin", "no_such", "--peers", "--json", str(file)])
    content = json.loads(file.read_text())
    assert content["absent"] == ["no_such"]
    assert content["machine"]["gemm_flops"] > 1e8
    assert content["dense_seconds"] > 0
    found = {(row["job"]["strategy"], row["contender"]): row for row in content["rows"]}
    assert set(found) == {
        ("k_center", "AskNext"),
        ("k_center", "obvious loop"),
        ("margin", "AskNext"),
        ("no_such", "AskNext"),
    }
    assert found["no_such", "AskNext"]["outcome"] == "absent"
    for key in (("k_center", "AskNext"), ("k_center", "obvious loop"), ("margin", "AskNext")):
        row = found[key]
        assert row["outcome"] == "done"
        assert row["seconds"] > 0
        assert row["extra_bytes"] >= 0
        assert row["judgement"]["exact"] == "yes", row["judgement"]
    ours, loop = found["k_center", "AskNext"], found["k_center", "obvious loop"]
    assert ours["judgement"]["objective"] == "covering radius"
    assert ours["judgement"]["value"] == loop["judgement"]["value"] > 0
    assert loop["ratio"] == pytest.approx(loop["seconds"] / ours["seconds"])


def test_the_scale_run_passes_or_fails_each_strategy(capsys):
    arguments = ["--scale", "--quick", "--n", "600", "--d", "16", "--labelled", "40"]
    content = main([*arguments, "--strategies", "k_center"])
    assert [row["job"]["strategy"] for row in content["rows"]] == ["k_center"]
    assert all(row["problems"] == [] for row in content["rows"])
    assert all(row["job"]["cores"] == 2 for row in content["rows"])
    assert "1 pass, 0 fail" in capsys.readouterr().out


@pytest.mark.parametrize("strategy", ["k_center", "facility_location", "max_herding", "uherding"])
def test_the_loops_picks_are_exact_and_a_changed_answer_is_not(strategy, folder, job):
    asked = job(strategy, "judge")
    picks = loop_picks(folder, asked)
    arrays = Arrays(folder, N)
    right = judged(arrays, asked, picks)
    assert right["exact"] == "yes"
    swapped = picks.copy()
    swapped[[4, 5]] = picks[[5, 4]]
    assert judged(arrays, asked, swapped)["exact"] == "no"
    other = picks.copy()
    other[-1] = np.setdiff1d(np.arange(N), picks)[-1]
    wrong = judged(arrays, asked, other)
    assert wrong["exact"] == "no"
    assert f"pick {SIZE} of {SIZE}" in wrong["why"]


@pytest.mark.parametrize("strategy", ["margin", "entropy", "least_confidence", "bald"])
def test_a_ranking_is_exact_in_order_or_as_a_set(strategy, folder, job):
    from benchmarks.selection.objectives import SCORES

    arrays = Arrays(folder, N)
    scores = SCORES[strategy](arrays)
    best = np.argsort(-scores, kind="stable")[: SIZE + 1]
    asked = job(strategy, "judge")
    assert judged(arrays, asked, best[:SIZE])["exact"] == "yes"
    assert judged(arrays, asked, best[:SIZE][::-1])["exact"] == "same set"
    worse = judged(arrays, asked, best[1:])
    assert worse["exact"] == "no"
    assert worse["why"] == f"1 of {SIZE} picks differ"


def test_equal_scores_are_ranked_by_index():
    scores = np.array([0.0, 1.0, 1.0, 0.5])
    assert ranking(scores, np.array([1, 2]))[0] == "yes"
    assert ranking(scores, np.array([2, 1]))[0] == "same set"


@pytest.mark.parametrize(
    ("picks", "why"),
    [
        (np.arange(SIZE - 1), "19 picks instead of 20"),
        (np.zeros(SIZE, dtype=np.int64), "19 items picked twice"),
        (np.arange(SIZE) + N - 1, "a pick outside the pool"),
    ],
)
def test_an_answer_that_is_no_batch_is_not_exact(picks, why, folder, job):
    answer = judged(Arrays(folder, N), job("k_center", "judge"), picks)
    assert answer == {"exact": "no", "why": why}


def test_badges_draws_are_told_from_others(folder, job):
    asked = job("badge", "judge", size=200)
    arrays = Arrays(folder, N)
    drawn = judged(arrays, asked, loop_picks(folder, asked))
    assert drawn["exact"] == "in distribution", drawn["why"]
    # Greedy instead of drawn: always the item with the highest weight left.
    highest = judged(arrays, asked, np.argsort(Arrays(folder, N).probabilities.max(axis=1))[:200])
    assert highest["exact"] == "not in distribution", highest["why"]


def test_uniform_values_pass_and_squares_of_them_do_not():
    values = (np.arange(400) + 0.5) / 400
    assert uniformity(values) > 0.99
    assert uniformity(values**2) < 1e-6
    # The 5% point of the distribution of sqrt(n) D is 1.358.
    shifted = np.clip(values + 1.358 / np.sqrt(400) - 0.5 / 400, 0.0, 1.0)
    assert uniformity(shifted) == pytest.approx(0.05, abs=0.01)


@pytest.mark.parametrize("clock", ["processor", "wall"])
def test_a_call_beyond_its_time_ends_its_process(clock):
    endless = f"limit_time(0.05, {clock!r})\nwhile True: sum(range(10**9))"
    program = f"from benchmarks.selection.measuring import limit_time\n{endless}"
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, timeout=60)
    assert ended.returncode in STOPPED


def test_a_run_beyond_its_memory_says_so(job, tmp_path):
    # A small share of what importing alone needs.
    assert run(job("k_center", memory=1 << 20), tmp_path).outcome == "memory"


def test_a_loop_beyond_its_time_is_extrapolated_and_says_from_what(job, tmp_path):
    slow = run(job("k_center", "loop", prefix=0.0), tmp_path)
    assert slow.finished
    assert slow.done == pytest.approx(1 / SIZE)
    assert slow.picks == ""
    assert slow.message == "extrapolated from the first pick"


def test_a_contender_that_fails_for_another_reason_is_reported(job, tmp_path):
    found = run(job("k_center", size=SIZE, parameters={"metric": "nonsense"}), tmp_path)
    assert found.outcome == "failed"
    assert "nonsense" in found.message


class Recorded(Comparison):
    """A comparison whose measurements are made up: a time for each size, or a shortage."""

    def __init__(self, template, answer):
        super().__init__(template, None, lambda _: None)
        self.answer = answer
        self.tried = []

    def _measured(self, job):
        from benchmarks.selection.job import Measurement

        self.tried.append((job.n, job.size))
        seconds = self.answer(job.n)
        if seconds is None:
            return Measurement(job, "memory")
        if seconds > job.seconds:
            return Measurement(job, "time")
        return Measurement(job, "done", seconds=seconds)


@pytest.mark.parametrize(
    ("answer", "largest"),
    [
        (lambda n: n / 1e6, 64_000),
        (lambda n: (n / 64_000) ** 2 * 600, 32_000),
        (lambda n: (n / 64_000) ** 2 * 30_000, 4_000),
        (lambda n: None if n > 20_000 else 1.0, 16_000),
    ],
)
def test_a_library_is_run_at_the_largest_size_that_it_manages(answer, largest, job):
    asked = job("k_center", "peer", library="bmdal", n=64_000, size=640, seconds=300.0)
    comparison = Recorded(asked, answer)
    found = comparison._largest(asked)
    assert found.finished
    assert (found.job.n, found.job.size) == (largest, largest // 100)
    assert len(comparison.tried) <= 5


def test_a_library_that_manages_nothing_is_reported_at_the_size_asked_for(job):
    asked = job("k_center", "peer", library="bmdal", n=4_000, size=40)
    found = Recorded(asked, lambda _: None)._largest(asked)
    assert found.outcome == "memory"
    assert found.job == asked


def test_a_shorter_pool_is_the_start_of_a_longer_one(folder, tmp_path):
    make_arrays(tmp_path, n=300, dimensions=16, classes=4, labelled=40, kind="clustered", seed=3)
    shorter, longer = Arrays(tmp_path, 300), Arrays(folder, 300)
    for name in ("embeddings", "probabilities", "members", "labelled_embeddings", "labels"):
        np.testing.assert_array_equal(getattr(shorter, name), getattr(longer, name))
    np.testing.assert_allclose(np.linalg.norm(shorter.embeddings, axis=1), 1.0, atol=1e-5)


def test_every_library_has_its_module_and_every_pair_a_strategy():
    assert {library for libraries in PEERS.values() for library in libraries} == set(MODULES)
    assert set(PEERS) <= set(EXPECTED)
    assert set(LOOPS) <= set(EXPECTED)
    assert all(library in PEERS[strategy] for strategy, library in WITHOUT_LABELLED)
