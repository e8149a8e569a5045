"""report.html: a run, or several side by side, as one page that needs no network.

`collect` reads work directories into plain data, `charts`, `response` and `compare` draw them, `page` puts all into
page.html.j2.
"""
