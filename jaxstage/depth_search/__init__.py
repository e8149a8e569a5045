"""Decides how a search goes on, and carries it out: `plan` decides, `driver` has it done, `train` and `judge` do it.

From Python a search is run with `jaxstage.search`, which lies in `result.py`.
"""
