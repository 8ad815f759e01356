"""The parameters of a strategy: their types, ranges and defaults, read off its function."""

import inspect
import math
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

# What a function may ask for by name beside the fields of a pool and its own parameters.
SELECTION_ARGUMENTS = frozenset({"eligible", "size", "rng"})
# Belongs to the place in a chain, never to a strategy.
RESERVED_PARAMETERS = frozenset({"keep"})


@dataclass(frozen=True)
class Interval:
    """The range of a number, for `Annotated[float, Interval(above=0)]`; None where it is open.

    On a mapping it bounds every number in it.
    """

    least: float | None = None
    most: float | None = None
    above: float | None = None

    def __contains__(self, value: float) -> bool:
        return (
            (self.least is None or value >= self.least)
            and (self.most is None or value <= self.most)
            and (self.above is None or value > self.above)
        )

    def __str__(self) -> str:
        parts = []
        if self.least is not None:
            parts.append(f"at least {self.least:g}")
        if self.above is not None:
            parts.append(f"greater than {self.above:g}")
        if self.most is not None:
            parts.append(f"at most {self.most:g}")
        return " and ".join(parts)


@dataclass(frozen=True)
class Parameter:
    """One keyword of a strategy: its name, its type, its default and, for a number, its range."""

    name: str
    kind: Any
    default: Any
    interval: Interval | None = None

    def accepted(self, value: object) -> Any:
        """The value as the function wants it; raises ValueError with what was expected instead."""
        try:
            converted = _converted(value, self.kind)
        except OverflowError:
            raise ValueError(f"{self.name} is too large for a number") from None
        if self.interval is not None:
            for where, number in _numbers(converted):
                if number not in self.interval:
                    raise ValueError(f"{where}{number:g} must be {self.interval}")
        return converted


@dataclass(frozen=True)
class Signature:
    """What a strategy's function asks for."""

    needs: frozenset[str]
    uses: frozenset[str]
    selection_arguments: frozenset[str]
    parameters: tuple[Parameter, ...]


@cache
def read_signature(function: Callable[..., Any], pool_fields: frozenset[str]) -> Signature:
    """Read off what a function needs: positional arguments are inputs, keyword-only parameters.

    A positional argument without a default is a field of the pool that must be there; one with the
    default None is used where it is there. `eligible`, `size` and `rng` are given by the caller.
    Raises TypeError for a function that asks for anything else (a mistake of its author).
    """
    hints = typing.get_type_hints(function, include_extras=True)
    needs: set[str] = set()
    uses: set[str] = set()
    given: set[str] = set()
    parameters: list[Parameter] = []
    for argument in inspect.signature(function).parameters.values():
        name = argument.name
        if argument.kind is argument.KEYWORD_ONLY:
            if argument.default is argument.empty or name in RESERVED_PARAMETERS:
                raise TypeError(
                    f"{function.__name__}: parameter {name} lacks a default or is reserved"
                )
            parameters.append(_parameter(name, hints[name], argument.default))
        elif name in SELECTION_ARGUMENTS:
            given.add(name)
        elif name in pool_fields:
            (needs if argument.default is argument.empty else uses).add(name)
        else:
            raise TypeError(f"{function.__name__}: {name} is not a field of Pool")
    return Signature(frozenset(needs), frozenset(uses), frozenset(given), tuple(parameters))


def _parameter(name: str, hint: Any, default: Any) -> Parameter:
    interval = None
    if get_origin(hint) is Annotated:
        hint, *extras = get_args(hint)
        interval = next((extra for extra in extras if isinstance(extra, Interval)), None)
    parameter = Parameter(name, hint, default, interval)
    parameter.accepted(default)
    return parameter


def _numbers(value: Any, where: str = "") -> Iterator[tuple[str, float]]:
    """Every number in a value, with the keys that lead to it."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _numbers(inner, f"{where}{key}: ")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield where, value


def _converted(value: object, kind: Any) -> Any:
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        inner = [choice for choice in get_args(kind) if choice is not types.NoneType]
        return None if value is None else _converted(value, inner[0])
    if origin is Literal:
        choices = get_args(kind)
        if value not in choices:
            raise ValueError(f"{value!r} must be one of {', '.join(map(repr, choices))}")
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise ValueError(f"{value!r} must be a list")
        return tuple(_converted(item, get_args(kind)[0]) for item in value)
    if origin is Mapping:
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise ValueError(f"{value!r} must be an object with texts as keys")
        return {key: _member(key, inner, get_args(kind)[1]) for key, inner in value.items()}
    if kind is bool:
        if isinstance(value, bool):
            return value
        raise ValueError(f"{value!r} must be true or false")
    if kind is int:
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        raise ValueError(f"{value!r} must be a whole number")
    if kind is float:
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
        raise ValueError(f"{value!r} must be a finite number")
    if kind is str:
        if isinstance(value, str):
            return value
        raise ValueError(f"{value!r} must be a text")
    raise TypeError(f"a parameter cannot have the type {kind!r}")


def _member(key: str, value: object, kind: Any) -> Any:
    try:
        return _converted(value, kind)
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None
