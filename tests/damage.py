"""Damage as files from elsewhere have it: a draw at a time, of JSON values, of bytes, and of what lies at a path."""

import copy
import json
import os
import pathlib
import random
import shutil

ODD = (
    *(None, True, "", "x", "NaN", -1, 0, 1, 3, 0.5, 1e308, 10**9, 10**19, 10**400, float("nan"), float("inf"), -0.0),
    *([], {}, [[]], [None], [1, [2]], {"x": 1}, "\udcff", "\x1b]0;x\x07", "../../x", "/etc/passwd", "a\x00b", "[/red]"),
    *("<script>alert(1)</script>", "{{7*7}}", "#100099", "x" * 500, "os:system"),
)


def places(value, at=()):
    """The paths of everything within a JSON value."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        yield (*at, key)
        yield from places(part, (*at, key))


def of_json(draw: random.Random, value):
    """A copy of a JSON value with one to three parts left out, doubled, swapped or replaced by something odd."""
    value = copy.deepcopy(value)
    for _ in range(draw.randint(1, 3)):
        found = list(places(value))
        if not found:
            return draw.choice(ODD)
        *way, last = draw.choice(found)
        within = value
        for key in way:
            within = within[key]
        kind = draw.randrange(5)
        if kind == 0:
            del within[last]
        elif kind == 1 and isinstance(within, list):
            within.insert(last, within[last])
        elif kind == 2:
            other = value
            for key in draw.choice(found):
                other = other[key] if isinstance(other, (dict, list)) and _has(other, key) else other
            within[last] = copy.deepcopy(other)
        elif kind == 3 and type(within[last]) in (int, float):
            within[last] = within[last] * draw.choice((-1, 0, 1000, 10**9, 1e-9))
        else:
            within[last] = copy.deepcopy(draw.choice(ODD))
    return value


def _has(value, key) -> bool:
    return key in value if isinstance(value, dict) else isinstance(key, int) and key < len(value)


def of_bytes(draw: random.Random, data: bytes) -> bytes:
    """Some bytes changed, cut off, doubled or put in; or another encoding, or a nesting that no parser should follow."""
    kind, at = draw.randrange(8), draw.randrange(len(data) + 1)
    if kind == 0:
        return data[:at]
    if kind == 1:
        return data[:at] + draw.randbytes(draw.randint(1, 9)) + data[at:]
    if kind == 2:
        return data + data[at:]
    if kind == 3:
        return data.decode("latin-1").encode(draw.choice(("utf-16", "utf-32", "utf-8-sig")))
    if kind == 4:
        return draw.choice((b"[", b'{"a":', b'[{"depths":')) * 10**5
    changed = bytearray(data)
    for _ in range(draw.randint(1, 8)):
        changed[draw.randrange(len(data))] = draw.randrange(256)
    return bytes(changed)


def of_text(draw: random.Random, text: str) -> bytes:
    """A damaged JSON file, or of JSON lines."""
    if draw.random() < 0.3:
        return of_bytes(draw, text.encode())
    lines = text.splitlines() if "}\n{" in text else [text]
    line = draw.randrange(len(lines))
    lines[line] = json.dumps(of_json(draw, json.loads(lines[line])))
    return "\n".join(lines).encode()


def replaced(path: pathlib.Path, kind: str) -> None:
    """Puts something else in a file's place: a folder, a link that leads nowhere or round in a circle, a pipe, a device."""
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to({"loop": path.name, "nowhere": "nothing", "device": "/dev/zero", "away": "/etc/hostname"}[kind])


REPLACED = ("folder", "loop", "nowhere", "pipe", "device", "away")
