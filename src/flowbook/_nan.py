"""What `fit` says of a step whose loss is not finite: the first node that made such a number.

The step has changed nothing, so it can be run again with the same variables and random numbers, now
with statistics of each value.
"""

from __future__ import annotations

from typing import Any

from ._steps import TrainingStep

CHOICES = ("warn", "stop", "raise", "ignore")


def explain(step: TrainingStep, batch: Any, rows: int, number: int) -> str:
    """One or two sentences about a step that was held back.

    Args:
        step: The compiled step.
        batch: Its batch of tensors.
        rows: The batch's number of rows.
        number: Which step it is, from 1.
    """
    try:
        found = step.inspect(batch, rows)
    except Exception as error:  # such as too little memory: the run must not fail for it
        return f"the loss is not finite from step {number} on (no cause was found: {error})"
    loss = found.outputs[0]
    what = "nan" if loss.nan else "inf" if loss.positive_inf else "-inf"
    text = f"the loss is {what} from step {number} on"
    if loss.finite:
        text = f"a gradient is not finite from step {number} on"
    if found.first is not None:
        text += f"; {found.text_of_first()}"
        if found.first.source == "variable":
            text += (
                " An earlier step's gradients were not finite. The same run with on_nan='raise' "
                "looks at gradients, too, and tells where."
            )
    return text
