"""Scripted providers: one of every kind, as strict about requests as the real one, each with its own wire format.

`python -m doubles --into FILE` starts them, makes them providers of the server under test and writes which models
they are into FILE, where the tests find them (`harness.py`, `harness.mjs`).
"""
