"""Writes docs/RESULTS.md and docs/RESULTS_APPENDIX.md from the files in studies/results/, and nothing else.

python -m studies results
"""

import argparse
import json
import pathlib

from jaxstage.files import write_text
from studies import compare, fidelity, inheritance, macro, replay, small_data, tables
from studies.study import RESULTS

DOCS = pathlib.Path(__file__).parents[1] / "docs"
PAGE, APPENDIX = DOCS / "RESULTS.md", DOCS / "RESULTS_APPENDIX.md"
STUDIES = {
    "Spaces by rules": replay.STUDY,
    "Readings against what stages gain": fidelity.STUDY,
    "Elastic networks against NAS-Bench-Macro": macro.STUDY,
    "Whole searches beside fixed rules": compare.STUDY,
    "Inheritance": inheritance.STUDY,
    "Few pictures": small_data.STUDY,
}
HEAD = """# Does it pay?

Every figure comes from a file in [studies/results/](../studies/results/); `python -m studies results` writes this page.
*Better* and *worse*: the 95 % interval of the difference leaves out 0; otherwise it is a *tie*. Runs with the same seed
saw the same images in the same split and are compared in pairs. Each interval stands for itself: of twenty, one is wrong
by chance."""
# Written by hand: it names only what the tables show, so read it again when a file changes.
CONCLUSION = """## Conclusion

- With good readings, to choose the whole tuple by a fitted response pays: no fixed rule survives all published tables,
  and the choice is at no table far behind the rule that happens to be best there.
- Elastic networks give such readings of what stages gain, as good as the truth of other seeds; scores by noise are half as
  good, and the paper's rule by their rise is in a tie with a random stage.
- Trained for a few epochs, they rank networks that are nearly as good worse than MACs do, with 40,000 images, too; what
  they say of the first stage and of second added blocks is too little by then.
- Whole searches win where a budget had better not be filled. Where it had, they end in a tie with uniform depths, at the
  same total work and with fewer MACs.
- Weights are worth inheriting; how new blocks begin makes no difference that three seeds would show.
- A pretrained network can be cut back to what a few pictures need: about half of its MACs at the same accuracy, for half as
  much work again as fine-tuning it whole."""
FOOT = """## More

The long tables, machines and versions: [RESULTS_APPENDIX.md](RESULTS_APPENDIX.md). Commands, and what earlier studies
showed that are gone: [studies/README.md](../studies/README.md). Speed: [benchmarks/README.md](../benchmarks/README.md)."""
APPENDIX_HEAD = """# Results, all of them

What is too long for [RESULTS.md](RESULTS.md), which says how to read it; written by the same command."""


def render(folder: pathlib.Path) -> tuple[str, str]:
    """The page and its appendix from a folder of results; studies that it has nothing of are left out."""
    page, appendix = [HEAD], [APPENDIX_HEAD]
    for title, study in STUDIES.items():
        if cells := study.cells(folder):
            summary = study.summary(cells)
            page.append(f"## {title}\n\n{study.question}\n\n{study.verdict(summary)}")
            if details := study.details(summary):
                appendix.append(f"## {title}\n\n{details}")
    appendix.append(f"## Machines and versions\n\n{_machines(folder)}")
    return "\n\n".join([*page, CONCLUSION, FOOT]) + "\n", "\n\n".join(appendix) + "\n"


def _machines(folder: pathlib.Path) -> str:
    """Of the files that say it; `jaxstage compare`, replay and macro do not."""
    keys, rows = ("cpu", "cores", "gpu", "os", "python"), []
    for path in sorted(folder.glob("*.json")):
        if machine := json.loads(path.read_text()).get("machine"):
            versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
            rows.append([f"`{path.name}`", *(str(machine[key] or "-") for key in keys), versions, machine["date"]])
    return tables.table(["file", "processor", "cores", "GPU", "system", "Python", "versions", "date"], rows)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args(arguments)
    for path, text in zip((PAGE, APPENDIX), render(RESULTS)):
        write_text(path, text)
        print(f"written: {path.relative_to(DOCS.parent)}")
