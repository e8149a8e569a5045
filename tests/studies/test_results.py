"""studies/results.py and the command line: the pages are what the committed files give."""

import json
import subprocess
import sys

import pytest
from conftest import REPOSITORY

from studies import __main__ as command
from studies import macro, results
from studies.study import RESULTS


def test_the_pages_are_what_the_files_give():
    pages = results.render(RESULTS)
    assert [path.read_text() for path in (results.PAGE, results.APPENDIX)] == [*pages], "run python -m studies results"


def test_studies_without_results_are_left_out(tmp_path):
    (tmp_path / "replay.json").write_text((RESULTS / "replay.json").read_text())
    page, appendix = results.render(tmp_path)
    assert "## Spaces by rules" in page and "## Inheritance" not in page + appendix


def test_more_images_epochs_and_seeds_of_elastic_networks_are_more_rows(tmp_path):
    found = json.loads((RESULTS / "macro.json").read_text())
    (tmp_path / "macro.json").write_text(json.dumps(found))
    found["settings"] |= {"examples": 42_000, "read": 2_000}
    (tmp_path / "macro_40000.json").write_text(json.dumps(found))
    for one in found["tables"]:
        one["elastic"][0]["tau_loss"] += 0.01
    (tmp_path / "macro_seed1.json").write_text(json.dumps(found | {"settings": found["settings"] | {"seed": 1}}))
    rows = macro.summarise(macro.cells(tmp_path))["now"]
    assert [row["images"] for row in rows] == [8_000, 40_000] * 3
    assert [row["ranks"]["n"] for row in rows] == [1, 2] * 3
    assert "| 40,000 | 3 |" in macro.verdict({"now": rows})


def test_one_command_line_for_all(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["studies"])
    command.main(["--help"])
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    assert listed == list(command.COMMANDS)
    for name in listed:
        with pytest.raises(SystemExit, match="^0$"):
            command.main([name, "--help"])
        assert capsys.readouterr().out.startswith(f"usage: python -m studies {name} ")
    with pytest.raises(SystemExit, match="there is no study 'nothing': give one of replay"):
        command.main(["nothing"])


def test_it_is_a_module_that_runs():
    process = subprocess.run(
        [sys.executable, "-m", "studies", "nothing"], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert process.returncode == 1 and process.stderr.startswith("error: there is no study 'nothing'")
