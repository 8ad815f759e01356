"""The JSON grammar: what it reads, writes back, and refuses with the exact place."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies import GrammarError, names, parse

numbers = st.one_of(st.integers(1, 9), st.floats(0.01, 9, allow_nan=False))
keeps = st.one_of(st.integers(1, 20), st.floats(1, 20, allow_nan=False))
scored = st.sampled_from(["entropy", "margin", "least_confidence"])
single = st.one_of(
    st.sampled_from(sorted(names())),
    st.sampled_from(["euclidean", "cosine"]).map(lambda metric: {"k_center": {"metric": metric}}),
)


def weighted(member: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    entry = st.fixed_dictionaries({"weight": numbers, "of": member})
    return st.fixed_dictionaries({"weight": st.lists(entry, min_size=1, max_size=3)})


def kept(spec: Any, keep: float | None) -> Any:
    if keep is None:
        return spec
    if isinstance(spec, str):
        return {spec: {"keep": keep}}
    name, content = next(iter(spec.items()))
    return (
        {name: {**content, "keep": keep}} if isinstance(content, dict) else {**spec, "keep": keep}
    )


def combined(member: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    before = st.lists(st.builds(kept, member, st.none() | keeps), max_size=2)
    chain = st.builds(lambda first, last: {"chain": [*first, last]}, before, member)
    entry = st.fixed_dictionaries({"share": numbers, "of": member})
    return chain | st.fixed_dictionaries({"mix": st.lists(entry, min_size=1, max_size=3)})


scored_specs = st.recursive(scored, weighted, max_leaves=4)
specs = st.recursive(single | scored_specs, combined, max_leaves=8)


@given(specs)
def test_what_is_read_is_written_back(spec: Any) -> None:
    parsed = parse(spec)
    assert parsed.to_json() == spec
    assert parse(parsed.to_json()) == parsed
    assert parse(json.dumps(spec)) == parsed


def test_a_name_with_no_parameters_is_the_name() -> None:
    assert parse({"margin": {}}) == parse("margin")
    assert parse({"margin": {}}).to_json() == "margin"


NAMES = ", ".join(sorted(names()))
MISPLACED_KEEP = (
    "only a member of a chain that is not the last can keep more than the batch; "
    "remove it or put another member after this one"
)

WRONG = [
    ("margn", "strategy", "there is no strategy 'margn'; did you mean 'margin'? "
     f"(known strategies: {NAMES})"),
    ("zzz", "strategy", f"there is no strategy 'zzz'; known strategies: {NAMES}"),
    ({"kcenter": {}}, "strategy.kcenter", "did you mean 'k_center'?"),
    ({"chian": ["margin"]}, "strategy.chian", "did you mean 'chain'?"),
    ("chain", "strategy", "'chain' needs its members"),
    (None, "strategy", "is null; write a strategy's name"),
    (7, "strategy", "is 7; write a strategy's name"),
    ({}, "strategy", "is empty; write one strategy"),
    ({"margin": {}, "entropy": {}}, "strategy", "has 2 keys (margin, entropy)"),
    ({3: {}}, "strategy", "has the key 3"),
    ({"margin": 3}, "strategy.margin", "is 3; parameters go in an object"),
    ({"margin": {"temperature": 2}}, "strategy.margin.temperature",
     "margin has no parameter 'temperature'; there are no parameters"),
    ({"k_center": {"metrik": "cosine"}}, "strategy.k_center.metrik", "did you mean 'metric'?"),
    ({"k_center": {"metric": "l1"}}, "strategy.k_center.metric",
     "'l1' must be one of 'euclidean', 'cosine'"),
    ({"k_center": {"keep": 3}}, "strategy.k_center.keep", MISPLACED_KEEP),
    ({"chain": ["random", {"margin": {"keep": 3}}]}, "strategy.chain[1].margin.keep",
     MISPLACED_KEEP),
    ({"chain": ["random", {"chain": ["margin"], "keep": 3}]}, "strategy.chain[1].keep",
     MISPLACED_KEEP),
    ({"chain": [{"k_center": {"keep": 0.5}}, "margin"]}, "strategy.chain[0].k_center.keep",
     "is 0.5; keep multiplies the next size: a number >= 1, such as 10"),
    ({"chain": [{"k_center": {"keep": True}}, "margin"]}, "strategy.chain[0].k_center.keep",
     "is true"),
    ({"chain": [{"chain": ["margin"], "keep": "2"}, "margin"]}, "strategy.chain[0].keep",
     'is "2"'),
    ({"chain": [{"margin": {}, "keep": 2}, "margin"]}, "strategy.chain[0].keep",
     "keep goes among a strategy's parameters"),
    ({"chain": []}, "strategy.chain", "is an empty list; name at least one member"),
    ({"chain": "margin"}, "strategy.chain", 'is "margin"; it must be a list of members'),
    ({"chain": ["random", "entrophy", "margin"]}, "strategy.chain[1]", "did you mean 'entropy'?"),
    ({"mix": ["margin"]}, "strategy.mix[0]", '{"share": number, "of": strategy}'),
    ({"mix": [{"share": 1, "of": "margin", "x": 1}]}, "strategy.mix[0]", '"of": strategy}'),
    ({"mix": [{"share": 0, "of": "margin"}]}, "strategy.mix[0].share",
     "is 0; it must be a finite number above 0"),
    ({"mix": [{"share": float("nan"), "of": "margin"}]}, "strategy.mix[0].share", "is NaN"),
    ({"mix": [{"share": 10**400, "of": "margin"}]}, "strategy.mix[0].share", "above 0"),
    ({"mix": [{"share": 1, "of": "margin"}, {"share": 1, "of": {"chain": ["x"]}}]},
     "strategy.mix[1].of.chain[0]", "there is no strategy 'x'"),
    ({"weight": [{"weight": -1, "of": "margin"}]}, "strategy.weight[0].weight", "is -1"),
    ({"weight": [{"weight": 1, "of": "margin"}, {"weight": 1, "of": "k_center"}]},
     "strategy.weight[1].of", "k_center has no score to weigh, it only selects"),
    ({"weight": [{"weight": 1, "of": {"chain": ["margin"]}}]}, "strategy.weight[0].of",
     "has no score to weigh"),
    ("{\"chain\": [", "strategy", "this is not valid JSON"),
    ('{"margin": {}, "margin": {}}', "strategy", "holds the key 'margin' twice"),
    ('["margin"]', "strategy", "write a strategy's name"),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "path", "message"), WRONG)
def test_a_mistake_is_refused_with_its_path_and_the_mend(
    spec: Any, path: str, message: str
) -> None:
    with pytest.raises(GrammarError) as caught:
        parse(spec)
    assert caught.value.path == path
    assert message in caught.value.message
    assert str(caught.value) == f"{path}: {caught.value.message}"


def test_the_name_of_the_whole_can_be_chosen() -> None:
    with pytest.raises(GrammarError) as caught:
        parse({"chain": ["x"]}, path="queue.strategy")
    assert caught.value.path == "queue.strategy.chain[0]"


@pytest.mark.parametrize("as_text", [False, True])
def test_endless_nesting_is_refused(as_text: bool) -> None:
    spec: Any = "margin"
    for _ in range(500):
        spec = {"chain": [spec]}
    text = '{"chain": [' * 20_000 + '"margin"' + "]}" * 20_000
    with pytest.raises(GrammarError, match="nested deeper than 16 levels"):
        parse(text if as_text else spec)
