"""The files around the code: the Dockerfile, the workflow, the citation, and the extras that pages and scripts name."""

import configparser
import json
import re
import shutil
import subprocess
import sys

import pytest
from conftest import REPOSITORY

WORKFLOW = REPOSITORY / ".github" / "workflows" / "tests.yml"


def parsed(path):
    return pytest.importorskip("yaml").safe_load(path.read_text())


@pytest.mark.parametrize(
    "linter, path", [("hadolint", REPOSITORY / "Dockerfile"), ("actionlint", WORKFLOW)], ids=["hadolint", "actionlint"]
)
def test_linter_finds_nothing(linter, path):
    if shutil.which(linter) is None:
        pytest.skip(f"{linter} is not installed")
    process = subprocess.run([linter, path], capture_output=True, text=True)
    assert process.returncode == 0, process.stdout + process.stderr


def test_a_type_checker_accepts_what_is_public():
    """pyrightconfig.json names it; tests/public_types.py uses it as people do."""
    if shutil.which("pyright") is None:
        pytest.skip("pyright is not installed")
    command = ["pyright", "--project", REPOSITORY, "--pythonpath", sys.executable, "--outputjson"]
    found = json.loads(subprocess.run(command, capture_output=True, text=True).stdout)
    named = (REPOSITORY / name for name in json.loads((REPOSITORY / "pyrightconfig.json").read_text())["include"])
    assert found["summary"]["filesAnalyzed"] == sum(len([*one.rglob("*.py")]) if one.is_dir() else 1 for one in named)
    assert [(one["file"], one["message"]) for one in found["generalDiagnostics"] if one["severity"] == "error"] == []


@pytest.mark.parametrize("asked", (("format", "--check"), ("check",)))
def test_one_formatter_and_linter_agree(asked):
    if shutil.which("ruff") is None:
        pytest.skip("ruff is not installed")
    found = subprocess.run(["ruff", *asked, "--quiet", REPOSITORY], capture_output=True, text=True)
    assert found.returncode == 0, found.stdout


def test_the_image_is_given_all_that_the_installation_reads():
    patterns = (REPOSITORY / ".dockerignore").read_text().splitlines()
    given = {pattern[1:] for pattern in patterns if pattern.startswith("!")}
    assert {"jaxstage", "setup.cfg", "setup.py", "README.md", "LICENSE"} <= given
    assert all((REPOSITORY / name).exists() for name in given)
    assert (REPOSITORY / "pyproject.toml").exists() == ("pyproject.toml" in given)


def test_the_workflow_runs_what_ci_runs():
    steps = parsed(WORKFLOW)["jobs"]["tests"]["steps"]
    assert [step["run"] for step in steps if "run" in step] == ["bash .ci/run"]
    (python,) = [step["with"] for step in steps if "setup-python" in step.get("uses", "")]
    assert python["python-version"].split()[-1] == "3.11", "the last one becomes python3"


def test_the_citation_names_the_software_and_leaves_its_version_to_the_package():
    citation = parsed(REPOSITORY / "CITATION.cff")
    assert {"cff-version", "message", "title", "authors"} <= citation.keys() and "version" not in citation


def test_every_extra_that_is_named_exists():
    setup = configparser.ConfigParser()
    setup.read(REPOSITORY / "setup.cfg")
    pages = [REPOSITORY / "README.md", *REPOSITORY.glob("docs/**/*.md"), *REPOSITORY.glob("docs/**/*.ipynb")]
    named = {}
    for path in [REPOSITORY / "Dockerfile", *REPOSITORY.glob("launch/*.sh"), *pages]:
        text = path.read_text()
        for extras in re.findall(r"(?:\bjaxstage|(?<![\w)\]])\.)\[([\w, -]+)\]", text):
            named.update(dict.fromkeys(re.split(r", ?", extras), path.name))
        named.update(dict.fromkeys(re.findall(r"\b(?:CUDA|EXTRA)=(\w+)", text), path.name))
    assert {"cuda12", "tpu"} <= named.keys()
    missing = {name: page for name, page in named.items() if name not in setup["options.extras_require"]}
    assert not missing
