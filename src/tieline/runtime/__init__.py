"""What everything runs on: database, migrations, durable work, leases, budgets, telemetry.

In: settings. Out: transactions, scheduled work, leases, budgets, secrets, events, metrics.
Law: what waits is a row; a workflow may be lost at any moment and nothing is lost with it.
"""
