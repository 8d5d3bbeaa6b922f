"""send_secret: whoever has an account with an address gets the code or link that was asked for."""

from tickets.domain import registration
from tickets.domain.one_time_secrets import OneTimeSecrets
from tickets.jobs.kind import Context, Kind
from tickets.jobs.queue import Claimed


def _run(job: Claimed, context: Context) -> None:
    settings = context.settings
    with context.database.write() as tx:
        registration.send(tx, settings, OneTimeSecrets(settings.signing_keys()), **job.payload)


KIND = Kind(registration.SEND_SECRET, _run)
