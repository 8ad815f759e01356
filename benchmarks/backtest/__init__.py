"""Whether a backtest's curves are those of scikit-activeml with scikit-learn's classifier."""
