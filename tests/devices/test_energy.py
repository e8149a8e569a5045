"""Energy and its footprint."""

import sys
import types

import jax
import pytest

from jaxstage.devices import energy
from jaxstage.importance import Scores
from jaxstage.workdir.record import Candidate, Record


def test_footprint():
    """One kilowatt for an hour, from a grid of 0.475 kg/kWh."""
    assert energy.footprint(1000 * 3600, 0.475) == pytest.approx((1.0, 0.475))


def test_power_times_time(monkeypatch):
    now = iter([10.0, 13.0])
    monkeypatch.setattr(energy.time, "monotonic", lambda: next(now))
    joules = energy.make_counter(200.0, devices=4)  # CPU devices, which are one processor
    assert -joules() + joules() == pytest.approx(600.0)


def test_the_drivers_counter_is_read_on_gpus(monkeypatch):
    """Stands in for NVML, whose counters are in millijoules."""
    counters = {0: [1000, 6000], 1: [2000, 9000]}
    fake = types.SimpleNamespace(
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetTotalEnergyConsumption=lambda handle: counters[handle][min(reads[handle], 1)],
    )
    reads = {0: 0, 1: 0}
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(jax, "devices", lambda: [types.SimpleNamespace(local_hardware_id=i) for i in range(2)])
    joules = energy.make_counter(None, devices=2)
    before = joules()
    reads |= {0: 1, 1: 1}
    assert joules() - before == pytest.approx(12.0)
    del fake.nvmlDeviceGetTotalEnergyConsumption  # a driver without it: power times time
    assert energy.make_counter(None, devices=2)() > 0


def test_search_and_final_training_apart():
    record = Record((Candidate("a", "start", (1,), None, 1, 1), Candidate("final", "final", (1,), "a", 1, 1)))
    record = record.updating("a", "training", 2.0, 3.6e6, validation={"accuracy": 1.0})
    record = record.updating("a", "importance", 2.0, 1.8e6, scores=Scores(((1.0,),)))
    record = record.updating("final", "training", 2.0, 7.2e6)
    parts = energy.footprints(record, 0.5)
    assert parts["search"] == pytest.approx({"kwh": 1.5, "kgco2eq": 0.75})
    assert parts["final_training"] == pytest.approx({"kwh": 2.0, "kgco2eq": 1.0})
