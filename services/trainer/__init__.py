"""The program inside a Job: trains, evaluates and exports; see __main__ for how it is started and how it ends.

    __main__ → program → training_job | export_job      what is done, in order
        train callback checkpoint settings model        one training, with TRL and PEFT
        rows template encode                            from the dataset's lines to labelled tokens
        evaluate answers report plots                   base against tuned, on paper
        merge acceptance cards                          the files of an export, proven
        worker stream spool reporter uploads transfer   the worker contract

Only this package imports torch and what stands on it, and only inside functions: a trainer reports before it loads
them.
"""
