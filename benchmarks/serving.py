"""The service under load: latency at a fixed rate from several clients, and the time to add an item.

    python benchmarks/serving.py --run saved/RUN [--clients 4] [--rate 50] [--seconds 20] [--added 20]

Starts `recbole-vqrec serve` on a copy of the run folder; histories are random items of the run, 1 to 20 each.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import requests
from tabulate import tabulate

from recbole_vqrec.inference.stored_catalogue import StoredCatalogue


def client(address, item_ids, rate, seconds, seed, latencies):
    """Send requests at a rate for some seconds; a late answer does not slow the next request down."""
    session, draw = requests.Session(), np.random.default_rng(seed)
    start, count = time.perf_counter() + seed / rate / 10, int(rate * seconds)
    for number in range(count):
        due = start + number / rate
        time.sleep(max(0, due - time.perf_counter()))
        history = draw.choice(item_ids, size=draw.integers(1, 21)).tolist()
        answer = session.post(f"{address}/recommend", json={"histories": [history], "k": 10})
        answer.raise_for_status()
        latencies.append(time.perf_counter() - due)


def percentiles(name, seconds):
    """Return a row of the table, in milliseconds."""
    return [name, len(seconds), *(f"{np.percentile(seconds, each) * 1e3:.1f}" for each in (50, 95, 99, 100))]


def main():
    """Run the load and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--rate", type=float, default=50, help="requests a second, all clients together")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--added", type=int, default=20, help="items that are added one by one")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        run = Path(shutil.copytree(given.run, Path(home) / "run"))
        item_ids = np.array(StoredCatalogue(run).catalogue.item_ids)
        command = [sys.executable, "-m", "recbole_vqrec", "serve", "--run", str(run), "--port", "0"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            address = next(re.search(r"http://\S+", line).group() for line in server.stdout if "http://" in line)
            measure(address, item_ids, given)
        finally:
            server.terminate()
            server.wait()


def measure(address, item_ids, given):
    """Measure reads at a rate, additions one by one, and both at once."""
    add(address, "warm-up", 1)  # loads the language model
    client(address, item_ids, 50, 1, 99, [])
    rows = [percentiles("recommend", reads(address, item_ids, given))]
    rows.append(percentiles("add an item", add(address, "alone", given.added)))
    writer = threading.Thread(target=add, args=(address, "meanwhile", given.added))
    writer.start()
    rows.append(percentiles("recommend, items being added", reads(address, item_ids, given)))
    writer.join()
    print(tabulate(rows, ["ms", "requests", "p50", "p95", "p99", "most"], disable_numparse=True))
    print(f"{given.clients} clients, {given.rate:.0f} requests a second, {len(item_ids):,} items")


def reads(address, item_ids, given):
    """Return the latencies of all clients."""
    latencies = []
    arguments = (address, item_ids, given.rate / given.clients, given.seconds)
    threads = [threading.Thread(target=client, args=(*arguments, seed, latencies)) for seed in range(given.clients)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    return latencies


def add(address, name, count):
    """Add items one by one, each recommendable when the answer comes; return the latencies."""
    session, latencies = requests.Session(), []
    for number in range(count):
        start = time.perf_counter()
        body = {"items": {f"{name}-{number}": f"Stainless steel digital caliper number {number}, 150 mm"}}
        session.post(f"{address}/items", json=body).raise_for_status()
        latencies.append(time.perf_counter() - start)
    return latencies


if __name__ == "__main__":
    main()
