"""What one installation needs to run: folders, addresses and credentials, from the environment.

Every field can be set by an environment variable of the same name with the prefix `ASKNEXT_`
(`ASKNEXT_DATA_DIR`, `ASKNEXT_PORT`, …); `REDIS_URL` and `DATABASE_URL` keep their usual names.
"""

import json
import os
import secrets
from pathlib import Path
from typing import Self

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from backend.errors import AskNextError


def write_private_file(path: Path, text: str) -> None:
    """Write `text` to `path`, readable by its owner alone, atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
    temporary.replace(path)


class Credentials:
    """The user and password that guard every endpoint of AskNext."""

    def __init__(self, user: str, password: str) -> None:
        self.user = user
        self.password = password

    def __repr__(self) -> str:
        return f"Credentials(user={self.user!r}, password=***)"


class Settings(BaseSettings):
    """One installation's settings; see the module's text for how they are named outside."""

    model_config = SettingsConfigDict(
        env_prefix="ASKNEXT_", env_ignore_empty=True, extra="ignore", populate_by_name=True
    )

    data_dir: Path = Path("asknext-data")
    host: str = "127.0.0.1"
    port: int = Field(default=9090, ge=1, le=65535)
    public_url: str | None = None
    user: str | None = None
    password: SecretStr | None = None
    redis_url: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("redis_url", "REDIS_URL")
    )
    database_url: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("database_url", "DATABASE_URL")
    )
    max_body_bytes: int = 512 * 1024 * 1024
    sync_every_seconds: float = 30.0
    sweep_every_seconds: float = 1.0
    lease_seconds: float = 20.0
    stable_total_seconds: float = 30.0
    predict_seconds: float = 20.0
    embed_slice_seconds: float = 20.0

    @classmethod
    def load(cls, **overrides: object) -> Self:
        """Settings from the environment; `overrides` that are None are left to the environment."""
        return cls.model_validate(
            {**_from_environment(cls), **{k: v for k, v in overrides.items() if v is not None}}
        )

    @property
    def url(self) -> str:
        """The address at which Label Studio reaches AskNext."""
        return (self.public_url or f"http://{self.host}:{self.port}").rstrip("/")

    @property
    def database(self) -> str:
        """The SQLAlchemy address of the state."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.data_dir.absolute() / 'asknext.sqlite3'}"

    @property
    def embeddings_dir(self) -> Path:
        return self.data_dir / "embeddings"

    @property
    def models_dir(self) -> Path:
        return self.data_dir / "models"

    @property
    def engine_socket(self) -> Path:
        """The embedded Redis-protocol server's Unix socket, in the data folder."""
        return self.data_dir.absolute() / "engine" / "valkey.sock"

    @property
    def engine_url(self) -> str:
        """The address of the Redis-protocol server: `REDIS_URL`, or the embedded one."""
        if self.redis_url is not None:
            return self.redis_url.get_secret_value()
        return f"unix://{engine_socket_path(self.engine_socket)}"

    def credentials(self) -> Credentials:
        """The installation's credentials; made and kept in a private file at first use."""
        path = self.data_dir / "credentials.json"
        kept: dict[str, str] = {}
        if path.exists():
            try:
                kept = json.loads(path.read_text(encoding="utf-8"))
            except ValueError as error:
                raise AskNextError(
                    f"{path} is damaged; delete it to have new credentials made, then run "
                    "`asknext connect` again for each project."
                ) from error
        wanted = {
            "user": self.user or kept.get("user") or "asknext",
            "password": (self.password.get_secret_value() if self.password else None)
            or kept.get("password")
            or secrets.token_urlsafe(24),
        }
        if wanted != kept:
            write_private_file(path, json.dumps(wanted, indent=2))
        return Credentials(wanted["user"], wanted["password"])

    def environment(self) -> dict[str, str]:
        """The environment that makes a child process load these same settings."""
        values = {
            "ASKNEXT_DATA_DIR": str(self.data_dir.absolute()),
            "ASKNEXT_HOST": self.host,
            "ASKNEXT_PORT": str(self.port),
            "ASKNEXT_PUBLIC_URL": self.url,
            "REDIS_URL": self.redis_url.get_secret_value() if self.redis_url else "",
            "DATABASE_URL": self.database_url.get_secret_value() if self.database_url else "",
        }
        return {**os.environ, **{name: value for name, value in values.items() if value}}


def engine_socket_path(socket: Path) -> Path:
    """`socket`, or a short stand-in where its path is longer than a Unix socket's may be.

    Unix sockets allow 107 bytes; a data folder deep in a tree exceeds that. The stand-in is named
    by a digest of the full path, so that every process of one installation finds the same one.
    """
    if len(os.fsencode(socket)) <= 100:
        return socket
    import hashlib
    import tempfile

    digest = hashlib.sha256(os.fsencode(socket)).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"asknext-{os.getuid()}-{digest}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid() or folder.stat().st_mode & 0o077 or folder.is_symlink():
        raise AskNextError(
            f"{folder} is not this user's alone; remove it, or use a shorter data folder."
        )
    return folder / "valkey.sock"


def _from_environment(cls: type[Settings]) -> dict[str, object]:
    return cls().model_dump()
