import json

import pytest

from recbole_vqrec.comparison import executor, worker
from recbole_vqrec.errors import VQRecError


@pytest.fixture
def in_process(monkeypatch):
    """Run without processes, which cost seconds each; return the names of the runs that are executed."""
    executed = []

    def execute(self, run):
        executed.append(run.name)
        try:
            worker.execute(run)
        except VQRecError as error:
            run.failure.write_text(json.dumps({"error": str(error)}))
            return str(error)
        return None

    monkeypatch.setattr(executor._Children, "execute", execute)
    monkeypatch.setattr("recbole_vqrec.comparison.compare.processes_by_default", lambda: 1)
    return executed
