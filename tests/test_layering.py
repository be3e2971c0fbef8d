"""The arrows of the architecture: who may include or import whom.

    kernel_ext -> src -> _core -> csrc/core <- csrc/ops <- cpu | cuda | null

Reads the sources only; nothing is built or imported.
"""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CSRC = ROOT / "csrc"

# Folder of csrc -> the folders whose headers it may include.
MAY_INCLUDE = {
    "core": {"core"},
    "ops": {"core", "ops"},
    "cpu": {"core", "ops", "cpu"},
    "cuda": {"core", "ops", "cuda"},
    "null": {"core", "ops", "null"},
    "python": {"core", "ops", "cpu", "python"},
}
# Third-party header prefix -> the files that may use it (a prefix of their path below csrc).
THIRD_PARTY = {
    "pybind11/": "python/",
    "Python.h": "python/",
    "numpy/": "python/",
    "Eigen/": "cpu/providers/eigen",
    "dnnl": "cpu/providers/onednn",
    "oneapi/": "cpu/providers/onednn",
    "cuda": "cuda/",
    "cublas": "cuda/",
    "cudnn": "cuda/",
}
# Standard and POSIX headers look like <vector> and <sys/mman.h>.
POSIX = re.compile(r"(sys|linux|arpa|netinet)/\w+\.h|\w+\.h")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)

# What `import flowbook` must not pull in: it would cost seconds and tie it to the notebook.
HEAVY = {
    "IPython",
    "ipywidgets",
    "anywidget",
    "ipykernel",
    "matplotlib",
    "pandas",
    "tqdm",
    "sklearn",
}


def native_files() -> list[Path]:
    return sorted(path for path in CSRC.rglob("*") if path.suffix in {".h", ".cpp", ".def"})


def python_files(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", native_files(), ids=name)
def test_native_includes(path: Path) -> None:
    folder = path.relative_to(CSRC).parts[0]
    below = path.relative_to(CSRC).as_posix()
    wrong = []
    for bracket, header in INCLUDE.findall(path.read_text(encoding="utf-8")):
        owner = next(
            (where for prefix, where in THIRD_PARTY.items() if header.startswith(prefix)), None
        )
        if owner is not None:
            if not below.startswith(owner):
                wrong.append(f"{header} belongs to csrc/{owner}*")
        elif bracket == '"' or (CSRC / header).exists():
            first = header.split("/")[0]
            if "/" in header and first not in MAY_INCLUDE[folder]:
                wrong.append(f"{header}: csrc/{folder} must not know csrc/{first}")
        elif "/" in header and not POSIX.fullmatch(header) and header != "cxxabi.h":
            wrong.append(f"{header} is no header of the standard library")
    assert not wrong, f"{name(path)}: " + "; ".join(wrong)


@pytest.mark.parametrize("path", sorted((CSRC / "cpu" / "isa").glob("*.cpp")), ids=name)
def test_units_per_instruction_set_are_plain(path: Path) -> None:
    # Code of the standard library would leak as weak symbols, and the linker might keep the AVX-512
    # copy for a machine without AVX-512. <cmath>, <cstdint> and friends are C.
    allowed = {
        "cstdint",
        "cstddef",
        "cstring",
        "cmath",
        "climits",
        "cfloat",
        "limits",
        "type_traits",
        "bit",
        "immintrin.h",
        "concepts",
        "utility",
    }
    system = {
        header
        for bracket, header in INCLUDE.findall(path.read_text(encoding="utf-8"))
        if bracket == "<"
    }
    assert system <= allowed, f"{name(path)} includes {sorted(system - allowed)}"


def imports(tree: ast.AST, *, top_level_only: bool) -> set[str]:
    """Returns the root names a module imports, at import time only if asked."""
    found: set[str] = set()
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add((node.module or "").split(".")[0])
        lazy = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        typing_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        if not (top_level_only and (lazy or typing_only)):
            pending.extend(ast.iter_child_nodes(node))
    return found


@pytest.mark.parametrize("path", python_files("src"), ids=name)
def test_library_imports(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    at_import = imports(tree, top_level_only=True)
    assert not at_import & HEAVY, f"{name(path)} imports {sorted(at_import & HEAVY)} at import time"
    # load_ipython_extension is the one hook by which the library reaches the notebook.
    anywhere = imports(tree, top_level_only=False)
    assert "flowbook_ext" not in anywhere or path.name == "__init__.py", (
        f"{name(path)} imports flowbook_ext; kernel_ext may know src, not the other way round"
    )


def test_sources_name_no_private_paths() -> None:
    for path in native_files() + python_files("src") + python_files("kernel_ext"):
        text = path.read_text(encoding="utf-8")
        assert "/home/" not in text, name(path)
        assert str(ROOT) not in text, name(path)


def modules(folder: str, package: str) -> dict[str, Path]:
    """The modules of a package by their dotted names."""
    found = {}
    for path in python_files(folder):
        parts = path.relative_to(ROOT / folder).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return {name: path for name, path in found.items() if name.split(".")[0] == package}


def imported_modules(name: str, path: Path, known: dict[str, Path]) -> set[str]:
    """Which known modules one imports, at whatever moment; imports for annotations don't count.

    The package itself is not among them: it offers the names of all its modules.
    """
    package = name.split(".")[0]
    found: set[str] = set()
    pending: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        pending.extend(ast.iter_child_nodes(node))
        if isinstance(node, ast.Import):
            wanted = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parts = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
            above = parts[: len(parts) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            wanted = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        for word in wanted:
            while word and word not in known:
                word = word.rpartition(".")[0]
            found.add(word)
    return found - {"", name, package}


@pytest.mark.parametrize(
    ("folder", "package"), [("src", "flowbook"), ("kernel_ext", "flowbook_ext")]
)
def test_no_module_imports_itself_in_a_circle(folder: str, package: str) -> None:
    known = modules(folder, package)
    assert len(known) > 20
    left = {name: imported_modules(name, path, known) for name, path in known.items()}
    assert sum(map(len, left.values())) > 50
    while free := [name for name, needs in left.items() if not needs & left.keys()]:
        for name in free:
            del left[name]
    circles = {name: sorted(needs & left.keys()) for name, needs in left.items()}
    assert not circles, f"these modules import each other: {circles}"
