"""The demo's data sets are whole, and their tasks give no label away."""

from collections import Counter
from pathlib import Path

import pytest
from label_studio_sdk.label_interface import LabelInterface

from demo.datasets import Dataset, news, photos


@pytest.fixture(scope="module", params=[news, photos], ids=["news", "photos"])
def dataset(request: pytest.FixtureRequest) -> Dataset:
    made: Dataset = request.param()
    return made


def test_news_has_all_its_articles() -> None:
    assert Counter(news().truth.values()) == {
        "Sport": 511,
        "Business": 510,
        "Politics": 417,
        "Technology": 401,
        "Entertainment": 386,
    }


def test_photos_are_defective_from_a_probability_of_one_half() -> None:
    assert Counter(photos().truth.values()) == {"Functional": 1508 + 295, "Defective": 106 + 715}


def test_every_task_has_a_true_label_that_the_config_offers(dataset: Dataset) -> None:
    control = LabelInterface(dataset.label_config).get_control(dataset.from_name)
    assert {task["source_id"] for task in dataset.tasks} == set(dataset.truth)
    assert len(dataset.tasks) == len(dataset.truth)
    assert set(dataset.truth.values()) == set(control.labels)
    assert control.to_name == [dataset.to_name]


def test_neither_the_source_nor_the_order_tells_the_label(dataset: Dataset) -> None:
    for task in dataset.tasks:
        assert dataset.truth[task["source_id"]].lower() not in task["source_id"].lower()
        assert set(task) == {"source_id", dataset.to_name}
    labels = [dataset.truth[task["source_id"]] for task in dataset.tasks]
    halves = [Counter(labels[: len(labels) // 2]), Counter(labels[len(labels) // 2 :])]
    for label, count in Counter(labels).items():
        assert halves[0][label] / count == pytest.approx(0.5, abs=0.1)
        assert halves[1][label] / count == pytest.approx(0.5, abs=0.1)


def test_the_order_is_the_same_each_time(dataset: Dataset) -> None:
    again = {"text": news, "image": photos}[dataset.kind]()
    assert again.tasks == dataset.tasks


def test_every_photo_is_a_file_of_the_served_folder() -> None:
    dataset = photos()
    assert dataset.folder is not None
    for task in dataset.tasks:
        folder, name = task["image"].partition("?d=")[2].split("/")
        assert folder == dataset.folder_name
        assert (dataset.folder / name).is_file()


def test_texts_are_articles_not_paths() -> None:
    lengths = [len(task["text"]) for task in news().tasks]
    assert min(lengths) > 300
    assert not any(Path(task["text"][:80]).exists() for task in news().tasks[:5])
