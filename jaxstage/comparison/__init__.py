"""A fair comparison of the search with rules that look at nothing, as one command: `jaxstage compare`.

`run.py` reads as its story; `arms.py` has the rules, `cells.py` says what runs, `processes.py` runs it, `table.py` says
what came out.
"""
