"""Properties of texts."""

import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from strategies.properties.texts import TEXT_PROPERTIES, read_corpus, text_properties, tokens

ENGLISH = [
    "The ship was late and the harbour was cold.",
    "Nobody knew where the captain had gone that night.",
    "She wrote a letter to her brother in the village.",
    "The rain fell on the roof and on the road.",
]


def measured(text: str, corpus: list[str] | None = None) -> dict[str, float]:
    found = text_properties([text], read_corpus(ENGLISH if corpus is None else corpus))
    return {name.removeprefix("text:"): float(values[0]) for name, values in found.items()}


def test_a_text_by_hand() -> None:
    found = measured("The cat, the CAT & 42.", corpus=["the cat", "the cat", "the dog"])
    assert found["characters"] == 22
    assert found["words"] == 5
    assert_allclose(found["type_token_ratio"], 3 / 5)
    # Only 42 is in fewer than two of the texts.
    assert_allclose(found["rare_words"], 1 / 5)
    assert_allclose(found["letters"], 12 / 22)
    assert_allclose(found["digits"], 2 / 22)
    assert_allclose(found["punctuation"], 3 / 22)
    assert_allclose(found["whitespace"], 5 / 22)
    assert_allclose(found["uppercase"], 4 / 12)
    assert found["non_latin"] == 0.0
    assert found["script_distance"] == 0.0


def test_words_are_runs_of_letters_and_digits_in_any_script() -> None:
    assert tokens("Don't panic: 3 naïve Ärzte, привет!") == [
        "don't",
        "panic",
        "3",
        "naïve",
        "ärzte",
        "привет",
    ]


@pytest.mark.parametrize(
    ("text", "non_latin"),
    [
        ("привет", 1.0),
        ("γειά", 1.0),
        ("漢字かな", 1.0),
        ("한국어", 1.0),
        ("हिन्दी", 1.0),
        ("שלום", 1.0),
        ("مرحبا", 1.0),
        ("ภาษาไทย", 1.0),
        ("Ünïcödé ﬁ", 0.0),
        ("ab вг", 0.5),
        ("123 !?", 0.0),
    ],
)
def test_scripts_are_told_apart(text: str, non_latin: float) -> None:
    assert measured(text)["non_latin"] == non_latin
    assert measured(text)["script_distance"] == pytest.approx(non_latin)


def test_each_script_is_one_of_its_own() -> None:
    # In a corpus half Cyrillic and half Greek, either one is half a distance away.
    corpus = ["привет", "γειάσο"]
    for text in ("привет", "γειάσο"):
        assert_allclose(measured(text, corpus)["script_distance"], 0.5)
    for text in ("漢字漢字漢字", "ภาษาไทย", "שלום", "hello"):
        assert_allclose(measured(text, corpus)["script_distance"], 1.0)


def test_another_language_and_noise_are_far_from_the_corpus() -> None:
    near = measured("The captain wrote that the night was cold.")["trigram_distance"]
    other = measured("Der Kapitän schrieb, dass es nachts kalt sei.")["trigram_distance"]
    noise = measured("xq9 zzkw vvbj qqpt wxyz 8812")["trigram_distance"]
    assert near < other < noise <= 1.0
    assert_allclose(measured("exactly so", ["exactly so"])["trigram_distance"], 0.0, atol=1e-12)


def test_rare_words_are_counted_against_the_number_of_texts() -> None:
    corpus = read_corpus(["common"] * 995 + ["seldom common"] * 4 + ["once common"])
    text = ["common seldom once never"]
    assert text_properties(text, corpus)["text:rare_words"][0] == 0.5
    assert text_properties(text, corpus, rare_share=0.004)["text:rare_words"][0] == 0.75


@pytest.mark.parametrize("text", ["", "   ", "!", "a", "\ud800", "\x00", "\U0001f600"])
def test_odd_texts_have_finite_properties(text: str) -> None:
    for corpus in ([], [text], ENGLISH):
        found = text_properties([text], read_corpus(corpus))
        assert tuple(found) == TEXT_PROPERTIES
        assert all(np.isfinite(values).all() for values in found.values())


def test_no_texts_give_empty_columns() -> None:
    found = text_properties([], read_corpus([]))
    assert all(values.shape == (0,) for values in found.values())


@given(st.lists(st.text(max_size=30), min_size=1, max_size=5))
def test_shares_are_those_of_a_plain_count(texts: list[str]) -> None:
    found = text_properties(texts, read_corpus(texts))
    for row, text in enumerate(texts):
        spaces = sum(character.isspace() for character in text)
        kinds = [unicodedata.category(c)[0] for c in text if not c.isspace()]
        upper = [unicodedata.category(c) in ("Lu", "Lt") for c in text]
        size = max(1, len(text))
        letters = sum(kind in "LM" for kind in kinds)
        assert_allclose(found["text:whitespace"][row], spaces / size)
        assert_allclose(found["text:letters"][row], letters / size)
        assert_allclose(found["text:digits"][row], kinds.count("N") / size)
        assert_allclose(found["text:punctuation"][row], sum(k in "PS" for k in kinds) / size)
        assert_allclose(found["text:uppercase"][row], sum(upper) / max(1, letters))
        assert 0.0 <= found["text:trigram_distance"][row] <= 1.0
        assert 0.0 <= found["text:script_distance"][row] <= 1.0 + 1e-12
        assert 0.0 <= found["text:type_token_ratio"][row] <= 1.0
