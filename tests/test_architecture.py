"""The shape of the code: imports point one way, modules are small, nothing private is committed."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = sorted(
    path
    for package in ("strategies", "backend")
    for path in (ROOT / package).rglob("*.py")
    if "migrations" not in path.parts
)
LINES = 400
CONSTANT = re.compile(r"_?[A-Z][A-Z0-9_]*")

# What may not be imported by the modules under a prefix. The way is
# cli, routes → jobs, rounds → models, evaluation, store, labelstudio → strategies.
OUTER = ("backend.cli", "backend.commands", "backend.routes", "backend.app", "backend.supervisor")
JOBS = ("backend.jobs", "backend.backtest_jobs")
ENTRANCES = (*OUTER, *JOBS, "backend.worker", "backend.connection", "backend.prediction")
WORK = (*ENTRANCES, "backend.rounds", "backend.backtest")
FORBIDDEN = {
    "strategies": ("backend",),
    "backend.models": (*WORK, "backend.store", "backend.labelstudio", "backend.evaluation"),
    "backend.evaluation": (*WORK, "backend.store", "backend.labelstudio"),
    "backend.store": (*WORK, "backend.models", "backend.labelstudio", "backend.evaluation"),
    "backend.labelstudio": (*WORK, "backend.models", "backend.store", "backend.evaluation"),
    "backend.protocol": (*WORK, "backend.store", "backend.labelstudio"),
    "backend.label_schema": (*WORK, "backend.store", "backend.labelstudio"),
    "backend.config": (*WORK, "backend.store", "backend.labelstudio", "backend.models"),
    "backend.settings": (*WORK, "backend.store", "backend.labelstudio", "backend.models"),
    "backend.errors": ("backend", "strategies"),
    "backend.guard": (*WORK, "backend.store", "backend.labelstudio"),
    "backend.rounds": (*ENTRANCES, "backend.backtest"),
    "backend.backtest": ENTRANCES,
    "backend.prediction": (*OUTER, *JOBS),
    "backend.config_history": (*OUTER, *JOBS),
    "backend.jobs": OUTER,
    "backend.backtest_jobs": OUTER,
    "backend.connection": OUTER,
    "backend.worker": (*OUTER, "backend.connection"),
    "backend.routes": ("backend.cli", "backend.commands", "backend.app", "backend.supervisor"),
    "backend.app": ("backend.cli", "backend.commands", "backend.supervisor"),
}


def name_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def under(module, prefix):
    return module == prefix or module.startswith(prefix + ".")


def imports(path):
    """Every module that a file imports anywhere, also inside functions and for types alone."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            found.add(str(node.module))
            # `from backend import jobs` imports backend.jobs.
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_point_one_way(path):
    module = name_of(path)
    for prefix, forbidden in FORBIDDEN.items():
        if under(module, prefix):
            wrong = {
                name
                for name in imports(path)
                for barred in forbidden
                if under(name, barred) and not under(name, prefix)
            }
            assert not wrong, f"{module} must not import {', '.join(sorted(wrong))}"


def test_every_rule_is_about_modules_that_exist():
    known = {name_of(path) for path in MODULES}
    for prefix, forbidden in FORBIDDEN.items():
        for name in (prefix, *forbidden):
            assert any(under(module, name) for module in known), name


def test_there_is_no_cycle():
    """Whatever the rules above leave open, no module needs itself to be imported first."""
    known = {name_of(path): path for path in MODULES}
    needs = {
        module: {name for name in top_level_imports(path) if name in known and name != module}
        for module, path in known.items()
    }
    done, path = set(), []

    def visit(module):
        assert module not in path, " → ".join([*path, module])
        if module in done:
            return
        path.append(module)
        for name in sorted(needs[module]):
            # A package's own modules may be named in its __init__.
            if not under(module, name):
                visit(name)
        path.pop()
        done.add(module)

    for module in sorted(known):
        visit(module)


def top_level_imports(path):
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module))
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_no_module_is_a_drawer():
    drawers = {"utils", "util", "helpers", "helper", "manager", "managers", "common", "misc"}
    for path in (ROOT / package for package in ("strategies", "backend", "demo", "benchmarks")):
        files = path.rglob("*.py")
        names = {part for f in files for part in f.relative_to(ROOT).with_suffix("").parts}
        assert not names & drawers


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_holds_one_idea_in_few_lines(path):
    text = path.read_text(encoding="utf-8")
    constants = sum(
        node.end_lineno - node.lineno + 1
        for node in ast.parse(text).body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name) and CONSTANT.fullmatch(target.id)
    )
    assert len(text.splitlines()) - constants <= LINES


def test_the_server_process_loads_neither_flask_nor_label_studios_ml_package():
    """label-studio-ml is used for its model contract only; our server is not built on it."""
    program = (
        "import sys, backend.app, backend.worker\n"
        "loaded = {name.split('.')[0] for name in sys.modules}\n"
        "print(sorted(loaded & {'fastapi', 'flask', 'werkzeug', 'label_studio_ml'}))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "['fastapi']"


# ------------------------------------------------------------------ what is committed

# Built from pieces, so that this file does not hold what it looks for.
PRIVATE = {
    "a package registry's address": re.compile(
        r"https?://[^\s\"'<>)]*(?:" + "|".join(["py" + "pi", "pythonhosted", "artifact" + "ory"])
        + r"|nexus|devpi|/simple(?![\w-]))",
        re.IGNORECASE,
    ),
    "an index option": re.compile(
        r"--(?:extra-)?index" + r"-url|--find" + r"-links|PIP_INDEX" + r"_URL"
    ),
    "a path of the machine that it was written on": re.compile(r"(?<![\w.])/" + r"work/"),
    "a private key": re.compile("BEGIN [A-Z ]*PRIVATE" + " KEY"),
    "a token": re.compile(r"\bey" + r"J[\w-]{10,}\.[\w-]{10,}\.[\w-]{10,}"),
}  # fmt: skip


def committed():
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True
    ).stdout.decode()
    paths = [ROOT / name for name in listed.split("\0") if name]
    return [path for path in paths if path.is_file()]


@pytest.mark.parametrize("what", PRIVATE)
def test_nothing_of_the_writers_machine_is_committed(what):
    files = committed()
    assert ROOT / "pyproject.toml" in files
    for path in files:
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found = PRIVATE[what].search(text)
        assert found is None, f"{path.relative_to(ROOT)} holds {what}: {found.group(0)}"


def test_the_scan_finds_what_it_looks_for():
    samples = {
        "a package registry's address": "https://" + "py" + "pi.org/simple",
        "an index option": "pip install --index" + "-url x",
        "a path of the machine that it was written on": "see /" + "work/main",
        "a private key": "-----BEGIN RSA PRIVATE" + " KEY-----",
        "a token": "ey" + "JhbGciOiJIUzI1NiJ9.eyJ0b2tlbiI6InJlZnJlc2gifQ.c2lnbmF0dXJlLW9m",
    }
    for what, sample in samples.items():
        assert PRIVATE[what].search(sample), what
    for harmless in ("https://labelstud.io/simple-guide", "/network/", "./work/", "/workers/"):
        assert not any(pattern.search(harmless) for pattern in PRIVATE.values()), harmless
