# Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.
#
#   make demo   crash a machine in QEMU and see what is saved of it
#   make test   test everything
#
# Both set up what they need on a fresh Debian or Ubuntu with Go: packages, for
# which they want root or sudo, and Debian kernels, which are only unpacked.
# Everything that is made or fetched goes to build/. Also:
#
#   make build         build/ukdump, and build/ukdump-image* for capture images
#   make rescue        build/rescue/bb, the rescue shell for the capture image
#   make check         gofmt, go vet, staticcheck
#   make test-unit     the tests that need nothing
#   make test-race     the same under the race detector
#   make test-readers  our dumps of real cores against makedumpfile, crash, drgn
#   make test-vm       machines in QEMU that crash with ukdump armed
#   make test-faults   all of docs/reliability.md, whose table it writes, and all
#                      troubles with servers
#   make fuzz          each fuzz target for FUZZTIME, the readers and codecs of
#                      files from elsewhere for READER_FUZZTIME
#   make bench         measure ourselves against makedumpfile, see
#                      docs/performance.md; BENCH= has flags, -h shows them
#   make bench-targets measure targets against scp, curl and cp, on loopback
#   make bench-vm      the same as bench for whole capture runs, and against kdump-tools

SHELL = /bin/bash -o pipefail
GO ?= go
FUZZTIME ?= 5s
READER_FUZZTIME ?= 30s
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
# The unit tests, too, compare with makedumpfile where it is installed or fetched.
export PATH := $(PATH):/usr/sbin:/sbin:$(CURDIR)/build/tools/bin

# The Debian releases whose kernels are tested: 6.1 and 6.12. Older (bullseye)
# and newer ones (trixie-backports) can be had with SUITES=.
SUITES ?= bookworm trixie
export UKDUMP_TEST_SUITES = $(SUITES)

# What is needed of the host, and the packages that have it.
NEEDS_DEMO = qemu-system-x86_64:qemu-system-x86 depmod:kmod mkfs.ext4:e2fsprogs xz:xz-utils \
	/usr/share/keyrings/debian-archive-keyring.gpg:debian-archive-keyring
NEEDS_TEST = $(NEEDS_DEMO) mkfs.xfs:xfsprogs mkfs.btrfs:btrfs-progs mkfs.vfat:dosfstools gcc:gcc make:make \
	/usr/include/string.h:libc6-dev lz4:lz4 zstd:zstd cpio:cpio busybox:busybox python3:python3 age:age curl:curl xxhsum:xxhash \
	openssl:openssl ssh-keygen:openssh-client /usr/sbin/sshd:openssh-server nginx:nginx-light ip:iproute2 \
	ganesha.nfsd:nfs-ganesha /usr/lib/$(MULTIARCH)/ganesha/libfsalvfs.so:nfs-ganesha-vfs \
	dnsmasq:dnsmasq-base radvd:radvd /usr/share/OVMF/OVMF_CODE.fd:ovmf /usr/lib/$(MULTIARCH)/libelf.so.1:libelf1 \
	sfdisk:fdisk cryptsetup:cryptsetup-bin pvcreate:lvm2
MULTIARCH = $(shell uname -m)-linux-gnu

BUILD = CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w'
# Of go test -v, what became of each test and what it said; of subtests only
# what did not pass.
SUMMARY = { grep -vE '^ *=== (RUN|PAUSE|CONT|NAME)|^ +--- PASS|^PASS$$' || true; }
# Gigabytes, which /tmp may have to keep in memory.
VMTEST = TMPDIR=/var/tmp UKDUMP_VMTEST=1 $(GO) test -count=1 -timeout 90m -v ./vmtest

.PHONY: all build rescue demo test check test-unit test-race test-readers test-vm test-vm-dumps test-vm-faults \
	test-faults fuzz bench bench-targets bench-vm kernels headers cores tools debug clean

all: build

build:
	$(BUILD) -o build/ukdump ./cmds/ukdump
	$(BUILD) -tags image -o build/ukdump-image ./cmds/ukdump
	$(BUILD) -tags image,network,nethttpomithttp2 -o build/ukdump-image-network ./cmds/ukdump
	$(BUILD) -tags image,network,s3,nethttpomithttp2 -o build/ukdump-image-s3 ./cmds/ukdump

rescue: build/rescue/bb
build/rescue/bb: initramfs/rescue/commands initramfs/rescue/build
	initramfs/rescue/build $@

demo: build
	vmtest/setup $(NEEDS_DEMO)
	vmtest/fetch kernel $(firstword $(SUITES))
	$(GO) run ./vmtest/demo $(firstword $(SUITES))

# What is quick and fails most often comes first.
test:
	vmtest/setup $(NEEDS_TEST)
	$(MAKE) check
	$(MAKE) tools debug cores
	$(MAKE) test-unit
	$(MAKE) test-race
	$(MAKE) test-readers
	$(MAKE) test-vm
	$(MAKE) fuzz

check:
	@unformatted=$$(gofmt -l cmds initramfs pkg vmtest); \
	[ -z "$$unformatted" ] || { echo "not as gofmt has it: $$unformatted"; exit 1; }
	$(GO) vet ./...
	set -e; for tags in image image,network image,network,s3; do \
		$(GO) vet -tags $$tags ./cmds/ukdump ./cmds/makedumpfile ./pkg/capture; \
	done
	$(GO) run $(STATICCHECK) ./...

test-unit:
	$(GO) test -count=1 -v ./... | $(SUMMARY)

test-race:
	$(GO) test -race -short ./pkg/...

kernels:
	set -e; for suite in $(SUITES); do vmtest/fetch kernel $$suite; done

cores: kernels
	$(GO) run ./vmtest/mkcore $(SUITES)

# The readers: of bookworm for kernels of its time, of forky for newer ones.
tools:
	vmtest/fetch server s3
	vmtest/fetch tools bookworm
	vmtest/fetch tools forky
	mkdir -p build/tools/bin && ln -sf ../makedumpfile-bookworm build/tools/bin/makedumpfile

debug: kernels
	set -e; for suite in $(SUITES); do vmtest/fetch debug $$suite; done

test-readers: build tools debug cores
	$(VMTEST) -run 'Makedumpfile|Crash|Drgn'

# Machines mostly keep one CPU busy each: two at a time.
test-vm: build rescue tools debug headers
	$(MAKE) -j2 -O test-vm-dumps test-vm-faults

test-vm-dumps:
	$(VMTEST) -run 'Capture|MemUsage|Small|Share|Hooks|Targets|Raw|Network|Remote'

test-vm-faults:
	$(VMTEST) -run Faults

# The module that breaks kernels is built for one of them.
headers: kernels
	vmtest/fetch headers bookworm
	vmtest/fetch kernel trixie

test-faults: build rescue tools debug headers
	UKDUMP_FAULTS=all $(VMTEST) -run 'Faults|Remote' | $(SUMMARY)
	$(GO) run ./vmtest/reliability

# Codecs that Debian's programs lack can be had from another: BENCH='-makedumpfile PATH'.
bench: build
	vmtest/setup $(NEEDS_TEST) makedumpfile:makedumpfile
	vmtest/fetch tools forky
	$(MAKE) cores SUITES=bookworm
	CGO_ENABLED=0 $(GO) build -o build/benchmark ./vmtest/bench
	build/benchmark $(BENCH)

bench-targets: build
	vmtest/setup $(NEEDS_TEST) debootstrap:debootstrap
	vmtest/fetch server s3
	vmtest/fetch root bookworm
	$(MAKE) cores SUITES=bookworm
	CGO_ENABLED=0 $(GO) build -o build/benchmark ./vmtest/bench
	build/benchmark -parts targets,nfs $(BENCH)

bench-vm: build
	vmtest/setup $(NEEDS_TEST) debootstrap:debootstrap qemu-x86_64:qemu-user
	vmtest/fetch tools bookworm
	vmtest/fetch tools forky
	vmtest/fetch kernel bookworm
	vmtest/fetch root bookworm
	$(MAKE) cores SUITES=bookworm
	CGO_ENABLED=0 $(GO) build -o build/benchmark ./vmtest/bench
	build/benchmark -parts emulated,capture,smallest -runs 3 $(BENCH)

# go test fuzzes one target of one package at a time.
fuzz:
	@set -e; grep -rlE '^func Fuzz' --include='*_test.go' cmds pkg | while read -r file; do \
		for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\).*/\1/p' $$file); do \
			case $$file in pkg/elfcore/*|pkg/diskdump/*|pkg/compress/*) time=$(READER_FUZZTIME);; *) time=$(FUZZTIME);; esac; \
			echo "fuzzing $$target in $$(dirname $$file) for $$time"; \
			GO="$(GO)" .ci/fuzz $$(dirname $$file) $$target $$time; \
		done; \
	done

clean:
	rm -rf build
