"""The model server: HTTP route → request schema → service → scheduler → engine → answer.

Two commands share this package: ``llmi-server fetch`` downloads a model's files from a hub, ``llmi-server serve``
loads them and answers requests. Only ``engine`` knows torch, only ``web`` knows FastAPI.
"""
