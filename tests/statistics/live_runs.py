"""Whole runs of a queue on a mixture: rounds with control labels and picks, then the looks."""

from dataclasses import dataclass

import numpy as np

from backend.evaluation.control_blocks import control_blocks
from backend.evaluation.lift import Lift, lift
from backend.evaluation.looks import due_look, plan_looks
from tests.statistics.mixture import hits, scores, train

START, PICKS, CONTROL, CANDIDATES = 50, 45, 5, 500


@dataclass(frozen=True)
class Look:
    """What one look says, and the lift of the very heads that it compares, on all of the world."""

    found: Lift
    exact: float


def random_picks(_head, candidates):
    """The order in which they came, which is random already."""
    return np.arange(len(candidates))


def margin_picks(head, candidates):
    return np.argsort(np.abs(scores(head[None], candidates)[0]), kind="stable")


def sure_picks(head, candidates):
    """What the model is surest of, of one class only."""
    return np.argsort(-scores(head[None], candidates)[0], kind="stable")


def telling_picks(_head, candidates):
    """The least noise off the axis that tells the classes apart: no real strategy can know it."""
    return np.argsort(
        (candidates[:, 1:] ** 2).sum(axis=1) - np.abs(candidates[:, 0]), kind="stable"
    )


def whole_run(mixture, order, start, validation, rounds, rng, *, blocks=20, first=50, alpha=0.05):
    """The looks of one run: labels are spent round by round, each look compares all blocks so far.

    `start` and `validation` are (inputs, classes); `order` ranks a round's fresh candidates by the
    head trained on all labels before. The control labels train too, after their round.
    """
    plan = plan_looks(first, rounds * CONTROL, alpha)
    inputs, classes = start
    control, picked, looks = [], [], []
    for number in range(rounds):
        control.append(mixture.draw(rng, CONTROL))
        if order is random_picks:  # without a head, a hundred times as fast
            picked.append(mixture.draw(rng, PICKS))
        else:
            head = train(inputs[None], classes[None])[0]
            candidates, truth = mixture.draw(rng, CANDIDATES)
            best = order(head, candidates)[:PICKS]
            picked.append((candidates[best], truth[best]))
            inputs = np.concatenate([inputs, control[-1][0], picked[-1][0]])
            classes = np.concatenate([classes, control[-1][1], picked[-1][1]])
        if due_look(plan, (number + 1) * CONTROL, len(looks)) is not None:
            looks.append(_look(mixture, start, validation, control, picked, blocks, plan.alphas[0]))
    return looks


def _look(mixture, start, validation, control, picked, blocks, alpha):
    cut = control_blocks([CONTROL] * len(control), [PICKS] * len(control), blocks)
    strategy = _heads(start, picked, cut, best_of_each_round=True)
    random = _heads(start, control, cut, best_of_each_round=False)
    found = lift(hits(strategy, *validation), hits(random, *validation), alpha=alpha)
    exact = float((mixture.accuracy(strategy) - mixture.accuracy(random)).mean())
    return Look(found, exact)


def _heads(start, rounds, cut, *, best_of_each_round):
    """A head for each block, on the start and m labels: of picks, the best of each round."""
    sets = []
    for block in cut:
        part = rounds[block.first : block.last + 1]
        share = CONTROL if best_of_each_round else len(part[0][1])
        sets.append(
            tuple(np.concatenate([start[i], *(one[i][:share] for one in part)]) for i in (0, 1))
        )
    sizes = {len(one[1]) for one in sets}
    if len(sizes) == 1:
        return train(np.stack([one[0] for one in sets]), np.stack([one[1] for one in sets]))
    return np.concatenate([train(one[0][None], one[1][None]) for one in sets])
