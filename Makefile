# avow: build, test, install.  `make help` lists the targets.
#
# Plain GNU make, nothing to configure.  Everything made goes to
# build/<variant>/; a variant is a compiler and a set of flags (release, asan,
# coverage, ...), and the check-* targets are the same rules run again with
# another one.  AVOW_DEBUG=1 is the variant debug, whose library checks itself
# and its user at every step.  CC CFLAGS CPPFLAGS LDFLAGS AR DESTDIR prefix
# libdir includedir mandir are the user's, stand behind our flags, and are never
# changed here.  V=1 shows the commands.

VARIANT = $(if $(filter 1,$(AVOW_DEBUG)),debug,release)
B = build/$(VARIANT)
VERSION := $(shell sed -n 's/^.define AVOW_VERSION "\(.*\)"/\1/p' include/avow.h)

prefix = /usr/local
libdir = $(prefix)/lib
includedir = $(prefix)/include
mandir = $(prefix)/share/man
PKG_CONFIG = pkg-config
JOBS = $(shell nproc 2>/dev/null || echo 1)

# The sources, from the bottom up; see test/lint/layers.sh.  Written out, so
# that a stray file changes nothing.
TOOLS = \
	line \
	abort \
	combine \
	map \
	repeat \
	group \
	using \
	semaphore \
	queue \
	rate \
	timeout \
	retry \
	work \
	emitter \
	events

SRC = alloc slab value error report debug sched reap promise root cancel \
	chain task seat settler begin adapt $(TOOLS) loop libev \
	watch_kind watch watch_emit
HEADERS = avow.h \
	avow/callback.h \
	avow/abort.h \
	avow/combine.h \
	avow/map.h \
	avow/scope.h \
	avow/time.h \
	avow/work.h \
	avow/emitter.h \
	avow/watch.h
MAN = $(notdir $(wildcard docs/man/*.3))
# The demo's parts; every other program of docs is a file of its own.
DEMO = demo order photo_demo photo httpd compare nested chain shop many \
	measure cost
# A suite that exists is run, so these are found, not listed.
SUITES = $(patsubst test/%.c,%,$(wildcard test/test_*.c))
SUPPORT = $(filter-out $(SUITES),$(patsubst test/%.c,%,$(wildcard test/*.c)))
BENCH = $(patsubst bench/%.c,%,$(wildcard bench/*.c))
EXAMPLES = $(filter-out $(DEMO:%=examples/%),$(patsubst docs/%.c,%, \
	$(wildcard docs/examples/*.c docs/guide/*.c)))

WARNINGS = -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes \
	-Wmissing-prototypes -Wcast-qual -Wundef -Wvla -Wwrite-strings \
	$(if $(filter 1,$(WERROR)),-Werror)
OPT = $(if $(filter 1,$(AVOW_DEBUG)),-O1,-O2)
# EXTRA is what a variant adds, to compiling and to linking.
EXTRA =
OUR_CFLAGS = -std=gnu11 $(OPT) -g $(WARNINGS) -fvisibility=hidden -pthread \
	$(if $(filter 1,$(AVOW_DEBUG)),-DAVOW_DEBUG=1) $(EXTRA)
COMPILE = $(CC) -Iinclude $(OUR_INCLUDES) $(CPPFLAGS) $(OUR_CFLAGS) $(CFLAGS) \
	-MMD -MP
LINK = $(CC) $(OUR_CFLAGS) $(CFLAGS) $(OUR_LDFLAGS) $(LDFLAGS)
LIBS = -lev -lm -lpthread

LIB = $(B)/libavow.a
Q = $(if $(filter 1,$(V)),,@)
say = $(if $(filter 1,$(V)),,@printf '  %-5s %s\n' $(1) $(2))

.SUFFIXES:
.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: FORCE

all: $(LIB) ## the library, build/release/libavow.a (the default)

# `make deps test`: whatever else is asked for waits for the packages, under -j
# too.  All that is compiled depends on $(B)/flags, so it is enough to hold
# that back and the goals themselves.
FIRST = $(filter deps deps-check,$(MAKECMDGOALS))
ifneq ($(FIRST),)
$(filter-out $(FIRST),$(MAKECMDGOALS)) $(B)/flags: | $(FIRST)
endif


# ---------------------------------------------------------------- The library

# Objects are made again when a flag has changed, not only when a file has.
define flags
$(COMPILE) | $(LINK) | $(AR)
endef
$(B)/flags: FORCE
	@mkdir -p $(B)
	@printf '%s\n' '$(subst ','\'',$(flags))' | cmp -s - $@ || \
		printf '%s\n' '$(subst ','\'',$(flags))' > $@

# One line that says what is missing is worth more than fifty that follow
# from it.  `make deps` asks the same probe.
quote = '$(subst ','\'',$(1))'
PROBE_ENV = CC=$(call quote,$(CC)) CPPFLAGS=$(call quote,$(CPPFLAGS)) \
	CFLAGS=$(call quote,$(EXTRA) $(CFLAGS)) \
	LDFLAGS=$(call quote,$(LDFLAGS)) LIBS=$(call quote,$(LIBS)) \
	PKG_CONFIG=$(call quote,$(PKG_CONFIG))
$(B)/libev: $(B)/flags
	@command -v $(firstword $(CC)) >/dev/null || { echo "avow: there is no \
	C compiler ($(CC)): install gcc, or run: make deps" >&2; exit 1; }
	@$(PROBE_ENV) .ci/probe libev \
		2> $@.log || { echo "avow: libev 4.15 or newer is missing \
	(no working ev.h and -lev): install libev-dev (Fedora: libev-devel; \
	Arch, Homebrew: libev), or run: make deps (details: $@.log)" >&2; exit 1; }
	@touch $@

$(B)/src/%.o: src/%.c $(B)/libev
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(COMPILE) -c -o $@ $<

$(LIB): $(SRC:%=$(B)/src/%.o)
	$(call say,AR,$@)
	$(Q)rm -f $@
	$(Q)$(AR) rcs $@ $^


# ------------------------------------------------- Tests, bench, demo, examples

test: suites ## build and run all suites; ends with "N passed, N failed"

# The files hold what compiles with Check, and what links.
$(B)/check: $(B)/libev
	@$(PROBE_ENV) .ci/probe check > $@.flags \
		2> $@.log || { echo "avow: the test framework Check is missing: \
	install check (Fedora: check-devel), or run: make deps (details: \
	$@.log)" >&2; exit 1; }
	@sed -n 1p $@.flags > $@.cflags
	@sed -n 2p $@.flags > $@

# Quoted includes only: <ev.h> is libev's, "ev.h" is ours.
$(B)/test/%.o: private OUR_INCLUDES = -iquote src
$(B)/test/%.o: test/%.c $(B)/check
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(COMPILE) $$(cat $(B)/check.cflags) -c -o $@ $<

$(B)/test/%: $(B)/test/%.o $(SUPPORT:%=$(B)/test/%.o) $(LIB)
	$(call say,LINK,$@)
	$(Q)$(LINK) -o $@ $(filter %.o,$^) $(LIB) $$(cat $(B)/check) $(LIBS)

# WRAPPER is put before each suite, SUITE_SECONDS is how long one may take, and
# SUITE_ENV is set around all of them.
SUITE_SECONDS = 600
WRAPPER =
# A limit is there for what hangs: a busy machine is several times slower.
SUITE_ENV = CK_TIMEOUT_MULTIPLIER=$(if $(filter 1,$(AVOW_DEBUG)),10,5)
suites: $(SUITES:%=$(B)/test/%)
	@$(SUITE_ENV) test/run-suites.sh -j $(JOBS) -l $(B)/log -s $(SUITE_SECONDS) \
		-w '$(WRAPPER)' $^

# Neither a suite nor with Check; see `make oracle`.
ORACLE = $(patsubst test/%.c,%,$(wildcard test/oracle/*.c))
$(B)/test/oracle/%.o: test/oracle/%.c $(B)/libev
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(COMPILE) -c -o $@ $<

$(B)/test/oracle/oracle: $(ORACLE:%=$(B)/test/%.o) $(LIB)
	$(call say,LINK,$@)
	$(Q)$(LINK) -o $@ $^ $(LIBS)

# The bench prints what the library was compiled with.
$(B)/bench/%.o: private OUR_INCLUDES = \
	-DBENCH_FLAGS='"$(subst ",\",$(OPT) $(EXTRA) $(CFLAGS))"'
$(B)/bench/%.o: bench/%.c $(B)/libev
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(COMPILE) -c -o $@ $<

$(B)/bench/avow-bench: $(BENCH:%=$(B)/bench/%.o) $(LIB)
	$(call say,LINK,$@)
	$(Q)$(LINK) -o $@ $^ $(LIBS)

bench: $(B)/bench/avow-bench ## measure, then check-cost; or BENCH_ARGS="--help"
	$(B)/bench/avow-bench $(BENCH_ARGS)
	$(if $(BENCH_ARGS),,bench/instructions.sh $(B)/bench/avow-bench)

# Readers pass literals as `arg`, and compile without -Wwrite-strings.
$(B)/docs/%.o: private WARNINGS += -Wno-write-strings
$(B)/docs/%.o: docs/%.c $(B)/libev
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(COMPILE) -c -o $@ $<

$(B)/docs/%: $(B)/docs/%.o $(LIB)
	$(call say,LINK,$@)
	$(Q)$(LINK) -o $@ $(filter %.o,$^) $(LIB) $(LIBS)

$(B)/docs/examples/demo: $(DEMO:%=$(B)/docs/examples/%.o)

demo: $(B)/docs/examples/demo ## build and run the demo of docs/examples
	$(B)/docs/examples/demo

# All programs, to see that they compile.
programs: $(LIB) $(B)/bench/avow-bench $(B)/docs/examples/demo \
	$(EXAMPLES:%=$(B)/docs/%) $(SUITES:%=$(B)/test/%) \
	$(B)/test/oracle/oracle

-include $(wildcard $(B)/*/*.d $(B)/*/*/*.d)


# ------------------------------------------------------------------- Packages

deps: ## install what is missing: compiler, libev, Check, pkg-config
	@$(PROBE_ENV) .ci/deps build

deps-check: | $(filter deps,$(FIRST)) ## install what `make check` needs as well
	@$(PROBE_ENV) .ci/deps check


# --------------------------------------------------------------------- Checks

CHECKS = check-gcc check-clang check-debug check-asan check-ubsan check-tsan \
	check-valgrind check-headers check-symbols check-docs check-install \
	check-cost coverage lint conformance conformance-asan oracle check-proof

check: ## all of the checks below, one after the other, with their outcome
	+@.ci/steps '$(MAKE)' $(CHECKS)

# A missing tool skips a check and says so, and is told to .ci/steps as no test
# at all; with STRICT=1 it is a failure.
need = for tool in $(1); do command -v $$tool >/dev/null 2>&1 || { \
	echo "$@: skipped, there is no $$tool (make deps-check installs it)"; \
	echo '0 0' >> "$${AVOW_TALLY:-/dev/null}"; \
	exit $(if $(filter 1,$(STRICT)),1,0); }; done;
# Lines that use it begin with + for -j to reach the other make.
again = $(MAKE) --no-print-directory

check-gcc: ## the suites with gcc, at -O0 and -O2, warnings are errors
	+@$(call need,gcc) \
	$(again) VARIANT=gcc-O0 CC=gcc OPT=-O0 WERROR=1 programs suites; \
	status=$$?; \
	$(again) VARIANT=gcc-O2 CC=gcc OPT=-O2 WERROR=1 programs suites && \
	exit $$status

check-clang: ## the same with clang
	+@$(call need,clang) \
	$(again) VARIANT=clang-O0 CC=clang OPT=-O0 WERROR=1 programs suites; \
	status=$$?; \
	$(again) VARIANT=clang-O2 CC=clang OPT=-O2 WERROR=1 programs suites && \
	exit $$status

check-debug: ## the suites with AVOW_DEBUG=1: invariants at every step
	+@$(again) VARIANT=debug AVOW_DEBUG=1 suites

SANITIZER_ENV = CK_TIMEOUT_MULTIPLIER=10 \
	ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1 \
	UBSAN_OPTIONS=print_stacktrace=1 TSAN_OPTIONS=second_deadlock_stack=1

check-asan: ## the suites under AddressSanitizer, leaks included
	+@$(call need,clang) \
	$(again) VARIANT=asan CC=clang OPT=-O1 suites \
		EXTRA='-fsanitize=address -fno-omit-frame-pointer' \
		SUITE_ENV='$(SANITIZER_ENV)'

# Numbers that wrap around are found as well; those that may stand in the list.
check-ubsan: ## the suites under UndefinedBehaviorSanitizer, integers included
	+@$(call need,clang) \
	$(again) VARIANT=ubsan CC=clang OPT=-O1 suites \
		EXTRA='-fsanitize=undefined,integer,float-divide-by-zero,local-bounds \
		-fno-sanitize-recover=all -fsanitize-ignorelist=test/lint/wraps.txt' \
		SUITE_ENV='$(SANITIZER_ENV)'

# ThreadSanitizer wants its shadow where some kernels put programs at random.
check-tsan: ## the suites under ThreadSanitizer
	+@$(call need,clang) \
	$(again) VARIANT=tsan CC=clang OPT=-O1 suites \
		EXTRA='-fsanitize=thread' SUITE_ENV='$(SANITIZER_ENV)' \
		WRAPPER="$$(setarch -R true 2>/dev/null && echo setarch -R)"

VALGRIND = valgrind -q --error-exitcode=99 --leak-check=full \
	--show-leak-kinds=definite,indirect \
	--errors-for-leak-kinds=definite,indirect
check-valgrind: ## the suites under valgrind, leaks included
	+@$(call need,valgrind) \
	$(again) VARIANT=valgrind OPT=-O1 suites SUITE_SECONDS=1800 \
		SUITE_ENV='CK_TIMEOUT_MULTIPLIER=30' \
		WRAPPER='$(VALGRIND)'

check-headers: ## each header alone, as C and C++, old and new, -Wpedantic
	@$(call need,gcc g++ clang clang++) \
	test/lint/headers.sh $(HEADERS)

check-symbols: $(LIB) ## every global begins with avow_ and is in docs/symbols.md
	@$(call need,nm) \
	test/lint/symbols.sh $(LIB) docs/symbols.md

check-docs: $(LIB) ## man pages, README and examples say what is true
	+@$(call need,mandoc) \
	$(again) VARIANT=docs WERROR=1 $(EXAMPLES:%=build/docs/docs/%) && \
	test/lint/docs.sh build/docs/docs $(EXAMPLES)

check-install: ## install, build against it with pkg-config, uninstall
	+@$(call need,$(PKG_CONFIG)) \
	CC='$(CC)' PKG_CONFIG='$(PKG_CONFIG)' test/lint/install.sh \
		'$(MAKE)' build/install docs/examples/readme.c

# The suite and the headers of Node's C API come from npm, at the versions of
# the lock, and lie where all that is made lies.
NPM = build/conformance/npm
$(NPM)/ready: $(addprefix test/conformance/,package.json package-lock.json \
		.npmrc)
	@mkdir -p $(@D)
	@cp $^ $(@D)
	$(call say,NPM,test/conformance/package-lock.json)
	$(Q)cd $(@D) && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

$(B)/conformance/avow.node: private OUR_INCLUDES = \
	-isystem $(NPM)/node_modules/node-api-headers/include
$(B)/conformance/avow.node: test/conformance/addon.c test/conformance/js.h \
		$(LIB) $(NPM)/ready
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(COMPILE) $(OUR_LDFLAGS) $(LDFLAGS) -shared -o $@ $< $(LIB) $(LIBS)

# WRAPPER stands before node.
conformance-run: $(B)/conformance/avow.node
	@test/conformance/run.sh $(NPM) $< $(WRAPPER)

conformance: ## Promises/A+: all of its tests drive the library, inside Node
	+@$(call need,node npm) \
	$(again) VARIANT=conformance EXTRA=-fPIC conformance-run

# The runtime has to be there before node.  What node itself keeps until its
# end is no leak of ours; the addon counts.
conformance-asan: ## the same under AddressSanitizer, with AVOW_DEBUG=1
	+@$(call need,node npm gcc) \
	$(again) VARIANT=conformance-asan CC=gcc AVOW_DEBUG=1 conformance-run \
		EXTRA='-fPIC -fsanitize=address -fno-omit-frame-pointer' \
		WRAPPER="env ASAN_OPTIONS=detect_leaks=0 \
			LD_PRELOAD=$$(gcc -print-file-name=libasan.so)"

check-cost: $(B)/bench/avow-bench ## instructions and bytes against bench/limits.txt
	@$(call need,valgrind) \
	bench/instructions.sh $(B)/bench/avow-bench

# The core in one file, and around it what explores it; see test/proof.
PROOF_OF = $(wildcard test/proof/*.[ch] src/*.[ch] include/*.h include/*/*.h)
PROOF_LINK = $(LINK) -Iinclude $(CPPFLAGS) -iquote src -o $@ test/proof/core.c
$(B)/programs: $(PROOF_OF) $(B)/flags
	$(call say,LINK,$@)
	$(Q)$(PROOF_LINK) -DAVOW_DEBUG=1 -Wl,--wrap=avow__quarantine src/debug.c \
		test/proof/programs.c test/proof/heap.c test/proof/naive.c
$(B)/threads: $(PROOF_OF) $(B)/flags
	$(call say,LINK,$@)
	$(Q)$(PROOF_LINK) -DPROOF_THREADS=1 test/proof/threads.c

check-proof: ## all programs of some operations; all interleavings; PROOF_MORE=1
	+@$(call need,gcc) \
	$(again) VARIANT=proof CC=gcc WERROR=1 build/proof/programs \
		build/proof/threads && \
	test/proof/run.sh build/proof gcc -std=gnu11 -pthread

# FIRST_PROGRAM is the number of the first of the PROGRAMS of a SEED.  The order
# that is not JavaScript's has to be told from it.
PROGRAMS = 1000000
SEED = 1
FIRST_PROGRAM = 0
ORACLE_RUN = $(B)/test/oracle/oracle test/oracle/oracle.mjs $(SEED)
oracle: $(B)/test/oracle/oracle ## random programs in avow and Node: PROGRAMS= SEED=
	@$(call need,node) \
	node test/oracle/table.mjs test/test_order.c || exit 1; \
	$(ORACLE_RUN) 1000 0 usual > $(B)/oracle.log 2>&1; \
	[ $$? -eq 1 ] || { echo "oracle: it missed another order, or did not \
	run (see $(B)/oracle.log)"; exit 1; }; \
	$(ORACLE_RUN) $(PROGRAMS) $(FIRST_PROGRAM)

# A test that ends in abort() would take its counts with it, so abort and
# _exit are wrapped by functions that write them first.
COVERAGE_MIN = 95
GCOV = gcov
FLUSH =
coverage: ## line coverage of src; fails below COVERAGE_MIN percent
	+@$(call need,gcc $(GCOV)) \
	rm -rf build/coverage; \
	$(again) VARIANT=coverage CC=gcc OPT=-O0 suites \
		EXTRA='--coverage -fprofile-update=atomic' \
		FLUSH=build/coverage/flush.o \
		SUITE_ENV='CK_TIMEOUT_MULTIPLIER=10'; \
	status=$$?; [ -d build/coverage/log ] || exit 1; \
	GCOV='$(GCOV)' test/lint/coverage.sh build/coverage $(COVERAGE_MIN) && \
	exit $$status

ifneq ($(FLUSH),)
$(FLUSH): test/lint/flush.c $(B)/flags
	$(Q)$(COMPILE) -c -o $@ $<
$(SUITES:%=$(B)/test/%): $(FLUSH)
$(SUITES:%=$(B)/test/%): private OUR_LDFLAGS = \
	-Wl,--wrap=abort,--wrap=_exit
endif

lint: ## cppcheck, layers of src, the test runner, scripts
	@test/lint/layers.sh $(SRC)
	@test/lint/runner.sh
	@$(call need,cppcheck) \
	cppcheck --quiet --std=c11 --error-exitcode=1 --inline-suppr \
		--enable=warning,performance,portability \
		--suppress=missingIncludeSystem \
		--suppress=preprocessorErrorDirective -Iinclude src
	@$(call need,shellcheck) \
	shellcheck .ci/run .ci/deps .ci/probe .ci/steps test/run-suites.sh \
		test/lint/*.sh test/conformance/*.sh test/proof/*.sh

format: ## clang-format in place; include/avow/callback.h is laid out by hand
	@$(call need,clang-format) \
	clang-format -i $(wildcard include/*.h src/*.[ch] test/*.[ch] \
		test/lint/*.c test/conformance/*.[ch] test/proof/*.[ch] \
		bench/*.[ch] docs/*/*.[ch])


# -------------------------------------------------------------------- Install

install: $(LIB) ## to DESTDIR and prefix: library, headers, avow.pc, man pages
	install -d '$(DESTDIR)$(libdir)/pkgconfig' \
		'$(DESTDIR)$(includedir)/avow' '$(DESTDIR)$(mandir)/man3'
	install -m 644 $(LIB) '$(DESTDIR)$(libdir)/libavow.a'
	for header in $(HEADERS); do install -m 644 "include/$$header" \
		"$(DESTDIR)$(includedir)/$$header" || exit 1; done
	for page in $(MAN); do install -m 644 "docs/man/$$page" \
		"$(DESTDIR)$(mandir)/man3/$$page" || exit 1; done
	@# Always written anew: one made for another prefix would be wrong.
	printf '%s\n' 'prefix=$(prefix)' \
		'libdir=$(libdir:$(prefix)/%=$${prefix}/%)' \
		'includedir=$(includedir:$(prefix)/%=$${prefix}/%)' '' \
		'Name: avow' \
		'Description: promises over callbacks, driven by libev' \
		'Version: $(VERSION)' \
		'Cflags: -I$${includedir}' \
		'Libs: -L$${libdir} -lavow $(LIBS)' \
		> '$(DESTDIR)$(libdir)/pkgconfig/avow.pc'

uninstall: ## remove what install put there
	rm -f '$(DESTDIR)$(libdir)/libavow.a' \
		'$(DESTDIR)$(libdir)/pkgconfig/avow.pc'
	for header in $(HEADERS); do \
		rm -f "$(DESTDIR)$(includedir)/$$header"; done
	for page in $(MAN); do rm -f "$(DESTDIR)$(mandir)/man3/$$page"; done
	if [ -d '$(DESTDIR)$(includedir)/avow' ]; then \
		rmdir '$(DESTDIR)$(includedir)/avow'; fi

clean: ## remove build/
	rm -rf build

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1	\2/p' Makefile | \
		awk -F'\t' '{ printf "%-18s%s\n", $$1, $$2 }'
	@printf '%s\n' '' \
		'AVOW_DEBUG=1      with all, test, demo, install: the library with' \
		'                  checks of itself and of its use, in build/debug' \
		'V=1               shows the commands'

.PHONY: all test suites bench demo programs deps deps-check check $(CHECKS) \
	conformance-run format install uninstall clean help
