"""A real server: two of them on one run folder, malformed requests, the OpenAPI document, the page in a browser."""

import asyncio
import contextlib
import random
import shutil
import socket
import threading
import time
from urllib.parse import quote, urlsplit

import pytest
import requests
from click.testing import CliRunner

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
from server_process import resident_memory, serving  # noqa: E402
from trained_runs import copied  # noqa: E402

from recbole_vqrec import Recommender  # noqa: E402
from recbole_vqrec.cli import main  # noqa: E402
from recbole_vqrec.cli.serve import listen  # noqa: E402
from recbole_vqrec.errors import VQRecError  # noqa: E402

VALID = b'{"histories": [["i1", "i2"]], "k": 3}'


@pytest.fixture(scope="module")
def servers(trained, tmp_path_factory):
    """A run folder and (address, process) of two servers on it."""
    folder = tmp_path_factory.mktemp("served") / "run"
    shutil.copytree(trained["VQRec"][0], folder)
    with serving(folder) as one, serving(folder) as two:
        yield folder, one, two


def test_two_servers_write_into_one_run_folder(servers):
    run, (one, _), (two, _) = servers
    strange = "a?b#c%2F/ü"
    for number in range(6):
        server = (one, two)[number % 2]
        assert requests.post(f"{server}/items", json={"items": {f"n{number}": "red glue"}}).status_code == 201
    assert requests.post(f"{one}/items", json={"items": {strange: "blue glue"}}).status_code == 201
    assert requests.delete(f"{two}/items/i3").status_code == 200
    assert [requests.get(f"{each}/health").json()["items"] for each in (one, two)] == [18, 18]
    assert requests.get(f"{two}/similar/{quote(strange, safe='')}").status_code == 200
    restarted = Recommender.load(run)  # as a server does when it starts
    items = set(restarted.item_embeddings().ids)
    assert strange in items and {f"n{number}" for number in range(6)} <= items and "i3" not in items
    for server in (one, two):
        found = requests.post(f"{server}/recommend", json={"histories": [["i1", "n5"]], "k": 100}).json()
        expected = restarted.recommend([["i1", "n5"]], k=100).item.tolist()
        assert [each["item"] for each in found["recommendations"][0]["items"]] == expected


def test_what_was_answered_survives_a_kill(trained, tmp_path):
    run = copied(trained, "VQRec", tmp_path)
    answered = []

    def add(address):
        with contextlib.suppress(requests.ConnectionError):
            for number in range(1000):
                requests.post(f"{address}/items", json={"items": {f"n{number}": "red glue"}}).raise_for_status()
                answered.append(f"n{number}")

    with serving(run) as (address, process):
        writer = threading.Thread(target=add, args=(address,))
        writer.start()
        try:
            while len(answered) < 5 and writer.is_alive():
                time.sleep(0.01)
        finally:
            process.kill()
            writer.join()
    assert len(answered) >= 5
    with serving(run) as (address, _):
        there = set(Recommender.load(run).item_embeddings().ids)
        assert set(answered) <= there and len(there) <= 12 + len(answered) + 1  # the last was perhaps not answered
        assert requests.post(f"{address}/items", json={"items": {"after": "blue tape"}}).status_code == 201
    assert not list(run.glob(".*.tmp"))


def test_answers_are_sent_without_delay():
    """Without TCP_NODELAY an answer waits for the client's delayed ACK, 40 ms."""
    found = []

    async def connect():
        async def accepted(reader, writer):
            option = writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            found.append(option)
            writer.close()

        listening = listen("127.0.0.1", 0)
        async with await asyncio.start_server(accepted, sock=listening):
            reader, writer = await asyncio.open_connection(*listening.getsockname())
            await reader.read()
            writer.close()

    asyncio.run(connect())
    assert found and all(found)


def test_the_address_of_ipv6_can_be_clicked(trained, tmp_path):
    try:
        listen("::1", 0).close()
    except VQRecError:
        pytest.skip("no IPv6 here")
    with serving(copied(trained, "VQRec", tmp_path), "--host", "::1") as (address, _):
        assert address.startswith("http://[::1]:") and requests.get(f"{address}/health").json()["writable"]


def test_the_number_of_items_it_starts_with_is_that_of_health(trained, tmp_path, monkeypatch):
    run = copied(trained, "VQRec", tmp_path)
    Recommender.load(run).remove_items(["i3"], persist=True)
    monkeypatch.setattr("uvicorn.Server.run", lambda server, sockets: [each.close() for each in sockets])
    result = CliRunner().invoke(main, ["serve", "--run", str(run), "--port", "0"])
    assert result.exit_code == 0 and "VQRec on toy, 11 items, writes open" in result.output


def test_a_port_that_is_taken_and_a_folder_that_is_no_run(trained, tmp_path):
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        for options, message in (
            (["--run", str(trained["VQRec"][0]), "--port", str(port)], f"error: 127.0.0.1:{port}: cannot listen"),
            (["--run", str(tmp_path / "none")], "checkpoint not found; give the folder of a run"),
        ):
            result = CliRunner().invoke(main, ["serve", *options])
            assert result.exit_code == 2 and message in result.output
            assert len([line for line in result.output.splitlines() if line.startswith("error: ")]) == 1


def test_a_thousand_malformed_requests(servers):
    _, (address, process), _ = servers
    items, draw = requests.get(f"{address}/health").json()["items"], random.Random(0)
    place = (urlsplit(address).hostname, urlsplit(address).port)

    def status():
        """Send bytes that are rarely a valid request; return the status line of the answer."""
        with socket.create_connection(place, timeout=30) as connection:
            connection.sendall(malformed(draw))
            answer = b""
            while part := connection.recv(65536):
                answer += part
        return answer.split(b"\r\n")[0]

    for _ in range(100):
        status()
    before, seen = resident_memory(process), set()
    for _ in range(1000):
        seen.add(status())
    assert not [line for line in seen if line.startswith(b"HTTP/1.1 5")]
    assert any(b" 422 " in line for line in seen) and any(b" 400 " in line for line in seen)
    assert resident_memory(process) - before < 20e6
    assert requests.get(f"{address}/health").json()["items"] == items
    assert requests.post(f"{address}/recommend", data=VALID, headers={"Content-Type": "application/json"}).ok


def malformed(draw):
    """Return a request with wrong bytes in its body, and often a wrong method, path or length."""
    body = bytearray(VALID)
    for _ in range(draw.randrange(1, 9)):
        body[draw.randrange(len(body))] = draw.randrange(256)
    method = draw.choice(["POST", "POST", "POST", "GET", "PUT", "B AD"])
    paths = ["/recommend", "/recommend", "/items", "/similar/%FF", "/items/%ED%A0%80", "/\x01", "/metrics?a=%"]
    path = draw.choice(paths)
    length = draw.choice([len(body), len(body), len(body), len(body) - 5, "-1", "x", 10**9])
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {length}\r\nConnection: close\r\n\r\n".encode("latin-1") + bytes(body)


def test_the_openapi_document_holds(trained, tmp_path):
    """Generated requests, valid and not, get no 5xx, and what is answered has the form that the document states."""
    pytest.importorskip("schemathesis")
    statuses = set()
    with serving(copied(trained, "VQRec", tmp_path)) as (address, _):
        check_operations(address, statuses)
    assert {200, 201, 404, 422} <= statuses


def check_operations(address, statuses):
    """Call every operation of a service with generated requests and collect the statuses of the answers."""
    import schemathesis
    from hypothesis import HealthCheck, given, settings
    from hypothesis.errors import Unsatisfiable
    from schemathesis.generation import GenerationMode
    from schemathesis.specs.openapi.checks import response_schema_conformance

    limits = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    operations = [each.ok() for each in schemathesis.openapi.from_url(f"{address}/openapi.json").get_all_operations()]
    assert len(operations) == 7
    for operation in operations:
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

            @limits
            @given(case=operation.as_strategy(generation_mode=mode))
            def check(case):
                answer = case.call(timeout=60)
                statuses.add(answer.status_code)
                assert answer.status_code < 500, answer.text
                if answer.status_code < 300:
                    case.validate_response(answer, checks=[response_schema_conformance])

            with contextlib.suppress(Unsatisfiable):  # nothing can be wrong where nothing is given
                check()


@pytest.fixture
def browser():
    """A real headless Chromium."""
    pytest.importorskip("selenium")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("no Chromium here; apt-get install chromium chromium-driver")
    from selenium.webdriver import Chrome, ChromeOptions, ChromeService

    options = ChromeOptions()
    options.binary_location = chromium
    for flag in (
        "headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking",
        "disable-component-update", "disable-sync", "window-size=1100,800",
    ):  # fmt: skip
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = Chrome(options=options, service=ChromeService(driver))
    yield chrome
    chrome.quit()


def test_the_page_in_a_real_browser(servers, browser):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import WebDriverWait

    def lines(part):
        found = f"[...document.querySelectorAll('#{part} li')]"
        return browser.execute_script(f"return {found}.map(line => line.innerText)")

    def wait(condition):
        return WebDriverWait(browser, 30).until(lambda _: condition())

    def heading():
        return browser.find_element(By.ID, "heading").text

    run, _, (address, _) = servers
    requests.post(f"{address}/items", json={"items": {"x": "<b>bold</b> tape"}})
    items = requests.get(f"{address}/health").json()["items"]
    browser.get(address)
    wait(lambda: len(lines("recommended")) == 10 and heading() == "Most popular items")
    wait(lambda: browser.find_element(By.ID, "about").text == f"VQRec on toy, {items} items")
    box = browser.find_element(By.ID, "search")
    box.send_keys("grey")  # i3, i7 and i11, of which the first may have been removed
    wait(lambda: len(lines("found")) >= 2)
    second = lines("found")[1].split("\n")[1]
    box.send_keys(Keys.ARROW_DOWN, Keys.ENTER)
    wait(lambda: heading() == "Recommended next")
    assert [line.split("\n")[1] for line in lines("history")] == [second]
    expected = Recommender.load(run).recommend([[second]], k=10).item.tolist()
    wait(lambda: [line.split("\n")[2] for line in lines("recommended")] == expected)
    box.send_keys("bold")
    wait(lambda: lines("found") == ["<b>bold</b> tape\nx"])  # texts are shown as they are, not as html
    browser.find_element(By.CSS_SELECTOR, "#found li").click()
    wait(lambda: len(lines("history")) == 2 and box.get_attribute("value") == "")
    for left in (1, 0):
        browser.find_element(By.CSS_SELECTOR, "#history button").click()
        wait(lambda: len(lines("history")) == left)
    wait(lambda: heading() == "Most popular items")
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
