"""Selecting from a large pool: AskNext next to the fastest libraries, on the same arrays.

See README.md beside this file.
"""
