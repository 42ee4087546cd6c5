"""Definition: what a template says, as values.

A template is written with `template.Draft`, sealed into a `sealed.Sealed`, and from then on is a *shape* (which a
task keeps to its end) and a *policy* (which it does not), with the handlers of its steps.

Nothing here opens a database, a socket or a thread, or reads a clock.
"""
