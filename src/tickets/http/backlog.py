"""What a client has yet to take of its answers, and how long it may take nothing of it.

A transport waits for ever for whoever does not read, also to close: memory and descriptor would stay with it.
"""

import asyncio
import contextlib
import fcntl
import socket
import struct
import sys
import termios

LOOKS = 4
"""Looks at a client in the time that it has: it is cut off at most a quarter of that later."""

_RESET = struct.pack("ii", 1, 0)


class Backlog:
    """Watches a connection on which an answer waits for its client; a client that takes nothing is cut off.

    Nothing may be written while it watches: it is there for a transport that is full, or that closes.

    Args:
        transport: of the connection.
        timeout: seconds a client may take nothing.
    """

    def __init__(self, transport: asyncio.Transport, timeout: float) -> None:
        self._transport = transport
        self._timeout = timeout
        self._timer: asyncio.TimerHandle | None = None
        self._left = 0
        self._moved = 0.0

    def watch(self) -> None:
        """Begin to watch, unless it does already."""
        if self._timer is None:
            self._left = self._untaken()
            self._moved = asyncio.get_running_loop().time()
            self._look_later()

    def rest(self) -> None:
        """Watch no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look_later(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._timeout / LOOKS, self._look)

    def _look(self) -> None:
        self._timer = None
        left, now = self._untaken(), asyncio.get_running_loop().time()
        if left < self._left:
            self._left, self._moved = left, now
        elif now - self._moved >= self._timeout:
            self._cut_off()
            return
        self._look_later()

    def _untaken(self) -> int:
        """Count the bytes that have not arrived at the client.

        Most are with the kernel, which asks for more only once a third of its megabytes is gone: by the transport
        alone, a slow client would seem to take nothing for minutes.
        """
        count = self._transport.get_write_buffer_size()
        with contextlib.suppress(OSError):  # a system that does not tell; the transport's own part has to do there
            queued = fcntl.ioctl(self._transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4))
            count += int.from_bytes(queued, sys.byteorder)
        return count

    def _cut_off(self) -> None:
        # Merely closed, the kernel would go on to offer its part to the client for minutes; a reset drops it.
        with contextlib.suppress(OSError):
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._transport.abort()
