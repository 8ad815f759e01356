"""Labelled files: columns are found, and what is wrong is told with its row and its mend."""

import json

import numpy as np
import pytest
from PIL import Image

import strategies
from backend.backtest.labelled_data import BacktestError, LabelledData
from backend.backtest.plan import Plan
from backend.backtest.reading import Source, read_data
from backend.backtest.runs import Run, make_runs
from backend.backtest.table import choose_columns, read_table
from strategies.properties.images import IMAGE_PROPERTIES
from strategies.properties.texts import TEXT_PROPERTIES
from tests.backend.text_project import SENTENCES


def rows():
    """180 real sentences, each with its topic."""
    return [
        {"id": f"{topic}-{number}", "text": text, "topic": topic, "page": number}
        for topic, texts in SENTENCES.items()
        for number, text in enumerate(texts)
    ]


def written(path, values):
    path.write_text("\n".join(json.dumps(value) for value in values), encoding="utf-8")
    return path


def as_csv(path, values, separator=","):
    lines = [separator.join(values[0])]
    lines += [separator.join(f'"{value}"' for value in row.values()) for row in values]
    path.write_text("\n".join(lines), encoding="utf-8-sig")
    return path


def read(path, tmp_path, **options):
    return read_data(Source(path, encoder="static", **options), tmp_path / "cache")


@pytest.mark.parametrize("kind", ["jsonl", "csv", "semicolons"])
def test_a_file_is_read_embedded_and_cached(kind, tmp_path):
    path = tmp_path / ("data.jsonl" if kind == "jsonl" else "data.csv")
    if kind == "jsonl":
        written(path, rows())
    else:
        as_csv(path, rows(), "," if kind == "csv" else ";")
    data = read(path, tmp_path)
    assert data.classes == ("cooking", "football", "weather")
    assert len(data) == len(rows())
    assert data.groups is None
    assert data.metadata["page"].dtype == np.float64
    told = []
    again = read_data(
        Source(path, encoder="static"), tmp_path / "cache", lambda *seen: told.append(seen)
    )
    assert (again.embeddings == data.embeddings).all()
    assert told == []


def test_the_data_survives_its_file(tmp_path):
    data = read(written(tmp_path / "d.jsonl", rows()), tmp_path, group="page")
    data.save(tmp_path / "kept" / "data.npz")
    again = LabelledData.load(tmp_path / "kept" / "data.npz")
    assert again.digest() == data.digest()
    assert (again.groups == data.groups).all()
    assert (again.units == data.units).all()


def test_embeddings_of_ones_own_need_no_content(tmp_path):
    values = [{"label": row["topic"]} for row in rows()]
    np.save(tmp_path / "e.npy", np.random.default_rng(0).normal(size=(len(values), 7)))
    data = read(written(tmp_path / "d.jsonl", values), tmp_path, embeddings=tmp_path / "e.npy")
    assert data.embeddings.shape == (len(values), 7)


def test_rows_without_a_label_are_left_out_with_their_embeddings(tmp_path):
    values = [{"label": row["topic"]} for row in rows()]
    values[3]["label"] = ""
    values[5]["label"] = None
    embeddings = np.arange(len(values) * 2, dtype=np.float32).reshape(-1, 2)
    np.save(tmp_path / "e.npy", embeddings)
    data = read(written(tmp_path / "d.jsonl", values), tmp_path, embeddings=tmp_path / "e.npy")
    assert len(data) == len(values) - 2
    assert data.embeddings[3].tolist() == embeddings[4].tolist()
    assert "2 rows without a label" in " ".join(data.warnings)


def parsed(*specs):
    return [strategies.parse(spec) for spec in specs]


def test_properties_of_texts_are_measured_where_a_strategy_reads_them(tmp_path):
    path = written(tmp_path / "d.jsonl", rows())
    assert not any(":" in name for name in read(path, tmp_path).metadata)
    source = Source(path, encoder="static")
    data = read_data(source, tmp_path / "cache", strategies=parsed("margin", "rare_properties"))
    assert set(TEXT_PROPERTIES) | {"id", "page"} == set(data.metadata)
    longest = max(rows(), key=lambda row: len(row["text"]))["id"]
    assert data.metadata["id"][np.argmax(data.metadata["text:characters"])] == longest
    runs = [
        Run("rare_properties", 0),
        Run({"spread_properties": {"columns": ["text:characters"]}}, 0),
    ]
    rare, spread = make_runs(data, Plan(batch=10, budget=20), runs)
    assert set(rare.picked.tolist()) != set(spread.picked.tolist())


def test_properties_are_measured_beside_given_embeddings(tmp_path):
    path = written(tmp_path / "d.jsonl", rows())
    np.save(tmp_path / "e.npy", np.random.default_rng(0).normal(size=(len(rows()), 4)))
    source = Source(path, embeddings=tmp_path / "e.npy")
    data = read_data(source, tmp_path / "cache", strategies=parsed("spread_properties"))
    assert set(TEXT_PROPERTIES) <= set(data.metadata)


@pytest.fixture
def photos(tmp_path):
    """48 noisy squares, the first of them the brightest, with their table."""
    rng = np.random.default_rng(0)
    values = []
    for number in range(48):
        light = 250 if number == 0 else 60 + number
        pixels = np.clip(rng.normal(light, 5, size=(40, 40)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"münze {number}.png")
        values.append({"file": f"münze {number}.png", "label": "ab"[number % 2]})
    return written(tmp_path / "photos.jsonl", values)


def test_images_are_embedded_and_measured(photos, tmp_path):
    source = Source(photos)
    data = read_data(source, tmp_path / "cache", strategies=parsed("rare_properties"))
    assert data.embeddings.shape == (48, 1280)
    assert set(IMAGE_PROPERTIES) == set(data.metadata)
    assert np.argmax(data.metadata["image:brightness"]) == 0


def test_an_image_that_is_none_is_told_with_its_line(photos, tmp_path):
    (tmp_path / "münze 5.png").write_bytes(b"no image")
    with pytest.raises(BacktestError, match=r"line 6 of photos\.jsonl cannot be embedded"):
        read_data(Source(photos), tmp_path / "cache")


def test_what_came_in_a_request_makes_no_file_be_read(photos, tmp_path):
    with pytest.raises(BacktestError, match="not read for a request"):
        read_data(Source(photos, may_read_files=False), tmp_path / "cache")


def test_a_line_of_a_csv_file_ends_with_a_newline_alone(tmp_path):
    """Text copied from documents holds other separators, which pandas does not quote."""
    path = tmp_path / "d.csv"
    lines = [f"a{separator}b {n},{'xy'[n % 2]}" for n, separator in enumerate("\u2028\x85\x0c" * 4)]
    path.write_text("\n".join(["text,label", *lines]) + "\n", encoding="utf-8")
    table = read_table(path)
    assert [row["text"] for row in table.rows] == [line.rpartition(",")[0] for line in lines]


def test_what_pandas_writes_by_itself_is_read(tmp_path):
    """Its index is a first column without a name, and its missing values are NaN in JSON."""
    path = tmp_path / "d.csv"
    path.write_text(",text,label\n0,one,a\n1,two,b\n", encoding="utf-8")
    assert read_table(path).rows == [{"text": "one", "label": "a"}, {"text": "two", "label": "b"}]
    path.write_text(",text,label\n0,one\n", encoding="utf-8")
    with pytest.raises(BacktestError, match=r"Line 2 of d\.csv has 2 values for 3 columns"):
        read_table(path)
    path.write_text("text,,label\none,,a\n", encoding="utf-8")
    with pytest.raises(BacktestError, match="must name each column once"):
        read_table(path)
    path = tmp_path / "d.jsonl"
    path.write_text('{"text": "one", "label": NaN}\n', encoding="utf-8")
    assert read_table(path).rows == [{"text": "one", "label": None}]


def test_columns_are_found_by_name_and_by_content(tmp_path):
    prose = [{"y": 1, "words": "a sentence of some length", "Label": "a", "patient": 3}]
    found = choose_columns(read_table(written(tmp_path / "d.jsonl", prose)))
    assert (found.label, found.text, found.group) == ("Label", "words", "patient")
    pictures = [{"path": "cells/one.png", "class": "broken"}]
    found = choose_columns(read_table(written(tmp_path / "p.jsonl", pictures)))
    assert (found.label, found.image, found.text) == ("class", "path", None)


def changed(position, **values):
    found = rows()
    found[position] |= values
    return found


@pytest.mark.parametrize(
    ("values", "options", "words"),
    [
        (rows(), {"label": "tpic"}, ["'tpic'", "'topic'", "--label-column"]),
        (rows(), {"label": "id"}, ["'id'", "too many", "--label-column"]),
        (changed(7, text=" "), {}, ["'text'", "line 8", "--text-column"]),
        (changed(7, topic=["a", "b"]), {}, ["'topic'", "line 8"]),
        ([{"text": "no label at all here"}], {}, ["--label-column"]),
        ([{"label": "a", "x": 1}], {}, ["--text-column", "--embeddings"]),
        (rows()[:30], {}, ["30 labelled items"]),
        ([{**row, "topic": "same"} for row in rows()], {}, ["same label"]),
        ([{"image": "gone.png", "label": "a"}] * 50, {}, ["'gone.png'", "line 1"]),
    ],
)
def test_what_is_wrong_in_the_rows_is_told(values, options, words, tmp_path):
    with pytest.raises(BacktestError) as error:
        read(written(tmp_path / "d.jsonl", values), tmp_path, **options)
    for word in words:
        assert word in str(error.value)


def test_what_is_wrong_in_the_file_is_told(tmp_path):
    broken = tmp_path / "d.jsonl"
    broken.write_text('{"text": "a", "label": "b"}\n{"text": \n', encoding="utf-8")
    with pytest.raises(BacktestError, match=r"Line 2 of d\.jsonl is not valid JSON"):
        read_table(broken)
    ragged = tmp_path / "d.csv"
    ragged.write_text("text,label\none,a\ntwo,b,c\n", encoding="utf-8")
    with pytest.raises(BacktestError, match=r"Line 3 of d\.csv has 3 values for 2 columns"):
        read_table(ragged)
    with pytest.raises(BacktestError, match="cannot be read"):
        read_table(tmp_path / "absent.csv")


def test_what_is_wrong_in_the_embeddings_is_told(tmp_path):
    path = written(tmp_path / "d.jsonl", rows())
    wrong = np.zeros((len(rows()), 4))
    wrong[11, 2] = np.nan
    for array, words in (
        (np.zeros((10, 4)), "has 10 rows"),
        (np.zeros(len(rows())), "shape"),
        (wrong, r"Row 12 of e\.npy \(line 12 of d\.jsonl\)"),
    ):
        np.save(tmp_path / "e.npy", array)
        with pytest.raises(BacktestError, match=words):
            read(path, tmp_path, embeddings=tmp_path / "e.npy")
