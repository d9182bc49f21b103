"""Downloads from a local server that breaks connections, ignores ranges, sends other sizes, or has no such file."""

import hashlib
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from click.testing import CliRunner

from recbole_vqrec.cli import main
from recbole_vqrec.errors import VQRecError
from recbole_vqrec.preprocess import download as stage
from recbole_vqrec.preprocess import transfer
from recbole_vqrec.defaults import read_props
from recbole_vqrec.preprocess.download import amazon_files, category_files, online_retail_files
from recbole_vqrec.preprocess.transfer import RemoteFile

CONTENT = bytes(range(256)) * 4000  # 1,024,000 bytes


class Server(ThreadingHTTPServer):
    """Serves CONTENT at every address; `behaviours` are taken one a request, then all goes well."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.behaviours, self.requests = [], []

    def address(self, name="data.csv"):
        return f"http://127.0.0.1:{self.server_address[1]}/{name}"


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_GET(self):
        self.server.requests.append(self.headers.get("Range"))
        behaviour = self.server.behaviours.pop(0) if self.server.behaviours else ""
        if behaviour.isdigit():
            self.send_error(int(behaviour))
            return
        match = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(match.group(1)) if match and "ignore range" not in behaviour else 0
        content = CONTENT[:1000] if "short file" in behaviour else CONTENT
        if start >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        body = content[start:]
        self.wfile.write(body[: len(body) // 2] if "break" in behaviour else body)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setitem(read_props("download.yaml"), "download_wait", 0.01)
    monkeypatch.setitem(read_props("download.yaml"), "download_timeout", 5)
    monkeypatch.setattr(transfer, "BLOCK", 1000)
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def fetch(server, tmp_path, force=False, name="data.csv", **known):
    said = []
    file = RemoteFile(server.address(), tmp_path / "raw" / name, **known)
    stage.download([file], force, said.append, progress=False)
    return file.path, said


def left(tmp_path):
    return sorted(path.name for path in (tmp_path / "raw").iterdir())


def test_whole_file_with_size_and_checksum(server, tmp_path):
    path, said = fetch(server, tmp_path, size=len(CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest())
    assert path.read_bytes() == CONTENT and left(tmp_path) == ["data.csv"]
    assert "1,024,000 bytes, checksum right" in said[-1]
    fetch(server, tmp_path)
    assert server.requests == [None]  # what is there is not fetched again
    fetch(server, tmp_path, force=True)
    assert len(server.requests) == 2


def test_resumes_where_the_connection_broke(server, tmp_path):
    server.behaviours = ["break", "break", "503"]
    path, said = fetch(server, tmp_path)
    assert path.read_bytes() == CONTENT and left(tmp_path) == ["data.csv"]
    assert server.requests == [None, "bytes=512000-", "bytes=768000-", "bytes=768000-"]
    assert said[0] == "data.csv: connection lost at 512,000 bytes, again in 0.01 seconds"


def test_short_answer_is_noticed_without_help_of_the_library(server, tmp_path, monkeypatch):
    """urllib3 1.x took a body that ends early for complete."""
    get = transfer.requests.get

    def lax(*args, **options):
        answer = get(*args, **options)
        answer.raw.enforce_content_length = False
        return answer

    monkeypatch.setattr(transfer.requests, "get", lax)
    server.behaviours = ["break"]
    path, _ = fetch(server, tmp_path)
    assert path.read_bytes() == CONTENT and len(server.requests) == 2


def test_resumes_after_a_kill(server, tmp_path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "data.csv.part").write_bytes(CONTENT[:1234])
    path, _ = fetch(server, tmp_path)
    assert path.read_bytes() == CONTENT and server.requests == ["bytes=1234-"]


def test_complete_part_only_needs_its_name(server, tmp_path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "data.csv.part").write_bytes(CONTENT)
    path, _ = fetch(server, tmp_path)
    assert path.read_bytes() == CONTENT and left(tmp_path) == ["data.csv"]


def test_part_longer_than_the_file_is_started_again(server, tmp_path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "data.csv.part").write_bytes(CONTENT + b"more")
    path, _ = fetch(server, tmp_path)
    assert path.read_bytes() == CONTENT


def test_server_that_ignores_ranges(server, tmp_path):
    server.behaviours = ["break", "ignore range"]
    path, _ = fetch(server, tmp_path)
    assert path.read_bytes() == CONTENT and server.requests == [None, "bytes=512000-"]


def test_gives_up_where_nothing_new_arrives(server, tmp_path):
    server.behaviours = ["break ignore range"] * 99
    with pytest.raises(VQRecError, match="cannot be fetched .*save it as .*data.csv") as error:
        fetch(server, tmp_path)
    assert "\n" not in str(error.value)
    assert len(server.requests) == 1 + read_props("download.yaml")["download_attempts"]
    assert left(tmp_path) == ["data.csv.part"]  # kept for the next time


@pytest.mark.parametrize(
    "known, said",
    [({"size": len(CONTENT)}, "has 1,000 bytes, expected 1,024,000"), ({"sha256": "0" * 64}, "has another SHA-256")],
)
def test_another_file_than_known(server, tmp_path, known, said):
    server.behaviours = ["short file"]
    with pytest.raises(VQRecError, match=said):
        fetch(server, tmp_path, **known)
    assert left(tmp_path) == []


def test_file_that_is_there_is_checked(server, tmp_path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "data.csv").write_bytes(b"cut")
    with pytest.raises(VQRecError, match="has 3 bytes, expected 1,024,000; remove it"):
        fetch(server, tmp_path, size=len(CONTENT))


def test_web_page_in_place_of_a_file(server, tmp_path):
    with pytest.raises(VQRecError, match="data.json.gz: is no .gz file .1,024,000 bytes, a log-in page"):
        fetch(server, tmp_path, name="data.json.gz")
    assert left(tmp_path) == []


def test_404_says_what_to_do_at_once(server, tmp_path):
    server.behaviours = ["404"]
    with pytest.raises(VQRecError, match=r"data.csv: cannot be fetched \(404 .*\); fetch it elsewhere and save it"):
        fetch(server, tmp_path)
    assert len(server.requests) == 1 and left(tmp_path) == []


def test_read_only_folder(server, tmp_path):
    (tmp_path / "raw").write_text("a file where the folder should be")
    with pytest.raises(VQRecError, match="cannot be written"):
        fetch(server, tmp_path)


def test_without_network_one_message_for_all_files(server, tmp_path, monkeypatch):
    server.shutdown()
    server.server_close()
    release = {**read_props("download.yaml")["amazon_2018"], "ratings": server.address("{category}.csv")}
    monkeypatch.setitem(read_props("download.yaml"), "amazon_2018", release)
    run = CliRunner().invoke(main, ["download", "amazon", "--category", "scientific", "--raw", str(tmp_path)])
    assert run.exit_code == 2
    message = run.output.strip()
    assert message.startswith("error: http://127.0.0.1") and message.count("\n") == 0
    assert f"as {tmp_path / 'Ratings' / 'Industrial_and_Scientific.csv'}, and https://" in message
    assert message.endswith(f"as {tmp_path / 'Metadata' / 'meta_Industrial_and_Scientific.json.gz'}")


def test_command(server, tmp_path, monkeypatch):
    digest = hashlib.sha256(CONTENT).hexdigest()
    known = {"address": server.address("retail"), "file": "retail", "size": len(CONTENT), "sha256": digest}
    monkeypatch.setitem(read_props("download.yaml"), "online_retail", known)
    run = CliRunner().invoke(main, ["download", "online-retail", "--raw", str(tmp_path)], catch_exceptions=False)
    assert run.exit_code == 0 and (tmp_path / "retail").read_bytes() == CONTENT


@pytest.mark.parametrize(
    "short, full",
    [
        ("Scientific", "Industrial_and_Scientific"), ("Pantry", "Prime_Pantry"), ("Instruments", "Musical_Instruments"),
        ("Arts", "Arts_Crafts_and_Sewing"), ("Office", "Office_Products"), ("Food", "Grocery_and_Gourmet_Food"),
        ("Home", "Home_and_Kitchen"), ("CDs", "CDs_and_Vinyl"), ("Kindle", "Kindle_Store"), ("Movies", "Movies_and_TV"),
        ("movies_and_tv", "Movies_and_TV"),
    ],
)  # fmt: skip
def test_names_of_the_paper(short, full):
    assert category_files("2018", short) == (full, f"{full}.csv", f"meta_{full}.json.gz")


def test_release_of_2023():
    assert category_files(2023, "Baby") == ("Baby_Products", "Baby_Products.csv.gz", "meta_Baby_Products.jsonl.gz")
    with pytest.raises(VQRecError, match="category 'Prime_Pantry' is not in the 2023 release"):
        category_files("2023", "Prime_Pantry")
    with pytest.raises(VQRecError, match="did you mean 'Scientific'"):
        category_files("2023", "Scientfic")
    with pytest.raises(VQRecError, match="version: '2014' is none of 2018, 2023"):
        category_files("2014", "Books")


def test_every_published_file_has_an_address_and_a_checksum(tmp_path):
    counts = {"2018": 29, "2023": 34}
    for version, count in counts.items():
        categories = read_props("download.yaml")[f"amazon_{version}"]["categories"]
        assert len(categories) == len({found[0] for found in categories.values()}) == count
        for short in categories:
            ratings, metadata = amazon_files(version, short, tmp_path)
            assert re.fullmatch("[0-9a-f]{64}", ratings.sha256)
            assert ratings.address.startswith("https://") and "{" not in ratings.address + metadata.address
    assert online_retail_files(tmp_path)[0].path == tmp_path / "online_retail.zip"
