"""The magics that `%load_ext flowbook` adds."""

from __future__ import annotations

from .device import DeviceMagics
from .doctor import DoctorMagics
from .graph import GraphMagics
from .memory import MemoryMagics
from .runs import RunMagics

MAGICS: tuple[type, ...] = (GraphMagics, MemoryMagics, DeviceMagics, RunMagics, DoctorMagics)
