"""What the installed package promises beside its Python API: C++ programs can link to it, libraries
find each other wherever it is copied, import survives missing ones and stays light.
"""

import importlib.metadata
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import flowbook as fb
from flowbook import _core

NATIVE = Path(_core.__file__).resolve().parent  # flowbook/ as installed, or build/dev/flowbook
INSTALLED = Path(fb.__file__).resolve().parent == NATIVE

needs_install = pytest.mark.skipif(
    not INSTALLED, reason="runs against an installed package (make test), not a build folder"
)


def run_python(code: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def copy_package(to: Path) -> Path:
    """Copies the installed package below `to`: libdnnl is out of its libraries' reach there."""
    shutil.copytree(NATIVE, to / "flowbook", ignore=shutil.ignore_patterns("__pycache__"))
    return to / "flowbook"


MULTIPLY = """
import numpy as np, flowbook as fb
x = np.arange(70 * 80, dtype=np.float32).reshape(70, 80) / 1000
y = np.arange(80 * 90, dtype=np.float32).reshape(80, 90) / 1000
np.testing.assert_allclose((fb.asarray(x) @ fb.asarray(y)).numpy(), x @ y, rtol=1e-4)
print(fb.__file__)
print(fb.doctor())
"""


def test_one_version() -> None:
    assert fb.__version__ == _core.__version__
    if INSTALLED:
        assert importlib.metadata.version("flowbook") == fb.__version__


@needs_install
def test_typed() -> None:
    assert (NATIVE / "py.typed").exists()
    assert (NATIVE / "__init__.pyi").exists()
    assert (NATIVE / "_core" / "__init__.pyi").exists()


@needs_install
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads ELF files")
def test_libraries_name_no_build_folder() -> None:
    readelf = shutil.which("readelf")
    if readelf is None:
        pytest.skip("readelf is missing")
    for library in [*NATIVE.glob("lib/*.so"), *NATIVE.glob("_core*.so")]:
        dynamic = subprocess.run(
            [readelf, "-d", library], capture_output=True, text=True, check=True
        ).stdout
        for line in dynamic.splitlines():
            if "RUNPATH" in line or "RPATH" in line:
                paths = line.split("[")[1].split("]")[0].split(":")
                assert all(path.startswith("$ORIGIN") for path in paths), f"{library.name}: {line}"


@needs_install
@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a compiler")
def test_a_cpp_program_links(tmp_path: Path) -> None:
    cmake = shutil.which("cmake", path=f"{sysconfig.get_path('scripts')}:{os.environ['PATH']}")
    if cmake is None:
        pytest.skip("cmake is missing")
    build = tmp_path / "build"
    source = Path(__file__).parent / "consumer"
    configure = [cmake, "-S", source, "-B", build, f"-DCMAKE_PREFIX_PATH={NATIVE}"]
    subprocess.run(configure, check=True, capture_output=True)
    subprocess.run([cmake, "--build", build], check=True, capture_output=True)
    done = subprocess.run([build / "consumer"], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[:3] == [f"flowbook {fb.__version__}", "value 10", "gradient 6"]
    assert done.stdout.splitlines()[3].startswith("error matmul: ")
    assert done.returncode == 0, done.stderr


@needs_install
@pytest.mark.parametrize("hidden", ["module", "environment"])
def test_eigen_takes_over_without_onednn(tmp_path: Path, hidden: str) -> None:
    # A machine without libdnnl (or libgomp) must import, multiply and say so.
    env = {"PYTHONPATH": str(tmp_path)}
    package = copy_package(tmp_path)
    if hidden == "module":
        (package / "lib" / "libflowbook_onednn.so").unlink(missing_ok=True)
    else:
        env["FLOWBOOK_DISABLE_ONEDNN"] = "1"
    done = run_python(MULTIPLY, **env)
    assert done.returncode == 0, done.stderr
    assert str(package) in done.stdout
    assert "eigen" in done.stdout.lower()
    assert done.stderr == ""


@needs_install
def test_a_copied_package_works(tmp_path: Path) -> None:
    # Wheels are unpacked anywhere: pip --target, zipapps, containers.
    package = copy_package(tmp_path)
    done = run_python(MULTIPLY, PYTHONPATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert str(package) in done.stdout
    assert done.stderr == ""


def test_import_is_light_and_silent() -> None:
    code = """
import sys
import flowbook
heavy = {"IPython", "ipykernel", "ipywidgets", "anywidget", "matplotlib", "pandas", "sklearn"}
print(sorted(heavy & set(sys.modules)))
"""
    done = run_python(code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
    assert done.stderr == ""


@needs_install
def test_the_front_end_is_in_the_package() -> None:
    static = NATIVE.parent / "flowbook_ext" / "static"
    assert (static / "flowbook.js").stat().st_size > 10_000
    assert "Apache License 2.0" in (static / "flowbook.js.LICENSES.txt").read_text()
    assert {path.name for path in static.iterdir()} == {
        "flowbook.js", "flowbook.js.LICENSES.txt", "loader.js",
    }  # fmt: skip
