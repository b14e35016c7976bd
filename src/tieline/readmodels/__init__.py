"""Derive the measures that say what the integration is worth, by month and legal entity.

In: plans, versions, verdicts, ledger lines, invoices, cases. Out: small rollups with their as-of.
Law: a measure keeps its definition and its variant; without samples it is absent, never zero.
"""

from tieline.readmodels.measures import MEASURES, Measure, MeasureValue, derive, list_measures

__all__ = ["MEASURES", "Measure", "MeasureValue", "derive", "list_measures"]
