"""The README says what the program does: its settings, their defaults, its commands, its links."""

import json
import re
import subprocess
from pathlib import Path

import strategies
from backend.config import QueueConfig
from strategies.properties.images import IMAGE_PROPERTIES
from strategies.properties.texts import TEXT_PROPERTIES

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
STRATEGIES = (ROOT / "docs" / "strategies.md").read_text(encoding="utf-8")


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


def test_the_page_on_strategies_describes_each_of_them_once_and_its_examples_parse():
    described = re.findall(r"^\| `([a-z_]+)` \|", STRATEGIES, re.MULTILINE)
    assert sorted(described) == sorted(strategies.names())
    examples = re.findall(r'^\{".*\}$', STRATEGIES, re.MULTILINE)
    assert len(examples) == 5
    for example in examples:
        strategies.parse(example)
    for name in (*IMAGE_PROPERTIES, *TEXT_PROPERTIES):
        assert f"`{name}`" in STRATEGIES


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
