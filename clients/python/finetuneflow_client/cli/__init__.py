"""The command `ftf`.

main        from argv to an exit code; no traceback leaves it
exits       what each exit code means
grammar/    the words: commands, arguments, help and examples; imports nothing but argparse
session     what a command has to work with: the connection, the two outputs, the current project
targets     what a user calls a thing → its resource name
flow        the steps from documents to weights; single commands and `ftf run` both call them
resumable   ids derived from the inputs, so that `ftf run` finds its earlier work again
screen      stderr: live views in a terminal, plain lines elsewhere
output      stdout: tables and JSON
view/       what each kind of work looks like while it goes on, and what came of it
the rest    one module per noun: what its commands do
"""
