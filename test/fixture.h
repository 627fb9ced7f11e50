/*
 * SPDX-License-Identifier: MIT
 *
 * The fixture of the tests: include it first.  Each test_*.c is one program.
 *
 * Every test starts with a fresh libev loop (fx.ev), a promise loop on it
 * (fx.loop), an allocator that counts, an empty log and no reports.  When it
 * ends the loops are freed, and the fixture insists that blocks, descriptors
 * and boxes are what they were and that every report was expected.
 */
#ifndef AVOW_TEST_FIXTURE_H
#define AVOW_TEST_FIXTURE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include <avow.h>

#include <check.h>
#include <errno.h>
#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Names that handlers log are literals, passed as `void *arg`. */
#ifdef __clang__
#pragma clang diagnostic ignored \
	"-Wincompatible-pointer-types-discards-qualifiers"
#else
#pragma GCC diagnostic ignored "-Wdiscarded-qualifiers"
#endif


/* ------------------------------------------------------------------ Tests
 *
 * FX_TEST(then_runs_after_the_caller_returns) { ... } defines a test and lists
 * it.  FX_TEST_LIMIT gives it more seconds than the usual FX_LIMIT.  A file
 * ends with `int main(void) { return fx_main("module"); }`.
 *
 * One test alone: CK_RUN_CASE=its_name; in a debugger: CK_FORK=no.
 */
#define FX_LIMIT 4.0

struct fx_test {
	const TTest *check;
	double limit;
	struct fx_test *next;
};

void fx_list(struct fx_test *test);
int fx_main(const char *module);

#define FX_TEST(name) FX_TEST_LIMIT(name, FX_LIMIT)
#define FX_TEST_LIMIT(name, seconds)                                       \
	static void name(int index_);                                      \
	static const TTest name##_check_ = {                               \
		#name, name, __FILE__, __LINE__                            \
	};                                                                 \
	static struct fx_test name##_test_ = {                             \
		&name##_check_, (seconds), NULL                            \
	};                                                                 \
	__attribute__((constructor)) static void name##_list_(void)        \
	{                                                                  \
		fx_list(&name##_test_);                                    \
	}                                                                  \
	static void name(int index_ CK_ATTRIBUTE_UNUSED)


/* --------------------------------------------------------------- The loop */

struct fx {
	struct ev_loop *ev;	/* NULL once fx_destroy_ev() was called */
	avow_loop *loop;	/* NULL once fx_free_loop() was called */
	int boxes;		/* values of fx_box and fx_twin alive */
	bool ignores_late;	/* set by a test: callbacks that come too late
				   are part of it, AVOW_DEBUG need not tell */
};

extern struct fx fx;

/* For a program with a fixture of its own; FX_TEST has both. */
void fx_setup(void);
void fx_teardown(void);

/* Run fx.ev until nothing keeps it alive. */
void fx_run(void);
/* Free the promise loop, or destroy the libev loop, before the test's end. */
void fx_free_loop(void);
void fx_destroy_ev(void);
/* Call `job(arg)` from a libev timer of fx.ev after `seconds`, once.  It must
 * have run, or fx.ev be destroyed by the fixture, before the test ends. */
void fx_later(double seconds, avow_job_fn *job, void *arg);
/* Run `job(arg)` inside a libev callback, and the loop until it is idle. */
void fx_in_callback(avow_job_fn *job, void *arg);
/* Run `job(arg)` in a thread whose stack has 64 KiB (more where a sanitizer
 * needs it), and wait for it.  fx.loop is handed to it and back. */
void fx_on_small_stack(avow_job_fn *job, void *arg);

/* `count`, or less where every step is slow: divided by the environment's
 * FX_SCALE, or else by what suits valgrind, an emulator, a sanitizer or
 * AVOW_DEBUG. */
size_t fx_scale(size_t count);

/* The same for calls that are open at one time, of which a loop has 16320
 * where pointers have 32 bits: a context has 14 of them for the call. */
size_t fx_scale_calls(size_t count);

/* Does the suite run behind an emulator of the processor, as FX_EMULATED=1 in
 * the environment says?  That of QEMU gives children of threaded programs no
 * threads, and knows no limit of memory. */
bool fx_is_emulated(void);

/* As ck_assert(), which writes to a pipe each time, and so is too slow for what
 * is done a million times. */
#define fx_check(claim)                              \
	do {                                         \
		if (!(claim))                        \
			ck_abort_msg("%s", #claim);  \
	} while (0)

/* So many nodes are kept back by AVOW_DEBUG, and count as promises. */
#ifdef AVOW_DEBUG
enum { FX_QUARANTINE = 64 * 1024 };
#else
enum { FX_QUARANTINE = 0 };
#endif


/* -------------------------------------------------------- What has happened
 *
 * fx_log("then:%d", 1) adds an event; fx_expect("attach|return|then:1")
 * compares all of them with what is written there, and empties the log.  One
 * thread at a time.
 *
 * Reports of fx.loop are kept apart: "unhandled:no route", "abandoned:call",
 * "memory", "late:call"; fx_report_line() tells where the newest comes from.
 * A report that no fx_expect_reports() asked for fails the test.
 */
void fx_log(const char *format, ...) __attribute__((format(printf, 1, 2)));
const char *fx_take_log(void);
const char *fx_take_reports(void);
/* The line of place `index` of the newest report, newest place first; 0 where
 * it has no such place. */
int fx_report_line(size_t index);
/* What fx.loop has; for further loops: avow_loop_on_report(l, fx_report, 0) */
void fx_report(avow_loop *loop, const avow_report *report, void *arg);

#define fx_expect(text) ck_assert_str_eq(fx_take_log(), (text))
#define fx_expect_reports(text) ck_assert_str_eq(fx_take_reports(), (text))

/* A value as text: none, true, 7, 2.5, a string as it is, [1,2], box:7, and
 * !message for errors.  Good until eight more were asked for. */
const char *fx_text(avow_value value);


/* --------------------------------------------------------------- Handlers
 *
 * Each logs "name:value", where `arg` is the name, or just "value" where it
 * is NULL.
 */
avow_value fx_note(avow_value value, void *name);	/* gives none */
avow_value fx_pass(avow_value value, void *name);	/* gives `value` */
avow_value fx_seven(avow_value value, void *name);	/* gives 7 */
avow_value fx_fail(avow_value value, void *name);	/* gives EIO */
/* Logs "name:4", the code of an error of avow_core_domain, or "name:0". */
avow_value fx_note_code(avow_value value, void *name);
void fx_job(void *name);				/* logs "name" */
void fx_drop(void *name);				/* logs "drop:name" */

/* A value that counts: a number on the heap.  A box cannot be copied, a twin
 * can.  fx_box_new(7) is a value; its drop logs nothing. */
struct fx_box {
	int number;
};
AVOW_TYPE_DECLARE(fx_box, struct fx_box *);
AVOW_TYPE_DECLARE(fx_twin, struct fx_box *);
avow_value fx_box_new(int number);
avow_value fx_twin_new(int number);


/* ----------------------------------------------------------------- Memory
 *
 * What the library allocates is counted, and can be made to fail.
 */
size_t fx_blocks(void);		/* alive now */
size_t fx_bytes(void);		/* in them */
size_t fx_allocations(void);	/* tried so far */
size_t fx_failures(void);	/* failed so far */
/* Let the n-th allocation from now on fail (0 is the next), once or with all
 * that follow. */
void fx_fail_once(size_t n);
void fx_fail_from(size_t n);
/* Let fail whatever would bring the bytes alive above `bytes`. */
void fx_fail_above(size_t bytes);
void fx_fail_never(void);

/*
 * Run `scenario(arg)` with allocation 0 failing, then 1, and so on until one
 * run meets no failure; then again with everything failing from that one on.
 * The scenario makes and frees the loops it uses; blocks and boxes must be
 * what they were after each run.  Returns the number of runs.
 */
size_t fx_sweep(void (*scenario)(void *arg), void *arg);


/* ----------------------------------------------------------------- Misuse
 *
 * FX_ABORTS("read as", avow_int_get(value)): the code must end the process by
 * SIGABRT with the text somewhere in what it wrote to stderr.  It runs in a
 * copy of the process, so nothing it does is seen here.
 */
#define FX_ABORTS(text, ...)                                               \
	do {                                                               \
		if (fx_abort_begin()) {                                    \
			__VA_ARGS__;                                       \
			fx_abort_survived();                               \
		}                                                          \
		const char *const problem_ = fx_abort_look(text);          \
		ck_assert_msg(!problem_, "%s", problem_ ? problem_ : "");  \
	} while (0)

bool fx_abort_begin(void);
void fx_abort_survived(void) __attribute__((noreturn));
const char *fx_abort_look(const char *text);
/* What the last one wrote, and whether it names that line of a file. */
const char *fx_abort_text(void);
bool fx_abort_names(int line);

#endif /* AVOW_TEST_FIXTURE_H */
