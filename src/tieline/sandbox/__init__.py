"""The vendors' side: faithful servers, a front that injects faults, and a firm to fill them.

In: a seed, a day, fault plans. Out: servers in their own processes, their journals, the final truth.
Law: imports the kernel only, and never a connector; what a server committed is in its journal.
"""
