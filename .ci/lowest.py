"""Prints the lowest versions that setup.cfg allows, as constraints for pip: CI tries whether they are enough.

    python .ci/lowest.py test > constraints.txt
    python -m pip install -c constraints.txt -e ".[test]"

Each name>=version of install_requires, and of the extras named as arguments, becomes name==version. To pip ==0.8 is
0.8 or 0.8.0 and never 0.8.1, so every lower bound in setup.cfg has to be a release that exists.
"""

import configparser
import pathlib
import re
import sys

SETUP = pathlib.Path(__file__).resolve().parents[1] / "setup.cfg"

# name[extras]>=version, other bounds; marker
REQUIREMENT = re.compile(
    r"(?P<name>[A-Za-z0-9][\w.-]*)\s*(?:\[[^\]]*\])?\s*"
    r">=\s*(?P<version>\d[\w.+!-]*)\s*(?:,[^;]*)?"
    r"(?P<marker>;.*)?",
    re.ASCII,
)


def main(extras: list[str]):
    try:
        print("\n".join(constraints(SETUP.read_text(encoding="utf-8"), extras)))
    except ValueError as error:
        sys.exit(f"{SETUP.name}: {error}")


def constraints(setup: str, extras: list[str]) -> list[str]:
    """The lines of the constraints file, each once.

    Args:
      setup: the text of setup.cfg.
      extras: names in options.extras_require.
    """
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(setup)
    optional = parser["options.extras_require"]
    unknown = [extra for extra in extras if extra not in optional]
    if unknown:
        raise ValueError(f"there is no extra {unknown[0]!r}, only {', '.join(optional)}")
    lists = [parser["options"]["install_requires"], *(optional[extra] for extra in extras)]
    requirements = [line.strip() for text in lists for line in text.splitlines() if line.strip()]
    return list(dict.fromkeys(constraint(requirement) for requirement in requirements))


def constraint(requirement: str) -> str:
    """name==version of a requirement, with its marker but without its extras, which pip forbids in constraints."""
    match = REQUIREMENT.fullmatch(requirement)
    if match is None:
        raise ValueError(f"no lower bound can be read in {requirement!r}, it has to be like name>=version")
    return f"{match['name']}=={match['version']}{match['marker'] or ''}"


if __name__ == "__main__":
    main(sys.argv[1:])
