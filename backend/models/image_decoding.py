"""Image files to pixels, whatever camera, scanner or export tool wrote them."""

from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from backend.errors import ContentError

if TYPE_CHECKING:
    from PIL import Image


def decode_image(data: bytes, size: int) -> NDArray[np.uint8]:
    """(size, size, 3) RGB pixels of an image file, the whole picture squeezed to a square.

    The EXIF orientation is applied, transparency is laid on white, greyscale is repeated over the
    channels and 16-bit or floating-point values are stretched from their own range to 0..255.
    Nothing is cropped, because a label may depend on what lies at an edge.
    Raises ContentError when the bytes are no readable image, or one of more than about 179 million
    pixels (Pillow's guard against decompression bombs).
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(BytesIO(data)) as image:
            # A JPEG can be decoded at a fraction of its size; twice the target keeps detail.
            image.draft("RGB", (2 * size, 2 * size))
            upright = ImageOps.exif_transpose(image)
            return np.asarray(
                _rgb(upright).resize((size, size), Image.Resampling.BICUBIC), dtype=np.uint8
            )
    except Exception as error:  # Pillow's readers raise many kinds on damaged files
        raise ContentError(
            f"The image cannot be read ({type(error).__name__}: {error}). Replace this task's file."
        ) from error


def _rgb(image: "Image.Image") -> "Image.Image":
    from PIL import Image

    if image.mode.startswith(("I", "F")):
        values = np.asarray(image, dtype=np.float64)
        low, high = float(values.min()), float(values.max())
        stretched = (values - low) * (255.0 / (high - low) if high > low else 0.0)
        return Image.fromarray(stretched.round().astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        layered = image.convert("RGBA")
        white = Image.new("RGBA", layered.size, "white")
        return Image.alpha_composite(white, layered).convert("RGB")
    return image.convert("RGB")
