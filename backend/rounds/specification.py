"""The configured strategy, as the round runs it."""

import strategies
from backend.config import QueueConfig
from strategies.combining.group_limit import GroupLimit


def specification_of(config: QueueConfig) -> strategies.Specification:
    """The configured strategy; where tasks have groups, at most `group_limit` of one in a batch."""
    configured = strategies.parse(config.strategy)
    # Not parsed as a part of a larger whole: that reads no JSON text, and counts one level more.
    return configured if config.group_by is None else GroupLimit(configured, config.group_limit)


def safety_net(config: QueueConfig) -> strategies.Specification:
    """Random by the strata that the admin named, else by predicted class; groups as configured."""
    random = strategies.parse({"stratified": {"columns": list(config.strata)}})
    return random if config.group_by is None else GroupLimit(random, config.group_limit)


def reads_properties(specification: strategies.Specification, kind: str) -> bool:
    """Whether it asks for measured properties of contents of this kind ("image:sharpness", …)."""
    if any(name.startswith(f"{kind}:") for name in specification.columns):
        return True
    return any(
        leaf.strategy.name in ("rare_properties", "spread_properties")
        and not leaf.parameters.get("columns")
        for leaf in specification.leaves()
    )
