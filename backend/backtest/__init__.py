"""Backtest: which strategy would have saved labels on data that is labelled already."""
