"""The final truth: Tryton's own tables, read with SQL and without Tieline's help."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from tieline.sandbox.erp.cluster import Cluster

# Tieline's task names end with " | labor category" and " from date"; the plain name comes first.
TASK_SEPARATOR = " | "


@dataclass(frozen=True, slots=True, kw_only=True)
class TrueLine:
    """One row of ``timesheet_line`` in the words of the firm."""

    line_code: str
    company_code: str
    employee_code: str | None
    employee_email: str | None
    work_date: date
    project_number: str | None
    task_name: str | None
    seconds: int
    uuid: str | None
    invoice_line_code: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrueInvoice:
    """One invoice; the untaxed amount is the sum of its stored lines."""

    invoice_code: str
    company_code: str
    client_code: str | None
    number: str | None
    state: str
    currency: str
    untaxed_amount: Decimal
    tax_amount: Decimal
    origins: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """Everything the proof compares."""

    lines: tuple[TrueLine, ...]
    invoices: tuple[TrueInvoice, ...]
    orphan_projects: tuple[str, ...]
    project_numbers: tuple[str, ...]


def read_truth(*, cluster: Cluster, database: str) -> Truth:
    """Read lines, invoices and orphan projects in one snapshot.

    An orphan project is one that nobody can book on (no task) or that bills nobody (no client).
    """
    with cluster.connect(database=database) as connection, connection.transaction():
        connection.execute("set transaction isolation level repeatable read, read only")
        lines = connection.execute(_LINES).fetchall()
        invoices = connection.execute(_INVOICES).fetchall()
        orphans = connection.execute(_ORPHANS).fetchall()
        projects = connection.execute(_PROJECTS).fetchall()
    return Truth(
        lines=tuple(
            TrueLine(
                line_code=str(row[0]),
                company_code=row[1],
                employee_code=row[2],
                employee_email=row[3],
                work_date=row[4],
                project_number=row[5],
                task_name=row[6],
                seconds=row[7],
                uuid=row[8],
                invoice_line_code=None if row[9] is None else str(row[9]),
            )
            for row in lines
        ),
        invoices=tuple(
            TrueInvoice(
                invoice_code=str(row[0]),
                company_code=row[1],
                client_code=row[2],
                number=row[3],
                state=row[4],
                currency=row[5],
                untaxed_amount=row[6],
                tax_amount=row[7],
                origins=tuple(row[8]),
            )
            for row in invoices
        ),
        orphan_projects=tuple(row[0] for row in orphans),
        project_numbers=tuple(row[0] for row in projects),
    )


_LINES = b"""
select line.id,
       company_party.code,
       person.code,
       (select lower(mechanism.value) from party_contact_mechanism mechanism
         where mechanism.party = person.id and mechanism.type = 'email'
         order by mechanism.id limit 1),
       line.date,
       project.number,
       split_part(task.name, ' | ', 1),
       extract(epoch from line.duration)::bigint,
       line.uuid,
       line.invoice_line
  from timesheet_line line
  join company_company company on company.id = line.company
  join party_party company_party on company_party.id = company.party
  join company_employee employee on employee.id = line.employee
  join party_party person on person.id = employee.party
  join timesheet_work booking on booking.id = line.work
  left join project_work task on booking.origin = 'project.work,' || task.id
  left join project_work project on project.id = task.parent
 order by line.id
"""

_INVOICES = b"""
select invoice.id,
       company_party.code,
       client.code,
       invoice.number,
       invoice.state,
       currency.code,
       coalesce((select sum(round(line.quantity::numeric * line.unit_price, currency.digits))
                   from account_invoice_line line
                  where line.invoice = invoice.id and line.type = 'line'), 0),
       coalesce((select sum(tax.amount) from account_invoice_tax tax
                  where tax.invoice = invoice.id), 0),
       array(select distinct coalesce(project.number, sale.reference)
               from account_invoice_line line
               left join timesheet_line hour on hour.invoice_line = line.id
               left join timesheet_work booking on booking.id = hour.work
               left join project_work task on booking.origin = 'project.work,' || task.id
               left join project_work project on project.id = task.parent
               left join sale_line on line.origin = 'sale.line,' || sale_line.id
               left join sale_sale sale on sale.id = sale_line.sale
              where line.invoice = invoice.id
                and coalesce(project.number, sale.reference) is not null)
  from account_invoice invoice
  join company_company company on company.id = invoice.company
  join party_party company_party on company_party.id = company.party
  join party_party client on client.id = invoice.party
  join currency_currency currency on currency.id = invoice.currency
 where invoice.type = 'out'
 order by invoice.id
"""

_ORPHANS = b"""
select project.number
  from project_work project
 where project.type = 'project'
   and (project.party is null
        or not exists (select 1 from project_work task where task.parent = project.id))
 order by project.id
"""

_PROJECTS = b"select number from project_work where type = 'project' order by id"
