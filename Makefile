# make build      the program, static, for this machine
# make dist       the same for Linux on amd64 and arm64, with checksums
# make test       everything that CI checks; cheap stages first
# make help       the rest

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
TIMEOUT ?= 10m

# The same sources and the same Go give the same bytes, whatever the directory, the cache and the environment.
BUILD_ENV   = CGO_ENABLED=0 GOFLAGS= GOWORK=off GOEXPERIMENT= GOAMD64=v1 GOARM64=v8.0
BUILD_FLAGS = -trimpath -buildvcs=false -ldflags "-s -w -buildid= -X s1stream/internal/cli.version=$(VERSION)"
GO_BUILD    = $(BUILD_ENV) $(GO) build $(BUILD_FLAGS)
ARCHES      = amd64 arm64

# Long tests have a stage of their own; `unit` runs them too, small. $(GOTEST) is `go test` that also fails
# when nothing matched, and under CI=true when a test was skipped.
GOTEST         = $(GO) run .ci/gotest.go
UNIT           ?= ./...
SCENARIO_PKG   ?= ./internal/pipeline
SCENARIO_RUN   ?= ^TestScenario
SCENARIO       ?= -scenario.seeds=20000
SCENARIO_RACE  ?= -scenario.seeds=500 -scenario.polls=60
SOAK           ?= -scenario.seeds=1000000
SOAK_KILL      ?= -kills=1000
KILL_PKG       ?= ./internal/e2e
KILL_RUN       ?= ^TestKill
KILL           ?= -kills=300
FUZZTIME       ?= 10s
BENCH          ?= -bench.threats=200000 -bench.many=1000000 -bench.rounds=3 -bench.ack=10s -bench.kafka -bench.idle=60s

STAGES = fmt vet lint deploy judges unit scenario kill fuzz

.PHONY: build dist reproducible image-context image test $(STAGES) soak bench clean help

build: ## ./s1stream for this machine
	$(GO_BUILD) -o s1stream .

dist: $(ARCHES:%=dist/linux_%/s1stream) ## dist/linux_ARCH/s1stream and dist/SHA256SUMS
	cd dist && sha256sum linux_*/s1stream >SHA256SUMS && cat SHA256SUMS

.PHONY: $(ARCHES:%=dist/linux_%/s1stream)
$(ARCHES:%=dist/linux_%/s1stream): dist/linux_%/s1stream:
	GOOS=linux GOARCH=$* $(GO_BUILD) -o $@ .

reproducible: ## builds twice, in two directories with two caches, and compares
	GO='$(GO)' MAKE='$(MAKE)' VERSION='$(VERSION)' .ci/reproducible

image-context: dist ## dist/image: what the Dockerfile copies
	.ci/image-context

image: image-context ## s1stream:dev, by docker, podman or buildah
	.ci/image

# One line a stage with its time, so that a slow one is seen. A failed stage ends the run.
test: ## everything that CI checks, but the long benchmark
	@start=$$(date +%s); for s in $(STAGES); do \
	  from=$$(date +%s); \
	  if $(MAKE) --no-print-directory $$s; then r=ok; else r=FAILED; fi; \
	  printf 'stage %-9s %-6s %4d s\n' $$s $$r $$(($$(date +%s) - from)); \
	  test $$r = ok || exit 1; \
	done; printf 'stage %-9s %-6s %4d s\n' all ok $$(($$(date +%s) - start))

fmt: ## gofmt changes nothing
	@out=$$(gofmt -l -s $$(git ls-files -co --exclude-standard '*.go')) && \
	  test -z "$$out" || { echo "run gofmt -s -w on:"; echo "$$out"; exit 1; }

vet: ## go vet
	$(GO) vet ./...
	$(GO) vet .ci/gotest.go
	@$(GO) mod verify

unit: ## every package's tests, with -race
	@$(GOTEST) -count=1 -race -timeout $(TIMEOUT) $(UNIT)

scenario: ## seeded scenarios of the whole pipeline: many, then longer ones with -race
	@$(GOTEST) -count=1 -timeout $(TIMEOUT) -run '$(SCENARIO_RUN)' $(SCENARIO_PKG) $(SCENARIO)
	@$(GOTEST) -count=1 -race -timeout $(TIMEOUT) -run '$(SCENARIO_RUN)' $(SCENARIO_PKG) $(SCENARIO_RACE)

kill: ## SIGKILLs of the real program at random moments
	@$(GOTEST) -count=1 -timeout $(TIMEOUT) -run '$(KILL_RUN)' $(KILL_PKG) $(KILL)

fuzz: ## each fuzz target for FUZZTIME
	@GO='$(GO)' .ci/fuzz $(FUZZTIME)

lint: ## golangci-lint, the version that .ci/peers pins
	@.ci/lint

deploy: ## the files in deploy/, by the tools that read them
	@GO='$(GO)' MAKE='$(MAKE)' VERSION='$(VERSION)' .ci/check-deploy

judges: ## the formats, by other people's parsers and schemas, over 5,000 threats
	@GO='$(GO)' .ci/judges/run

soak: ## kills, and scenarios for hours: make soak SOAK=-scenario.seeds=5000000 SOAK_KILL=-kills=3000
	@$(GOTEST) -count=1 -timeout 0 -run '$(KILL_RUN)' $(KILL_PKG) $(SOAK_KILL)
	@$(GOTEST) -count=1 -timeout 0 -run '$(SCENARIO_RUN)' $(SCENARIO_PKG) $(SOAK)

bench: ## the long benchmark (docs/benchmarks.md)
	$(GO) test -count=1 -v -timeout 60m -run TestBenchmark ./internal/bench $(BENCH)

clean: ## what the targets above made; .peers stays
	rm -rf s1stream dist

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-14s %s\n", $$1, $$2}' Makefile
