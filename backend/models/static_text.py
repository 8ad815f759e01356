"""Static token vectors: the mean of a text's token vectors, hundreds of times faster than BERT.

The vectors are WordLlama's (token embeddings of a language model, trained down to 256
dimensions). Its own loader looks in a folder that its wheel does not have and then goes to the
network, so the two files are read here directly.
"""

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from backend.models.encoder import Content, Embedded, Kind
from backend.models.weights import PackagedFile, fingerprint

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_PACKAGE, _REQUIREMENT = "wordllama", "wordllama==0.4.0.post1"
_WEIGHTS = PackagedFile(
    _PACKAGE,
    _REQUIREMENT,
    "weights/l2_supercat_256.safetensors",
    16_384_096,
    "64b47a2dc493cb8e85944076601189739852d7b64e0e1eedcb1937a251cd9fd5",
)
_TOKENIZER = PackagedFile(
    _PACKAGE,
    _REQUIREMENT,
    "tokenizers/l2_supercat_tokenizer_config.json",
    1_842_796,
    "93248f2a9ec36c7b35f700a033d5f36228aae48db61aee31007fa49062cdeb68",
)
_MAXIMUM_CHARACTERS = 20_000
_TEXTS_AT_ONCE = 1_024


class StaticTextEncoder:
    """Text encoder of 256 dimensions, unit length; reads the first 20,000 characters of a text.

    A text without any token has the zero vector.
    """

    name = "static"
    kind: Kind = "text"
    dimension = 256
    chunk_size = 2_048
    fingerprint = fingerprint(
        "static",
        (_WEIGHTS, _TOKENIZER),
        {"characters": _MAXIMUM_CHARACTERS, "pooling": "mean, unit"},
    )

    def __init__(self) -> None:
        _WEIGHTS.locate()
        _TOKENIZER.locate()
        self._lock = threading.Lock()
        self._loaded: tuple[Tokenizer, NDArray[np.float32]] | None = None

    def encode(self, values: Content) -> NDArray[np.float32]:
        """(n, 256) float32 vectors of unit length."""
        tokenizer, vectors = self._load()
        texts = [text[:_MAXIMUM_CHARACTERS] for text in cast(Sequence[str], values)]
        result = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for start in range(0, len(texts), _TEXTS_AT_ONCE):
            encodings = tokenizer.encode_batch_fast(
                texts[start : start + _TEXTS_AT_ONCE], add_special_tokens=False
            )
            for row, encoding in enumerate(encodings, start):
                if encoding.ids:
                    result[row] = vectors[encoding.ids].mean(axis=0)
        norms = np.linalg.norm(result, axis=1, keepdims=True)
        result /= np.where(norms > 0, norms, 1)
        return result

    def encode_each(self, values: Content) -> list[Embedded]:
        """Vectors of `encode`, one a value; every string can be encoded."""
        return list(self.encode(values))

    def _load(self) -> "tuple[Tokenizer, NDArray[np.float32]]":
        with self._lock:
            if self._loaded is None:
                from safetensors.numpy import load_file
                from tokenizers import Tokenizer

                tokenizer = Tokenizer.from_file(str(_TOKENIZER.verify()))
                tokenizer.no_padding()
                tokenizer.no_truncation()
                vectors = load_file(_WEIGHTS.verify())["embedding.weight"].astype(np.float32)
                self._loaded = tokenizer, vectors
            return self._loaded
