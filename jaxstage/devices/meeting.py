"""How several processes meet before JAX connects them, and notice afterwards that one of them is gone.

Process 0 listens at the coordinator's address, and every process, 0 too, keeps one connection to it until the end. When
all have come and fit together, process 0 leaves the port to JAX. Whichever process then dies, however, the kernel closes
its connection, process 0 tells the others, and each ends with one clear line instead of waiting for ever.

No clock decides that a process is gone, so neither a long compilation nor a busy or stopped machine can look like it.
Only a machine that has vanished closes nothing: it leaves the kernel's probes unanswered, which it answers for any process that
still exists.

Messages are JSON, one a line. To process 0: who one is, later `done` or why one `ended`. From it: for whom it is
`waiting`, or that they do not fit together, an `error`; then `begin`, and in the end `done` or who is `lost`.
"""

import contextlib
import json
import os
import select
import selectors
import socket
import sys
import threading
import time
from collections.abc import Callable

from jaxstage.errors import UserError

LIMIT = 300.0  # seconds that the processes wait for each other at the start: a cluster may start them one by one
_SECONDS_BEFORE_TELLING = 5.0
_LONGEST_MESSAGE = 1 << 20
_PROBES = {"TCP_KEEPIDLE": 20, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 5}  # a vanished machine is noticed after 45 s


class Line:
    """Messages over a connection."""

    def __init__(self, connection: socket.socket):
        self.connection, self._rest = connection, b""
        connection.settimeout(None)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _PROBES.items():
            if hasattr(socket, option):
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)

    def send(self, **message) -> None:
        with contextlib.suppress(OSError):  # whoever is gone is noticed where messages are received
            self.connection.sendall(json.dumps(message).encode() + b"\n")

    def receive(self) -> list[dict] | None:
        """Waits for messages; None: there will be no more.

        Raises:
          ValueError: these are no messages.
        """
        try:
            data = self.connection.recv(1 << 16)
        except OSError:
            return None
        *lines, self._rest = (self._rest + data).split(b"\n")
        messages = [json.loads(line) for line in lines]
        if len(self._rest) > _LONGEST_MESSAGE or not all(isinstance(message, dict) for message in messages):
            raise ValueError("no message of ours")
        return messages if data else None


class Host:
    """What process 0 does for all, in a thread of its own.

    Attributes:
      members: the connections of those that have come, by their numbers.
    """

    def __init__(self, listener: socket.socket, processes: int, about: dict):
        """Args: listener, where they come; processes, how many; about, in what all have to be like process 0."""
        self.members: dict[int, Line] = {}
        self._listener, self._processes, self._about = listener, processes, about
        self._begun, self._done, self._error, self._over = False, set(), None, False
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ)

    def run(self) -> None:
        while not self._over:
            for key, _ in self._selector.select():
                if key.data is None:
                    line = Line(self._listener.accept()[0])
                    self._selector.register(line.connection, selectors.EVENT_READ, line)
                elif not self._over:
                    self._hear(key.data)
        self._listener.close()

    def _hear(self, line: Line) -> None:
        try:
            messages = line.receive()
        except ValueError:  # somebody else's connection
            messages = None
        for message in messages or ():
            if "process" in message:
                self._admit(line, message)
            elif "done" in message:
                self._done.add(self._number(line))
                if len(self._done) == self._processes:
                    self._end(done=True)
            elif "ended" in message:
                self._end(lost=self._number(line), why=message["ended"])
        if messages is None:
            self._selector.unregister(line.connection)
            self._left(line)

    def _admit(self, line: Line, message: dict) -> None:
        number = message["process"]
        self._error = self._error or self._problem(message)
        if self._error:
            line.send(error=self._error)
            self._tell(error=self._error)
            self._over = number == 0 or 0 in self.members  # until then this process has not been told itself
            return
        self.members[number] = line
        if missing := [number for number in range(self._processes) if number not in self.members]:
            self._tell(waiting=missing)
            return
        self._begun = True
        self._selector.unregister(self._listener)
        self._listener.close()  # first: JAX takes the port now
        self._tell(begin=True)

    def _problem(self, message: dict) -> str | None:
        number, processes, about = message["process"], message["processes"], message["about"]
        if processes != self._processes:
            return f"process {number} has --num_processes={processes}, process 0 {self._processes}: give all the same"
        if number in self.members:
            return f"two processes have --process_id={number}: give each its own, from 0 to {self._processes - 1}"
        differing = [name for name in self._about | about if self._about.get(name) != about.get(name)]
        told = "; ".join(f"{name} {about.get(name)!r}, there {self._about.get(name)!r}" for name in differing[:3])
        return differing and f"process {number} differs from process 0 ({told}): give all the same" or None

    def _left(self, line: Line) -> None:
        number = self._number(line)
        line.connection.close()
        if number is None or number in self._done:
            return
        del self.members[number]
        if self._begun:
            self._end(lost=number, why=None)
        else:
            self._tell(waiting=[number for number in range(self._processes) if number not in self.members])

    def _number(self, line: Line) -> int | None:
        return next((number for number, member in self.members.items() if member is line), None)

    def _end(self, **message) -> None:
        self._over = True
        self._tell(**message)

    def _tell(self, **message) -> None:
        for number in sorted(self.members, key=lambda number: number == 0):  # 0 last: it may end this very process
            self.members[number].send(**message)


def listen(port: int) -> socket.socket:
    """Where process 0 is reached, on all addresses of this machine.

    Raises:
      UserError: the port is taken.
    """
    try:
        if socket.has_dualstack_ipv6():
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        return socket.create_server(("", port))
    except OSError as error:
        raise UserError(
            f"--coordinator: process 0 cannot use port {port} of its machine ({error.strerror}): choose another port"
        ) from error


def meet(
    address: tuple[str, int],
    processes: int,
    process: int,
    about: dict,
    say: Callable[[str], None],
    limit: float = LIMIT,
) -> Line:
    """Waits until all processes are there.

    Args:
      address: host and port of process 0.
      processes, process: how many there are and which this is.
      about: in what all have to be the same: plain data by names.
      say: takes one line of text, for whom this process waits.
      limit: seconds after which it gives up.

    Returns:
      The connection to process 0, on which a `watch` may look.

    Raises:
      UserError: somebody is missing, they do not fit together, or something else listens there.
    """
    about = json.loads(json.dumps(about))
    if process == 0:
        host = Host(listen(address[1]), processes, about)
        threading.Thread(target=host.run, daemon=True).start()
    place = f"{address[0]}:{address[1]}"
    patience = _Patience(say, limit)
    line = _reach(address, place, patience)
    line.send(process=process, processes=processes, about=about)
    waiting = None
    while True:
        patience.wait(f"process {_listed(waiting or [0])} of {processes}, process 0 being at {place}")
        if not select.select([line.connection], [], [], 0.5)[0]:
            continue
        try:
            messages = line.receive()
        except ValueError:
            messages = None
        if messages is None:
            raise UserError(
                f"process 0 at {place} has ended: see what it says, and start all again"
                if waiting
                else f"no process 0 waits at {place}, something else listens there, perhaps a run that has begun: check "
                "--coordinator, and that each process has its own --process_id"
            )
        for message in messages:
            if "error" in message:
                raise UserError(message["error"])
            if "begin" in message:
                return line
            waiting = message.get("waiting")


class _Patience:
    """Says after some seconds what it waits for, again when that changes, and has an end."""

    def __init__(self, say: Callable[[str], None], limit: float):
        self._say, self._limit, self._start, self._told = say, limit, time.monotonic(), None

    def wait(self, what: str) -> None:
        waited = time.monotonic() - self._start
        if waited > self._limit:
            raise UserError(
                f"waited {self._limit:g} s for {what}: check that it runs, and --coordinator, and start all again"
            )
        if waited > _SECONDS_BEFORE_TELLING and what != self._told:
            self._say(f"waiting for {what}, for at most {self._limit:g} s")
            self._told = what


def _reach(address: tuple[str, int], place: str, patience: _Patience) -> Line:
    while True:
        try:
            return Line(socket.create_connection(address, timeout=5))
        except OSError as error:
            patience.wait(f"process 0 at {place} ({error.strerror or 'no answer'})")
        time.sleep(0.5)


def _listed(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))


class Watch:
    """Looks whether the others are there, in a thread of its own, and ends this process if one is not."""

    def __init__(self, line: Line, processes: int):
        """Args: line, to process 0; processes, how many there are."""
        self._line, self._processes, self._ending = line, processes, threading.Lock()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """Waits until all are done."""
        self._line.send(done=True)
        self._thread.join()

    def fail(self, why: str) -> None:
        """Tells the others that this process ends with an error, unless that is what the loss of another looks like."""
        self._thread.join(2)  # in which a loss is noticed and ends this process
        self._ending.acquire()
        self._line.send(ended=why)

    def _look(self) -> None:
        while messages := self._line.receive():
            for message in messages:
                if "done" in message:
                    return
                self._end(message["lost"], message["why"])
        self._end(0, None)

    def _end(self, number: int, why: str | None) -> None:
        if not self._ending.acquire(blocking=False):  # this process says by itself why it ends
            return
        how = f"has ended ({why})" if why else "is gone (killed, or its machine or the network failed)"
        print(
            f"error: process {number} of {self._processes} {how}: what is saved is kept; the same command on all continues",
            file=sys.stderr,
            flush=True,
        )
        os._exit(1)  # the main thread may wait for that process in a library that cannot be interrupted
