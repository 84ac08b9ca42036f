"""The rules of ingest: names of files, the form of an extracted text, how pages become text and text becomes chunks.

Pure: nothing here awaits, reads a file or knows a protocol.
"""
