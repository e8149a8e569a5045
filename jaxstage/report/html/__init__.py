"""report.html: a run, or several side by side, as one page that needs no network.

`collect` reads work directories. A file a part of the page draws what belongs there: `network`, `decisions`, `response`,
`training`, and `compare` what holds several runs. `page` puts all into page.html.j2.
"""
