"""Engine: the life of a task, one verb a file.

enqueue → claim → run → execute → settle → verdict, tied together by the heart; `actions` is what a person may do,
`why` says what an unfinished task waits for. `run`, `verdict`, `actions` and `why` are pure.
"""
