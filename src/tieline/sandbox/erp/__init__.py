"""A real Tryton 8.0 with its own virtual environment, database cluster facts and process.

In: a PostgreSQL cluster, the lock file, the firm as JSON. Out: a running server, the final truth.
Law: trytond is never imported here; it is talked to over HTTP, or its tables are read for proof.
"""

from tieline.sandbox.erp.bringing_up import RunningErp, bring_up
from tieline.sandbox.erp.cluster import Cluster
from tieline.sandbox.erp.environment import ensure_environment
from tieline.sandbox.erp.rpc import RpcError, RpcSession
from tieline.sandbox.erp.seed import SeededFirm, seed_firm
from tieline.sandbox.erp.server import Server, find_server, start_server, stop_server
from tieline.sandbox.erp.template import Template, ensure_template, restore_template
from tieline.sandbox.erp.truth import TrueInvoice, TrueLine, Truth, read_truth
from tieline.sandbox.erp.web_client import ensure_web_client

__all__ = [
    "Cluster",
    "RpcError",
    "RpcSession",
    "RunningErp",
    "SeededFirm",
    "Server",
    "Template",
    "TrueInvoice",
    "TrueLine",
    "Truth",
    "bring_up",
    "ensure_environment",
    "ensure_template",
    "ensure_web_client",
    "find_server",
    "read_truth",
    "restore_template",
    "seed_firm",
    "start_server",
    "stop_server",
]
