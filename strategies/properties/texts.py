"""What a text is like: length, rare words, variety, kinds of characters, likeness to the others."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from strategies.properties.scripts import (
    DIGIT,
    LETTER,
    PUNCTUATION,
    SCRIPT_NAMES,
    UPPERCASE,
    WHITESPACE,
    character_classes,
    character_scripts,
)

TOKEN = re.compile(r"\w+(?:['’]\w+)*")
# A token is rare in at most this share of the texts, and always where only one text has it.
RARE_SHARE = 0.001
# Trigrams of characters are counted by hash into so many places.
TRIGRAM_PLACES = 1 << 16

TEXT_PROPERTIES = (
    "text:characters",
    "text:words",
    "text:rare_words",
    "text:type_token_ratio",
    "text:letters",
    "text:digits",
    "text:punctuation",
    "text:whitespace",
    "text:uppercase",
    "text:non_latin",
    "text:script_distance",
    "text:trigram_distance",
)


@dataclass(frozen=True, eq=False)
class Corpus:
    """What the first pass over all texts counts.

    texts      how many
    texts_with for each token the number of texts that hold it
    scripts    (s,) letters of each script in SCRIPT_NAMES
    trigrams   (65536,) trigrams of characters by hash, each text weighing the same
    """

    texts: int
    texts_with: Mapping[str, int]
    scripts: npt.NDArray[np.float64]
    trigrams: npt.NDArray[np.float64]


def read_corpus(texts: Iterable[str]) -> Corpus:
    """The first pass: what is usual among these texts. O(characters); memory for the vocabulary."""
    texts_with: Counter[str] = Counter()
    scripts = np.zeros(len(SCRIPT_NAMES), dtype=np.float64)
    trigrams = np.zeros(TRIGRAM_PLACES, dtype=np.float64)
    count = 0
    for text in texts:
        count += 1
        texts_with.update(set(tokens(text)))
        scripts += _script_counts(_code_points(text))
        places, times = _trigrams(text)
        if len(places):
            trigrams[places] += times / np.sqrt((times * times).sum())
    return Corpus(count, texts_with, scripts, trigrams)


def text_properties(
    texts: Sequence[str], corpus: Corpus, *, rare_share: float = RARE_SHARE
) -> dict[str, npt.NDArray[np.float64]]:
    """The second pass: columns of the properties in TEXT_PROPERTIES, each (n,) float64.

    text:characters        Unicode code points
    text:words             tokens: runs of letters, digits and underscores, an apostrophe inside
                           included, in lower case (a text without spaces between its words, as in
                           Chinese, has long tokens)
    text:rare_words        share of the tokens that at most max(1, rare_share times the number of
                           texts) of the corpus hold; 0 for a text without tokens
    text:type_token_ratio  distinct tokens / tokens, in (0, 1]; 0 without tokens
    text:letters, text:digits, text:punctuation, text:whitespace
                           shares of the characters, in [0, 1]; punctuation includes symbols
    text:uppercase         share of the letters that are upper case
    text:non_latin         share of the letters that are not of the Latin script
    text:script_distance   half the sum over scripts of |share of the text's letters - share of the
                           corpus's letters|, in [0, 1]; 0 without letters
    text:trigram_distance  1 - cosine of the counts of three characters in a row (lower case, runs
                           of whitespace as one space) of the text and of the corpus, in [0, 1]:
                           high for another language, code, or noise; 1 for a text without trigrams

    texts   n texts, of the corpus or not
    corpus  from read_corpus

    O(characters).

    Source: type-token ratio: Templin 1957; likeness to a language by its character n-grams: Cavnar
    and Trenkle, N-Gram-Based Text Categorization, 1994 (here the cosine, by hashed counts:
    Weinberger et al., ICML 2009).
    """
    rare_at_most = max(1, int(rare_share * corpus.texts))
    corpus_scripts = corpus.scripts / max(1.0, float(corpus.scripts.sum()))
    length = float(np.sqrt((corpus.trigrams**2).sum()))
    rows = np.zeros((len(texts), len(TEXT_PROPERTIES)), dtype=np.float64)
    for row, text in enumerate(texts):
        found = tokens(text)
        rare = sum(corpus.texts_with.get(token, 0) <= rare_at_most for token in found)
        words = max(1, len(found))
        rows[row, :4] = len(text), len(found), rare / words, len(set(found)) / words
        codes = _code_points(text)
        rows[row, 4:10] = _character_shares(codes)
        scripts = _script_counts(codes)
        if (letters := scripts.sum()) > 0:
            rows[row, 10] = 0.5 * np.abs(scripts / letters - corpus_scripts).sum()
        rows[row, 11] = _trigram_distance(text, corpus.trigrams, length)
    return {name: rows[:, column].copy() for column, name in enumerate(TEXT_PROPERTIES)}


def tokens(text: str) -> list[str]:
    """The words of a text in lower case."""
    return TOKEN.findall(text.lower())


def _code_points(text: str) -> npt.NDArray[np.uint32]:
    # A lone surrogate is no character, but a broken text still has its properties.
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)


def _character_shares(codes: npt.NDArray[np.uint32]) -> tuple[float, ...]:
    """The shares from letters to non-Latin letters, in the order of TEXT_PROPERTIES."""
    classes = character_classes()[codes]
    kinds = np.bincount(classes, minlength=32)
    have = {bit: float(kinds[np.arange(len(kinds)) & bit > 0].sum()) for bit in (1, 2, 4, 8, 16)}
    characters, letters = max(1, len(codes)), max(1.0, have[LETTER])
    latin = float(_script_counts(codes)[0])
    return (
        have[LETTER] / characters,
        have[DIGIT] / characters,
        have[PUNCTUATION] / characters,
        have[WHITESPACE] / characters,
        have[UPPERCASE] / letters,
        (have[LETTER] - latin) / letters,
    )


def _script_counts(codes: npt.NDArray[np.uint32]) -> npt.NDArray[np.float64]:
    """The letters of each script: (s,)."""
    letters = codes[character_classes()[codes] & LETTER > 0]
    counts = np.bincount(character_scripts()[letters], minlength=len(SCRIPT_NAMES))
    return counts.astype(np.float64)


def _trigrams(text: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """The places of the text's trigrams, ascending, and how often each occurs."""
    codes = _code_points(" ".join(text.lower().split()))
    if len(codes) < 3:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float64)
    # Odd factors, so that each character reaches every bit; the high bits are the best mixed.
    mixed = codes[:-2] * np.uint32(2654435761)
    mixed = (mixed ^ (mixed >> np.uint32(15))) + codes[1:-1] * np.uint32(2246822519)
    mixed = (mixed ^ (mixed >> np.uint32(13))) + codes[2:] * np.uint32(3266489917)
    mixed = (mixed ^ (mixed >> np.uint32(16))) * np.uint32(668265263)
    places, times = np.unique(mixed >> np.uint32(16), return_counts=True)
    return places.astype(np.int64), times.astype(np.float64)


def _trigram_distance(text: str, corpus: npt.NDArray[np.float64], length: float) -> float:
    places, times = _trigrams(text)
    if not len(places) or length == 0.0:
        return 1.0
    cosine = float((times * corpus[places]).sum()) / (length * float(np.sqrt((times**2).sum())))
    return min(1.0, max(0.0, 1.0 - cosine))
