"""Strategies put together: chain, mix, weight, power noise, a limit a group."""
