"""Writes docs/config.md, the reference of the config keys, from jaxstage/config/__init__.py: its defaults and its comments.

    python docs/make_config.py

A test runs it and compares.
"""

import inspect
import pathlib
import re

from jaxstage import config as configs

KEY = re.compile(r"(\w+)=(.*),(?:  # (.*))?")
TRAININGS = ("candidate", "final")  # whose keys are those of `_training`

HEAD = """\
# Config keys

Every key with its default; the files in `configs/` change some of them. On the command line a key is
`--config.KEY=VALUE`, in Python `jaxstage.config.load(FILE, {"KEY": VALUE})` or `config.KEY = VALUE`; a key that does
not exist is an error. This page is made from `jaxstage/config/__init__.py` by `python docs/make_config.py`.
"""


def text() -> str:
    """The whole page."""
    config, meanings = configs.default(), read_comments()
    parts = [HEAD]
    for section in ("", *(key for key in meanings if hasattr(config.get(key), "items"))):
        parts.append(f"## {section}\n" if section else "## The run\n")
        if about := meanings.get(section):
            parts.append(f"{about[0].upper()}{about[1:]}.\n")
        keys = [key for key in meanings if key.rpartition(".")[0] == section and key in configs.flatten(config)]
        rows = [f"| `{key}` | {_default(config, key)} | {_meaning(key, meanings)} |" for key in keys]
        parts.append("\n".join(["| key | default | meaning |", "| --- | --- | --- |", *rows]) + "\n")
    return "\n".join(parts)


def read_comments() -> dict[str, str]:
    """What the source of `default` says of each key and each section: a comment above it, or at the end of its line."""
    meanings = _comments(inspect.getsource(configs.default), "")
    for training in TRAININGS:
        meanings |= _comments(inspect.getsource(configs._training), f"{training}.")
    return meanings


def _comments(source: str, prefix: str) -> dict[str, str]:
    meanings, section, above = {}, prefix, []
    for line in map(str.strip, source.splitlines()):
        if line.startswith("# "):
            above.append(line[2:])
        elif found := re.fullmatch(r"(\w+)=config_dict\.create\((?:  # (.*))?", line):
            section, meanings[found[1]] = f"{found[1]}.", found[2] or ""
        elif line == "),":
            section = prefix
        elif found := KEY.fullmatch(line):
            meanings[section + found[1]] = " ".join([*above, found[3] or ""]).strip()
            above = []
    return meanings


def _default(config, key: str) -> str:
    value = configs.flatten(config)[key]
    section, _, name = key.rpartition(".")
    kind = (config[section] if section else config).get_type(name).__name__
    return f"None ({kind})" if value is None else f"`{value!r}`"


def _meaning(key: str, meanings: dict[str, str]) -> str:
    """The comment, and the choices that it does not mention."""
    meaning = meanings[key]
    choices = [choice for choice in configs.CHOICES.get(key, ()) if not re.search(rf"\b{choice}\b", meaning)]
    if choices:
        meaning += f" (choices: {', '.join(configs.CHOICES[key])})"
    return meaning.replace("|", "\\|").strip()


if __name__ == "__main__":
    (pathlib.Path(__file__).parent / "config.md").write_text(text())
