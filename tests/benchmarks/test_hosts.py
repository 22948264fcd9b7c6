"""The two hosts of a measurement have a network of their own, and it is gone when the measurement is."""

import socket
import subprocess

import pytest

from benchmarks.hosts import Hosts


@pytest.fixture
def hosts():
    with Hosts() as made:
        if not made.separate:
            pytest.skip("network namespaces take root, and `ip`")
        yield made


def test_a_process_on_a_host_reaches_the_bridge_and_not_this_machines_loopback(hosts):
    with socket.create_server((hosts.address, 0)) as bridge, socket.create_server(("127.0.0.1", 0)) as loopback:
        assert reaches(hosts, bridge.getsockname())
        assert not reaches(hosts, loopback.getsockname())


def test_the_hosts_have_addresses_of_their_own(hosts):
    addresses = {subprocess.check_output([*hosts.on(name), "ip", "-4", "-o", "addr", "show", "eth0"], text=True) for name in ("a", "b")}
    assert len(addresses) == 2


def test_nothing_is_left_of_them():
    with Hosts() as made:
        if not made.separate:
            pytest.skip("network namespaces take root, and `ip`")
        assert len(parts(made)) == 5
    assert parts(made) == []


def reaches(hosts, address):
    code = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=5)"
    command = [*hosts.on("a"), "python3", "-c", code, *map(str, address)]
    return subprocess.run(command, capture_output=True).returncode == 0


def parts(hosts):
    """The bridge, the two cables and the two namespaces, as far as they are there."""
    lists = [subprocess.check_output(command, text=True) for command in (["ip", "netns", "list"], ["ip", "-o", "link", "show"])]
    return [line for text in lists for line in text.splitlines() if hosts.name in line]
