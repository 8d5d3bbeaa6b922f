"""The address that a request came from, which proxies may report."""

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from tickets.http.exchange import Scope

MAX_HOPS = 32
"""Most entries of X-Forwarded-For that are looked at: no request comes through more proxies."""
_MAX_ADDRESS = 64
"""Most characters of an address that is kept."""

Network = IPv4Network | IPv6Network

_ENTRY = re.compile(r'"?(?:\[([0-9A-Fa-f:.]+)(?:%[^\]]*)?\](?::[0-9]{1,5})?|([0-9.]+):[0-9]{1,5}|([^"\[\]]+))"?')
"""An address, with a port or without one; of IPv6, in brackets or without them."""


def parse(text: str) -> IPv4Address | IPv6Address | None:
    """Parse an IP address, without its zone; an IPv4-mapped IPv6 address becomes IPv4. None if it is no address."""
    try:
        known = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(known, "ipv4_mapped", None) or known


def is_in(address: IPv4Address | IPv6Address, networks: Iterable[Network]) -> bool:
    """Return whether an address is one of these networks'."""
    return any(address in network for network in networks)


def client_address(scope: Scope, proxies: tuple[Network, ...]) -> str:
    """Return the address a request came from.

    ``X-Forwarded-For`` counts only as far as each hop, from the right, is a trusted proxy; what is no address ends it.
    """
    client = scope.get("client")
    address = str(client[0])[:_MAX_ADDRESS] if client else ""
    if not proxies:
        return address
    known = parse(address)
    if known is None or not is_in(known, proxies):
        return address
    address = str(known)
    hops = b",".join(value for name, value in scope["headers"] if name == b"x-forwarded-for").decode("latin-1")
    for hop in reversed(hops.rsplit(",", MAX_HOPS)[-MAX_HOPS:]):
        if not hop.strip():
            continue
        known = _of_entry(hop.strip())
        if known is None:
            break
        address = str(known)
        if not is_in(known, proxies):
            break
    return address


def _of_entry(hop: str) -> IPv4Address | IPv6Address | None:
    match = _ENTRY.fullmatch(hop) if len(hop) <= _MAX_ADDRESS else None
    return parse(match[1] or match[2] or match[3]) if match else None
