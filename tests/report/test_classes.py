"""What a page shows of each class: written at a run's end, drawn without the data, and left out where it is not there."""

import json
import math

import numpy as np
import pytest
from pages import check_accessible, page_of

import jaxstage
from benchmarks.synthetic import change, write_run
from jaxstage import config
from jaxstage.errors import UserError
from jaxstage.train.predictions import look
from jaxstage.workdir import tested
from jaxstage.workdir.confusion import Confusion

COUNTS = Confusion(("rose", "tulip", "fern"), ((8, 2, 0), (1, 9, 0), (3, 0, 0)))
SMALL = {
    "task": "train",
    "data.examples": 110,
    "batch_size": None,
    "model.depths": (1,),
    "model.widths": (4,),
    "final.epochs": 1,
    "devices": 1,
    "compilation_cache": "",
}


@pytest.fixture
def run(tmp_path):
    workdir = write_run(tmp_path / "run", 1)
    picture = tested.Picture("rose", "tulip", 0.875, tested.png(np.full((200, 100, 3), 7, np.uint8)))
    tested.write(workdir, COUNTS, "8 x TPU v9", [picture])
    return workdir


def test_a_run_leaves_what_its_page_shows(digits_run):
    found, drawn = tested.read(digits_run), page_of(digits_run)
    assert found.counts.examples == 360 and math.isclose(
        found.counts.accuracy, jaxstage.load(digits_run).metadata["test_accuracy"], abs_tol=1e-6
    )
    assert 0 < len(found.pictures) <= tested.PICTURES and len(drawn.all("src")) == len(found.pictures)
    sure = [picture.probability for picture in found.pictures]
    assert sure == sorted(sure, reverse=True) and all(picture.label != picture.named for picture in found.pictures)


def test_the_page_says_how_good_each_class_is(run):
    drawn = page_of(run)
    rows = drawn.tables["Test accuracy by class, the worst first"][1:]
    assert [row[:4] for row in rows] == [
        ["fern", "0", "3", "0.00%"],
        ["rose", "8", "10", "80.00%"],
        ["tulip", "9", "10", "90.00%"],
    ]
    assert ["fern", "rose", "3", "3"] in drawn.tables["What each class was taken for"]
    low, high = COUNTS.interval
    for text in (f"{low:.2%} to {high:.2%}", "Never named: fern.", "8 x TPU v9", "rose, taken for tulip (87.50%)"):
        assert text in drawn.text
    assert "Line and star differ in kind" in drawn.text and check_accessible(drawn) >= 9


def test_a_thousand_classes_and_a_dozen_pictures_stay_small(run):
    names = [f"class {number} of the family of the things that have long names" for number in range(1000)]
    rows = [[1 if abs(true - named) < 40 else 0 for named in range(1000)] for true in range(1000)]
    noise = np.random.default_rng(0).integers(0, 256, (tested.LARGEST, tested.LARGEST, 3), np.uint8)
    pictures = [tested.Picture(names[0], name, 0.5, tested.png(noise)) for name in names[: tested.PICTURES]]
    tested.write(run, Confusion(tuple(names), tuple(map(tuple, rows))), "8 x TPU v9", pictures)
    drawn = page_of(run)
    assert len(drawn.text.encode()) < 5e6 and len(drawn.all("src")) == tested.PICTURES
    assert len(drawn.tables["Test accuracy by class, the worst first"]) == 1001
    assert "What each class was taken for" not in drawn.text


def test_pictures_that_are_private_are_not_shown(run):
    change(run / "config.json", lambda config: config.setdefault("report", {}).update(pictures=False))
    drawn = page_of(run)
    assert drawn.all("src") == [] and "Misclassified" not in drawn.text and "Never named" in drawn.text


@pytest.mark.parametrize("change_of", [{"confusion": [[1]]}, {"pictures": [{}]}, {"class_names": 3}, {"machine": None}])
def test_a_damaged_file_is_a_note(run, change_of):
    data = json.loads((run / tested.FILE).read_text())
    (run / tested.FILE).write_text(json.dumps(data | change_of))
    with pytest.raises(UserError, match="test.json is damaged"):
        tested.read(run)
    assert "test.json is damaged" in page_of(run).text


def test_the_surest_mistakes_are_kept_in_order():
    logits = np.float32([[0, 1], [0, 3], [2, 0], [0, 2], [0, 4]])
    images = np.arange(5, dtype=np.uint8).reshape(5, 1, 1, 1)
    labels, named, kept = look(iter([(images, np.zeros(5, np.int32), logits)]), keep=2)
    assert (labels.tolist(), named.tolist()) == ([0] * 5, [1, 1, 0, 1, 1])
    assert [int(mistake.image.item()) for mistake in kept] == [4, 1]


def test_a_run_that_learns_nothing_says_so_and_names_the_knob(tmp_path, capsys):
    """The loss stays finite. Of a set with fewer images than importance would look at, which this task does not do."""
    settings = SMALL | {"optimizer.learning_rate": 100.0, "report.pictures": False}
    jaxstage.search(config.load("digits", settings), tmp_path / "run")
    out, err = capsys.readouterr()
    assert "digits: 99 images to train on, 11 for validation; 8 a step\n" in out and "search ends" not in out
    assert "lower config.optimizer.learning_rate=100 or lengthen config.final.warmup_epochs=0.5" in err
    assert "not clearly better than to name always the most frequent class" in out
    assert tested.read(tmp_path / "run").pictures == ()
