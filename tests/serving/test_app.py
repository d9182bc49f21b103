import errno
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from recbole_vqrec import Recommender, artifacts

pytest.importorskip("fastapi")
from fastapi.testclient import TestClient  # noqa: E402

from recbole_vqrec.serving.app import THREADS, create_app  # noqa: E402


@pytest.fixture
def client(recommender):
    """A client of the service on a loopback address, without token."""
    return TestClient(create_app(recommender), base_url="http://127.0.0.1", raise_server_exceptions=False)


def test_recommendations_are_the_recommenders_with_texts(client, recommender):
    histories = [["i1", "i2", "none"], [], ["i5"]]
    answer = client.post("/recommend", json={"histories": histories, "k": 3})
    assert answer.status_code == 200
    content, expected = answer.json(), recommender.recommend(histories, k=3)
    assert content["unknown_items"] == 1
    assert [each["basis"] for each in content["recommendations"]] == ["history", "popularity", "history"]
    for user, each in enumerate(content["recommendations"]):
        own = expected[expected.user == user]
        assert [item["item"] for item in each["items"]] == own.item.tolist()
        assert [item["rank"] for item in each["items"]] == [1, 2, 3]
        assert np.allclose([item["score"] for item in each["items"]], own.score)
        assert [item["text"] for item in each["items"]] == [recommender.text_of(item) for item in own.item]


def test_options_of_a_recommendation(client):
    def items(**options):
        answer = client.post("/recommend", json={"histories": [["i1", "i2"]], "k": 100, **options})
        return {item["item"] for item in answer.json()["recommendations"][0]["items"]}

    assert len(items()) == 10 and "i1" not in items() and "i1" in items(filter_seen=False)
    assert items(candidates=["i1", "i7"]) == {"i7"}
    answer = client.post("/recommend", json={"histories": [["nil"]], "unknown": "error"})
    assert answer.status_code == 422 and "the run does not know (nil)" in answer.json()["detail"]


@pytest.mark.parametrize("item_id", ["new", "a b", "a/b", "商品-1", "🙂", "..x", "a?b#c", "{x}"])
def test_items_come_and_go_and_survive_a_restart(client, run, item_id):
    from urllib.parse import quote

    path = quote(item_id, safe="")
    answer = client.post("/items", json={"items": {item_id: "red glue"}})
    assert answer.status_code == 201 and answer.json() == {"changed": [item_id], "items": 13}
    assert client.post("/items", json={"items": {item_id: "red glue"}}).status_code == 409
    assert [each["item"] for each in client.get("/items", params={"text": item_id}).json()["items"]] == [item_id]
    assert client.get(f"/similar/{path}?k=2").status_code == 200
    assert Recommender.load(run).text_of(item_id) == "red glue"
    answer = client.delete(f"/items/{path}")
    assert answer.json() == {"changed": [item_id], "items": 12}
    assert client.delete(f"/items/{path}").status_code == 404
    assert item_id not in Recommender.load(run).item_embeddings().ids


def test_what_another_process_adds_is_served(client, run):
    assert client.get("/health").json()["items"] == 12
    Recommender.load(run).add_items({"other": "blue tape"}, persist=True)
    assert client.get("/health").json()["items"] == 13
    assert client.get("/similar/other").status_code == 200


def test_what_another_process_removes_can_be_added_again_at_once(client, run):
    Recommender.load(run).remove_items(["i3"], persist=True)
    assert client.post("/items", json={"items": {"i3": "red glue"}}).status_code == 201
    assert client.post("/items", json={"items": {"i3": "red glue"}}).status_code == 409


@pytest.mark.parametrize("first, others", [("post", 409), ("delete", 404)])
def test_of_simultaneous_changes_of_one_item_one_is_made(client, first, others):
    def change(_):
        if first == "post":
            return client.post("/items", json={"items": {"new": "red glue"}}).status_code
        return client.delete("/items/i3").status_code

    with ThreadPoolExecutor(8) as pool:
        statuses = sorted(pool.map(change, range(8)))
    assert statuses == sorted([201 if first == "post" else 200, *[others] * 7])


def test_additions_that_wait_for_one_another_do_not_stop_the_service(recommender, monkeypatch):
    """As many as there are threads; one portal, so one event loop, as in a service."""
    go_on, add = threading.Event(), recommender.add_items

    def slow(*arguments, **options):
        assert go_on.wait(30)
        return add(*arguments, **options)

    monkeypatch.setattr(recommender, "add_items", slow)
    with TestClient(create_app(recommender), base_url="http://127.0.0.1") as client, ThreadPoolExecutor(9) as pool:
        bodies = [{"items": {f"n{number}": "red glue"}} for number in range(THREADS + 2)]
        added = [pool.submit(client.post, "/items", json=body) for body in bodies]
        time.sleep(0.5)
        health = pool.submit(client.get, "/health")
        try:
            assert health.result(timeout=20).status_code == 200
        finally:
            go_on.set()
        assert [each.result().status_code for each in added] == [201] * len(added)


def test_a_change_damaged_while_serving_is_a_fault_of_the_service(client, run):
    Recommender.load(run).add_items({"other": "blue tape"}, persist=True)
    change = artifacts.change_file(run, 1)
    whole = change.read_bytes()
    change.write_bytes(whole[:-9])
    for answer in (client.get("/health"), client.post("/items", json={"items": {"n": "glue"}})):
        assert answer.status_code == 503 and change.name in answer.json()["detail"]
    change.write_bytes(whole)
    assert client.get("/health").json()["items"] == 13


def test_a_full_disk_is_a_fault_of_the_service_and_changes_nothing(client, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(artifacts, "save_file", full)
        for answer in (client.post("/items", json={"items": {"n": "glue"}}), client.delete("/items/i3")):
            assert answer.status_code == 503 and "No space left on device" in answer.json()["detail"]
    assert client.get("/health").json()["items"] == 12
    assert client.post("/items", json={"items": {"n": "glue"}}).status_code == 201


def test_search_finds_beginnings_first_and_no_removed_items(client):
    def found(text, **more):
        return [each["item"] for each in client.get("/items", params={"text": text, **more}).json()["items"]]

    assert sorted(found("RED")) == ["i0", "i4", "i8"]
    assert sorted(found("tape")) == ["i0", "i3", "i6", "i9"] and found("tape", limit=2) == found("tape")[:2]
    assert sorted(found("i1")) == ["i1", "i10", "i11"] and found("") == [] and found("zzz") == []
    client.post("/items", json={"items": {"first": "tape of no colour"}})
    assert found("tape")[0] == "first"
    client.delete("/items/i4")
    assert sorted(found("red")) == ["i0", "i8"]


def test_health_metrics_and_documents(client):
    assert client.get("/health").json() == {
        "status": "ok", "model": "VQRec", "dataset": "toy", "items": 12, "writable": True,
    }  # fmt: skip
    client.post("/recommend", json={"histories": [["nil"]]})
    client.get("/similar/i1")
    client.get("/no/such/page")
    client.request("ANYTHING", "/recommend")
    text = client.get("/metrics").text
    assert 'recbole_vqrec_requests_total{method="GET",path="/similar/{item:path}",status="200"} 1.0' in text
    assert 'recbole_vqrec_requests_total{method="other",path="other",status="404"} 1.0' in text
    assert "ANYTHING" not in text and 'method="other",path="/recommend",status="405"' in text
    assert "recbole_vqrec_items 12.0" in text and "recbole_vqrec_unknown_items_total 1.0" in text
    assert 'recbole_vqrec_request_seconds_bucket{le="0.03",path="/recommend"}' in text
    assert "/recommend" in client.get("/openapi.json").json()["paths"]
    assert client.get("/docs").status_code == 200
    assert "What comes next?" in client.get("/").text


@pytest.mark.parametrize(
    "body, said",
    [
        (b"", "body: Field required"),
        (b"{", "JSON"),
        (b'{"histories": []}', "at least 1 item"),
        (b'{"histories": [["i1"]], "k": 0}', "greater than or equal to 1"),
        (b'{"histories": [["i1"]], "k": 1001}', "less than or equal to 1000"),
        (b'{"histories": [["i1"]], "k": NaN}', "body.k"),
        (b'{"histories": [["i1"]], "k": true}', "body.k"),
        (b'{"histories": [["i1"]], "K": 5}', "Extra inputs"),
        (b'{"histories": "i1"}', "valid list"),
        (b'{"histories": [[1]]}', "valid string"),
        (b'{"histories": [["i1"]], "candidates": ["\\ud800"]}', ""),
        (b'{"histories": [["i1"]], "unknown": "what"}', "'skip' or 'error'"),
        (b"\xff\xfe", "body"),
        (b"[" * 5000, ""),
    ],
)
def test_malformed_recommendations(client, body, said):
    answer = client.post("/recommend", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422), answer.text
    assert said in answer.json()["detail"]


def test_bounded_sizes(client):
    many = {"histories": [["i1"]] * 65}
    assert client.post("/recommend", json=many).status_code == 422
    assert client.post("/recommend", json={"histories": [["i1"] * 1001]}).status_code == 422
    large = json.dumps({"histories": [["x" * (1 << 20)]]}).encode()
    answer = client.post("/recommend", content=large)
    assert answer.status_code == 413 and "1,048,576 bytes" in answer.json()["detail"]
    answer = client.post("/recommend", content=(large[at : at + 65536] for at in range(0, len(large), 65536)))
    assert answer.status_code == 413
    for announced in ("9" * 5000, "-1", "x"):  # Python refuses to read the first as a number
        headers = {"Content-Length": announced, "Content-Type": "application/json"}
        assert client.post("/recommend", content=b"{}", headers=headers).status_code == 413
    assert client.post("/items", json={"items": {"n": "a" * 20_001}}).status_code == 422
    assert client.post("/items", json={"items": {"n": " "}}).status_code == 422
    assert client.get("/health").json()["items"] == 12


def test_a_token_guards_writes_only(recommender):
    client = TestClient(create_app(recommender, "0.0.0.0", "secret-é"), base_url="http://example.org")
    body = {"items": {"new": "red glue"}}
    assert client.post("/recommend", json={"histories": [["i1"]]}).status_code == 200
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic c2VjcmV0"}):
        assert client.post("/items", json=body, headers=headers).status_code == 401
        assert client.delete("/items/i1", headers=headers).status_code == 401
    right = {"Authorization": "Bearer secret-é".encode()}
    assert client.post("/items", json=body, headers=right).status_code in (201, 401)  # bytes beyond Latin-1 may differ
    client = TestClient(create_app(recommender, "0.0.0.0", "secret"), base_url="http://example.org")
    assert client.delete("/items/i1", headers={"Authorization": "Bearer secret"}).status_code == 200


def test_no_writes_beyond_loopback_without_a_token(recommender):
    client = TestClient(create_app(recommender, "0.0.0.0"), base_url="http://example.org")
    answer = client.post("/items", json={"items": {"new": "red glue"}})
    assert answer.status_code == 403 and "--token" in answer.json()["detail"]
    assert not client.get("/health").json()["writable"]


def test_a_loopback_service_answers_loopback_names_only(recommender):
    client = TestClient(create_app(recommender), base_url="http://evil.example")
    assert client.post("/items", json={"items": {"new": "red glue"}}).status_code == 400


def test_a_model_without_texts_recommends_and_refuses_new_items(trained):
    client = TestClient(create_app(Recommender.load(trained["SASRec"][0])), base_url="http://localhost")
    assert client.post("/recommend", json={"histories": [["i1"]]}).status_code == 200
    answer = client.post("/items", json={"items": {"new": "red glue"}})
    assert answer.status_code == 422 and "knows its items by id only" in answer.json()["detail"]
