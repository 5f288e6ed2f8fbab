# Two commands: `make run` shows the line, `make test` proves it. Both first install what is missing and say so.

# A toolchain that setup has just installed is in nobody's PATH yet.
export PATH := $(HOME)/.cargo/bin:$(PATH)
# Found by the program itself as well, but not if CARGO_TARGET_DIR lies elsewhere.
export ORT_DYLIB_PATH ?= $(CURDIR)/.onnxruntime/libonnxruntime.so

# `make JOBS=1 …` builds with one job; without it cargo takes all cores.
ifdef JOBS
export CARGO_BUILD_JOBS := $(JOBS)
endif

FUZZ_TARGETS := $(basename $(notdir $(wildcard */fuzz/targets/*.rs)))
# The crate to which a target belongs.
fuzz_crate = $(firstword $(subst /, ,$(wildcard */fuzz/targets/$(1).rs)))
# Seconds for each target.
TIME ?= 60

BENCHES := $(basename $(notdir $(wildcard */benches/*.rs)))
# The folder of the crate to which a bench belongs.
bench_folder = $(firstword $(subst /, ,$(wildcard */benches/$(1).rs)))

.DEFAULT_GOAL := help
.PHONY: help run test golden-arm64 bench fmt lint setup fuzz fuzz-minimise

help:
	@echo 'make run     set up, build, and show the simulated line on a page   (ARGS="--seed 7")'
	@echo 'make test    set up and run every test'
	@echo 'make golden-arm64   the reference cases of the statistics on emulated ARM, and their bits beside those of this machine'
	@echo 'make lint    clippy, warnings are errors'
	@echo 'make fmt     format the sources'
	@echo 'make setup   install what is missing to build and test'
	@echo 'make fuzz    search the Modbus side, manifests and model outputs for wrong answers   (TIME=60 ONLY=client_tcp; needs cargo-fuzz)'
	@$(if $(BENCHES),echo 'make bench   measure: $(BENCHES)   (ONLY=name)')

# The dev profile, in which pixels, charts and digests are optimised and the model runs in ONNX Runtime anyway. A release
# build judges no faster here that anyone could see, but costs minutes more on two cores.
run:
	@scripts/setup.sh run
	cargo run --locked -p appliance --bin jidoka -- demo $(ARGS)

# The tests of the line start the real binaries, which `cargo test` of another package does not build.
test:
	@scripts/setup.sh test
	cargo build --locked -p appliance -p camera-driver
	cargo test --locked --workspace
	systemd/check.sh
	scripts/check-documents.sh

golden-arm64:
	scripts/golden-arm64.sh

# Each bench prints one JSON line per measured thing, beside its peer in the same run, and a line for people at the end.
bench:
	@$(if $(BENCHES),true,echo 'there is no bench yet' >&2; exit 1)
	@scripts/setup.sh bench
	@$(foreach name,$(if $(ONLY),$(ONLY),$(BENCHES)),cargo bench --quiet --locked --all-features --manifest-path $(call bench_folder,$(name))/Cargo.toml --bench $(name);)

fmt:
	cargo fmt --all

lint:
	cargo clippy --locked --workspace --all-targets -- -D warnings

setup:
	@scripts/setup.sh test

# Not part of the tests: they run the corpus and a million mutations of it. What is found here goes into the corpus.
fuzz:
	@cargo fuzz --version >/dev/null 2>&1 || { echo 'make fuzz needs cargo-fuzz: cargo install cargo-fuzz --locked' >&2; exit 1; }
	@$(foreach name,$(if $(ONLY),$(ONLY),$(FUZZ_TARGETS)),(cd $(call fuzz_crate,$(name)) && cargo fuzz run -s none $(name) -- -max_total_time=$(TIME) -max_len=2048) &&) true

fuzz-minimise:
	@$(foreach name,$(if $(ONLY),$(ONLY),$(FUZZ_TARGETS)),(cd $(call fuzz_crate,$(name)) && cargo fuzz cmin -s none $(name) -- -max_len=2048) &&) true
