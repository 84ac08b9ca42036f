"""Reading documents and cutting texts, in a process of its own; see services.common.confined.

The process limits itself before it opens anything that a stranger wrote, says on standard output how far it is and how
it ended, and writes its result to a file. Its parent is services.ingest.child.
"""
