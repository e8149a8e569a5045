"""Writes docs/RESULTS.md and its plots from the summaries in benchmarks/results/, and nothing else.

    python benchmarks/results.py                         # the page, from the summaries that are there
    python benchmarks/results.py --run --preset=tiny     # first runs all benchmarks behind it: 2 CPU cores
    python benchmarks/results.py --run --preset=gpu      # the same on one GPU
    python benchmarks/results.py --run --preset=full     # the same at the published scale

--run goes on where it was killed. A benchmark that fails does not keep the others from running, and the page is written
from what is there.
"""

import argparse
import json
import pathlib
import subprocess
import sys

import opening
import sections
import summary

REPOSITORY = pathlib.Path(__file__).resolve().parents[1]
PAGE = REPOSITORY / "docs" / "RESULTS.md"
PRESETS = ("full", "gpu", "tiny")
SECTIONS = {
    "baselines": sections.baselines,
    "inheritance": sections.inheritance,
    "fidelity": sections.fidelity,
    "nas_bench_macro": sections.nas_bench_macro,
}  # by the benchmark's name: function(summary, prefix of its plots) -> Section
HEAD = """# Does it pay?

This page is written by `python benchmarks/results.py` from the files in `studies/results/` and `benchmarks/results/`,
its sentences included: where it says better or worse, the 95 % confidence interval of the difference leaves out 0;
otherwise it says tie. Runs with the same seed saw the same images in the same split and are compared in pairs. Each
interval stands for itself: of twenty, one is wrong by chance. What comes of `benchmarks/` can be rerun at once, of
`studies/` by the commands in its README:

```bash
python benchmarks/results.py --run --preset=tiny
```
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", action="store_true", help="run the benchmarks first")
    parser.add_argument("--preset", choices=PRESETS, default="tiny", help="at which scale to run them")
    given = parser.parse_args()
    failed = run(given.preset) if given.run else []
    page, plots = render(summary.RESULTS, opening.STUDIES)
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page)
    for name, draw in plots.items():
        draw(PAGE.parent / name)
    print(f"written: {PAGE.relative_to(REPOSITORY)} and {len(plots)} plots")
    if failed:
        sys.exit(f"error: {', '.join(failed)} failed, see above; the same command tries again")


def run(preset: str) -> list[str]:
    """Runs the benchmarks one after the other; returns the names of those that failed."""
    failed = []
    for name in SECTIONS:
        command = [sys.executable, f"benchmarks/{name}.py", f"--preset={preset}"]
        print("+", *command, flush=True)
        if subprocess.run(command, cwd=REPOSITORY).returncode:
            failed.append(name)
    return failed


def render(folder: pathlib.Path, studies: pathlib.Path) -> tuple[str, dict]:
    """The page from the results of benchmarks and studies, and its plots as functions of a path below docs/."""
    plots, conclusions, body, provenance = {}, [], [], []
    for preset in PRESETS:
        found = {name: folder / name / f"{preset}.json" for name in SECTIONS}
        if not any(path.exists() for path in found.values()):
            body.append(f"# Preset {preset}\n\nNot run yet: `python benchmarks/results.py --run --preset={preset}`.\n")
            continue
        body.append(f"# Preset {preset}\n")
        for name, path in found.items():
            if not path.exists():
                body.append(f"No results of `benchmarks/{name}.py --preset={preset}` yet.\n")
                continue
            data = json.loads(path.read_text())
            section = SECTIONS[name](data, f"results/{name}-{preset}")
            plots |= section.plots
            source = f"benchmarks/results/{name}/{preset}.json"
            body.append(f"## {section.title}\n\nFrom [`{source}`](../{source}).\n\n{section.text}\n")
            conclusions += [f"- {line}" for line in section.conclusions]
            provenance.append(_provenance(source, data))
    if conclusions:
        head = ["source", "command", "processor", "cores", "GPU", "system", "Python", "versions", "date"]
        machines = sections.table(head, provenance)
        body = ["# Conclusion\n", "\n".join(conclusions) + "\n", "# Machines and versions\n", machines + "\n", *body]
    return "\n".join(filter(None, [HEAD, opening.opening(studies), *body])), plots


def _provenance(source: str, data: dict) -> list[str]:
    machine = data["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    keys = ("cpu", "cores", "gpu", "os", "python")
    facts = (str(machine[key] or "-") for key in keys)
    return [f"`{source}`", f"`{data['command']}`", *facts, versions, machine["date"]]


if __name__ == "__main__":
    main()
