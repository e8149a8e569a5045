"""Draws what runs found as one HTML page, which needs no network: one run, or several side by side.

    python -m jaxstage.report WORKDIR
    python -m jaxstage.report WORKDIR WORKDIR --out comparison.html --reference published.json --reference big=WORKDIR

One run's page goes to WORKDIR/report.html, where a run keeps it anyway; that of several to report.html here. An
unfinished run and an imported network have a page as well. A reference network to compare with is a JSON file with a
list of {"name": "ResNet-20", "macs": 40551808, "parameters": 272474, "accuracy": 0.9125}, or NAME=WORKDIR.
"""
import argparse
import pathlib
import sys

from jaxstage.errors import UserError


def main(arguments: list[str] | None = None) -> None:
    options = _options(arguments)
    from jaxstage.report.html import page

    single = len(options.workdirs) == 1
    out = options.out or (pathlib.Path(options.workdirs[0]) / page.FILE if single else page.FILE)
    try:
        print(page.write(options.workdirs, out, options.reference))
    except UserError as error:
        sys.exit(f"error: {' '.join(str(error).split())}")


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m jaxstage.report", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workdirs", metavar="WORKDIR", nargs="+", help="work directory of a run or an imported network")
    parser.add_argument("--out", metavar="FILE", help="where to write the page")
    parser.add_argument("--reference", metavar="FILE.json or NAME=DIR", action="append", default=[], help="repeatable")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
