"""Tests in a real browser: Debian's chromium on JupyterLab and Notebook 7, with real kernels.

`server.py` runs one Jupyter server with folders and kernels of its own, `page.py` drives one notebook
in it, `conftest.py` holds the fixtures and keeps what helps after a failure in build/browser.
"""
