"""The words of `ftf`: commands, arguments, help, examples. Imports argparse and nothing slower, so help is instant.

A command names the function that carries it out ("dataset.generate": function generate of module cli.dataset), which is
imported only when the command runs.
"""
