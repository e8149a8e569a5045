"""The page of one run or several: what it says, that anybody can read it, and what it survives."""

import configparser
import json
import re
import subprocess
import sys

import pytest
from conftest import REPOSITORY
from pages import check_accessible, page_of

from benchmarks.synthetic import change, write_network, write_run
from jaxstage import cli
from jaxstage.report.html import page
from jaxstage.workdir import kept

HTML = REPOSITORY / "jaxstage" / "report" / "html"
REFERENCES = [{"name": "ResNet-20", "macs": 40_551_808, "parameters": 272_474, "accuracy": 0.9125}]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "mine", 4, seed=3)


@pytest.fixture(scope="module")
def drawn(run):
    return page_of(run)


def test_it_says_what_the_record_says(run, drawn):
    record = json.loads((run / "search.json").read_text())
    for candidate in record["candidates"]:
        assert candidate["name"] in drawn.cells and f"{candidate['validation']['accuracy']:.2%}" in drawn.cells
    decisions = [decision for round in record["rounds"] for decision in round["decisions"]]
    assert drawn.cells.count("did not rise") == sum(not decision["grows"] for decision in decisions)
    for text in (
        "93.75%",
        "Finished. The search ended: growth.max_rounds=4 reached.",
        "0.1 kWh (0.0475 kgCO2eq)",
        "<dt>seed</dt><dd>3",
    ):
        assert text in drawn.text
    assert drawn.cells[drawn.cells.index("growth.max_rounds") + 1] == "5"  # of the config, at its default


def test_anybody_can_read_it(drawn):
    assert check_accessible(drawn) >= 8


def test_it_needs_no_network(drawn):
    assert all(value.startswith(("#", "data:")) for name in ("href", "src", "xlink:href") for value in drawn.all(name))
    assert "@import" not in drawn.text and not re.search(r"url\((?!#)", drawn.text)


def test_pictures_follow_light_and_dark(drawn):
    pictures = re.findall(r"<svg.*?</svg>", drawn.text, flags=re.DOTALL)
    assert pictures and not re.search(r"#[0-9a-f]{6}", " ".join(pictures))


def brightness(colour):
    """Relative luminance, WCAG 2.2."""
    channels = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_contrasts(scheme):
    """WCAG 2.2: 4.5 to 1 for texts, among them those that stand on bars; 3 to 1 for lines."""
    schemes = re.findall(r":root \{(.*?)\}", (HTML / "page.css").read_text(), flags=re.DOTALL)
    colours = dict(re.findall(r"--([\w-]+): (#\w{6})", schemes[scheme]))

    def contrast(one, other):
        low, high = sorted((brightness(colours[one]), brightness(colours[other])))
        return (high + 0.05) / (low + 0.05)

    for ground in ("page", "card", "code"):
        assert all(contrast(text, ground) >= 4.5 for text in ("ink", "muted", "accent", "warn"))
    assert all(contrast(name, "card") >= 4.5 for name in colours if name.startswith("series-"))


def test_the_same_run_gives_the_same_bytes(run, drawn):
    assert page_of(run).text == drawn.text


def test_fifty_rounds_stay_small(tmp_path):
    assert page.write([str(write_run(tmp_path / "long", 50, epochs=10))], tmp_path / "page.html").stat().st_size < 5e6


def test_names_are_no_markup(tmp_path):
    run = write_run(tmp_path / "<script>alert(1)<" / "a $x$ <b>", 1, data__name="<img src=x>", model__widths=(8, 8))

    def edit(record):
        record["rounds"][0]["decisions"][0]["why"] = "<i>because</i>"
        record["candidates"][0]["name"] = record["rounds"][0]["current"] = "<u>$start$"

    change(run / "search.json", edit)
    drawn = page_of(run, run)
    for text in ("<img src=x>", "<i>because", "<u>$", "a $x$ <b>", "alert(1)<"):
        assert text not in drawn.text
    assert "<i>because</i>" in drawn.cells


def test_what_a_newer_record_says_gets_columns(tmp_path):
    run = write_run(tmp_path / "run", 1)
    change(run / "search.json", lambda record: [d.update(own_score=0.125) for d in record["rounds"][0]["decisions"]])
    drawn = page_of(run)
    assert "own score" in drawn.cells and drawn.cells.count("0.125") == 3


def test_an_old_run_of_a_rule_that_is_gone(tmp_path):
    """It looked at the probe alone."""
    run = write_run(tmp_path / "run", 2, growth__rule="added_blocks")
    nothing = dict.fromkeys(("before", "before_error", "rise", "rise_error"))
    edit = lambda record: [d.update(nothing) for round in record["rounds"] for d in round["decisions"]]
    change(run / "search.json", edit)
    text = page_of(run).text
    assert (
        "Importance of the stages" in text
        and "Rise of the importance" not in text
        and "None" not in text.split("Config")[0]
    )


def test_unfinished_runs(tmp_path):
    run = write_run(tmp_path / "run", 2, finished=False)

    def open_round(record):
        record["rounds"][-1].update(decisions=None, next=None)
        record["candidates"][-1]["validation"] = None

    change(run / "search.json", open_round)
    with open(run / "metrics.jsonl", "a") as file:
        file.write('{"candidate": "r02')
    text = page_of(run).text
    assert "Not finished: " in text and "not trained yet" in text
    assert "metrics.jsonl" not in text  # a kill leaves half a line
    (run / "search.json").unlink()
    (run / "metrics.jsonl").unlink()
    assert "Not finished: 0 models trained" in page_of(run).text


def test_it_says_what_is_lost_and_changes_nothing(tmp_path):
    run = write_run(tmp_path / "run", 2)
    change(run / "search.json", lambda record: record["candidates"][-1].update(steps=10**6))
    lines = (run / "metrics.jsonl").read_text().splitlines()
    (run / "metrics.jsonl").write_text("\n".join([*lines[:3], "{", *lines[4:]]) + "\n")
    for name in ("search.json", "config.json"):
        kept.write(run / name, json.loads((run / name).read_text()))
        (run / name).write_text("{")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    text = page.render(page.collect([str(run)]))
    for note in (
        "search.json.copy is used in its place",
        "config.json.copy is used in its place",
        "metrics.jsonl: 1 line damaged and left out (line 4)",
        "metrics.jsonl: what was logged of these steps is missing, so the curves lack it: final ",
    ):
        assert note in text
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_one_training_and_an_imported_network(tmp_path):
    run = write_run(tmp_path / "run", 0, task="train")

    def only_final(record):
        record["candidates"], record["rounds"] = [{**record["candidates"][-1], "parent": "source"}], []

    change(run / "search.json", only_final)
    assert "Training curves" in page_of(run).text and "Growth over the rounds" not in page_of(run).text
    text = page_of(write_network(tmp_path / "theirs")).text
    assert (
        "it was imported, so there is no search to show" in text and "111,592,064" in text and "jaxstage.load(" in text
    )


def test_skipped_images_are_named(tmp_path):
    run = write_run(tmp_path / "run", 1)
    for process in ("", ".1"):  # of two hosts
        image = {"split": "mine/train", "image": f"dog/4{process}.jpg", "why": "truncated"}
        (run / f"skipped{process}.json").write_text(json.dumps({"images": [image]}))
    assert {"dog/4.jpg", "dog/4.1.jpg", "mine/train", "truncated"} <= set(page_of(run).cells)


def test_side_by_side(run, tmp_path):
    other = write_run(tmp_path / "mine", 2, seed=4, growth__step=1, checkpoint__keep=9)
    network = write_network(tmp_path / "theirs", test_accuracy=0.9012)
    (tmp_path / "published.json").write_text(json.dumps(REFERENCES))
    drawn = page_of(run, other, network, references=[str(tmp_path / "published.json"), f"ours={network}"])
    assert {"mine", "mine (2)", "theirs", "ResNet-20", "ours", "91.25%", "90.12%"} <= set(drawn.cells)
    differences = drawn.text[drawn.text.index("Config keys in which the runs differ") :].split("</table>")[0]
    assert set(re.findall(r'<th scope="row">(.*?)</th>', differences)) == {"growth.step", "seed"}
    identifiers = drawn.all("id")
    assert len(identifiers) == len(set(identifiers))


def test_a_table_of_all_comes_first(run, tmp_path):
    pages = {"mine <2>": "mine/seed0/report.html"}
    rows, notes = [("mine & yours", "91.2")], ["one seed: no intervals"]
    front = page.Front("Arms <1>", ("arm", "accuracy"), rows, notes, "mine wins <b>", pages)
    runs = page.collect([str(run), str(write_run(tmp_path / "mine", 1))])
    text = page.render(runs, front=front)
    assert "Arms &lt;1&gt;" in text and '<th scope="row">mine &amp; yours</th><td>91.2</td>' in text
    assert text.index("<p>One seed: no intervals.</p>") < text.index("What each run came to")
    assert '<p class="verdict">mine wins &lt;b&gt;</p>' in text
    assert '<a href="mine/seed0/report.html">mine &lt;2&gt;</a>.' in text
    assert 'id="front"' not in page.render(runs)


def test_the_command_writes_the_page(run):
    process = subprocess.run(
        [sys.executable, "-m", "jaxstage.report", run], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert process.returncode == 0 and process.stdout.strip() == str(run / "report.html"), process.stderr
    assert (run / "report.html").exists()


def test_the_commands_mistakes_are_one_line(run, tmp_path):
    damaged = write_run(tmp_path / "damaged", 1)
    (damaged / "search.json").write_text("{")
    older = write_run(tmp_path / "older", 1)
    change(older / "search.json", lambda record: record.update(format=0))
    (tmp_path / "bad.json").write_text('[{"name": "x", "macs": 1, "parameters": 1, "accuracy": 91.2}]')
    for arguments, text in {
        (tmp_path / "nowhere",): "there is no directory",
        (HTML,): "is no work directory",
        (damaged,): "search.json is damaged",
        (older,): "format 0, expected 1",
        (run, "--reference", "ResNet"): "give FILE.json or NAME=DIR",
        (run, "--reference", tmp_path / "bad.json"): "accuracy from 0 to 1",
        (run, "--reference", f"a={write_network(tmp_path / 'bare')}"): "no accuracy is written there",
        (run, "--out", tmp_path / "no" / "page.html"): "No such file or directory",
    }.items():
        with pytest.raises(SystemExit, match=re.escape(text)) as exit:
            cli.main(["report", *(str(argument) for argument in arguments)])
        assert exit.value.code.startswith("error: ") and "\n" not in exit.value.code


def test_a_run_survives_a_page_that_cannot_be_drawn(tmp_path):
    run, warnings = write_run(tmp_path / "run", 1), []
    change(run / "search.json", lambda record: record["candidates"][0].update(depths=None))
    page.refresh(run, warnings.append)
    assert len(warnings) == 1 and "\n" not in warnings[0] and "report.html is not drawn (" in warnings[0]
    assert not list(run.glob("report.html*"))


def test_the_template_is_installed():
    setup = configparser.ConfigParser()
    setup.read(REPOSITORY / "setup.cfg")
    listed = setup["options.package_data"]["jaxstage.report.html"].split()
    assert set(listed) == {path.name for path in HTML.iterdir() if path.is_file() and path.suffix != ".py"}
