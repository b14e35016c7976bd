"""Show that the promises hold: a whole firm in a box, with faults, compared with its own journal.

In: a home and a seed. Out: figures measured on the systems themselves.
Law: it uses the public verbs only, and believes the target's tables and the source's journal.
"""
