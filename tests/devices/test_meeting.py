"""How processes meet, here in threads of one process."""

import concurrent.futures
import contextlib
import socket
import threading

import pytest

from jaxstage.devices import hosts, meeting
from jaxstage.errors import UserError


@pytest.fixture
def address():
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return free.getsockname()


def meet_all(address, *guests):
    """What becomes of each of (number, of how many, what it says of itself): its line or the text of its error."""

    def one(guest):
        number, processes, about = guest
        try:
            return meeting.meet(address, processes, number, about, lambda text: None)
        except UserError as error:
            return str(error)

    with concurrent.futures.ThreadPoolExecutor() as pool:
        return list(pool.map(one, guests))


def test_one_that_leaves_is_lost_for_all_others_and_with_its_reason(address):
    zero, one, two = meet_all(address, (0, 3, {"seed": (1, 2)}), (1, 3, {"seed": (1, 2)}), (2, 3, {"seed": (1, 2)}))
    one.connection.close()
    assert zero.receive() == two.receive() == [{"lost": 1, "why": None}]

    zero, one = meet_all(address, (0, 2, {}), (1, 2, {}))  # at the port that is free again
    one.send(ended="no data")
    assert zero.receive() == [{"lost": 1, "why": "no data"}]


def test_those_that_are_done_are_not_missed(address):
    zero, one = meet_all(address, (0, 2, {}), (1, 2, {}))
    one.send(done=True)
    one.connection.shutdown(socket.SHUT_WR)
    zero.send(done=True)
    assert zero.receive() == [{"done": True}]


@pytest.mark.parametrize(
    "guests, text",
    [
        ([(0, 3, {}), (1, 3, {}), (1, 3, {})], "two processes have --process_id=1: give each its own, from 0 to 2"),
        ([(0, 2, {}), (1, 3, {})], "process 1 has --num_processes=3, process 0 2: give all the same"),
        (
            [(0, 2, {"seed": 0, "jax": "1"}), (1, 2, {"seed": 1, "jax": "1"})],
            "process 1 differs from process 0 (seed 1, there 0): give all the same",
        ),
    ],
)
def test_those_that_do_not_fit_together_are_all_told(address, guests, text):
    assert set(meet_all(address, *guests)) == {text}


def test_who_is_missing_is_told_while_waiting_and_in_the_end(address, monkeypatch):
    monkeypatch.setattr(meeting, "_SECONDS_BEFORE_TELLING", -1.0)
    told, missing = [], r"waited 1 s for process 1 of 2, process 0 being at"
    with pytest.raises(UserError, match=missing):
        meeting.meet(address, 2, 0, {}, told.append, limit=1.0)
    assert told[-1].startswith("waiting for process 1 of 2") and told[-1].endswith("for at most 1 s")


@pytest.mark.parametrize("host", ["localhost", "nowhere.invalid"])
def test_a_process_0_that_is_not_there(address, host):
    with pytest.raises(UserError, match=rf"waited 0 s for process 0 at {host}:{address[1]} \(.*check that it runs"):
        meeting.meet((host, address[1]), 2, 1, {}, print, limit=0.0)


def test_something_else_at_that_address():
    with socket.create_server(("localhost", 0)) as server:

        def answer():
            with contextlib.closing(server.accept()[0]) as connection:
                connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")
                connection.recv(1 << 16)

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(UserError, match="no process 0 waits at .* something else listens there"):
            meeting.meet(server.getsockname(), 2, 1, {}, print)
        thread.join()
        with pytest.raises(UserError, match="cannot use port .* in use.*choose another port"):
            meeting.meet(server.getsockname(), 2, 0, {}, print)


@pytest.mark.parametrize("coordinator", ["here", "here:", ":1", "here:port", "here:0", "here:65536"])
def test_an_address_that_is_none(coordinator):
    with pytest.raises(UserError, match=f"--coordinator={coordinator}: must be HOST:PORT"):
        hosts._place(coordinator, 2, 0)


def test_addresses():
    assert hosts._place("here:1", 2, 0) == (("here", 1), 2, 0)
    assert hosts._place("[::1]:65535", 2, 1) == (("::1", 65535), 2, 1)
    with pytest.raises(UserError, match="JAX finds no cluster"):
        hosts._place("auto", None, None)
