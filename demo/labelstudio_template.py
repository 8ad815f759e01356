"""A migrated, empty Label Studio database, made once at set-up and copied for each new server.

Label Studio's first start runs about 400 migrations (25 s on 2 cores); a copied file needs none.
Only the standard library is used: `make setup-labelstudio` runs this module with the Python of
Label Studio's own environment.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

DATABASE_NAME = "label_studio.sqlite3"
TEMPLATE_DIRECTORY = "asknext-template"
# Enough for a program to run; nothing of a user's own Label Studio settings may leak in.
INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "SSL_CERT_FILE")


def labelstudio_environment(data_directory: Path, **settings: str) -> dict[str, str]:
    """Return the environment variables of a Label Studio that keeps its state in one folder.

    Analytics, error reports and the look for newer versions are off. `settings` are added last.
    """
    environment = {name: os.environ[name] for name in INHERITED if name in os.environ}
    environment |= {
        "LABEL_STUDIO_BASE_DATA_DIR": str(data_directory),
        "LABEL_STUDIO_HOST": "",
        "COLLECT_ANALYTICS": "false",
        "LATEST_VERSION_CHECK": "false",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
        "PYTHONUNBUFFERED": "1",
    }
    return environment | settings


def template_path(environment_directory: Path) -> Path:
    """Return where the template database of a Label Studio environment lies."""
    return environment_directory / TEMPLATE_DIRECTORY / DATABASE_NAME


def build_template(environment_directory: Path) -> Path:
    """Run Label Studio's migrations on an empty database and keep the file; return its path.

    Raises:
        RuntimeError: Label Studio could not initialise the database.
    """
    target = template_path(environment_directory)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        finished = subprocess.run(
            [str(environment_directory / "bin" / "label-studio"), "init", "--quiet"],
            env=labelstudio_environment(Path(folder)),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        made = Path(folder) / DATABASE_NAME
        if finished.returncode != 0 or not made.exists():
            raise RuntimeError(f"Label Studio could not make its database:\n{finished.stderr}")
        made.replace(target)
    return target


def copy_template(environment_directory: Path, data_directory: Path) -> bool:
    """Put the template into a data folder that has no database yet; return whether it did."""
    template = template_path(environment_directory)
    target = data_directory / DATABASE_NAME
    if target.exists() or not template.exists():
        return False
    data_directory.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".partial")
    shutil.copyfile(template, partial)
    partial.replace(target)
    return True


if __name__ == "__main__":
    print(build_template(Path(sys.argv[1]).resolve()))
