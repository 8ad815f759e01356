"""The package stays pure: arrays and the standard library's own logic, nothing of the world."""

import ast
import sys
from pathlib import Path

import pytest

import strategies

PACKAGE = Path(strategies.__file__).parent
WORLD = {
    "asyncio", "datetime", "http", "io", "logging", "os", "pathlib", "pickle", "random", "shutil",
    "socket", "sqlite3", "subprocess", "tempfile", "time", "urllib",
}  # fmt: skip
MODULES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("module", MODULES, ids=[m.stem for m in MODULES])
def test_a_module_imports_only_arrays_and_pure_standard_modules(module: Path) -> None:
    allowed = (set(sys.stdlib_module_names) - WORLD) | {"numpy", "torch", "strategies"}
    imported = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            imported.add((node.module or "").split(".")[0])
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in {"open", "print", "input", "eval", "exec"}
    assert imported <= allowed


def test_the_example_of_the_readme_runs() -> None:
    code = (PACKAGE / "README.md").read_text().split("```python\n")[1].split("```")[0]
    results: dict[str, object] = {}
    exec(code, results)
    assert len(results["batch"]) == 10  # type: ignore[arg-type]
    assert results["selection"].branches.count("random") == 1  # type: ignore[attr-defined]
