"""The sentences at the top of a page, for every kind of run; and the comparison that a run is a part of."""

import json

import pytest
from conftest import REPOSITORY
from pages import page_of

from benchmarks.synthetic import change, write_elastic_run, write_network, write_run
from jaxstage.report import text
from jaxstage.report.html.collect import collect_run
from jaxstage.report.html.verdict import verdict
from jaxstage.workdir import tested
from jaxstage.workdir.confusion import Confusion

GOOD = Confusion(("rose", "tulip"), ((90, 10), (10, 90)))


def chosen_at(workdir, depths, upper=(3, 3, 3), **config):
    """An elastic search of one round that chose these depths."""
    run = write_elastic_run(workdir, 1, latency=True, **config)

    def choose(record):
        found = record["candidates"][1]["found"]
        found["chosen"] = depths
        costs = next(state for state in found["states"] if state["depths"] == depths)
        for candidate in record["candidates"][2:]:
            candidate.update(depths=depths, macs=costs["macs"], parameters=costs["parameters"], latency_ms=2.5)

    change(run / "search.json", choose)
    tested.write(run, GOOD, "", [])
    return run


def told(workdir):
    return verdict(collect_run(workdir))


def test_an_elastic_search(tmp_path):
    what, sure = told(chosen_at(tmp_path / "run", [2, 3, 1], data__name="mine"))
    assert what == (
        "Of the networks of family resnet from depths (1, 1, 1) to (3, 3, 3), the search on mine chose (2, 3, 1): it has "
        "136 k parameters and takes 17.1 M multiply-accumulates (MACs) an image and 2.5 ms a batch, 69% of the MACs of "
        "(3, 3, 3)."
    )
    low, high = GOOD.interval
    assert sure == (
        f"It is right for 90.00% of 200 test images (95% interval {low:.2%} to {high:.2%}); its least certain block, the "
        "last of stage 2, takes 0.0800 ± 0.0030 off the validation loss (± one standard error), and the best one left out, "
        "in stage 3, would take 0.0500 ± 0.0030."
    )


@pytest.mark.parametrize(
    "depths, what, sure",
    [
        ([3, 3, 3], "chose (3, 3, 3), the deepest of them, within 40,000,000 MACs: ", "and deeper was not looked at."),
        (
            [1, 1, 1],
            "chose (1, 1, 1), the shallowest of them, within 40,000,000 MACs: ",
            "no block beyond (1, 1, 1) was chosen, the best of which, in stage 2, would take 0.1600 ± 0.0030 off",
        ),
    ],
)
def test_an_elastic_search_that_chose_an_end(tmp_path, depths, what, sure):
    run = chosen_at(tmp_path / "run", depths, growth__max_macs=40_000_000)
    assert what in told(run)[0] and sure in told(run)[1]


def test_a_search_that_started_from_a_network_and_ended_shallower(tmp_path):
    """The depths of the source are the upper ones, and the start of the record."""
    run = chosen_at(tmp_path / "run", [1, 2, 1], source="runs/imported")

    def shrink(record):
        record["candidates"][0].update(depths=[3, 3, 3], parent="source")
        record["candidates"][1].update(parent="source")

    change(run / "search.json", shrink)
    what, sure = told(run)
    assert "to (3, 3, 3), starting from the weights of runs/imported, the search on digits chose (1, 2, 1): " in what
    assert "of the MACs of (3, 3, 3)." in what and "grew" not in what and "stage 1, would take 0.0900" in sure


def test_a_search_by_scores(tmp_path):
    run = write_run(tmp_path / "run", 4)
    final = collect_run(run).record.final
    grown = f"from depths (2, 2, 2) to {final.depths} in 4 rounds: it has {text.amount(final.parameters)} parameters"
    what, sure = told(run)
    assert what.startswith(
        f"The search on digits grew a network of family resnet, {grown}".replace("resnet, ", "resnet ")
    )
    assert what.endswith(f", {sum(final.depths) / 6:.0%} of the MACs of (2, 2, 2).")
    assert sure == (
        "It is right for 93.75% of the test images, as its files say; how many these are is not known here, so there is no "
        "interval."
    )
    change(run / "search.json", lambda record: record["candidates"][-1].update(depths=[2, 2, 2]))
    assert "grew no stage in 4 rounds, so a network of family resnet stays at (2, 2, 2): it has" in told(run)[0]


def test_training_and_transfer(tmp_path):
    run = write_run(tmp_path / "run", 0, task="transfer", source="runs/theirs")

    def only_final(record, parent):
        record["candidates"], record["rounds"] = [{**record["candidates"][-1], "parent": parent}], []

    change(run / "search.json", lambda record: only_final(record, "source"))
    given = "A network of family resnet, its depths (2, 2, 2) given, was trained on digits"
    assert told(run)[0].startswith(f"{given}, starting from the weights of runs/theirs: it has 6,000 parameters and ")
    change(run / "search.json", lambda record: only_final(record, None))
    assert f"{given}, built as runs/theirs and trained from new weights: " in told(run)[0]
    change(run / "search.json", lambda record: record.update(test=None))
    assert "is being trained on digits" in told(run)[0] and told(run)[1].startswith("So far it is right for ")


def test_what_is_wrong_with_the_test_is_in_the_sentence(tmp_path):
    run = write_run(tmp_path / "run", 1)
    tested.write(run, Confusion(("a", "b", "c"), ((96, 0, 0), (2, 0, 0), (1, 0, 1))), "", [])
    assert told(run)[1] == (
        "It is right for 97.00% of 100 test images (95% interval 91.55% to 98.97%, mean over classes 50.00%), which is not "
        "clearly better than to name always the most frequent class, and never for 1 class of 3."
    )


def test_half_finished_and_imported(tmp_path):
    run = write_elastic_run(tmp_path / "run", 2, finished=False)
    what, sure = told(run)
    assert what.startswith("So far the search on digits stands at a network of family resnet and depths (")
    assert "as a part of the elastic network that was never trained alone; the test comes at the end" in sure
    change(run / "search.json", lambda record: record.update(candidates=record["candidates"][:1], rounds=[]))
    change(run / "search.json", lambda record: record["candidates"][0].update(validation=None))
    assert told(run)[1] == "How good it is is not known yet."
    (run / "search.json").unlink()
    assert told(run) == []
    network = told(write_network(tmp_path / "theirs"))
    assert network[0].startswith("A network of family resnet and depths (8, 10, 6), which was imported: it has 653 k ")
    assert network[1] == "How good it is was not tested here: jaxstage evaluate does."


def test_a_work_directory_of_version_0_2():
    what, sure = told(REPOSITORY / "tests" / "fixtures" / "run_of_0_2")
    assert (
        "chose (1, 1), the shallowest of them: it has 1,454 parameters" in what
        and "there is no interval; no block" in sure
    )


def test_the_page_has_what_matters_first(tmp_path):
    run = chosen_at(tmp_path / "run", [2, 3, 1])
    drawn = page_of(run).text
    parts = [
        *told(run),
        "The frontier: loss against MACs",
        "How the loss falls with the depth of each stage",
        "How good it is, class by class",
        "What each class was taken for",
        "Training curves",
        "What was measured and decided",
        "Machine, versions, seed",
    ]
    places = [drawn.index(f">{part}") for part in parts]
    assert places == sorted(places)


def compared(place, **changes):
    """A run in a comparison's folder, with what the comparison wrote."""
    run = write_run(place / "<last>" / "seed0", 1)
    arms = [{"seeds": [{"workdir": "elsewhere/<last>/seed0"}]}]
    table = {"head": ["arm", "test"], "rows": [["<last>", "91.2"]]}
    data = {"arms": arms, "verdict": "<last> is best.", "notes": ["a <note>"], "table": table, **changes}
    (place / "compare.json").write_text(json.dumps(data))
    return run


def test_a_run_of_a_comparison_shows_it(tmp_path):
    run = compared(tmp_path / "one")
    drawn = page_of(run)
    assert ["<last>", "91.2"] in drawn.tables["Arms of the comparison that this run is a part of"]
    assert (
        "&lt;last&gt; is best." in drawn.text
        and "A &lt;note&gt;." in drawn.text
        and "jaxstage compare" not in drawn.text
    )
    assert str(tmp_path / "one" / "compare.html") in drawn.text
    assert "Arms of the comparison" not in page_of(run, run).text


@pytest.mark.parametrize("changes", [{"arms": []}, {"arms": 3}, {"verdict": None}, {"table": {"head": 1, "rows": []}}])
def test_a_comparison_of_others_or_damaged_is_not_shown(tmp_path, changes):
    run = compared(tmp_path / "one", **changes)
    found = collect_run(run)
    assert found.compared is None
    assert ["compare.json is damaged" in note for note in found.notes] == [True] * (changes != {"arms": []})
    (tmp_path / "one" / "compare.json").write_text('["somebody else\'s"]')
    assert collect_run(run).notes == ()
