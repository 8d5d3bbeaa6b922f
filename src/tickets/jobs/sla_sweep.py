"""sla_sweep: who is to be warned of a due time, and who missed one, is told every minute."""

from tickets.domain import sla_sweep
from tickets.jobs.kind import Context, Kind
from tickets.jobs.queue import Claimed


def _run(_: Claimed, context: Context) -> None:
    told = sla_sweep.AT_ONCE
    while told == sla_sweep.AT_ONCE:
        with context.database.write() as tx:
            told = sla_sweep.bite(tx)


KIND = Kind("sla_sweep", _run, attempts=3)
