"""Ingest: projects and their documents; documents become text, and text becomes chunks.

Uploads are streamed to the object store. Reading a document and cutting its text happen in child processes with limits
(`sandbox`), so that neither a hostile file nor a long one touches the service. The rules are in `core`.
"""
