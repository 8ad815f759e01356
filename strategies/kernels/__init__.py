"""The fast exact computations that several strategies share."""
