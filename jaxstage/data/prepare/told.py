"""What people are told of a set before it is written: how many pictures, what was left out, what is there twice."""

from collections import Counter, defaultdict
from collections.abc import Sequence

from jaxstage.data.prepare.duplicates import Twins
from jaxstage.data.prepare.found import OUTSIDE, SPLITS, LeftOut, Picture
from jaxstage.errors import printable, some

MOST_ROWS = 30  # classes in the table
TWINS = {
    "same_class": "twice in one class, byte for byte",
    "other_class": "in two classes, byte for byte, so one label is wrong",
    "train_and_test": "for training and for the test, byte for byte, so the test will look too good",
    "near_train_and_test": "for the test and nearly like one for training, so look whether the test is one",
    "near_train": "nearly like another one, which may come into the test: give test pictures of your own if they show the same",
}


def overview(where: str, pictures: Sequence[Picture], left_out: Sequence[LeftOut], test: str | None) -> str:
    """A table of the classes and the reasons for leaving things out, in lines.

    Args:
      where: the folder or table.
      pictures: those that come into the set.
      left_out: the others.
      test: the split that the test will be on, or None.
    """
    counts = Counter((one.label, one.split) for one in pictures)
    missing = Counter(one.picture.label for one in left_out)
    labels = sorted({one.label for one in pictures} | set(missing) - {OUTSIDE})
    splits = [split for split in dict.fromkeys(SPLITS.values()) if any(one.split == split for one in pictures)]
    lines = [f"{where}: {len(pictures):,} pictures of {len(labels):,} classes, {len(left_out):,} left out"]
    rows = sorted(labels, key=lambda label: counts[label, "train"])[:MOST_ROWS] if len(labels) > MOST_ROWS else labels
    table = [["class", *splits, "left out"]]
    table += [[label, *(f"{counts[label, split]:,}" for split in splits), f"{missing[label]:,}"] for label in rows]
    if missing[OUTSIDE]:
        table.append(["(no class)", *("" for _ in splits), f"{missing[OUTSIDE]:,}"])
    widths = [max(map(len, column)) for column in zip(*table)]
    for name, *numbers in table:
        lines.append(f"  {name:{widths[0]}}" + "".join(f"  {n:>{w}}" for n, w in zip(numbers, widths[1:])))
    if len(rows) < len(labels):
        lines.append(f"  and {len(labels) - len(rows):,} more classes, with more pictures")
    why = defaultdict(list)
    for one in left_out:
        why[one.why].append(one.picture.path)
    for reason, paths in sorted(why.items(), key=lambda item: -len(item[1])):
        lines.append(f"  left out, {reason}: {some(map(_one_line, paths), most=5)}")
    if test is None:
        lines.append("  without test pictures a fifth of those for training is set aside for the test")
    elif test != "test":
        lines.append(f"  without test pictures those for {test} are the test")
    return printable("\n".join(lines))


def repeated(twins: dict[str, Twins]) -> str:
    """What is there twice, in lines; empty where nothing is."""
    found = [(TWINS[kind], twin.number, *twin.example) for kind, twin in twins.items() if twin.example]
    return "\n".join(f"  {what}: {number:,}, as {one} and {other}" for what, number, one, other in found)


def _one_line(path: str) -> str:
    return path if path.isprintable() else repr(path)
