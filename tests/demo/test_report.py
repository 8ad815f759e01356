"""The report has the agreed fields and is replaced in one step."""

import json
import stat
from pathlib import Path
from typing import Any

from demo.report import Access, ReportFile, report_document

ACCESS = Access("http://ls", "http://asknext", "a@b.c", "word", "asknext", "secret")


def project(**changes: Any) -> dict[str, Any]:
    entry = {
        "number": 1,
        "state": "done",
        "stage": "publish",
        "model_version": "m1",
        "queue_version": "q1.1",
        "labelled": 25,
        "metrics": {"validation": {"accuracy": 0.5}},
        "seconds": {"sync": 0.1},
        "error": None,
    }
    return {"id": 7, "kind": "text", "labelled": 26, "pool": 9, "rounds": [entry]} | changes


def test_the_report_has_exactly_the_agreed_fields() -> None:
    assert report_document(ACCESS, [project()], annotated_done=True) == {
        "label_studio_url": "http://ls",
        "asknext_url": "http://asknext",
        "email": "a@b.c",
        "password": "word",
        "asknext_user": "asknext",
        "asknext_password": "secret",
        "annotated_done": True,
        "projects": [
            {
                "id": 7,
                "kind": "text",
                "labelled": 26,
                "rounds": [
                    {
                        "number": 1,
                        "model_version": "m1",
                        "queue_version": "q1.1",
                        "labelled": 25,
                        "metrics": {"validation": {"accuracy": 0.5}},
                        "seconds": {"sync": 0.1},
                    }
                ],
            }
        ],
    }


def test_only_a_change_is_written_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    file = ReportFile(tmp_path / "folder" / "report.json")
    first = report_document(ACCESS, [project()], annotated_done=False)
    assert file.write(first)
    assert not file.write(report_document(ACCESS, [project()], annotated_done=False))
    changed = report_document(ACCESS, [project(labelled=27)], annotated_done=False)
    assert file.write(changed)
    assert json.loads(file.path.read_text()) == changed
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert [path.name for path in file.path.parent.iterdir()] == ["report.json"]
