"""What was meant by a name that is not there: what other libraries call it, or how it was misspelt.

An AttributeError is where newcomers meet a library. Python's own hints know one object's names and
are not shown by IPython; these know all public modules, and the words of NumPy, PyTorch,
TensorFlow and Keras for what flowbook has.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn, ParamSpec, TypeVar

from . import _core

_MODULES = ("nn", "random", "losses", "optim", "metrics", "data", "callbacks", "runs", "nn.init")

_GRADIENTS = "fb.grad(f) and fb.value_and_grad(f) differentiate a function, fb.tape() a block"
_NEVER_COPIED = "Tensors never change, so none needs a copy"
_NOT_NEEDED = "not needed: "
_FIT = "fb.fit(model, data, loss, optimizer)"

# By folded name, so that MaxPooling2D and max_pooling_2d are one.
_IN_MODULES = {
    "array": "fb.asarray",
    "autograd": _GRADIENTS,
    "batchnormalization": "fb.nn.BatchNorm",
    "batchnorm1d": "fb.nn.BatchNorm",
    "batchnorm2d": "fb.nn.BatchNorm",
    "arccos": "fb.acos",
    "arcsin": "fb.asin",
    "arctan": "fb.atan",
    "arctan2": "fb.atan2",
    "averagepooling2d": "fb.nn.AvgPool2D",
    "adaptiveavgpool2d": "fb.nn.GlobalAvgPool",
    "bceloss": "fb.losses.sigmoid_cross_entropy, which takes logits",
    "bcewithlogitsloss": "fb.losses.sigmoid_cross_entropy",
    "binarycrossentropy": "fb.losses.sigmoid_cross_entropy, which takes logits",
    "cast": "fb.astype",
    "cat": "fb.concat",
    "categoricalcrossentropy": "fb.losses.softmax_cross_entropy, which takes logits",
    "compile": "fb.graph(f), or a %%graph cell",
    "concatenate": "fb.concat",
    "constant": "fb.asarray",
    "crossentropy": "fb.losses.softmax_cross_entropy",
    "crossentropyloss": "fb.losses.softmax_cross_entropy",
    "cumsum": "fb.cumulative_sum",
    "dataloader": "fb.data.from_arrays(...).batch(size)",
    "fromnumpy": "fb.asarray",
    "function": "fb.graph(f), or a %%graph cell",
    "functional": "fb.nn, whose functions are in lower case",
    "globalaveragepooling2d": "fb.nn.GlobalAvgPool",
    "gradienttape": "fb.tape",
    "invert": "fb.bitwise_invert",
    "jit": "fb.graph(f), or a %%graph cell",
    "l1loss": "fb.losses.mean_absolute_error",
    "layernormalization": "fb.nn.LayerNorm",
    "linear": "fb.nn.Dense",
    "manualseed": "fb.random.seed",
    "maxpooling2d": "fb.nn.MaxPool2D",
    "model": "fb.nn.Module",
    "modulelist": "a plain list: a module finds its layers in lists and dicts too",
    "moduledict": "a plain dict: a module finds its layers in lists and dicts too",
    "mse": "fb.losses.mean_squared_error",
    "mseloss": "fb.losses.mean_squared_error",
    "mul": "fb.multiply",
    "div": "fb.divide",
    "sub": "fb.subtract",
    "mm": "fb.matmul",
    "bmm": "fb.matmul",
    "dot": "fb.matmul",
    "nograd": "not needed: only what fb.grad, fb.tape or a graph asks for is differentiated",
    "parameter": "fb.Variable",
    "power": "fb.pow",
    "rand": "fb.random.uniform",
    "randn": "fb.random.normal",
    "randperm": "fb.random.permutation",
    "reduceall": "fb.all",
    "reduceany": "fb.any",
    "reducemax": "fb.max",
    "reducemean": "fb.mean",
    "reducemin": "fb.min",
    "reducesum": "fb.sum",
    "scatter": "fb.scatter_set or fb.scatter_add",
    "sparsecategoricalcrossentropy": "fb.losses.softmax_cross_entropy, which takes logits",
    "summary": "model.describe()",
    "tensordataset": "fb.data.from_arrays",
    "unsqueeze": "fb.expand_dims",
    "permute": "fb.permute_dims",
}

_ON = {
    "Tensor": {
        "assign": "fb.Variable(x), which can be assigned",
        "backward": _GRADIENTS,
        "cast": "x.astype(dtype)",
        "byte": "x.astype(fb.uint8)",
        "clone": _NEVER_COPIED,
        "copy": _NEVER_COPIED,
        "contiguous": "not needed: every Tensor is",
        "cpu": 'x.to("cpu")',
        "cuda": "x.to(device); fb.devices() lists what there is",
        "detach": "fb.stop_gradient(x)",
        "dim": "x.ndim",
        "double": "x.astype(fb.float64)",
        "expand": "fb.broadcast_to(x, shape)",
        "float": "x.astype(fb.float32)",
        "grad": _GRADIENTS,
        "half": "x.astype(fb.float16)",
        "int": "x.astype(fb.int32)",
        "long": "x.astype(fb.int64)",
        "numel": "x.size",
        "permute": "fb.permute_dims(x, axes)",
        "requiresgrad": _GRADIENTS,
        "ravel": "x.flatten()",
        "t": "x.T",
        "type": "x.astype(dtype)",
        "unsqueeze": "fb.expand_dims(x, axis=axis)",
        "values": "x.numpy()",
        "view": "x.reshape(shape)",
        "viewas": "x.reshape(y.shape)",
    },
    "Module": {
        "addmodule": "an attribute: what a module's attributes hold is found",
        "add": "fb.nn.Sequential(*layers), or a list of layers",
        "children": "model.modules()",
        "compile": f"not needed: {_FIT} compiles",
        "countparams": "model.count()",
        "cpu": "not needed: a model is where its Variables are",
        "cuda": "not needed: a model is where its Variables are",
        "eval": "not needed: models infer unless training=True is said, or fb.fit trains them",
        "evaluate": "fb.evaluate(model, data, loss, metrics)",
        "fit": _FIT,
        "getweights": "model.named_variables()",
        "loadstatedict": "fb.load(path, model)",
        "loadweights": "fb.load(path, model)",
        "namedmodules": "model.modules()",
        "predict": "fb.predict(model, data)",
        "registerbuffer": "an attribute that holds fb.Variable(value, trainable=False)",
        "registerparameter": "an attribute that holds fb.Variable(value)",
        "requiresgrad": "model.freeze() and model.unfreeze()",
        "save": "fb.save(path, model)",
        "saveweights": "fb.save(path, model)",
        "statedict": "model.named_variables(), or fb.save(path, model)",
        "summary": "model.describe()",
        "trainablevariables": "model.parameters()",
        "trainableweights": "model.parameters()",
        "train": f"{_FIT}; model(x, training=True) for one call",
        "weights": "model.variables()",
        "zerograd": "not needed: gradients do not add up, each step has its own",
    },
    "Optimizer": {
        "apply": "optimizer.update(params, grads)",
        "applygradients": "optimizer.update(params, grads)",
        "learningrate": "optimizer.lr.assign(value); optimizer.rate() with a schedule",
        "minimize": f"{_FIT}, or optimizer.update(params, fb.gradients(loss, params))",
        "paramgroups": "optimizer.lr",
        "statedict": "optimizer.named_variables(), or fb.save(path, optimizer)",
        "loadstatedict": "fb.load(path, optimizer)",
        "zerograd": "not needed: gradients do not add up, each step has its own",
    },
}


_PAIR = "fb.{0}(model, (x, y), ...): inputs and targets are one argument"

# Arguments of `fit`, `evaluate` and `predict`, by folded name.
ARGUMENTS = {
    "criterion": "loss",
    "classweight": "(x, y, weights) as data, with a weight for each example",
    "lossfn": "loss",
    "lr": "a rate in the optimizer, such as fb.optim.Adam(1e-3)",
    "learningrate": "a rate in the optimizer, such as fb.optim.Adam(1e-3)",
    "nepochs": "epochs",
    "numepochs": "epochs",
    "maxepochs": "epochs",
    "sampleweight": "(x, y, weights) as data, with a weight for each example",
    "traindata": "data",
    "trainloader": "data",
    "valdata": "validation=(x, y)",
    "valloader": "validation",
    "validationdata": "validation=(x, y)",
    "validationsplit": "validation=0.2, the share that is set aside",
    "validationbatchsize": "batch_size, which is for both",
    "verbose": "progress=False for no display",
    "x": _PAIR,
    "y": _PAIR,
}

_P = ParamSpec("_P")
_R = TypeVar("_R")


def for_arguments(meanings: Mapping[str, str]) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """Lets a function say what a keyword argument that it doesn't have may have meant.

    Args:
        meanings: What other libraries' arguments are here, by folded name.
    """

    def decorate(f: Callable[_P, _R]) -> Callable[_P, _R]:
        known = frozenset(inspect.signature(f).parameters)

        @functools.wraps(f)
        def checked(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            for word in kwargs:
                if word not in known:
                    raise _unknown_argument(f.__name__, word, sorted(known), meanings)
            return f(*args, **kwargs)

        return checked

    return decorate


def _unknown_argument(
    function: str, word: str, known: list[str], meanings: Mapping[str, str]
) -> TypeError:
    text = f"{function}() got an unexpected keyword argument {word!r}"
    meant = meanings.get(_fold(word), "").format(function)
    # What another function of the family has is no help here.
    if meant and (not (named := re.match(r"(\w+)(?:=|$)", meant)) or named[1] in known):
        return _WrongArgumentError(f"{text}. In flowbook: {meant}.")
    near = _near(word, known)
    return _WrongArgumentError(f"{text}. Did you mean {near[0]}?" if near else f"{text}.")


def of_module(
    module: str, names: Iterable[str]
) -> tuple[Callable[[str], NoReturn], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a public module.

    The first says what a name that the module lacks may have meant; the second lists what is meant
    to be used, so that completion does not offer what the module imports for itself.

    Args:
        module: The module, such as "flowbook.nn".
        names: What there is in the module.
    """
    names = list(names)

    def missing(name: str) -> NoReturn:
        hint = "" if name.startswith("_") else _hint_in(module, name, names)
        raise _error(f"module {module!r} has no attribute {name!r}", hint)

    return missing, lambda: sorted(names)


def on_object(owner: Any, kind: str, name: str) -> None:
    """Raises the error for a name that an object lacks, where more can be said than Python does.

    Args:
        owner: The object.
        kind: "Tensor" (Variables too), "Module" or "Optimizer".
        name: What was asked for.
    """
    if hint := _hint_on(kind, name):
        raise _error(f"{type(owner).__name__!r} object has no attribute {name!r}", hint)


class _MissingNameError(_core.FlowbookError, AttributeError):
    """One of flowbook's errors, so that notebooks show the user's frames alone."""


class _WrongArgumentError(_core.FlowbookError, TypeError):
    """The same for a call."""


for _kind, _name in ((_MissingNameError, "AttributeError"), (_WrongArgumentError, "TypeError")):
    _kind.__name__ = _kind.__qualname__ = _name  # what it is to the reader
    _kind.__module__ = "builtins"


def _error(text: str, hint: str) -> AttributeError:
    # Without a name, or Python's own traceback would print its hint behind ours.
    return _MissingNameError(text + hint, name=None, obj=None)


def _hint_in(module: str, name: str, names: list[str]) -> str:
    word = _fold(name)
    here = module.replace("flowbook", "fb", 1)
    own = [f"{here}.{known}" for known in names if _fold(known) == word]
    if not own and word in _IN_MODULES:
        return _elsewhere(_IN_MODULES[word])
    own = own or _homes(name)
    if not own:
        own = [f"{here}.{near}" for near in _near(name, names)]
    return f". Did you mean {own[0]}?" if own else ""


def _near(word: str, names: Iterable[str]) -> list[str]:
    """The name that a misspelt word is nearest to, if there is one."""
    import difflib  # late: `import flowbook` is quick

    return difflib.get_close_matches(word, names, 1)


def _hint_on(kind: str, name: str) -> str:
    if name.startswith("_"):
        return ""
    word = _fold(name)
    if meant := _ON.get(kind, {}).get(word):
        return _elsewhere(meant)
    if kind != "Tensor":
        return ""
    if name.endswith("_"):
        return ". Tensors do not change: make a new one, such as y = x + 1."
    home = _homes(name) if hasattr(_core.ops, name) else None
    return f". It is a function: {home[0]}(x)." if home else ""


def _elsewhere(meant: str) -> str:
    """The hint for another library's word."""
    if meant.startswith(_NOT_NEEDED):
        return f". flowbook needs no such thing: {meant.removeprefix(_NOT_NEEDED)}."
    return f". In flowbook: {meant}."


def _fold(name: str) -> str:
    return name.replace("_", "").lower()


def _homes(name: str) -> list[str]:
    """Where in flowbook the name is; first as it is written, then in other spellings."""
    found = [
        (known != name, f"{here}.{known}")
        for here, module in _public_modules()
        for known in module.__all__
        if _fold(known) == _fold(name)
    ]
    return [home for _, home in sorted(found, key=lambda pair: pair[0])]


def _public_modules() -> list[tuple[str, Any]]:
    paths = ["", *(f".{name}" for name in _MODULES)]
    return [(f"fb{path}", importlib.import_module(f"flowbook{path}")) for path in paths]
