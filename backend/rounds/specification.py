"""The configured strategy, as the round runs it."""

import strategies
from backend.config import QueueConfig


def specification_of(config: QueueConfig) -> strategies.Specification:
    """The configured strategy; where tasks have groups, at most `group_limit` of one in a batch."""
    if config.group_by is None:
        return strategies.parse(config.strategy)
    return strategies.parse({"groups": {"at_most": config.group_limit, "of": config.strategy}})
