"""A page as tests read it."""

import re
from html.parser import HTMLParser

from jaxstage.report.html import page
from jaxstage.report.html.collect import collect, read_references


class Page(HTMLParser):
    """What a page is made of: elements with their attributes, the texts of all cells, and tables by their captions."""

    VOID = {"meta", "link", "br", "path", "use", "rect", "img"}

    def __init__(self, text: str):
        super().__init__()
        self.text, self.elements, self.cells, self.open = text, [], [], []
        self.tables, self.rows = {}, []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "table":
            self.rows = []
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.cells.append("")
            self.rows[-1].append("")

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.cells[-1] += data
            self.rows[-1][-1] += data
        if self.open and self.open[-1] == "caption":
            self.tables[data] = self.rows

    def all(self, name: str) -> list[str]:
        return [attributes[name] for _, attributes in self.elements if attributes.get(name)]


def page_of(*workdirs, references=()):
    return Page(page.render(collect([str(workdir) for workdir in workdirs]), read_references(list(references))))


def check_accessible(drawn: Page) -> int:
    """What anybody needs to read a page, whatever stands on it; the number of its pictures."""
    assert ("html", {"lang": "en"}) in drawn.elements
    levels = [int(tag[1]) for tag, _ in drawn.elements if re.fullmatch("h[1-6]", tag)]
    assert levels.count(1) == 1 and levels[0] == 1
    assert all(after - before <= 1 for before, after in zip(levels, levels[1:]))
    identifiers = drawn.all("id")
    assert len(identifiers) == len(set(identifiers))
    for name in ("aria-labelledby", "aria-describedby"):
        assert drawn.all(name) and set(drawn.all(name)) <= set(identifiers)
    pictures = [attributes for _, attributes in drawn.elements if attributes.get("role") == "img"]
    assert len(pictures) == sum(tag == "figure" for tag, _ in drawn.elements)
    assert all({"aria-labelledby", "aria-describedby"} <= set(attributes) for attributes in pictures)
    assert len(re.findall(r"</figcaption>\s*<details>", drawn.text)) == len(pictures)  # with the numbers as a table
    assert ("a", {"class": "skip", "href": "#main"}) in drawn.elements
    return len(pictures)
