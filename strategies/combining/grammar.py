"""The grammar of a strategy: from JSON values to a Specification, with the path of what is wrong.

spec = name
     | {name: {parameter: value, ...}}
     | {"chain": [spec, ...]}
     | {"mix": [{"share": number, "of": spec}, ...]}
     | {"weight": [{"weight": number, "of": spec}, ...]}
     | {"power": {"of": spec, "beta": number, "noise": "power" | "softmax" | "softrank"}}
     | {"groups": {"at_most": whole number, "of": spec}}

A member of a chain, except the last, may carry `keep` (default 10): among the parameters of a
single strategy, {"margin": {"keep": 5}}, or beside a combination, {"mix": [...], "keep": 5}.
"""

import json
import math
from collections.abc import Mapping
from typing import Any, TypeGuard

from strategies.combining.chain import Chain
from strategies.combining.group_limit import GroupLimit
from strategies.combining.leaf import Leaf
from strategies.combining.mix import Mix
from strategies.combining.power import NOISES, Power
from strategies.combining.specification import Specification
from strategies.combining.weight import Weight
from strategies.errors import GrammarError, suggestion
from strategies.registry import REGISTRY, names, strategy

# Each combination and what it is written with.
COMBINATIONS = {
    "chain": '{"chain": [strategy, ...]}',
    "mix": '{"mix": [{"share": number, "of": strategy}, ...]}',
    "weight": '{"weight": [{"weight": number, "of": strategy}, ...]}',
    "power": '{"power": {"of": strategy, "beta": 1.0}}',
    "groups": '{"groups": {"at_most": 1, "of": strategy}}',
}
# Deeper nesting has no use, and a bound keeps hostile input from exhausting the stack.
MAXIMUM_DEPTH = 16
MISPLACED_KEEP = (
    "only a member of a chain that is not the last can keep more than the batch; "
    "remove it or put another member after this one"
)


def parse(spec: object, path: str = "strategy") -> Specification:
    """The Specification that `spec` describes.

    spec  JSON values (str, dict, list, numbers), or the text of a JSON object
    path  the name of the whole in the errors

    Raises GrammarError with the path of the wrong part, as in `strategy.chain[0].k_center.keep`.
    """
    if isinstance(spec, str) and spec.lstrip()[:1] in ("{", "[", '"'):
        spec = _loaded(spec, path)
    return _parsed(spec, path, 0)


def _loaded(text: str, path: str) -> object:
    try:
        return json.loads(text, object_pairs_hook=lambda pairs: _without_repeats(pairs, path))
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise GrammarError(path, f"this is not valid JSON: {error.msg} at {where}") from None
    except RecursionError:
        raise GrammarError(path, f"is nested deeper than {MAXIMUM_DEPTH} levels") from None


def _without_repeats(pairs: list[tuple[str, Any]], path: str) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        repeated = next(key for key in keys if keys.count(key) > 1)
        raise GrammarError(path, f"an object holds the key {repeated!r} twice; remove one")
    return found


def _parsed(spec: object, path: str, depth: int) -> Specification:
    if depth > MAXIMUM_DEPTH:
        raise GrammarError(path, f"is nested deeper than {MAXIMUM_DEPTH} levels; simplify it")
    if isinstance(spec, str):
        if spec in COMBINATIONS:
            raise GrammarError(path, f"{spec!r} needs its members: {COMBINATIONS[spec]}")
        return Leaf(strategy(spec, path))
    if not isinstance(spec, Mapping):
        raise GrammarError(
            path,
            f"is {_described(spec)}; write a strategy's name, {{name: {{parameter: value}}}}, "
            f"or a combination: {', '.join(COMBINATIONS.values())}",
        )
    if "keep" in spec:
        raise GrammarError(f"{path}.keep", MISPLACED_KEEP)
    if len(spec) != 1:
        found = f"has {len(spec)} keys ({', '.join(map(str, spec))})" if spec else "is empty"
        raise GrammarError(
            path,
            f'{found}; write one strategy or combination, or join several in {{"chain": [...]}}',
        )
    (name, content) = next(iter(spec.items()))
    if not isinstance(name, str):
        raise GrammarError(path, f"has the key {name!r}; a key must be the name of a strategy")
    where = f"{path}.{name}"
    if name == "chain":
        return _chain(_members(content, where), where, depth)
    if name == "mix":
        shares, members = _numbered(content, where, "share", depth)
        return Mix(shares, members)
    if name == "weight":
        return _weight(content, where, depth)
    if name == "power":
        return _power(content, where, depth)
    if name == "groups":
        return _group_limit(content, where, depth)
    if name not in REGISTRY:
        hint = suggestion(name, (*names(), *COMBINATIONS), "strategies")
        raise GrammarError(where, f"there is no strategy {name!r}; {hint}")
    return _leaf(name, content, where)


def _leaf(name: str, given: object, path: str) -> Leaf:
    if not isinstance(given, Mapping):
        raise GrammarError(path, f"is {_described(given)}; parameters go in an object: {{}}")
    if "keep" in given:
        raise GrammarError(f"{path}.keep", MISPLACED_KEEP)
    found = strategy(name, path)
    for parameter in given:
        if not isinstance(parameter, str):
            raise GrammarError(path, f"has the key {parameter!r}; parameters are named by text")
    return Leaf(found, dict(given), found.accepted(given, path))


def _chain(content: list[object], path: str, depth: int) -> Chain:
    members, keeps = [], []
    for position, written in enumerate(content):
        where = f"{path}[{position}]"
        keep = None
        if position < len(content) - 1:
            written, keep = _without_keep(written, where)
        members.append(_parsed(written, where, depth + 1))
        keeps.append(keep)
    return Chain(tuple(members), tuple(keeps))


def _without_keep(written: object, path: str) -> tuple[object, float | None]:
    if not isinstance(written, Mapping):
        return written, None
    rest = {key: value for key, value in written.items() if key != "keep"}
    if "keep" in written:
        if len(rest) == 1 and next(iter(rest)) in COMBINATIONS:
            return rest, _keep(written["keep"], f"{path}.keep")
        raise GrammarError(
            f"{path}.keep", 'keep goes among a strategy\'s parameters: {"margin": {"keep": 10}}'
        )
    if len(rest) == 1:
        name, content = next(iter(rest.items()))
        if name not in COMBINATIONS and isinstance(content, Mapping) and "keep" in content:
            parameters = {key: value for key, value in content.items() if key != "keep"}
            return {name: parameters}, _keep(content["keep"], f"{path}.{name}.keep")
    return written, None


def _keep(value: object, path: str) -> float:
    if not _is_number(value) or value < 1:
        raise GrammarError(
            path,
            f"is {_described(value)}; keep multiplies the next size: a number >= 1, such as 10",
        )
    return value


def _weight(content: object, path: str, depth: int) -> Weight:
    weights, members = _numbered(content, path, "weight", depth)
    for position, member in enumerate(members):
        if not member.has_score:
            raise GrammarError(
                f"{path}[{position}].of",
                f"{member.name} has no score to weigh, it only selects; use it in a chain or a mix",
            )
    return Weight(weights, members)


def _power(content: object, path: str, depth: int) -> Power:
    given = _single(content, path, "power", {"of", "beta", "noise"})
    beta, noise = given.get("beta", 1.0), given.get("noise", "power")
    if not _is_number(beta) or beta <= 0:
        raise GrammarError(
            f"{path}.beta", f"is {_described(beta)}; it must be a finite number above 0"
        )
    if noise not in NOISES:
        raise GrammarError(
            f"{path}.noise", f"is {_described(noise)}; it must be one of {', '.join(NOISES)}"
        )
    member = _parsed(given["of"], f"{path}.of", depth + 1)
    if not member.has_score:
        raise GrammarError(
            f"{path}.of",
            f"{member.name} has no score to draw by, it only selects; use one that has",
        )
    return Power(member, beta, noise)


def _group_limit(content: object, path: str, depth: int) -> GroupLimit:
    given = _single(content, path, "groups", {"of", "at_most"})
    most = given.get("at_most", 1)
    if not isinstance(most, int) or isinstance(most, bool) or most < 1:
        raise GrammarError(
            f"{path}.at_most", f"is {_described(most)}; it must be a whole number >= 1"
        )
    return GroupLimit(_parsed(given["of"], f"{path}.of", depth + 1), most)


def _single(content: object, path: str, name: str, keys: set[str]) -> Mapping[str, Any]:
    if not isinstance(content, Mapping) or "of" not in content:
        raise GrammarError(path, f"is {_described(content)}; write {COMBINATIONS[name]}")
    for key in content:
        if key not in keys:
            hint = suggestion(str(key), keys, "keys")
            raise GrammarError(f"{path}.{key}", f"{name} has no key {key!r}; {hint}")
    return content


def _numbered(
    content: object, path: str, key: str, depth: int
) -> tuple[tuple[float, ...], tuple[Specification, ...]]:
    numbers, members = [], []
    for position, entry in enumerate(_members(content, path)):
        where = f"{path}[{position}]"
        if not isinstance(entry, Mapping) or set(entry) != {key, "of"}:
            raise GrammarError(
                where, f'is {_described(entry)}; write {{"{key}": number, "of": strategy}}'
            )
        number = entry[key]
        if not _is_number(number) or number <= 0:
            raise GrammarError(
                f"{where}.{key}", f"is {_described(number)}; it must be a finite number above 0"
            )
        numbers.append(number)
        members.append(_parsed(entry["of"], f"{where}.of", depth + 1))
    return tuple(numbers), tuple(members)


def _members(content: object, path: str) -> list[object]:
    if not isinstance(content, list | tuple):
        raise GrammarError(path, f"is {_described(content)}; it must be a list of members")
    if not content:
        raise GrammarError(path, "is an empty list; name at least one member")
    return list(content)


def _is_number(value: object) -> TypeGuard[float]:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _described(value: object) -> str:
    try:
        text = json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        text = type(value).__name__
    return text if len(text) <= 60 else text[:57] + "..."
