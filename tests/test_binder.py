"""What Binder builds from binder/: the files mean what they should, and building them works.

Docker is not needed: repo2docker prints the Dockerfile it would build from, and the steps in which our
own files matter (the requirements, postBuild, start) run in a clean environment here.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
BINDER = ROOT / "binder"
if not BINDER.is_dir():
    pytest.skip("binder/ is not part of this tree", allow_module_level=True)

yaml = pytest.importorskip("yaml")
requirements = pytest.importorskip("packaging.requirements")


def environment() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((BINDER / "environment.yml").read_text())
    return found


def listed(path: Path) -> dict[str, Any]:
    """The requirements in a file, by name."""
    lines = (line.partition("#")[0].strip() for line in path.read_text().splitlines())
    parsed = [requirements.Requirement(li) for li in lines if li and not li.startswith("-")]
    return {r.name: r for r in parsed}


def test_the_environment_holds_python_and_one_requirements_file() -> None:
    # conda ignores keys that it doesn't know: a misspelt one would go unnoticed.
    found = environment()
    assert set(found) == {"name", "channels", "dependencies"}
    assert found["channels"] == ["conda-forge", "nodefaults"]
    python, pip, files = found["dependencies"]
    assert re.fullmatch(r"python=3\.1[0-4]", python)  # what repo2docker has a base for
    assert pip == "pip"
    assert files == {"pip": ["-r requirements.txt"]}


def test_the_requirements_are_pinned_and_cover_the_tutorials() -> None:
    text = (BINDER / "requirements.txt").read_text()
    assert "-c ../tests/constraints.txt\n" in text
    constraints = (ROOT / "tests" / "constraints.txt").read_text()
    found = listed(BINDER / "requirements.txt")
    for name in found:
        assert re.search(rf"^{name}==", constraints, re.M), f"{name} has no pinned version"
    if sys.version_info >= (3, 11):
        import tomllib

        extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
            "optional-dependencies"
        ]
        wanted = {requirements.Requirement(r).name for r in extras["notebook"] + extras["lab"]}
        assert wanted - {"flowbook"} <= set(found)


@pytest.mark.parametrize("name", ["postBuild", "start"])
def test_scripts_can_run(name: str) -> None:
    path = BINDER / name
    assert path.read_text().startswith("#!/bin/bash\n")
    assert os.access(path, os.X_OK)
    done = subprocess.run(["bash", "-n", path], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_start_hands_over() -> None:
    assert (BINDER / "start").read_text().rstrip().endswith('exec "$@"')
    done = subprocess.run(
        [BINDER / "start", "sh", "-c", 'echo "$OMP_NUM_THREADS $0 $1"', "a b", "c"],
        capture_output=True, text=True, check=True,
        env={k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"},
    )  # fmt: skip
    assert done.stdout == "2 a b c\n"


def test_the_badge_opens_a_notebook_that_exists() -> None:
    readme = (ROOT / "README.md").read_text()
    link = re.search(
        r"\(https://mybinder\.org/v2/gh/[\w.-]+/[\w.-]+/HEAD\?urlpath=([^)]+)\)", readme
    )
    assert link, "README.md has no launch badge"
    assert link[1].startswith("lab/tree/")
    assert (ROOT / link[1].removeprefix("lab/tree/")).is_file()


def test_repo2docker_understands_the_files() -> None:
    pytest.importorskip("repo2docker")
    done = subprocess.run(
        [sys.executable, "-m", "repo2docker", "--no-build", "--debug", ROOT],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    dockerfile = done.stdout + done.stderr
    assert done.returncode == 0, dockerfile[-2000:]
    python = environment()["dependencies"][0].removeprefix("python=")
    base = f"environment-2epy-2d{python.replace('.', '-2e')}-2dlinux"  # as file names are encoded
    assert base in dockerfile, "another Python than environment.yml asks for"
    copied = dockerfile.index("COPY --chown=0:0 src/ ${REPO_DIR}/")
    installed = dockerfile.index(
        'env update -p ${NB_PYTHON_PREFIX} --file "binder/environment.yml"'
    )
    built = dockerfile.index("RUN ./binder/postBuild")
    assert copied < installed < built  # requirements.txt refers to files of the tree
    assert 'ENV R2D_ENTRYPOINT="${REPO_DIR}/binder/start"' in dockerfile


@pytest.mark.slow
def test_the_image_can_be_built_and_runs_the_quickstart(tmp_path: Path) -> None:
    """The pip part of environment.yml, postBuild and start, in a clean environment and a clean tree.

    The compile itself is `make wheel`'s, which CI has just done from the same tree: postBuild installs
    that wheel. FLOWBOOK_BINDER_BUILD=1 compiles here as well (minutes).
    """
    wheels = sorted((ROOT / "build" / "wheel").glob("flowbook-*.whl"))
    compile_here = os.environ.get("FLOWBOOK_BINDER_BUILD") == "1"
    if not wheels and not compile_here:
        pytest.skip("no wheel in build/wheel: make wheel")
    if not (ROOT / ".git").exists():
        pytest.skip("the tree's files are known to git only")
    tracked = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True, text=True, check=True,
    ).stdout.split("\0")  # fmt: skip
    tree = tmp_path / "tree"
    for name in tracked:
        if name and (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tree / name)

    subprocess.run([sys.executable, "-m", "venv", tmp_path / "env"], check=True)
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PIP_CONSTRAINT")}
    env |= {
        "PATH": f"{tmp_path / 'env' / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PIP_NO_COMPILE": "1",  # a third of the time
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "FLOWBOOK_CACHE_DIR": str(tmp_path / "cache"),
        "JUPYTER_PATH": "",
        "IPYTHONDIR": str(tmp_path / "ipython"),
    }
    if not compile_here:
        env["FLOWBOOK_WHEEL"] = str(wheels[-1])

    def run(*command: Any, folder: Path = tree) -> str:
        done = subprocess.run(
            list(map(str, command)),
            cwd=folder,
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{(done.stdout + done.stderr)[-4000:]}"
        return done.stdout

    run(
        "python",
        "-m",
        "pip",
        "install",
        "--quiet",
        "-r",
        "requirements.txt",
        folder=tree / "binder",
    )
    assert "flowbook" in run("binder/postBuild")
    assert not (tree / "build").exists()
    said = run("binder/start", "python", "tools/demo.py", "notebooks/01-quickstart.ipynb")
    assert re.search(r"^test accuracy: 9\d\.\d %$", said, re.M)
