"""The six business services; each file wires the flow for one outcome.

In: what landed, what was decided. Out: projects, postings, invoices, statuses, cases.
Law: stages return verdicts; only services route what is held to casework.
"""
