"""Where the model will be used: sets are compared with it, figures are reweighted or refused."""

import io
import json
import zipfile

import numpy as np
import pytest
import sqlalchemy as sa
from PIL import Image
from rich.console import Console

from backend.commands.tables import project_table
from backend.config import QueueConfig
from backend.errors import ConfigurationError
from backend.holdouts import open_test_curve, sealed
from backend.overview import project_overview
from backend.rounds import mirror, train
from backend.rounds.context import ProjectContext
from backend.rounds.evaluate import calibrate_and_measure
from backend.rounds.reference import reference_report
from backend.rounds.reference_file import read_file
from backend.rounds.reference_tasks import fields_of, tasks_of_tab
from backend.rounds.round import RoundRun
from backend.rounds.schema import apply_label_config
from backend.store.tables import Event, Project, Round
from tests.backend.rounds.test_lift import Clusters
from tests.backend.rounds.test_rules import above
from tests.backend.text_project import SENTENCES, TEXTS, topic_of


def name_reference(project, **named):
    config = QueueConfig(encoder="static", reference=named)
    project.update(config=config.model_dump(mode="json"))


def put_file(project, name, content):
    folder = project.settings.data_dir / "references"
    folder.mkdir(exist_ok=True)
    path = folder / name
    if isinstance(content, np.ndarray):
        np.save(path, content)
    elif isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content, encoding="utf-8")
    return path


def events(project):
    with project.database.read() as session:
        return list(session.scalars(sa.select(Event.message).order_by(Event.id)))


class Uneven(Clusters):
    """A mixture whose model is bad where the first coordinate is high; most of site B lies there.

    Positions below 300 are validation (a), the next 200 the test set, the next 200 train.
    """

    def __init__(self, project):
        super().__init__(project)
        rng = np.random.default_rng(4)
        high = self.points[:, 0] > np.median(self.points[:, 0])
        noise = high & (rng.random(self.count) < 0.6)
        self.classes = np.where(noise, rng.integers(3, size=self.count), self.classes)
        self.in_b = rng.random(self.count) < np.where(high, 0.5, 0.06)
        with project.database.write() as session:
            row = session.get_one(Project, project.id)
            tasks = [
                {"id": int(n), "data": {"text": f"Item {n}", "site": "B" if b else "A"}}
                for n, b in zip(self.ids, self.in_b, strict=True)
            ]
            mirror.write_tasks(project.database, session, row, tasks)
        project.hold_out(validation=self.ids[:300].tolist(), test=self.ids[300:500].tolist())
        self.label(range(700))
        self.lease = project.lease("round")
        context = project.context()
        model, _ = train.train(context, 1, self.lease)
        self.model, self.metrics = calibrate_and_measure(context, model, 1)

    def report(self, **named):
        name_reference(self.project, **named)
        return reference_report(self.project.context(), self.model, 1)

    def truth(self, rows):
        found = self.model.probabilities(self.points[rows]).argmax(axis=1)
        return float((found == self.classes[rows]).mean())


@pytest.fixture
def uneven(text_project):
    return Uneven(text_project)


def test_without_a_reference_there_is_no_figure(trained):
    context = trained.context()
    assert reference_report(context, context.live_model(), 1) is None


def what_holds_for_the_test_set_stays_sealed(uneven, found):
    test = found["reweighted"]["test"]
    assert test["items"] == 200
    assert 0 < test["low"] < test["value"] < test["high"] < 1
    metrics = {**uneven.metrics, "reference": found}
    shown = sealed(metrics)["reference"]
    assert shown["reweighted"]["test"] == {"items": 200, "sealed": True}
    assert shown["reweighted"]["validation"] == found["reweighted"]["validation"]
    assert found["reweighted"]["test"] == test  # the stored figures are left as they are
    for text in (found["text"], found["warning"]):
        assert test["text"] not in text
    project = uneven.project
    with project.database.write() as session:
        session.add(
            Round(project_id=project.id, number=1, state="done", started_at=9e9, metrics=metrics)
        )
    opened = open_test_curve(project.database, project.row())["rounds"][-1]
    assert opened["reference"]["value"] == pytest.approx(test["value"])
    overview = project_overview(project.settings, project.database, project.row())
    assert found["warning"] in overview["warnings"]
    assert str(test["value"]) not in json.dumps(overview)


def test_reweighting_to_a_field_s_value_moves_the_accuracy_to_the_truth_there(uneven):
    found = uneven.report(field="site", value="B")
    truth = uneven.truth(np.flatnonzero(uneven.in_b))
    validation = found["reweighted"]["validation"]
    assert validation["items"] == 300
    assert validation["unweighted"] == uneven.metrics["validation"]["accuracy"]
    assert validation["unweighted"] > truth + 0.08
    assert abs(validation["value"] - truth) < 0.5 * abs(validation["unweighted"] - truth)
    assert validation["low"] < truth < validation["high"]
    assert found["sets"]["pool"]["verdict"] == "differs"
    sizes = [found["sets"][name]["tasks"] for name in ("pool", "test", "training")]
    assert sizes == [1_260, 200, 200]
    # That the sites differ says nothing: it is what the reference was named by.
    assert found["sets"]["pool"]["fields"] == ()
    assert "The pool differs clearly from the reference site = B" in found["warning"]
    json.dumps(found)
    what_holds_for_the_test_set_stays_sealed(uneven, found)


def test_a_reference_like_the_pool_leaves_the_figures_where_they_are(uneven):
    rng = np.random.default_rng(0)
    put_file(uneven.project, "same.npy", uneven.points[rng.choice(1_200, 600, replace=False)])
    found = uneven.report(file="same.npy")
    assert found["sets"]["pool"]["verdict"] == "alike"
    validation = found["reweighted"]["validation"]
    assert validation["value"] == pytest.approx(validation["unweighted"], abs=0.03)
    assert found["warning"] is None
    assert found["size"] == 600


def test_where_nothing_overlaps_the_figure_is_refused_in_words(uneven):
    far = uneven.points[:400].copy()
    far[:, :4] += 8.0
    put_file(uneven.project, "far.npy", far)
    found = uneven.report(file="far.npy")
    validation = found["reweighted"]["validation"]
    assert (validation["value"], validation["refused"]) == (None, True)
    assert "overlaps too little with what was measured" in validation["text"]
    assert validation["text"] in found["warning"]
    assert found["sets"]["pool"]["separation"]["auc"] > 0.95


# -------------------------------------------------------------------- files


def sentences(count):
    """Texts of a kind that the project has none of."""
    return [f"{text} So it was on day {n}." for n, text in enumerate(SENTENCES["cooking"] * 3)][
        :count
    ]


def report_of(project, **named):
    name_reference(project, **named)
    context = project.context()
    return reference_report(context, context.live_model(), 1)


def written(kind, texts):
    if kind == "txt":
        return "\n".join(["", *texts]) + "\n"
    if kind == "jsonl":
        return "\n".join(json.dumps({"id": n, "text": text}) for n, text in enumerate(texts))
    return "\n".join(["text,origin", *(f'"{text}",phone' for text in texts)])


@pytest.mark.parametrize("kind", ["txt", "jsonl", "csv"])
def test_texts_are_read_from_files_of_three_kinds_and_embedded_once(trained, kind):
    put_file(trained, f"production.{kind}", written(kind, [*sentences(40), TEXTS[0]]))
    before = len(trained.context().cache)
    for _ in range(2):
        found = read_file(trained.context(), f"production.{kind}")
        assert (found.rows, len(found.embeddings), found.note) == (41, 41, None)
        assert len(trained.context().cache) == before + 40  # one of them is a task's text


def test_columns_of_a_file_are_compared_with_the_tasks_fields(trained):
    with trained.database.write() as session:
        row = session.get_one(Project, trained.id)
        tasks = [
            {"id": n, "data": {"text": text, "origin": "phone" if n % 2 else "camera", "age": n}}
            for n, text in enumerate(TEXTS, start=1)
        ]
        mirror.write_tasks(trained.database, session, row, tasks)
    rows = [f'"{text}",phone,{n % 7}' for n, text in enumerate(sentences(60))]
    put_file(trained, "production.csv", "\n".join(["text,origin,age", *rows]))
    found = report_of(trained, file="production.csv")
    fields = {field["field"]: field for field in found["sets"]["pool"]["fields"]}
    assert fields["origin"]["kind"] == "categorical"
    assert fields["origin"]["distance"] == pytest.approx(0.5)
    assert "origin (total variation 0.50" in found["sets"]["pool"]["text"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("absent.csv", None, "there is no 'absent.csv'"),
        ("wide.npy", np.zeros((40, 3), dtype=np.float32), r"holds an array of shape \(40, 3\)"),
        ("nan.npy", "nan", "row 8 of 'nan.npy' holds NaN or infinity"),
        ("names.npy", np.array([["a"]]), "makes embeddings of shape"),
        ("broken.npy", b"not an array", "cannot be read"),
        ("empty.txt", " \n\n", "holds no text"),
        ("bad.jsonl", '{"text": "a"}\n{', r"Line 2 of bad\.jsonl is not valid JSON"),
        ("numbers.csv", "a,b\n1,2\n", "no column of 'numbers.csv' holds texts"),
        ("report.pdf", b"%PDF", "is of no kind that can be read"),
        ("photos.zip", b"PK", "holds images, and the project's tasks are texts"),
    ],
)
def test_a_file_that_cannot_be_used_is_a_note_that_names_field_and_mend(
    trained, name, content, words
):
    if isinstance(content, str) and content == "nan":
        content = np.zeros((40, trained.context().encoder.dimension), dtype=np.float32)
        content[7, 3] = np.nan
    if content is not None:
        put_file(trained, name, content)
    found = report_of(trained, file=name)
    assert found["note"].startswith("reference.file: ")
    with pytest.raises(ConfigurationError, match=words):
        read_file(trained.context(), name)
    assert found["warning"] == f"The reference cannot be used. {found['note']}"
    assert events(trained)[-1] == f"The reference: {found['note']}"
    json.dumps(found)


def test_the_same_trouble_is_told_once(trained):
    found = report_of(trained, file="absent.csv")
    with trained.database.write() as session:
        session.add(
            Round(
                project_id=trained.id, number=1, state="done", started_at=1.0,
                metrics={"reference": found},
            )
        )  # fmt: skip
    told = len(events(trained))
    context = trained.context()
    assert reference_report(context, context.live_model(), 2) == found
    assert len(events(trained)) == told


def picture(shade):
    stream = io.BytesIO()
    Image.new("RGB", (40, 30), (shade, 90, 120)).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def image_project(text_project):
    with text_project.database.write() as session:
        row = session.get_one(Project, text_project.id)
        apply_label_config(
            text_project.database,
            session,
            row,
            '<View><Image name="i" value="$image"/><Choices name="c" toName="i" choice="single">'
            '<Choice value="a"/><Choice value="b"/></Choices></View>',
        )
        row.config = QueueConfig().model_dump(mode="json")
    return text_project


@pytest.mark.parametrize("packed", ["folder", "zip"])
def test_images_are_read_from_a_folder_or_an_archive_and_broken_ones_are_counted(
    image_project, packed
):
    pictures = {"a.png": picture(10), "deep/b.png": picture(200), "c.png": b"no picture"}
    name = "photos"
    folder = image_project.settings.data_dir / "references" / name
    (folder / "deep").mkdir(parents=True)
    if packed == "folder":
        for path, content in pictures.items():
            (folder / path).write_bytes(content)
        (folder / "notes.md").write_text("not an image")
    else:
        name = "photos.zip"
        with zipfile.ZipFile(folder.parent / name, "w") as archive:
            for path, content in pictures.items():
                archive.writestr(path, content)
            archive.writestr("notes.md", "not an image")
    context = image_project.context()
    found = read_file(context, name)
    assert found.embeddings.shape == (2, context.encoder.dimension)
    assert found.rows == 3
    assert "1 cannot be read" in found.note
    assert len(context.cache) == 2
    read_file(context, name)
    assert len(image_project.context().cache) == 2


# -------------------------------------------------------------------- values and tabs


def test_a_value_that_no_task_has_is_told_with_those_that_occur(uneven):
    found = uneven.report(field="site", value="C")
    assert "no task has site = 'C'; its values are A, B" in found["note"]


@pytest.fixture
def tab(trained, label_studio, connect):
    """A tab that shows the tasks above 25, and a context beside that Label Studio."""
    trained.update(label_studio_url=label_studio.url)
    label_studio.views = [{"id": 4, "data": {"title": "Production", "filters": above(25)}}]
    name_reference(trained, tab="Production")

    def context():
        return ProjectContext(trained.settings, trained.database, trained.id, connect())

    return context


def test_a_tab_s_tasks_are_read_once_while_its_filter_stands(tab, label_studio):
    context = tab()
    found = reference_report(context, context.live_model(), 1)
    assert (found["size"], found["sets"]["pool"]["tasks"]) == (35, 60)
    asked = label_studio.asked("GET", "/api/tasks")
    assert tasks_of_tab(tab(), "Production").task_ids == frozenset(range(26, 61))
    assert label_studio.asked("GET", "/api/tasks") == asked
    label_studio.views[0]["data"]["filters"] = above(20)
    assert tasks_of_tab(tab(), "Production").task_ids == frozenset(range(21, 61))


@pytest.mark.parametrize("path", ["/api/tasks", "/api/dm/views/"])
def test_a_tab_that_cannot_be_read_for_a_moment_stays_what_it_was(tab, label_studio, path):
    before = tasks_of_tab(tab(), "Production")
    label_studio.views[0]["data"]["filters"] = above(20)
    label_studio.fail("GET", path, 500)
    assert tasks_of_tab(tab(), "Production") == before


@pytest.mark.parametrize(
    ("title", "filters", "shows", "words"),
    [
        ("Productoin", above(25), "Production", "there are 'Production'"),
        ("Production", {}, "Production", "has no filter"),
        ("Production", above(99), "Production", "shows no task"),
    ],
)
def test_a_tab_of_no_use_is_a_note(trained, tab, label_studio, title, filters, shows, words):
    label_studio.views = [{"id": 4, "data": {"title": shows, "filters": filters}}]
    name_reference(trained, tab=title)
    context = tab()
    found = reference_report(context, context.live_model(), 1)
    assert found["note"].startswith("reference.tab: ")
    assert words in found["note"]


def test_fields_that_a_tab_filters_by_are_known():
    items = [{"filter": name} for name in ("filter:tasks:id", "filter:tasks:data.site")]
    assert fields_of({"items": items}) == {"site"}


def test_a_round_with_a_bad_reference_ends_as_any_other(text_project, label_studio, connect):
    text_project.update(label_studio_url=label_studio.url)
    name_reference(text_project, tab="Nowhere")
    text_project.hold_out(test=range(41, 47), validation=range(47, 51))
    for task_id in range(1, 31):
        label_studio.annotate(task_id, topic_of(task_id))
    context = ProjectContext(
        text_project.settings, text_project.database, text_project.id, connect()
    )
    assert RoundRun(context, text_project.lease("round")).run()
    with text_project.database.read() as session:
        row = session.get_one(Round, (text_project.id, 1))
    assert row.state == "done"
    assert "there is no Data Manager tab 'Nowhere'" in row.metrics["reference"]["note"]
    overview = project_overview(text_project.settings, text_project.database, text_project.row())
    assert row.metrics["reference"]["warning"] in overview["warnings"]
    shown = Console(width=2_000, record=True, file=io.StringIO())
    shown.print(project_table(overview))
    assert row.metrics["reference"]["text"] in shown.export_text()
