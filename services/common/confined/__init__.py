"""Programs of ours in processes of their own, which limit themselves before they open what a stranger wrote.

A program is a package whose `__main__` has `main(arguments)`: a JSON file with its job, and its parent's process id. It
calls `limits.confine` first, and answers with lines of JSON on standard output: any number of {"progress": […]}, then
{"result": {…}}, or {"error": {…}} as errors.to_document writes it. `running.run` runs it and says how it ended.
"""
