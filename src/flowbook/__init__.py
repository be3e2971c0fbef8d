"""flowbook: dataflow graphs you can see. A machine-learning framework for notebooks.

The namespace follows the array API standard. What is not needed at once (`nn`, `optim`, `data`,
`fit`, ...) is imported at its first use, so that `import flowbook` stays quick.
"""

from __future__ import annotations

import importlib as _importlib
import os as _os
import sys as _sys
from typing import TYPE_CHECKING, Any

from . import _core

# Where a Python environment keeps libdnnl, for builds that are not installed into it.
_core.add_library_folder(_os.path.join(_sys.prefix, "lib"))

from . import _dtypes, _public, _tensor, errors, random
from . import _memory as memory
from ._compiled import graph, outside_graph
from ._core import Dim, Tensor, Variable
from ._devices import Device, device, devices
from ._doctor import doctor, enable_onednn, get_num_threads, set_num_threads
from ._dtypes import (
    DType,
    bfloat16,
    bool,
    can_cast,
    complex64,
    complex128,
    finfo,
    float16,
    float32,
    float64,
    iinfo,
    int8,
    int16,
    int32,
    int64,
    isdtype,
    result_type,
    uint8,
    uint16,
    uint32,
    uint64,
)
from ._gradients import (
    checkpoint,
    custom_gradient,
    grad,
    gradients,
    stop_gradient,
    tape,
    value_and_grad,
    vjp,
)
from ._graph import Graph
from ._node import Node
from ._session import Session
from ._info import array_namespace_info as __array_namespace_info__
from .errors import (
    ArgumentError,
    AxisError,
    CancelledError,
    DataError,
    DeviceError,
    DTypeError,
    FeedError,
    FlowbookError,
    GradientError,
    GraphError,
    IndexOutOfRange,
    InternalError,
    LoadError,
    MissingKernelError,
    NonFiniteError,
    OutOfMemoryError,
    ShapeError,
)

# The ops of the registry come first; functions that give them other defaults take their place.
globals().update(_public.top_level())
from ._creation import (
    arange,
    asarray,
    e,
    empty,
    empty_like,
    eye,
    from_dlpack,
    full,
    full_like,
    inf,
    linspace,
    meshgrid,
    nan,
    newaxis,
    ones,
    ones_like,
    pi,
    tensor,
    zeros,
    zeros_like,
)
from ._functions import (
    allclose,
    clip,
    count_nonzero,
    cumulative_sum,
    diff,
    isclose,
    nonzero,
    outer,
    take,
    tensordot,
)
from ._shapes import (
    astype,
    atleast_1d,
    broadcast_arrays,
    broadcast_shapes,
    concat,
    flatten,
    moveaxis,
    pad,
    reshape,
    roll,
    split,
    swapaxes,
    tile,
    transpose,
    unstack,
)

ops = _core.ops
__version__: str = _core.__version__
__array_api_version__ = "2024.12"

# Imported at first use: name -> module (and, where it is not the module itself, what of it).
_LAZY: dict[str, str] = {
    "nn": ".nn",
    "optim": ".optim",
    "losses": ".losses",
    "metrics": ".metrics",
    "data": ".data",
    "callbacks": ".callbacks",
    "runs": ".runs",
    "fit": "._fit:fit",
    "evaluate": "._fit:evaluate",
    "predict": "._fit:predict",
    "Run": "._run:Run",
    "Inspection": "._inspection:Inspection",
    "Profile": "._profile:Profile",
    "profile": "._profiling:profile",
    "History": "._history:History",
    "save": "._io:save",
    "load": "._io:load",
    "load_metadata": "._io:load_metadata",
}

if TYPE_CHECKING:
    from . import callbacks, data, losses, metrics, nn, optim, runs
    from ._fit import evaluate, fit, predict
    from ._history import History
    from ._inspection import Inspection
    from ._io import load, load_metadata, save
    from ._profile import Profile
    from ._profiling import profile
    from ._run import Run

__all__ = sorted(
    name
    for name in {*globals(), *_LAZY}
    if not name.startswith("_") and name not in ("TYPE_CHECKING", "Any", "annotations")
)


def __getattr__(name: str) -> Any:
    where = _LAZY.get(name)
    if where is None:
        from . import _hints

        _hints.of_module(__name__, __all__)[0](name)
    module, _, attribute = where.partition(":")
    found: Any = _importlib.import_module(module, __name__)
    if attribute:
        found = getattr(found, attribute)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return [*__all__, "__array_api_version__", "__version__"]


def load_ipython_extension(ipython: Any) -> None:
    """`%load_ext flowbook`: magics and live views, from the notebook package."""
    try:
        extension = _importlib.import_module("flowbook_ext")
    except ImportError as error:
        raise ImportError(
            f"the notebook extension cannot be imported ({error}). Install flowbook[notebook]."
        ) from error
    extension.load_ipython_extension(ipython)


def unload_ipython_extension(ipython: Any) -> None:
    """`%unload_ext flowbook`."""
    _importlib.import_module("flowbook_ext").unload_ipython_extension(ipython)
