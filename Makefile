# GNU make and bash. Tool versions stand here, those of libraries in go.mod.
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
BENCHSTAT   := golang.org/x/perf/cmd/benchstat@v0.0.0-20260908200009-22c9c6c9d4da
MD2MAN      := github.com/cpuguy83/go-md2man/v2
NFPM        := github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.44.0

# What the tests run, as Debian's package:program (or a file of it), and what only `make race` needs.
DEPS := keepalived:keepalived syslog-ng-core:syslog-ng gobgpd:gobgpd iproute2:ip nftables:nft \
        openssh-client:ssh openssh-server:sshd procps:pgrep dbus:dbus-daemon systemd:systemd-analyze rpm:rpm \
        prometheus:promtool nats-server:nats-server
# rsyslog cannot be installed beside syslog-ng: it is unpacked here, with a script that starts it.
RSYSLOG := .deps/bin/rsyslogd
RACE_DEPS := gcc:gcc libc6-dev:/usr/include/stdlib.h

TOOLS   := $(patsubst %/main.go,%,$(wildcard */main.go))
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
PREFIX  ?= /usr/local
FUZZTIME ?= 30s
COUNT   ?= 1

# urfave_cli_no_docs: 0.3 MiB and 1 ms less a start; grpcnotrace: 2.8 MiB less in kad-notify.
export GOFLAGS := -tags=urfave_cli_no_docs,grpcnotrace -buildvcs=false
export PATH := $(PATH):/usr/sbin:/sbin

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.NOTPARALLEL: # labs need the processors for themselves
MAKEFLAGS += --no-builtin-rules --no-print-directory
.DEFAULT_GOAL := build
.PHONY: help deps race-deps build test unit integration race lint fuzz bench bench-peers bench-curves bench-memory bench-failover bench-nats chaos benchstat cover man completions demo demo-forwarder install packages clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

deps: $(RSYSLOG) ## install the daemons and programs that tests and demo run, where they are missing
	@missing=()
	for d in $(DEPS); do
		type -P "$${d#*:}" >/dev/null || [[ -e $${d#*:} ]] || missing+=("$${d%%:*}")
	done
	(($${#missing[@]})) || exit 0
	if ! type -P apt-get >/dev/null || ((EUID)); then
		echo "make deps: not installed: $${missing[*]}; run as root on Debian: apt-get install $${missing[*]}" >&2
		exit 1
	fi
	echo "make deps: installing $${missing[*]}"
	policy=/usr/sbin/policy-rc.d # 101: no service may be started
	if [[ ! -e $$policy ]]; then
		trap "rm -f $$policy" EXIT
		printf '#!/bin/sh\nexit 101\n' >$$policy
		chmod 755 $$policy
	fi
	export DEBIAN_FRONTEND=noninteractive
	install=(apt-get -qq -o Dpkg::Use-Pty=0 install --yes --no-install-recommends --no-remove "$${missing[@]}")
	apt-cache show "$${missing[@]}" >/dev/null 2>&1 || apt-get -qq update
	"$${install[@]}" >/dev/null || { apt-get -qq update; "$${install[@]}" >/dev/null; }
	if [[ -d /run/systemd/system ]]; then
		echo "make deps: no service was started, but systemd starts them at the next boot; to prevent that:" \
			"systemctl disable keepalived syslog-ng gobgpd ssh nats-server"
	fi

$(RSYSLOG):
	@if ! type -P apt-get >/dev/null; then
		echo "make deps: no apt-get: $(CURDIR)/$@ has to be an rsyslogd with imrelp and omrelp" >&2
		exit 1
	fi
	echo "make deps: unpacking rsyslog below $(CURDIR)/.deps"
	rm -rf .deps
	mkdir -p .deps/packages $(@D)
	fetch() {
		needs=$$(apt-get -qq --simulate --no-install-recommends install rsyslog rsyslog-relp rsyslog-openssl | awk '/^Inst/ { print $$2 }') &&
			(cd .deps/packages && apt-get -qq -o APT::Sandbox::User=root download rsyslog rsyslog-relp rsyslog-openssl $$needs)
	}
	fetch >/dev/null 2>&1 || { apt-get -qq update; fetch >/dev/null; }
	for package in .deps/packages/*.deb; do dpkg --extract $$package .deps/rsyslog; done
	rm -r .deps/packages
	libraries=$$(cd .deps/rsyslog; dirname usr/lib/*/rsyslog)
	printf '#!/bin/sh\ndir=$${0%%/bin/*}/rsyslog\nexport LD_LIBRARY_PATH=$$dir/%s\nexec $$dir/usr/sbin/rsyslogd -M $$dir/%s/rsyslog "$$@"\n' \
		$$libraries $$libraries >$@.new
	chmod 755 $@.new
	mv $@.new $@

race-deps:
	@$(MAKE) deps DEPS='$(RACE_DEPS)'

build: ## build the tools into bin/ (the default)
	@CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X kad/pkg/cli.version=$(VERSION)' -o bin/ $(TOOLS:%=./%)

test: unit integration ## everything that tells whether kad works: deps, build, all tests

# KAD_REQUIRE=1: a test that lacks what it needs fails instead of skipping.
unit: deps build ## all tests but those of integration/
	@KAD_REQUIRE=1 go test -timeout 20m $$(go list ./... | grep -v ^kad/integration)

integration: deps build ## the tests with real daemons in network namespaces, one package at a time
	@KAD_REQUIRE=1 go test -count 1 -p 1 -timeout 40m ./integration/...

race: deps race-deps build ## make unit under the race detector
	@CGO_ENABLED=1 KAD_REQUIRE=1 go test -race -timeout 30m $$(go list ./... | grep -v ^kad/integration)

lint: ## gofmt, go vet, staticcheck, shellcheck, and the layers of docs/style.md
	@badly=$$(gofmt -l $$(git ls-files '*.go'))
	[[ -z $$badly ]] || { echo "gofmt -w $$badly" >&2; exit 1; }
	go vet ./...
	go run $(STATICCHECK) ./...
	if type -P shellcheck >/dev/null; then shellcheck .ci/run; fi
	go test ./integration/layers

fuzz: ## run every fuzz target for FUZZTIME=30s
	@for package in $$(go list ./...); do
		targets=$$(go test -list '^Fuzz' $$package)
		for target in $$(grep ^Fuzz <<<"$$targets"); do
			echo "$$package $$target"
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$package
		done
	done

bench: deps build ## run every benchmark of the packages COUNT=1 times (keep the output for benchstat)
	@go test -run '^$$' -bench . -benchmem -count $(COUNT) -p 1 -timeout 2h ./...

# With BENCH of one's own it only prints.
PAGE := -page docs/performance.md

bench-peers: deps build ## forwarder, syslog-ng, rsyslog and a relay side by side, into docs/performance.md: BENCH='-rounds 5 -workloads W1,W6'
	@go run ./integration/bench peers $(or $(BENCH),$(PAGE))

bench-curves: deps build ## what a message costs as connections, filters, destinations, sizes grow, into docs/performance.md
	@go run ./integration/bench curves $(or $(BENCH),$(PAGE))

bench-memory: deps build ## how much memory forwarder, syslog-ng and rsyslog take, into docs/performance.md
	@go run ./integration/bench memory $(or $(BENCH),$(PAGE))

bench-failover: deps build ## what the loss of a server costs, forwarder and syslog-ng side by side: FAILOVER='-runs 10 -only RELP'
	@go run ./integration/failover $(FAILOVER)

bench-nats: deps ## what the death of a JetStream leader costs at 20000 msg/s, and throughput beside a plain publisher
	@go test -run '^$$' -bench '^BenchmarkNATS' -benchtime 1x -timeout 30m ./integration

chaos: deps ## break a chain of forwarders at random for CHAOS=10m (SEED=N does the same again), and count what got lost
	@mkdir -p dist
	CHAOS=$(or $(CHAOS),10m) KAD_REQUIRE=1 go test -count 1 -timeout 24h -v -artifacts -outputdir $(CURDIR)/dist ./integration/chaos

benchstat: ## compare two outputs of make bench COUNT=10: OLD=file NEW=file
	@go run $(BENCHSTAT) $(OLD) $(NEW)

cover: deps build ## coverage of the unit tests into dist/cover.html
	@mkdir -p dist
	go test -coverprofile dist/cover.out $$(go list ./... | grep -v ^kad/integration)
	go tool cover -html dist/cover.out -o dist/cover.html
	go tool cover -func dist/cover.out | tail -n 1

man: ## man pages from the README.md of each tool into dist/man
	@mkdir -p dist/man
	for tool in $(TOOLS); do
		section=$$(sed -n "1s/^# $$tool(\([1-8]\))$$/\1/p" $$tool/README.md)
		[[ $$section ]] || { echo "$$tool/README.md:1: want \"# $$tool(SECTION)\"" >&2; exit 1; }
		sed "1s/.*/# $$tool $$section/" $$tool/README.md | go run $(MD2MAN) -out dist/man/$$tool.$$section
	done

completions: build
	@mkdir -p dist/{bash,zsh,fish}
	for tool in $(TOOLS); do
		bin/$$tool completion bash >dist/bash/$$tool
		bin/$$tool completion zsh >dist/zsh/_$$tool
		bin/$$tool completion fish >dist/fish/$$tool.fish
	done

install: build man completions ## install tools, units, man pages and completions below DESTDIR and PREFIX=/usr/local
	@share=$(DESTDIR)$(PREFIX)/share
	install -D -t $(DESTDIR)$(PREFIX)/bin $(TOOLS:%=bin/%)
	for page in dist/man/*; do install -D -m 644 -t $$share/man/man$${page##*.} $$page; done
	install -D -m 644 -t $$share/bash-completion/completions dist/bash/*
	install -D -m 644 -t $$share/zsh/site-functions dist/zsh/*
	install -D -m 644 -t $$share/fish/vendor_completions.d dist/fish/*
	systemd=$(DESTDIR)$(PREFIX)/lib/systemd
	install -D -m 644 -t $$systemd/system examples/*/*.{service,socket,timer}
	sed -i 's|/usr/local/bin/|$(PREFIX)/bin/|' $$systemd/system/*
	install -D -m 644 -t $$systemd/catalog examples/*/*.catalog

packages: ## deb and rpm of this machine's architecture into dist/
	@rm -rf dist/root dist/*.deb dist/*.rpm
	$(MAKE) install DESTDIR=dist/root PREFIX=/usr
	export GOARCH=$$(go env GOARCH) VERSION=$(patsubst v%,%,$(VERSION))
	[[ $$VERSION == [0-9]*.[0-9]* ]] || VERSION=0.0.0+$$VERSION # there is no tag
	for package in kad kad-forwarder; do
		for format in deb rpm; do
			go run $(NFPM) package --config .ci/packages/$$package.yaml --packager $$format --target dist/
		done
	done

demo: deps build ## bring the pair of hosts up, break it, and show the tables
	@go run ./integration/demo

demo-forwarder: deps build ## the same with forwarder on the relays and a client that logs to them: count what got lost
	@go run ./integration/demo -forwarder

clean: ## remove what make has made
	@rm -rf bin dist
