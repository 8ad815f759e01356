"""The README says what the program does: its settings, their defaults, its commands, its links."""

import json
import re
import subprocess
from pathlib import Path

import strategies
from backend.config import QueueConfig

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_configuration_table_holds_every_setting_with_its_default_and_meaning():
    rows = re.findall(r"^\| `(\w+)` \| `(.+?)` \| (.+) \|$", README, re.MULTILINE)
    expected = [
        (
            name,
            "1/3" if name == "holdout_rate" else json.dumps(field.default),
            field.description,
        )
        for name, field in QueueConfig.model_fields.items()
    ]
    assert rows == expected


def test_every_strategy_in_the_readme_parses():
    examples = re.findall(r'^\{"(?:chain|mix|weight)".*\}$', README, re.MULTILINE)
    assert len(examples) == 3
    for example in examples:
        strategies.parse(example)
    for name in strategies.names():
        assert f"`{name}`" in README


def test_the_files_that_the_readme_points_to_exist():
    targets = re.findall(r"\]\(([^)#]+)\)", README)
    local = [target for target in targets if "://" not in target]
    assert local
    for target in local:
        assert (ROOT / target).exists(), target


def test_the_make_targets_of_the_readme_exist():
    known = subprocess.run(
        ["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    for target in set(re.findall(r"make ([a-z-]+)", README)):
        assert f"make {target}" in known, target
