"""`dqlite-py serve-status`: its page in a real browser, health checks, metrics, limits."""

from __future__ import annotations

import http.client
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from urllib.parse import urlsplit

import pytest
from prometheus_client.parser import text_string_to_metric_families

from dqlite_dbapi.cli import outcome
from dqlite_dbapi.cli.httpd import Answer, Server
from tests.support.browser import browser


@contextmanager
def served(url, *options):
    words = (sys.executable, "-m", "dqlite_dbapi", "serve-status", url, "--port", "0")
    quick = ("--interval", "0.2", "--timeout", "2")
    with subprocess.Popen([*words, *quick, *options], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process.stdout.readline().strip()
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == outcome.INTERRUPTED


@pytest.fixture(scope="module")
def site(cluster):
    directory = str(cluster.members[0].data_dir)
    with served(",".join(cluster.addresses), "--read", "--data-dir", directory) as url:
        yield url


def ask(site, path, method="GET", **headers):
    """Status, headers and text of one request."""
    connection = http.client.HTTPConnection(urlsplit(site).netloc, timeout=10)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()
    finally:
        connection.close()


def until(site, path, status, timeout=20.0):
    limit = time.monotonic() + timeout
    while (found := ask(site, path))[0] != status:
        assert time.monotonic() < limit, found
        time.sleep(0.1)
    return found[2]


def metrics(site):
    families = text_string_to_metric_families(ask(site, "/metrics")[2])
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }


def test_health_of_a_healthy_cluster(site, cluster):
    assert until(site, "/readyz", 200) == "ok\n"
    assert ask(site, "/livez")[0] == 200
    found = metrics(site)
    assert found["dqlite_quorum_ok",] == 1
    assert found["dqlite_cluster_nodes", "voter"] == 3
    assert [found["dqlite_node_up", address] for address in cluster.addresses] == [1, 1, 1]
    leads = {a for a in cluster.addresses if found["dqlite_node_is_leader", a]}
    assert leads == {cluster.wait_leader()}
    assert found["dqlite_request_seconds_count", "health"] >= 3
    assert found["dqlite_data_dir_bytes",] > 0


def test_it_tells_when_nobody_leads(dqlite_cluster):
    with served(",".join(dqlite_cluster.addresses)) as site:
        until(site, "/readyz", 200)
        first = dqlite_cluster.leader_index()
        dqlite_cluster.kill(first)
        dqlite_cluster.wait_leader()
        until(site, "/readyz", 200)
        found = metrics(site)
        dqlite_cluster.kill(dqlite_cluster.leader_index())
        until(site, "/readyz", 503)
        lost = metrics(site)
        assert ask(site, "/livez")[0] == 200
    assert found["dqlite_node_up", dqlite_cluster.addresses[first]] == 0
    assert (lost["dqlite_leader_changes_total",], lost["dqlite_quorum_ok",]) == (1, 0)
    assert lost["dqlite_election_seconds_count",] == 1
    assert 0 < lost["dqlite_election_seconds_sum",] < 60
    assert min(lost["dqlite_errors_total", code] for code in ("unreachable", "no_quorum")) > 0


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("HEAD", "/", {}, 200),
        ("GET", "/?query", {}, 200),
        ("POST", "/", {}, 405),
        ("DELETE", "/metrics", {}, 405),
        ("OPTIONS", "/", {}, 405),
        ("GET", "/nothing", {}, 404),
        ("GET", "/../page.py", {}, 404),
        ("GET", "/static/", {}, 404),
        ("GET", "/" + "a" * 2000, {}, 404),
        ("GET", "/", {"Host": "localhost"}, 200),
        ("GET", "/", {"Host": "[::1]:8008"}, 200),
        ("GET", "/", {"Host": "rebound.example:8008"}, 421),
        ("GET", "/", {"Host": "?"}, 421),
    ],
)
def test_what_is_answered(site, method, path, headers, status):
    found, sent, body = ask(site, path, method, **headers)
    assert found == status
    assert "unsafe-inline" not in sent["Content-Security-Policy"]
    assert "default-src 'none'" in sent["Content-Security-Policy"]
    assert sent["X-Content-Type-Options"] == "nosniff"
    assert (body == "") is (method == "HEAD")


@pytest.fixture
def hasty():
    """A server with one page that gives a connection a second in all."""
    with Server("127.0.0.1", 0, {"/": lambda: Answer(b"here")}, lifetime=1.0) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.1,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def test_silent_clients_do_not_keep_others_out(hasty):
    with ExitStack() as stack:
        for _ in range(40):
            stack.enter_context(socket.create_connection(hasty.server_address, timeout=10))
        limit = time.monotonic() + 10
        while True:
            with suppress(OSError):
                assert ask(hasty.url, "/")[2] == "here"
                break
            assert time.monotonic() < limit
            time.sleep(0.1)


def test_a_client_that_drips_is_cut_off(hasty):
    limit = time.monotonic() + 5
    with socket.create_connection(hasty.server_address) as client, suppress(OSError):
        while True:
            client.sendall(b"G")
            assert time.monotonic() < limit
            time.sleep(0.05)


def test_a_taken_port_is_told(run, site, cluster):
    port = urlsplit(site).port
    done = run("serve-status", cluster.addresses[0], "--port", port)
    assert done.exit_code == outcome.FAILED
    assert len(done.stderr.splitlines()) == 1


WIDTHS = {"narrow": 390, "wide": 1200}


@pytest.fixture
def tab(tmp_path):
    with browser(tmp_path) as page:
        yield page


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_in_a_browser(site, tab, cluster, width, scheme, tmp_path):
    until(site, "/readyz", 200)
    tab.look(WIDTHS[width], 900, scheme)
    tab.open(site)
    text = tab.value("document.body.innerText")
    assert all(address in text for address in cluster.addresses)
    assert tab.value("document.documentElement.scrollWidth <= innerWidth")
    back = tab.value("getComputedStyle(document.body).backgroundColor")
    brightness = sum(int(part) for part in back.strip("rgb()").split(","))
    assert (brightness > 384) is (scheme == "light")
    assert tab.value("document.querySelectorAll('.latency .line').length") == 3
    assert tab.value("document.querySelector('.latency').getBoundingClientRect().height") > 100
    tab.screenshot(tmp_path / "page.png")
    assert tab.problems == []


def test_the_page_follows_a_failover_by_itself(tab, dqlite_cluster):
    with served(",".join(dqlite_cluster.addresses)) as site:
        until(site, "/readyz", 200)
        tab.look(1200, 900, "light")
        tab.open(site)
        tab.wait_for("document.querySelector('.light.healthy')")
        tab.value("window.mark = 'the same page'")
        lost = dqlite_cluster.leader_index()
        dqlite_cluster.kill(lost)
        leader = dqlite_cluster.wait_leader()
        tab.wait_for("document.querySelector('.light.degraded')")
        tab.wait_for(f"document.querySelector('.leads th').innerText.includes('{leader}')")
        assert dqlite_cluster.addresses[lost] in tab.value(
            "document.querySelector('tr.lost th').innerText"
        )
        assert leader in tab.value("document.querySelector('.notes').innerText")
        assert tab.value("document.querySelectorAll('.leaders rect').length") >= 2
        assert tab.value("window.mark") == "the same page"
    tab.wait_for("document.body.classList.contains('stale')")
