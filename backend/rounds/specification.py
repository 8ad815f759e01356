"""The configured strategy, as the round runs it."""

import strategies
from backend.config import QueueConfig


def specification_of(config: QueueConfig) -> strategies.Specification:
    """The configured strategy; where tasks have groups, at most `group_limit` of one in a batch."""
    if config.group_by is None:
        return strategies.parse(config.strategy)
    return strategies.parse({"groups": {"at_most": config.group_limit, "of": config.strategy}})


def reads_properties(specification: strategies.Specification, kind: str) -> bool:
    """Whether it asks for measured properties of contents of this kind ("image:sharpness", …)."""
    if any(name.startswith(f"{kind}:") for name in specification.columns):
        return True
    return any(
        leaf.strategy.name in ("rare_properties", "spread_properties")
        and not leaf.parameters.get("columns")
        for leaf in specification.leaves()
    )
