"""The writing system and the class of each Unicode character."""

import unicodedata
from functools import cache

import numpy as np
import numpy.typing as npt

# Ranges of code points, last one included, of the writing systems that are told apart.
SCRIPTS: dict[str, tuple[tuple[int, int], ...]] = {
    "latin": (
        (0x41, 0x5A), (0x61, 0x7A), (0xAA, 0xAA), (0xBA, 0xBA), (0xC0, 0x24F), (0x250, 0x2AF),
        (0x1E00, 0x1EFF), (0x2C60, 0x2C7F), (0xA720, 0xA7FF), (0xAB30, 0xAB6F), (0xFB00, 0xFB06),
        (0xFF21, 0xFF5A),
    ),
    "greek": ((0x370, 0x3FF), (0x1F00, 0x1FFF)),
    "cyrillic": ((0x400, 0x52F), (0x1C80, 0x1C8F), (0x2DE0, 0x2DFF), (0xA640, 0xA69F)),
    "hebrew": ((0x590, 0x5FF), (0xFB1D, 0xFB4F)),
    "arabic": ((0x600, 0x6FF), (0x750, 0x77F), (0x8A0, 0x8FF), (0xFB50, 0xFDFF), (0xFE70, 0xFEFF)),
    "devanagari": ((0x900, 0x97F), (0xA8E0, 0xA8FF)),
    "thai": ((0xE00, 0xE7F),),
    "hangul": ((0x1100, 0x11FF), (0x3130, 0x318F), (0xA960, 0xA97F), (0xAC00, 0xD7FF)),
    "kana": ((0x3041, 0x30FF), (0x31F0, 0x31FF), (0xFF66, 0xFF9F)),
    "han": (
        (0x2E80, 0x2FDF), (0x3005, 0x3007), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF),
        (0x20000, 0x3FFFF),
    ),
}  # fmt: skip
OTHER_SCRIPT = "other"
SCRIPT_NAMES = (*SCRIPTS, OTHER_SCRIPT)

# Bits of a character's class.
LETTER, UPPERCASE, DIGIT, PUNCTUATION, WHITESPACE = 1, 2, 4, 8, 16
CODE_POINTS = 0x110000


@cache
def character_classes() -> npt.NDArray[np.uint8]:
    """The class bits of each code point: (0x110000,) uint8.

    Letters are the Unicode categories L and M (marks belong to their letters), digits N,
    punctuation P and S; whitespace is what `str.isspace` calls so.
    """
    by_category = {
        "Lu": LETTER | UPPERCASE, "Lt": LETTER | UPPERCASE, "L": LETTER, "M": LETTER,
        "N": DIGIT, "P": PUNCTUATION, "S": PUNCTUATION,
    }  # fmt: skip
    table = np.zeros(CODE_POINTS, dtype=np.uint8)
    for code in range(CODE_POINTS):
        category = unicodedata.category(chr(code))
        table[code] = by_category.get(category, by_category.get(category[0], 0))
        if chr(code).isspace():
            table[code] = WHITESPACE
    table.setflags(write=False)
    return table


@cache
def character_scripts() -> npt.NDArray[np.uint8]:
    """The place in SCRIPT_NAMES of each code point's script: (0x110000,) uint8."""
    table = np.full(CODE_POINTS, len(SCRIPTS), dtype=np.uint8)
    for number, ranges in enumerate(SCRIPTS.values()):
        for first, last in ranges:
            table[first : last + 1] = number
    table.setflags(write=False)
    return table
