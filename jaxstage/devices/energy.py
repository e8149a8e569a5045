"""How much energy a run used, and what that means for the climate. An estimate: the devices alone, no host, no cooling.

On NVIDIA GPUs the driver's energy counter is read (NVML, through nvidia-ml-py); elsewhere, or where the config gives a
device's power, energy is power times time.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

import jax

TYPICAL_WATTS = {"cpu": 65.0, "gpu": 300.0, "tpu": 200.0}  # of one device under load, where nothing better is known
JOULES_PER_KWH = 3.6e6


class Footprint(NamedTuple):
    """Energy in kWh, and the CO2 equivalent of its generation in kg."""

    kwh: float
    kgco2eq: float


def footprint(joules: float, kg_per_kwh: float) -> Footprint:
    """The footprint of an amount of energy from a grid that emits `kg_per_kwh`."""
    kwh = joules / JOULES_PER_KWH
    return Footprint(kwh, kwh * kg_per_kwh)


def footprints(record, kg_per_kwh: float) -> dict[str, dict]:
    """{search, final_training}: {kwh, kgco2eq} of a run, by its record."""
    parts = {"search": record.joules(final=False), "final_training": record.joules(final=True)}
    return {part: footprint(joules, kg_per_kwh)._asdict() for part, joules in parts.items()}


def make_counter(watts: float | None, devices: int) -> Callable[[], float]:
    """Builds `joules()`, which rises by the energy that the devices use.

    Args:
      watts: power of one device; None: the driver's counter, or a typical value where there is none.
      devices: how many are in use; of CPU devices, which share one processor, only one counts.
    """
    platform = jax.default_backend()
    if watts is None and platform == "gpu" and (counter := _nvml_counter(devices)):
        return counter
    rate = (TYPICAL_WATTS[platform] if watts is None else watts) * (1 if platform == "cpu" else devices)
    return lambda: rate * time.monotonic()


def _nvml_counter(devices: int) -> Callable[[], float] | None:
    """The energy counters of the first GPUs together, or None where they cannot be read."""
    try:
        import pynvml

        pynvml.nvmlInit()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(device.local_hardware_id) for device in jax.devices()[:devices]]
        joules = lambda: sum(map(pynvml.nvmlDeviceGetTotalEnergyConsumption, handles)) / 1000  # from millijoules
        joules()  # cards before Volta have no counter
    except Exception:  # no library, no driver, no right to ask
        return None
    return joules
