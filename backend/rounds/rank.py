"""Ranking: from the state, the embeddings and the model to the strategy's choices."""

import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

import strategies
from backend.models.artefact import Model
from backend.rounds import queue
from backend.rounds.context import ProjectContext
from backend.rounds.fields import read_fields
from backend.rounds.leak_guard import LeakGuard
from backend.rounds.lift import is_failing
from backend.rounds.material import Material
from backend.rounds.mirror import annotated_task_ids
from backend.rounds.numbering import has_role_decided
from backend.rounds.rules import RuleBook, read_rule_book
from backend.rounds.specification import safety_net, specification_of
from backend.rounds.window import Choice
from backend.store.projects import record_event
from backend.store.tables import Task
from strategies.picks import CLASS

logger = logging.getLogger(__name__)

# How the branches of picks begin that replace a strategy which does harm.
SAFETY_NET = "random (safety net)"
# Of the picks while it is replaced, the share that the strategy still makes: without any, nobody
# would see that it does no harm any more.
PROBED_SHARE = 0.2


@dataclass(frozen=True)
class Candidates:
    """Tasks that the strategy may choose from; `hashes` are their contents."""

    task_ids: npt.NDArray[np.int64]
    hashes: list[bytes]

    def where(self, mask: npt.NDArray[np.bool_]) -> "Candidates":
        """Those that the mask (n,) names, in their order."""
        hashes = [content for content, kept in zip(self.hashes, mask, strict=True) if kept]
        return Candidates(self.task_ids[mask], hashes)


class Ranker:
    """The strategy of one project at one moment, ready to choose for a window.

    What lacks its input (a model, a label, a field) is replaced by random choice, and so is any
    strategy where nothing is embedded yet. `notes` say so, and what the strategy itself has to
    say; `seconds` how long choosing took.
    """

    def __init__(
        self, context: ProjectContext, model: Model | None, round_number: int, seed_offset: int = 0
    ) -> None:
        self._context = context
        self._model = model
        config = context.config
        self._specification = specification_of(config)
        self._notes: dict[str, None] = {}
        self._safety_net: strategies.Specification | None = None
        if config.on_failure == "random" and self._does_harm():
            self._safety_net = safety_net(config)
            self._say(
                "The strategy was seen to do worse than random labelling: stratified random "
                f"replaces all but {PROBED_SHARE:.0%} of its picks until a look sees no harm, or "
                "another strategy is configured."
            )
        self._seed = (config.seed, round_number, seed_offset)
        self._blocked: frozenset[int] = frozenset()
        self.seconds = 0.0

    @property
    def note(self) -> str | None:
        """Everything worth telling about the choices, as sentences; None where there is nothing."""
        return " ".join(self._notes) or None

    def blocked(self) -> frozenset[int]:
        """Tasks of the last choice's pool that are too close to a hold-out to be chosen."""
        return self._blocked

    def choose(self, count: int, taken: frozenset[int]) -> Sequence[Choice]:
        """The best `count` tasks outside `taken`, best first; fewer where the pool ends."""
        started = time.monotonic()
        try:
            return self._choose(count, taken)
        finally:
            self.seconds += time.monotonic() - started

    def _choose(self, count: int, taken: frozenset[int]) -> Sequence[Choice]:
        rng = np.random.default_rng(self._seed)
        with self._context.database.read() as session:
            rules = read_rule_book(session, self._context.project_id)
        candidates = self._candidates(taken, rules)
        if not len(candidates.task_ids) or count < 1:
            return []
        material = Material(self._context, self._specification, self._model, rules, taken)
        if not material.reads_content:
            known: npt.NDArray[np.bool_] = np.ones(len(candidates.task_ids), dtype=bool)
        else:
            known = self._context.cache.contains(candidates.hashes)
        measured = self._context.properties
        if measured is not None:
            measured.refresh()
            known &= measured.contains(candidates.hashes)
        candidates, known = self._without_leaks(candidates, known, rules)
        there, rest = candidates.where(known), candidates.task_ids[~known]
        # A pin does not wait until it is embedded.
        pins = [Choice(int(task), "pin", None) for task in rest if int(task) in rules.pinned]
        pins = pins[:count]
        chosen: list[Choice] = []
        wanted = min(count - len(pins), len(there.task_ids))
        if wanted:
            probes = wanted if self._safety_net is None else math.ceil(PROBED_SHARE * wanted)
            chosen = self._selected(material, there, probes, rng)
            if self._safety_net is not None and probes < wanted:
                already = {choice.task_id for choice in chosen}
                left = np.array([int(task) not in already for task in there.task_ids])
                net = Material(self._context, self._safety_net, self._model, rules, taken)
                others = self._selected(net, there.where(left), wanted - len(chosen), rng)
                chosen = _interleaved(chosen, others)
        chosen = pins + chosen
        unknown = [int(task) for task in rest if int(task) not in rules.pinned]
        if len(chosen) < count and unknown:
            # Better an item that nothing is known of than an empty queue.
            self._say("Part of the window is random: the pool is still being embedded.")
            drawn = rng.permutation(unknown)[: count - len(chosen)]
            chosen += [Choice(int(task), "random (not embedded yet)", None) for task in drawn]
        return chosen

    def _selected(
        self,
        material: Material,
        candidates: Candidates,
        count: int,
        rng: np.random.Generator,
    ) -> list[Choice]:
        """What the material's strategy selects, each with its reasons."""
        selection = self._select(material, candidates, count, rng)
        self._notes.update(dict.fromkeys((*selection.notes, *selection.warnings)))
        details = [self._named(detail) for detail in selection.details]
        opinions = self._opinions([candidates.hashes[index] for index in selection.indices])
        prefix = f"{SAFETY_NET}: " if material.specification is self._safety_net else ""
        return [
            Choice(
                int(candidates.task_ids[index]),
                prefix + branch,
                float(score) if np.isfinite(score) else None,
                _finite({**detail, **opinion}),
            )
            for index, branch, score, detail, opinion in zip(
                selection.indices,
                selection.branches,
                selection.scores,
                details,
                opinions,
                strict=True,
            )
        ]

    def _without_leaks(
        self, candidates: Candidates, known: npt.NDArray[np.bool_], rules: RuleBook
    ) -> tuple[Candidates, npt.NDArray[np.bool_]]:
        """The candidates that are no hold-out's group, copy or near-duplicate.

        A pin is labelled all the same; it will not train.
        """
        guard = LeakGuard.of(self._context)
        with self._context.database.read() as session:
            fields = read_fields(session, self._context.project_id) if guard.how.group_by else {}
        embedded = self._context.cache.contains(candidates.hashes)
        there = candidates.where(embedded).hashes
        free = np.ones(len(candidates.task_ids), dtype=np.bool_)
        for chosen, embeddings in (
            (embedded, self._context.cache.get(there) if there else None),
            (~embedded, None),
        ):
            rows = np.flatnonzero(chosen)
            reasons = guard.reasons(
                candidates.task_ids[rows].tolist(),
                fields,
                [candidates.hashes[row] for row in rows],
                embeddings,
            )
            free[rows] = [reason is None for reason in reasons]
        free |= np.isin(candidates.task_ids, list(rules.pinned))
        self._blocked = frozenset(candidates.task_ids[~free].tolist())
        return candidates.where(free), known[free]

    def _select(
        self,
        material: Material,
        candidates: Candidates,
        count: int,
        rng: np.random.Generator,
    ) -> strategies.Selection:
        """The strategy's selection; a random one where the strategy fails on this pool.

        An error here would stop the top-ups too, and Label Studio would serve tasks of its own.
        """
        try:
            pool = material.pool(candidates.task_ids, candidates.hashes)
            specification = material.specification
            absent = frozenset(
                field for field in specification.needs if getattr(pool, field) is None
            )
            if absent:
                self._say(
                    f"The strategy needs {', '.join(map(_in_words, sorted(absent)))}; what it "
                    "would choose is random until then."
                )
                specification = specification.without(absent)
            return specification.select_with_branches(pool, count, rng)
        except Exception as error:
            logger.exception("The strategy failed; its picks are random.")
            note = (
                f"The strategy failed ({type(error).__name__}: {error}); what it would choose is "
                "random. Configure another one."
            )
            self._say(note)
            with self._context.database.write() as session:
                record_event(session, self._context.project_id, "error", note)
            pool = strategies.Pool(size=len(candidates.task_ids))
            return strategies.parse("random").select_with_branches(pool, count, rng)

    def _named(self, detail: Mapping[str, Any]) -> dict[str, Any]:
        """A class by its name: its number means another class once the labelling config changes."""
        number, model = detail.get(CLASS), self._model
        if model is None or not isinstance(number, int) or not 0 <= number < len(model.classes):
            return dict(detail)
        return {**detail, CLASS: model.classes[number]}

    def _opinions(self, hashes: list[bytes]) -> list[dict[str, Any]]:
        """What the model says of each of a few contents, for the explanation of a pick."""
        if self._model is None or not self._context.cache.contains(hashes).all():
            return [{}] * len(hashes)
        probabilities = self._model.probabilities(self._context.cache.get(hashes))
        pool = strategies.Pool(probabilities=probabilities)
        scores = {
            name: strategies.score(name, pool) for name in ("entropy", "margin", "least_confidence")
        }
        best = probabilities.argmax(axis=1)
        return [
            {
                "predicted": self._model.classes[best[row]],
                "confidence": float(probabilities[row, best[row]]),
                **{name: float(values[row]) for name, values in scores.items()},
            }
            for row in range(len(hashes))
        ]

    def _does_harm(self) -> bool:
        with self._context.database.read() as session:
            return is_failing(session, self._context.project())

    def _say(self, sentence: str) -> None:
        self._notes[sentence] = None

    def labels_of(self, task_ids: Sequence[int]) -> dict[int, str]:
        """The model's label for tasks that are embedded; none without a model."""
        if self._model is None or not task_ids:
            return {}
        with self._context.database.read() as session:
            rows = session.execute(
                sa.select(Task.task_id, Task.content_hash).where(
                    Task.project_id == self._context.project_id,
                    Task.deleted_at.is_(None),
                    Task.content_hash.is_not(None),
                )
            ).all()
        wanted = set(task_ids)
        rows = [row for row in rows if row.task_id in wanted]
        have = self._context.cache.contains([row.content_hash for row in rows])
        rows = [row for row, known in zip(rows, have, strict=True) if known]
        if not rows:
            return {}
        probabilities = self._model.probabilities(
            self._context.cache.get([row.content_hash for row in rows])
        )
        best = probabilities.argmax(axis=1)
        classes = set(self._context.schema.classes)
        return {
            row.task_id: self._model.classes[index]
            for row, index in zip(rows, best, strict=True)
            if self._model.classes[index] in classes
        }

    def _candidates(self, taken: frozenset[int], rules: RuleBook) -> Candidates:
        with self._context.database.read() as session:
            project = self._context.project()
            rows = session.execute(
                sa.select(Task.task_id, Task.content_hash)
                .where(
                    Task.project_id == project.id,
                    Task.deleted_at.is_(None),
                    has_role_decided(project),
                )
                .order_by(Task.task_id)
            ).all()
            closed = (
                annotated_task_ids(session, project.id)
                | queue.roles(session, project).keys()
                | queue.failed_tasks(session, project.id)
                | rules.excluded
                | taken
            )
        open_rows = [row for row in rows if row.task_id not in closed]
        return Candidates(
            np.array([row.task_id for row in open_rows], dtype=np.int64),
            [row.content_hash or b"" for row in open_rows],
        )


def _interleaved(few: Sequence[Choice], many: Sequence[Choice]) -> list[Choice]:
    """Both in their order, side by side: every beginning holds them in proportion."""
    places = [
        ((k + 0.5) / len(part), choice) for part in (few, many) for k, choice in enumerate(part)
    ]
    return [choice for _, choice in sorted(places, key=lambda one: one[0])]


def _finite(details: Mapping[str, Any]) -> dict[str, Any]:
    """Without infinities (k-center's distance where nothing is labelled): JSON has none."""
    return {
        name: value
        for name, value in details.items()
        if not isinstance(value, float) or math.isfinite(value)
    }


def _in_words(field: str) -> str:
    return {
        "probabilities": "a model",
        "previous_probabilities": "the models of two rounds",
        "members": "an ensemble (made in the next round)",
        "predicted_loss": "a loss-prediction head (made in the next round)",
        "labels": "labels",
        "labelled_embeddings": "labels",
        "metadata": "a field of the task data that no task has",
        "labelled_metadata": "labels",
    }.get(field, field)
