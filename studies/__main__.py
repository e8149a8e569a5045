"""python -m studies NAME [options]"""

import importlib
import sys

from jaxstage.devices.cpu.host_memory import use_huge_pages

COMMANDS = {
    "replay": "which way to choose depths loses least, on published tables: no training, seconds",
    "truth": "trains what stages gain in 25 cases that are really grown, and scores them by noise: hours",
    "fidelity": "whether elastic networks tell these gains",
    "macro": "whether elastic networks rank what others trained alone, NAS-Bench-Macro: minutes an epoch",
    "inheritance": "which way to inherit weights is worth most",
    "small_data": "what is worth most with few pictures, from a pretrained network",
    "gpu": "everything of macro, search and compare that waits for a GPU",
    "results": "writes docs/RESULTS.md and docs/RESULTS_APPENDIX.md from the files in studies/results/",
}
USAGE = "\n".join(
    [
        f"usage: {__doc__}",
        "",
        "What a search can reach; `python -m studies NAME --help` says more.",
        "",
        *(f"  {name:12} {what}" for name, what in COMMANDS.items()),
    ]
)


def main(arguments: list[str]) -> None:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE)
        return
    name, *options = arguments
    if name not in COMMANDS:
        sys.exit(f"error: there is no study {name!r}: give one of {', '.join(COMMANDS)}")
    sys.argv[0] = f"python -m studies {name}"  # what argparse calls the program
    importlib.import_module(f"studies.{name}").main(options)


if __name__ == "__main__":
    use_huge_pages()
    main(sys.argv[1:])
