"""How much of a pool is embedded, counted without reading a vector, as often as it is asked."""

import threading
import time
from dataclasses import dataclass

import sqlalchemy as sa

from backend.models.embedding_cache import EmbeddingCache
from backend.models.encoder import Kind, load_encoder
from backend.settings import Settings
from backend.store.database import Database
from backend.store.tables import Project, Task

HASHES_KEPT_SECONDS = 30.0


@dataclass(frozen=True)
class _Hashes:
    shape: tuple[int, int]
    synced_at: float | None
    until: float
    values: list[bytes]


class _EmbeddedCounts:
    """Counts embedded tasks without reading again what did not change since the last time.

    The content hashes are kept while the number of tasks stays the same, and read again at most
    every `HASHES_KEPT_SECONDS` after syncs (half a second for 100,000 tasks); the cache on disk is
    only asked for shards that are new.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._caches: dict[tuple[str, str], EmbeddingCache] = {}
        self._hashes: dict[tuple[str, int], _Hashes] = {}

    def count(self, settings: Settings, database: Database, project: Project, pool: int) -> int:
        encoder = load_encoder(project.config.get("encoder", "auto"), _kind(project))
        place = (str(settings.embeddings_dir.absolute()), encoder.fingerprint)
        with self._lock:
            if not (settings.embeddings_dir / encoder.fingerprint).is_dir():
                return 0
            cache = self._caches.get(place)
            if cache is None:
                cache = EmbeddingCache(
                    settings.embeddings_dir, encoder.fingerprint, encoder.dimension
                )
                self._caches[place] = cache
            else:
                cache.refresh()
            return int(cache.contains(self._content(database, project, pool)).sum())

    def _content(self, database: Database, project: Project, pool: int) -> list[bytes]:
        key = (database.url, project.id)
        kept, now = self._hashes.get(key), time.monotonic()
        if (
            kept is None
            or kept.shape != (project.schema_number, pool)
            or (kept.synced_at != project.last_synced_at and now > kept.until)
        ):
            with database.read() as session:
                found = session.scalars(
                    sa.select(Task.content_hash).where(
                        Task.project_id == project.id,
                        Task.deleted_at.is_(None),
                        Task.content_hash.is_not(None),
                    )
                )
                values = [value for value in found if value is not None]
            kept = _Hashes(
                (project.schema_number, pool),
                project.last_synced_at,
                now + HASHES_KEPT_SECONDS,
                values,
            )
            self._hashes[key] = kept
        return kept.values


_counts = _EmbeddedCounts()


def embedded_count(settings: Settings, database: Database, project: Project, pool: int) -> int:
    """How many of the pool's tasks have an embedding by the project's encoder."""
    if not pool or project.kind not in ("text", "image"):  # no usable labelling config yet
        return 0
    return _counts.count(settings, database, project, pool)


def _kind(project: Project) -> Kind:
    return "text" if project.kind == "text" else "image"
