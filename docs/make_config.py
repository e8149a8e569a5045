"""Writes docs/config.md, the reference of the config keys, from their table, jaxstage/config/keys.py.

    python docs/make_config.py

A test runs it and compares.
"""

import pathlib

from jaxstage.config.key import Key
from jaxstage.config.keys import KEYS, SECTIONS

HEAD = """\
# Config keys

Every key with its default; the files in `configs/` change some of them. On the command line a key is
`--config.KEY=VALUE`, in Python `jaxstage.config.load(FILE, {"KEY": VALUE})` or `config.KEY = VALUE`; a key that does
not exist is an error. This page is made from `jaxstage/config/keys.py` by `python docs/make_config.py`.
"""


def text() -> str:
    """The whole page."""
    rows = {"": []}  # of each section, those of keys without one first
    for name, key in KEYS.items():
        rows.setdefault(name.rpartition(".")[0], []).append(_row(name, key))
    parts = [HEAD]
    for section, of_section in rows.items():
        parts.append(f"## {section or 'The run'}\n")
        if section in SECTIONS:
            parts.append(f"{SECTIONS[section]}\n")
        parts.append("\n".join(["| key | default | meaning |", "| --- | --- | --- |", *of_section]) + "\n")
    return "\n".join(parts)


def _row(name: str, key: Key) -> str:
    default = f"None ({key.optional.__name__})" if key.default is None and key.optional else f"`{key.default!r}`"
    meaning = key.explanation.replace("|", "\\|")
    return f"| `{name}` | {default} | {meaning} |"


if __name__ == "__main__":
    (pathlib.Path(__file__).parent / "config.md").write_text(text())
