"""A text project beside a Label Studio that fails on demand."""

import pytest

from backend.labelstudio import LabelStudio
from tests.backend.text_project import LABEL_CONFIG, TASK_IDS, text_of
from tests.backend.unreliable_labelstudio import PERSONAL_TOKEN, UnreliableLabelStudio


@pytest.fixture
def label_studio():
    with UnreliableLabelStudio(LABEL_CONFIG) as server:
        for task_id in TASK_IDS:
            server.add_task(task_id, {"text": text_of(task_id)})
        yield server


@pytest.fixture
def connect(label_studio):
    """A client with a given patience, in seconds."""
    opened = []

    def make(patience=0.0):
        opened.append(LabelStudio(label_studio.url, PERSONAL_TOKEN, patience=patience))
        return opened[-1]

    yield make
    for client in opened:
        client.close()
