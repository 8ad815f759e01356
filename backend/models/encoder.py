"""What an encoder is, and how one is had by name.

An encoder is frozen: the same content always gives the same vector, so that a vector is computed
once and cached under the encoder's fingerprint. Making an encoder only looks for its files; the
weights are loaded by the first `encode`, so that a process which imports this module, or finds
everything in the cache, never runs a torch operation (a worker that forks after one hangs).
"""

from collections.abc import Callable, Sequence
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from backend.errors import ContentError, EncoderUnavailableError

Kind = Literal["text", "image"]
Content = Sequence[str] | Sequence[bytes]
Embedded = NDArray[np.float32] | ContentError


class Encoder(Protocol):
    """A frozen map from contents to vectors.

    `kind` says what `encode` takes: strings for "text", the bytes of image files for "image".
    `chunk_size` contents take a few seconds at most and are enough for the encoder's full rate.
    """

    @property
    def name(self) -> str: ...

    @property
    def kind(self) -> Kind: ...

    @property
    def dimension(self) -> int: ...

    @property
    def fingerprint(self) -> str: ...

    @property
    def chunk_size(self) -> int: ...

    def encode(self, values: Content) -> NDArray[np.float32]:
        """(n, dimension) float32, row i for value i.

        Raises ContentError for the first value that cannot be read, EncoderUnavailableError when
        the weights are absent or damaged.
        """
        ...

    def encode_each(self, values: Content) -> list[Embedded]:
        """One (dimension,) float32 vector a value, or the ContentError of a broken one.

        A broken value costs only itself. Raises EncoderUnavailableError like `encode`.
        """
        ...


def _minilm() -> Encoder:
    from backend.models.minilm import MiniLMEncoder

    return MiniLMEncoder()


def _static() -> Encoder:
    from backend.models.static_text import StaticTextEncoder

    return StaticTextEncoder()


def _efficientnet_lite0() -> Encoder:
    from backend.models.efficientnet import EfficientNetEncoder

    return EfficientNetEncoder()


_ENCODERS: dict[str, tuple[Kind, Callable[[], Encoder]]] = {
    "minilm": ("text", _minilm),
    "static": ("text", _static),
    "efficientnet-lite0": ("image", _efficientnet_lite0),
}
_DEFAULTS: dict[Kind, str] = {"text": "minilm", "image": "efficientnet-lite0"}


def encoder_names(kind: Kind) -> list[str]:
    """The names that `load_encoder` takes for this kind of content."""
    return ["auto", *(name for name, (its_kind, _) in _ENCODERS.items() if its_kind == kind)]


def load_encoder(name: str, kind: Kind) -> Encoder:
    """The encoder called `name` for contents of this kind; "auto" is the kind's default.

    Raises EncoderUnavailableError for an unknown name, a name of another kind, or when the package
    that carries the weights is absent (the message holds the command that installs it).
    """
    known = _ENCODERS.get(_DEFAULTS[kind] if name == "auto" else name)
    if known is None or known[0] != kind:
        raise EncoderUnavailableError(
            f"There is no {kind} encoder called {name!r}; choose one of "
            f"{', '.join(encoder_names(kind))}."
        )
    return known[1]()
