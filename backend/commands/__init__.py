"""The commands of `asknext`, one module for each group of them."""
