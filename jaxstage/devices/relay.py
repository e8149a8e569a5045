"""Stands between JAX's coordination client and process 0: `python relay.py LISTENER HOST PORT`, a program of its own.

JAX's client aborts its whole process, with a stack trace, as soon as its connection to process 0 breaks, and offers
Python no way to be asked first. It is therefore connected to this program, on the same machine, which passes all bytes
on and keeps the client's end open when process 0 is gone; `jaxstage.devices.meeting` ends the process with a clear
line.
A program and not a thread: JAX may wait for an answer while it holds Python's lock.

It uses nothing but the standard library, so that it starts in no time, and ends when its standard input does, with the
process that has started it.
"""

import contextlib
import socket
import sys
import threading
import time

_kept = []  # clients of a process 0 that is gone: a connection that nobody holds is closed


def main(listener: str, host: str, port: str) -> None:
    """Args: listener, number of the open socket that the client connects to; host and port, of process 0."""
    serve = threading.Thread(target=_serve, args=(socket.socket(fileno=int(listener)), (host, int(port))), daemon=True)
    serve.start()
    sys.stdin.buffer.read()


def _serve(listener: socket.socket, address: tuple[str, int]) -> None:
    while True:
        client, _ = listener.accept()
        threading.Thread(target=_carry, args=(client, address), daemon=True).start()


def _carry(client: socket.socket, address: tuple[str, int]) -> None:
    while True:  # until process 0 listens, or this program ends
        with contextlib.suppress(OSError):
            server = socket.create_connection(address, timeout=5)
            break
        time.sleep(0.1)
    server.settimeout(None)
    _kept.append(client)
    threading.Thread(target=_pass_on, args=(server, client), daemon=True).start()
    if _pass_on(client, server):  # the client has left
        _kept.remove(client)
        with contextlib.suppress(OSError):  # process 0 may have left at the same moment
            server.shutdown(socket.SHUT_RDWR)
        client.close()


def _pass_on(source: socket.socket, sink: socket.socket) -> bool:
    """Returns whether the source has ended, rather than that a connection is broken."""
    try:
        while data := source.recv(1 << 16):
            sink.sendall(data)
        return True
    except OSError:
        return False


if __name__ == "__main__":
    main(*sys.argv[1:])
