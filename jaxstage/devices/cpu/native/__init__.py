"""Convolutions of our own for CPUs, whose gradients are several times faster than XLA's: `convolutions=native`.

Optional: `convolution.cc` is compiled on the machine that it runs on, by its C++ compiler, when it is first needed.
"""

from jaxstage.devices.cpu.native.convolution import native_convolution
from jaxstage.devices.cpu.native.library import advisable, load

__all__ = ["advisable", "load", "native_convolution"]
