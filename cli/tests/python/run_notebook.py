"""Executes a notebook from top to bottom with `kreplay` in the PATH; any exception in a cell fails.

usage: run_notebook.py NOTEBOOK KREPLAY WORKING_FOLDER [SAVE]

With SAVE, the executed notebook is written there: how the committed one got its outputs.
"""

import os
import sys

import nbformat
from nbclient import NotebookClient


def main():
    path, kreplay, folder, *save = sys.argv[1:]
    os.makedirs(folder, exist_ok=True)
    os.environ["PATH"] = os.path.dirname(kreplay) + os.pathsep + os.environ["PATH"]
    # The kernel of this very Python, wherever other kernels may be registered.
    os.environ["JUPYTER_PATH"] = os.path.join(sys.prefix, "share", "jupyter")
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    client = NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": folder}}
    )
    client.execute()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code and all(cell.execution_count for cell in code)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # Times of the host, which differ at every run.
    for target in save:
        nbformat.write(notebook, target)
    print(f"{path}: {len(code)} cells ran")


if __name__ == "__main__":
    main()
