"""Tables of latencies: what they say of depths that nobody measured, their files, and runs that decide by them."""

import json

import pytest

from jaxstage import cli
from jaxstage import config as configs
from jaxstage.config import plain
from jaxstage.cost import latency, timing
from jaxstage.data import load_train
from jaxstage.depth_search import latencies, plan
from jaxstage.depth_search.bench import make_bench
from jaxstage.errors import UserError
from jaxstage.models import parse_block
from jaxstage.report.console import Reporter
from jaxstage.workdir.record import Record

BLOCKS = (0.5, 1.25, 2.0)  # milliseconds of a block in each stage, as the stopwatch below has them


def small(**changes):
    config = configs.default()
    settings = {"model.depths": (1, 1, 1), "model.widths": (4, 8, 8), "devices": 1, "evaluate.latency_runs": 1}
    config.update_from_flattened_dict({**settings, **{key.replace("__", "."): value for key, value in changes.items()}})
    configs.validate(config)
    return config


def stopwatch(networks, image_shape, batch, runs):
    """Milliseconds by the blocks that each network has, in the place of `timing.latencies`."""
    stages = [[parse_block(name) for name in variables["params"]] for _, variables in networks]
    return [3.0 + batch * sum(BLOCKS[block[0]] for block in one if block) for one in stages]


def table_of(config, image_shape=(8, 8, 1), batch=1, timed=stopwatch):
    return latency.measure(plain(config.model), config.model.depths, image_shape, 10, batch, 1, timed)


def refuse(*_, **__):
    raise AssertionError("measured, though there is a table")


def test_the_table_tells_what_networks_of_other_depths_take():
    table = table_of(small(model__depths=(1, 2, 1)), batch=2)
    assert (table.base_ms, table.block_ms, table.lower, table.batch_size) == (13.0, (1.0, 2.5, 4.0), (1, 2, 1), 2)
    for depths in ((1, 2, 1), (4, 2, 3), (2, 5, 1), (1, 1, 1)):
        assert table.latency(depths) == table_of(small(model__depths=depths), batch=2).base_ms


def test_a_block_never_takes_less_than_nothing():
    noise = iter((5.0, 4.0, 5.5, 5.0))
    table = table_of(small(), timed=lambda networks, *_: [next(noise) for _ in networks])
    assert table.block_ms == (0.0, 0.25, 0.0)


def test_real_networks_are_timed():
    table = latency.of_config(small(growth__latency_batch=2), (8, 8, 1), 10)
    assert (table.image_shape, table.batch_size, len(table.block_ms)) == ((8, 8, 1), 2, 3)
    assert table.base_ms > 0 and table.device


class Clock:
    """Time that passes while networks compute, and stands still else."""

    def __init__(self):
        self.now, self.order = 0.0, []

    def __call__(self) -> float:
        return self.now

    def network(self, name, seconds):
        """Something that is called like a compiled network and takes these seconds, call by call."""
        left = iter(seconds)

        class Result:
            def block_until_ready(_):
                self.now += next(left)

        def classify(variables, images):
            self.order.append(name)
            assert images.shape == (2, 8, 8, 1) and variables == name
            return Result()

        return classify, name


def test_networks_take_turns_and_the_first_runs_do_not_count():
    clock, warm_up = Clock(), [9.0] * timing.WARM_UP_RUNS
    seconds = {"a": [0.001, 0.002, 0.9], "b": [0.004, 0.8, 0.003]}
    networks = [clock.network(name, warm_up + taken) for name, taken in seconds.items()]
    assert timing.latencies(networks, (8, 8, 1), 2, 3, clock) == [2.0, 4.0]
    assert clock.order == ["a", "b"] * (timing.WARM_UP_RUNS + 3)


def test_a_table_comes_back_from_its_file(tmp_path):
    table = table_of(small())
    latency.save(table, tmp_path / "table.json")
    assert latency.load(tmp_path / "table.json") == table
    with pytest.raises(UserError, match=r"cannot write .*there.table.json \(No such file or directory\): choose"):
        latency.save(table, tmp_path / "there" / "table.json")


@pytest.mark.parametrize(
    "change, text",
    [
        ({"base_ms": -1.0}, "base_ms=-1.0 must be milliseconds, not negative"),
        ({"block_ms": [0.5, -0.1, 1]}, r"block_ms=\[0.5, -0.1, 1\] must be milliseconds for each stage, not negative"),
        ({"block_ms": [0.5, 1]}, r"block_ms=\[0.5, 1\] must be milliseconds for each stage"),
        ({"base_ms": float("nan")}, "base_ms=nan must be"),
        ({"base_ms": "3"}, "base_ms='3' must be"),
        ({"lower": [1, 0, 1]}, r"lower=\[1, 0, 1\] must be a whole number of at least 1 for each stage"),
        ({"lower": [], "block_ms": []}, r"lower=\[\] must be"),
        ({"batch_size": True}, "batch_size=True must be"),
        ({"image_shape": [8, 8]}, r"image_shape=\[8, 8\] must be height, width and channels"),
        ({"model": None}, "model=None must be keys"),
        ({"device": 3}, "device=3 must be text"),
    ],
)
def test_numbers_that_no_table_has_are_named(change, text, tmp_path):
    path = tmp_path / "table.json"
    path.write_text(json.dumps({**table_of(small())._asdict(), **change}))
    with pytest.raises(UserError, match=f"table.json is no table of latencies: {text}.*; write one with `jaxstage"):
        latency.load(path)


@pytest.mark.parametrize(
    "content, text",
    [
        (None, r"cannot read .*table.json \(No such file or directory\): write a table with `jaxstage latency`"),
        ("ms: 3", "table.json is damaged .*: write a table with"),
        ("[1, 2]", "is no table of latencies: it has no fields"),
        ('{"device": "phone", "batch_size": 1}', "is no table of latencies: image_shape is missing"),
    ],
)
def test_files_that_are_no_table(content, text, tmp_path):
    path = tmp_path / "table.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match=text):
        latency.load(path)


@pytest.mark.parametrize(
    "changes, text",
    [
        ({"model__widths": (4, 8, 16)}, r"another model.widths, \[4, 8, 8\] there and \[4, 8, 16\] here: measure them"),
        ({"model__dtype": "bfloat16"}, "another model.dtype, 'float32' there and 'bfloat16' here"),
        ({"model__depths": (1, 1), "model__widths": (4, 8)}, "another number of stages, 3 there and 2 here"),
        ({"growth__latency_batch": 8}, "another growth.latency_batch, 1 there and 8 here"),
    ],
)
def test_a_table_of_other_networks_is_refused(changes, text, tmp_path):
    latency.save(table_of(small()), tmp_path / "phone.json")
    config = small(growth__latency_table=str(tmp_path / "phone.json"), **changes)
    with pytest.raises(UserError, match=f"phone.json: the latencies are of {text}"):
        latencies.of_run(config, tmp_path, (8, 8, 1), 10, pytest.fail)


def test_a_table_of_images_of_another_size_is_refused(tmp_path):
    latency.save(table_of(small()), tmp_path / "phone.json")
    config = small(growth__latency_table=str(tmp_path / "phone.json"))
    with pytest.raises(UserError, match=r"another size of images, \(8, 8, 1\) there and \(32, 32, 1\) here"):
        latencies.of_run(config, tmp_path, (32, 32, 1), 10, pytest.fail)


def test_a_table_that_begins_deeper_than_the_search_is_refused(tmp_path):
    latency.save(table_of(small())._replace(lower=(1, 1, 2)), tmp_path / "phone.json")
    config = small(growth__latency_table=str(tmp_path / "phone.json"), model__depths=(2, 2, 2))
    assert latencies.of_run(config, tmp_path, (8, 8, 1), 10, pytest.fail).lower == (1, 1, 2)
    config.growth.rule, config.growth.min_depth = "elastic", (1,)
    with pytest.raises(
        UserError, match=r"phone.json: the latencies begin at depths \(1, 1, 2\), and the search at \(1, 1, 1\)"
    ):
        latencies.of_run(config, tmp_path, (8, 8, 1), 10, pytest.fail)


def test_what_takes_no_other_time_may_differ(tmp_path):
    table = table_of(small())
    older = table._replace(model={key: value for key, value in table.model.items() if key != "kernel"})  # a newer key
    earlier = older._replace(model={**older.model, "convolutions": "xla"})  # a key that has moved
    latency.save(earlier, tmp_path / "phone.json")
    config = small(
        growth__latency_table=str(tmp_path / "phone.json"),
        model__depths=(2, 1, 3),
        convolutions="native",
        model__bn_momentum=0.99,
        model__bn_epsilon=1e-3,
    )
    assert latencies.of_run(config, tmp_path, (8, 8, 1), 10, pytest.fail) == older


def test_a_run_measures_once_and_goes_on_with_what_it_kept(tmp_path, monkeypatch):
    config, table = small(growth__max_latency_ms=10.0), table_of(small())
    monkeypatch.setattr(latency, "measure", refuse)
    assert latencies.of_run(small(), tmp_path, (8, 8, 1), 10, pytest.fail) is None
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(latency, "measure", lambda *_: table)
    assert latencies.of_run(config, tmp_path, (8, 8, 1), 10, pytest.fail) == table
    assert sorted(path.name for path in tmp_path.iterdir()) == ["latency.json", "latency.json.copy"]
    monkeypatch.setattr(latency, "measure", refuse)
    assert latencies.of_run(config, tmp_path, (8, 8, 1), 10, pytest.fail) == table


@pytest.mark.parametrize("name", ["latency.json", "latency.json.copy"])
def test_a_run_decides_alike_after_damage_to_what_it_kept(name, tmp_path, monkeypatch):
    config, table, told = small(growth__max_latency_ms=10.0), table_of(small()), []
    monkeypatch.setattr(latency, "measure", lambda *_: table)
    latencies.of_run(config, tmp_path, (8, 8, 1), 10, pytest.fail)
    monkeypatch.setattr(latency, "measure", refuse)
    (tmp_path / name).write_text((tmp_path / name).read_text().replace("1", "2"))
    assert latencies.of_run(config, tmp_path, (8, 8, 1), 10, told.append) == table
    assert len(told) == 1 and "latency.json" in told[0] and (tmp_path / "damaged" / name).exists()
    assert latencies.of_run(config, tmp_path, (8, 8, 1), 10, pytest.fail) == table


def test_a_given_table_comes_before_a_kept_one(tmp_path, monkeypatch):
    phone = table_of(small())._replace(device="phone")
    latency.save(table_of(small()), tmp_path / "latency.json")
    latency.save(phone, tmp_path / "phone.json")
    monkeypatch.setattr(latency, "measure", refuse)
    config = small(growth__latency_table=str(tmp_path / "phone.json"), growth__max_latency_ms=1.0)
    assert latencies.of_run(config, tmp_path, (8, 8, 1), 10, pytest.fail) == phone


def bench_in(workdir, config, said=None):
    reporter = Reporter(quiet=True)
    if said is not None:
        reporter.say = said.append
    config.batch_size = 64
    return make_bench(config, load_train(config.data, config.seed), workdir, reporter, lambda: None)


def test_a_search_stays_within_the_latency_of_a_table(tmp_path):
    """From 6.75 ms at the start, two blocks more take 1, 2.5 or 4 ms."""
    latency.save(table_of(small()), tmp_path / "phone.json")
    config = small(growth__latency_table=str(tmp_path / "phone.json"), growth__max_latency_ms=9.5, growth__step=2)
    said = []
    bench = bench_in(tmp_path, config, said)
    record = plan.decide(Record(), config, bench.cost_of)
    assert record.current.latency_ms == 6.75 and record.current.macs == bench.cost_of((1, 1, 1)).macs
    assert said[1:] == [
        "latency on cpu, 1 image a batch: 6.75 ms at depths (1, 1, 1), and for each block more, by stage, 0.5, 1.25, "
        "2 ms"
    ]
    record = record.updating("r00_start", "training", 0.0, validation={"loss": 1.0, "accuracy": 0.5}, steps=1)
    opened = plan.decide(record, config, bench.cost_of)
    probe = opened[opened.open_round.probe]
    assert probe.depths == (3, 3, 1) and probe.latency_ms == 10.25  # the last stage cannot grow even alone
    config.growth.max_latency_ms = 7.0
    stopped = plan.decide(record, config, bench.cost_of).stop_reason
    assert "7.75 ms would exceed growth.max_latency_ms=7; 9.25 ms would exceed" in stopped


def test_without_a_table_no_latency_is_told(tmp_path):
    bench = bench_in(tmp_path, small())
    assert bench.cost_of((1, 1, 1)).latency_ms is None and list(tmp_path.iterdir()) == []


def test_a_table_that_does_not_fit_is_told_before_the_run_takes_its_directory(tmp_path):
    config = small(growth__latency_table=str(tmp_path / "phone.json"))
    with pytest.raises(UserError, match="cannot read .*phone.json"):
        bench_in(tmp_path / "run", config)
    assert not (tmp_path / "run").exists()


def test_the_command_writes_the_table_and_tells_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    overrides = ["--config.model.widths=(4,8,8)", "--config.evaluate.latency_runs=1", "--config.compilation_cache="]
    cli.main(["latency", "--config=digits", *overrides, "--config.growth.latency_table=not_yet.json"])
    table = latency.load("latency.json")
    lines = capsys.readouterr().out.splitlines()
    assert json.loads(lines[-1]) == json.loads((tmp_path / "latency.json").read_text())
    assert lines[0] == latency.summary(table) and lines[1] == "table: latency.json"
    assert table.lower == tuple(configs.load("digits").model.depths)
    cli.main(["latency", "--config=digits", *overrides, "--out=other.json", "--config.growth.latency_batch=2"])
    assert latency.load("other.json").batch_size == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["latency.json", "other.json"]
