"""The state of the training switch; `nn.training` turns it, compiled functions read it at each call."""

from __future__ import annotations

from contextvars import ContextVar

training_switch: ContextVar[bool] = ContextVar("flowbook_training", default=False)
