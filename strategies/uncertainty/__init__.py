"""How unsure the model is of an item: scores, higher = less sure."""
