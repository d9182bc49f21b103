# make demo   the whole job on the embedded data set      make test   the tests
# Both create .venv with the pinned versions first. For another interpreter: make clean demo PYTHON=python3.12
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/pip --disable-pip-version-check install --quiet --constraint constraints.txt

.PHONY: demo test benchmark clean

demo: $(VENV)/.installed
	$(BIN)/python run_recbole_vqrec.py

test: $(VENV)/.installed
	$(BIN)/python -m pytest -q

benchmark: $(VENV)/.installed
	$(BIN)/python benchmarks/train_epoch.py

# torch first and alone, so that no other package brings another build of it; then RecBole without its pins, because
# from Python 3.12 on its ray (<= 2.6.3) cannot be resolved and is not needed (recbole_vqrec/compat.py).
$(VENV)/.installed: setup.py constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) torch
	$(PIP) --no-deps recbole==1.2.1
	$(PIP) setuptools wheel
	$(PIP) --no-build-isolation --editable '.[offline,serve,export,test]'
	touch $@

clean:
	rm -rf $(VENV) log log_tensorboard
