"""Does the strategy beat chance? The strategy's picks against the random control, block by block.

Looked at only when the labels have doubled since the last look: whoever looks after every round
finds what is not there.
"""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy.orm import Session

from backend.evaluation.control_blocks import FEWEST_BLOCKS, Block, control_blocks
from backend.evaluation.labels_saved import labels_saved
from backend.evaluation.lift import Lift, in_words, lift
from backend.evaluation.looks import due_look
from backend.evaluation.rare_labels import rare_labels_per_100
from backend.models.artefact import Model
from backend.models.refits import refitted_predictions
from backend.rounds import queue
from backend.rounds.context import ProjectContext
from backend.rounds.evaluate import group_keys, labelled_validation
from backend.rounds.looks_taken import planned_looks
from backend.rounds.numbering import current_era
from backend.rounds.train import LabelledTasks, labelled_tasks, leaking
from backend.store.evaluation_tables import ControlDraw
from backend.store.projects import record_event
from backend.store.tables import Pick, Project, Round, TrainingManifest

logger = logging.getLogger(__name__)

# Labels and classes that a start has at least: what a block adds to nothing is all that its head
# knows, and says nothing of what it would add to a model.
FEWEST_AT_START, FEWEST_CLASSES = 10, 2
REFITS, CURVE_POINTS = 20, 8
NO_START = (
    f"Lift unknown: no model was trained on {FEWEST_AT_START} labels of {FEWEST_CLASSES} classes "
    "yet, to which both sides could be added."
)
FAILING = "The strategy does worse than random labelling. "


@dataclass(frozen=True)
class Rival:
    """The labelled tasks of each round, of one side: the control, or the strategy's picks."""

    by_round: dict[int, list[int]]

    def within(self, block: Block, rounds: Sequence[int], share: "Rival") -> list[int]:
        """As many as the block compares: the first of each round, as many as `share` has there.

        Where a round has fewer, the next ones of the block's other rounds stand in.
        """
        first, next_ones = [], []
        for n in rounds[block.first : block.last + 1]:
            first += self.of(n)[: len(share.of(n))]
            next_ones += self.of(n)[len(share.of(n)) :]
        return [*first, *next_ones][: block.size]

    def of(self, round_number: int) -> list[int]:
        """Those of one round."""
        return self.by_round.get(round_number, [])


def look_if_due(context: ProjectContext, model: Model) -> dict[str, Any] | None:
    """The comparison of this look, None while none is due; the look is counted once it is made."""
    with context.database.read() as session:
        project = context.project()
        era = current_era(session, project)
        if era is None:
            return None
        of_era, reports = era.era, dict(era.reports)
        drawn = {task for part in _control_rounds(session, project).values() for task in part}
    control = len(labelled_tasks(context, drawn).labels)
    taken = int((reports.get("looks") or {}).get("taken", 0))
    plan = planned_looks(reports, round(context.config.random_share * context.config.budget))
    due = None if plan is None else due_look(plan, control, taken)
    if plan is None or due is None:
        return None
    found = {
        "era": of_era,
        "look": due + 1,
        "looks_planned": len(plan.at),
        "control_labels": control,
        "alpha": plan.alphas[due],
        "strategy": str(context.project().config.get("strategy")),
        **compare(context, model, plan.alphas[due]),
    }
    if found["lift"]["value"] is None:
        # Nothing was seen of the labels, only that they are too few: the look is still to come.
        return found
    with context.database.write() as session:
        era = current_era(session, session.get_one(Project, context.project_id))
        if era is not None and era.era == of_era:
            made = [*era.reports.get("comparisons", []), found]
            looked = {**asdict(plan), "taken": due + 1}
            era.reports = {**era.reports, "looks": looked, "comparisons": made}
        elif era is not None:
            return None  # drawn anew meanwhile: what was compared are no hold-outs any more
        if found["lift"]["verdict"] == "below":
            logger.warning("Project %d: %s", project.label_studio_id, FAILING + found["sentence"])
            record_event(session, context.project_id, "warning", FAILING + found["sentence"])
    return found


def is_failing(session: Session, project: Project) -> bool:
    """Whether the newest comparison saw that the strategy does harm."""
    era = current_era(session, project)
    made = [] if era is None else era.reports.get("comparisons", [])
    if not made or made[-1]["lift"]["verdict"] != "below":
        return False
    # What was seen of one strategy says nothing of another.
    return bool(made[-1]["strategy"] == str(project.config.get("strategy")))


def compare(context: ProjectContext, model: Model, alpha: float) -> dict[str, Any]:
    """Lift, labels saved and rare classes found, on validation set (a)."""
    start = _common_start(context)
    with context.database.read() as session:
        project = context.project()
        control = Rival(_control_rounds(session, project))
        by_round, branch_of = _strategy_rounds(session, project)
        picks = Rival(by_round)
        roles = queue.holdout_roles(session, project)
    judged, groups = labelled_validation(context)
    asked = {*start, *_all(control), *_all(picks)} - roles.keys()
    material = labelled_tasks(context, asked)
    material = material.of([leak is None for leak in leaking(context, material)])
    there = set(material.task_ids)
    start = [task for task in start if task in there]
    there -= set(start)
    control = Rival({n: [t for t in part if t in there] for n, part in control.by_round.items()})
    picks = Rival({n: [t for t in part if t in there] for n, part in picks.by_round.items()})
    rounds = sorted(control.by_round.keys() | picks.by_round.keys())
    blocks = _blocks(control, picks, rounds) if start else ()
    refit = _Refits(model, material, judged)
    found = _lift_over(blocks, refit, start, control, picks, rounds, groups, alpha)
    return {
        "lift": asdict(found),
        "sentence": in_words(found) if start else NO_START,
        "start": len(start),
        "branches": _branches(refit, start, control, picks, branch_of, rounds, groups, alpha),
        "labels_saved": asdict(_saved(refit, start, control, picks, blocks, rounds, groups)),
        "rare": _rare(context, model, material, control, picks),
    }


class _Refits:
    """Heads on subsets of the labels, judged on validation set (a)."""

    def __init__(self, model: Model, material: LabelledTasks, judged: LabelledTasks) -> None:
        self._model, self._material, self._judged = model, material, judged
        self._row = {task: row for row, task in enumerate(material.task_ids)}

    def hits(self, subsets: Sequence[Sequence[int]]) -> npt.NDArray[np.bool_]:
        """(s, n) whether the head of each subset of tasks is right on each judged item."""
        times = np.zeros((len(subsets), len(self._material.labels)))
        for number, tasks in enumerate(subsets):
            np.add.at(times[number], [self._row[task] for task in tasks], 1.0)
        if not len(subsets):
            return np.zeros((0, len(self._judged.labels)), dtype=np.bool_)
        predicted = refitted_predictions(
            self._material.embeddings,
            self._material.labels,
            times,
            self._judged.embeddings,
            classes=len(self._model.classes),
            penalty=self._model.head.penalty,
        )
        return np.asarray(predicted == self._judged.labels)


def _lift_over(
    blocks: Sequence[Block],
    refit: _Refits,
    start: list[int],
    control: Rival,
    picks: Rival,
    rounds: Sequence[int],
    groups: npt.NDArray[np.str_],
    alpha: float,
) -> Lift:
    pairs = [
        (control.within(block, rounds, control), picks.within(block, rounds, control))
        for block in blocks
    ]
    hits = refit.hits([[*start, *side] for pair in pairs for side in reversed(pair)])
    return lift(hits[0::2], hits[1::2], groups, alpha)


def _branches(
    refit: _Refits,
    start: list[int],
    control: Rival,
    picks: Rival,
    branch_of: dict[int, str],
    rounds: Sequence[int],
    groups: npt.NDArray[np.str_],
    alpha: float,
) -> list[dict[str, Any]]:
    """The lift of each branch of a mixture that has enough picks; together they err as one would.

    Which branches these are depends on how many picks they have, never on what came of them.
    """
    names = sorted(set(branch_of.values()))
    if len(names) < 2 or not start:
        return []
    parts = []
    for branch in names:
        mine = Rival(
            {n: [t for t in part if branch_of[t] == branch] for n, part in picks.by_round.items()}
        )
        blocks = _blocks(control, mine, rounds)
        if len(blocks) >= FEWEST_BLOCKS:
            parts.append((branch, mine, blocks))
    found = []
    for branch, mine, blocks in parts:
        share = alpha / len(parts)
        one = _lift_over(blocks, refit, start, control, mine, rounds, groups, share)
        found.append({"branch": branch, "lift": asdict(one), "sentence": in_words(one)})
    return found


def _saved(
    refit: _Refits,
    start: list[int],
    control: Rival,
    picks: Rival,
    blocks: Sequence[Block],
    rounds: Sequence[int],
    groups: npt.NDArray[np.str_],
) -> Any:
    """Labels saved: refit 0 on the labels as they came, the others on blocks redrawn."""
    if not blocks:
        none = np.zeros((1, 1, 0), dtype=np.bool_)
        return labels_saved([0], none, none[:, 0], 0)
    rng = np.random.default_rng(0)
    # Blocks without picks are left out, and with them their control labels.
    count = sum(len(control.of(n)) for b in blocks for n in rounds[b.first : b.last + 1])
    sizes = np.unique(np.linspace(0, 2 * count, CURVE_POINTS).astype(int))
    sizes = sizes[sizes <= max(len(_all(picks)), 1)]
    subsets: list[list[int]] = []
    for number in range(REFITS):
        drawn = (
            range(len(blocks))
            if number == 0
            else np.sort(rng.integers(len(blocks), size=len(blocks)))
        )
        chosen = [rounds[blocks[b].first : blocks[b].last + 1] for b in drawn]
        queued = [task for part in chosen for n in part for task in picks.of(n)]
        random = [task for part in chosen for n in part for task in control.of(n)]
        subsets += [[*start, *queued[:size]] for size in sizes]
        subsets.append([*start, *random])
    hits = refit.hits(subsets).reshape(REFITS, len(sizes) + 1, -1)
    return labels_saved(sizes.tolist(), hits[:, :-1], hits[:, -1], count, groups)


def _rare(
    context: ProjectContext, model: Model, material: LabelledTasks, control: Rival, picks: Rival
) -> dict[str, Any] | None:
    """Labels of the control's rarest class per 100, among the picks and in the control."""
    label_of = dict(zip(material.task_ids, material.labels.tolist(), strict=True))
    random = np.array([label_of[task] for task in _all(control)], dtype=np.int64)
    queued = np.array([label_of[task] for task in _all(picks)], dtype=np.int64)
    if not len(random) or not len(queued):
        return None
    counts = np.bincount(np.concatenate([random, queued]), minlength=len(model.classes))
    shares = np.bincount(random, minlength=len(model.classes)) / len(random)
    present = np.flatnonzero(counts)
    rarest = int(present[np.argmin(shares[present])])
    with context.database.read() as session:
        theirs, its = (
            group_keys(session, context.project(), _all(side)) for side in (picks, control)
        )
    found = rare_labels_per_100(queued == rarest, random == rarest, theirs, its)
    return {"class": model.classes[rarest], **asdict(found)}


def _blocks(control: Rival, picks: Rival, rounds: Sequence[int]) -> tuple[Block, ...]:
    return control_blocks([len(control.of(n)) for n in rounds], [len(picks.of(n)) for n in rounds])


def _all(rival: Rival) -> list[int]:
    return [task for number in sorted(rival.by_round) for task in rival.by_round[number]]


def _common_start(context: ProjectContext) -> list[int]:
    """What the first model with enough labels was trained on, whoever chose them: the labels that
    both sides have in common; [] where there is none yet.
    """
    with context.database.read() as session:
        project = context.project()
        manifests = [
            [int(member[0]) for member in manifest.members]
            for manifest in session.scalars(
                sa.select(TrainingManifest)
                .where(
                    TrainingManifest.project_id == project.id,
                    TrainingManifest.created_at >= (project.holdout_drawn_at or 0.0),
                )
                .order_by(TrainingManifest.round)
            )
        ]
        roles = queue.holdout_roles(session, project)
    for members in manifests:
        if len(members) < FEWEST_AT_START:
            continue
        start = labelled_tasks(context, set(members) - roles.keys())
        start = start.of([leak is None for leak in leaking(context, start)])
        if len(start.labels) >= FEWEST_AT_START and len(set(start.labels)) >= FEWEST_CLASSES:
            return [int(task) for task in start.task_ids]
    return []


def _control_rounds(session: Session, project: Project) -> dict[int, list[int]]:
    """The control's tasks by the round that queued them, in the order of drawing."""
    control = {task for task, role in queue.roles(session, project).items() if role == "control"}
    found: dict[int, list[int]] = {}
    for row in session.execute(
        sa.select(ControlDraw.task_id, ControlDraw.round)
        .where(
            ControlDraw.project_id == project.id,
            ControlDraw.drawn_at >= (project.holdout_drawn_at or 0.0),
        )
        .order_by(ControlDraw.round, ControlDraw.ordinal)
    ):
        if row.task_id in control:
            found.setdefault(row.round, []).append(row.task_id)
    return found


def _strategy_rounds(
    session: Session, project: Project
) -> tuple[dict[int, list[int]], dict[int, str]]:
    """The answered picks of the strategy in force by round, best-ranked first; the branch of each.

    What chance chose is left out, the safety net's picks too, rounds of another strategy, and what
    was queued before the hold-outs in force were drawn.
    """
    others = set(
        session.scalars(
            sa.select(Round.number).where(
                Round.project_id == project.id,
                Round.strategy != str(project.config.get("strategy")),
            )
        )
    )
    if 1 in others:  # the first window was made before the first round, by the same strategy
        others.add(0)
    found: dict[int, list[int]] = {}
    branch_of: dict[int, str] = {}
    for row in session.execute(
        sa.select(Pick.task_id, Pick.round, Pick.branch)
        .where(
            Pick.project_id == project.id,
            Pick.family == "strategy",
            Pick.state == "resolved",
            Pick.created_at >= (project.holdout_drawn_at or 0.0),
        )
        .order_by(Pick.round, Pick.position)
    ):
        if row.round in others or _is_chance(row.branch):
            continue
        if row.task_id not in branch_of:
            branch_of[row.task_id] = row.branch
            found.setdefault(row.round, []).append(row.task_id)
    return found, branch_of


def _is_chance(branch: str) -> bool:
    """Whether chance or a pin chose: not where a strategy filters what chance gave it."""
    return branch.startswith(("random (", "pin")) or (
        branch.startswith("random") and " > " not in branch
    )
