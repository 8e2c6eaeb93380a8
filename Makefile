# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= $(firstword $(foreach v,3.11 3.12 3.10,$(shell command -v python$(v) >/dev/null 2>&1 && python$(v) -c '' >/dev/null 2>&1 && echo python$(v))) python3)
BIN := .venv/bin
INSTALLED := .venv/.installed
VALIDATOR := $(if $(shell command -v npm),.cache/npm/node_modules/gltf-validator)

# Without its bytecode kept, each process of the commands and the tests would compile all that it imports, for longer than
# it then takes to import it.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test units lint types install clean
demo: install
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python scripts/demo.py

# The type checker knows one core only, so the tests begin beside it.
test: install lint $(VALIDATOR)
	$(MAKE) --jobs 2 types units

# One file more at a time than there are cores, as some wait for servers and other processes; in the order of
# tests/conftest.py: the longest files first.
units: install $(VALIDATOR)
	PATH="$(CURDIR)/$(BIN):$$PATH" OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder

lint: install
	$(BIN)/ruff check .

types: install
	$(BIN)/basedpyright --pythonpath $(BIN)/python

install: $(INSTALLED)

# uv resolves from the registry alone, where torch and torchvision match; pip may prefer a local build of torch.
$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[dev]'
	command -v ffmpeg >/dev/null || ln -sf "$$($(BIN)/python -c 'import imageio_ffmpeg; print(imageio_ffmpeg.get_ffmpeg_exe())')" $(BIN)/ffmpeg
	$(BIN)/ns-hands fetch-weights
	touch $@

# Khronos' own validator; without npm the tests that need it are skipped and say so.
.cache/npm/node_modules/gltf-validator:
	npm install --silent --no-audit --no-fund --prefix .cache/npm gltf-validator@2.0.0-dev.3.10

clean:
	rm -rf .venv
