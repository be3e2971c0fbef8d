"""Executes a notebook from a fresh kernel and prints what it prints; ends with its test accuracy.

Used by `make demo`. Exits with 1 when a cell raises, or when no line `test accuracy: NN.N %` comes.
"""

import re
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

ACCURACY = re.compile(r"test accuracy: (\d+\.\d) %")


def text_of(output: dict) -> str:
    """Returns what an output shows on a terminal."""
    if output["output_type"] == "stream":
        return output["text"]
    return output.get("data", {}).get("text/plain", "")


def main(path: str) -> int:
    notebook = nbformat.read(path, as_version=4)
    folder = str(Path(path).resolve().parent)
    client = NotebookClient(notebook, timeout=600, resources={"metadata": {"path": folder}})
    start = time.perf_counter()
    try:
        client.execute()
    except CellExecutionError as error:
        print(error, file=sys.stderr)
        return 1
    seconds = time.perf_counter() - start

    accuracy = None
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.get("name") == "stderr":
                continue
            text = text_of(output)
            accuracy = ACCURACY.search(text) or accuracy
            if text.strip():
                print(text.rstrip())
    cells = sum(cell.cell_type == "code" for cell in notebook.cells)
    print(f"{path}: {cells} cells in {seconds:.1f} s")
    if accuracy is None:
        print(f"{path} printed no line 'test accuracy: NN.N %'", file=sys.stderr)
        return 1
    print(accuracy.group(0))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
