"""The magics that `%load_ext flowbook` adds."""

from __future__ import annotations

from .doctor import DoctorMagics
from .graph import GraphMagics

MAGICS: tuple[type, ...] = (GraphMagics, DoctorMagics)
