/*
 * SPDX-License-Identifier: MIT
 *
 * The tests are tested: a leak, a hang, a crash, an open descriptor, a report
 * that nobody expected and a misuse that does not abort must be caught.
 *
 * Tests that are broken on purpose run first, silently, in a runner of their
 * own; what it found is then what the real tests look at.  They need a process
 * each, so with CK_FORK=no only the rest is run.
 */
#include "fixture.h"

#include <signal.h>

START_TEST(leaks)
{
	ck_assert(avow_is(avow_str("never dropped"), &avow_str_type));
}
END_TEST

START_TEST(leaks_a_box)
{
	ck_assert(avow_is(fx_box_new(1), &fx_box_type));
}
END_TEST

START_TEST(hangs)
{
	for (;;)
		pause();
}
END_TEST

START_TEST(crashes)
{
	raise(SIGSEGV);
}
END_TEST

START_TEST(leaves_a_descriptor)
{
	ck_assert_int_ge(dup(0), 0);
}
END_TEST

START_TEST(is_reported)
{
	avow_rejected(fx.loop, avow_error(EIO, "surprise"));
	fx_run();
}
END_TEST

START_TEST(survives)
{
	FX_ABORTS("anything", fx_run());
}
END_TEST

START_TEST(aborts_with_another_text)
{
	FX_ABORTS("anything else", avow_pending(NULL));
}
END_TEST

enum { BROKEN_MAX = 16 };

static struct outcome {
	const char *name;
	int result;
	char message[600];
} outcomes[BROKEN_MAX];
static int outcome_count;

/* What selects and logs tests is meant for the real ones. */
static void hide_environment(bool is_hidden)
{
	static const char *const names[] = {
		"CK_RUN_CASE", "CK_RUN_SUITE", "CK_LOG_FILE_NAME",
		"CK_TAP_LOG_FILE_NAME", "CK_XML_LOG_FILE_NAME"
	};
	static char *values[sizeof(names) / sizeof(names[0])];
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *const value = getenv(names[i]);
		if (is_hidden) {
			values[i] = value ? strdup(value) : NULL;
			unsetenv(names[i]);
		} else if (values[i]) {
			setenv(names[i], values[i], 1);
			free(values[i]);
		}
	}
}

static void run_broken(void)
{
	const TTest *const broken[] = {
		leaks, leaks_a_box, hangs, crashes, leaves_a_descriptor,
		is_reported, survives, aborts_with_another_text
	};
	const int count = sizeof(broken) / sizeof(broken[0]);
	Suite *const suite = suite_create("broken");
	for (int i = 0; i < count; i++) {
		TCase *const one = tcase_create(broken[i]->name);
		tcase_add_checked_fixture(one, fx_setup, fx_teardown);
		tcase_set_timeout(one, broken[i] == hangs ? 0.2 : 20.);
		tcase_add_test(one, broken[i]);
		suite_add_tcase(suite, one);
	}
	SRunner *const runner = srunner_create(suite);
	srunner_set_fork_status(runner, CK_FORK);
	hide_environment(true);
	srunner_run_all(runner, CK_SILENT);
	hide_environment(false);
	TestResult **const results = srunner_results(runner);
	for (int i = 0; i < srunner_ntests_run(runner); i++) {
		struct outcome *const outcome = &outcomes[outcome_count++];
		outcome->name = broken[i]->name;
		outcome->result = tr_rtype(results[i]);
		snprintf(outcome->message, sizeof(outcome->message), "%s",
			 tr_msg(results[i]));
	}
	free(results);
	srunner_free(runner);
}

static void must_be_caught(const char *name, const char *text)
{
	for (int i = 0; i < outcome_count; i++) {
		if (strcmp(outcomes[i].name, name))
			continue;
		ck_assert_int_ne(outcomes[i].result, CK_PASS);
		ck_assert_msg(strstr(outcomes[i].message, text), "%s",
			      outcomes[i].message);
		return;
	}
	ck_assert_msg(!outcome_count, "%s did not run", name);
}

FX_TEST(a_leak_is_caught)
{
	must_be_caught("leaks", "blocks before the test");
	must_be_caught("leaks_a_box", "1 boxes were not dropped");
}

FX_TEST(a_hang_is_caught)
{
	must_be_caught("hangs", "timeout");
}

FX_TEST(a_crash_is_caught)
{
	must_be_caught("crashes", "");
}

FX_TEST(an_open_descriptor_is_caught)
{
	must_be_caught("leaves_a_descriptor", "descriptors before the test");
}

FX_TEST(an_unexpected_report_is_caught)
{
	must_be_caught("is_reported", "unhandled:surprise");
}

FX_TEST(a_misuse_that_goes_unnoticed_is_caught)
{
	must_be_caught("survives", "ended by exit 0");
	must_be_caught("aborts_with_another_text", "ended by signal 6");
}

static void allocate_twice(void *failures)
{
	const avow_value a = avow_str("a");
	const avow_value b = avow_str("b");
	*(int *)failures += avow_is_error(a) + avow_is_error(b);
	avow_drop(a);
	avow_drop(b);
}

FX_TEST(a_sweep_fails_each_allocation_in_turn)
{
	int failures = 0;
	/* The first, the second, none; and again with all that follow. */
	ck_assert_uint_eq(fx_sweep(allocate_twice, &failures), 6);
	ck_assert_int_eq(failures, 1 + 1 + 0 + 2 + 1 + 0);
}

FX_TEST(a_limit_fails_what_goes_beyond_it)
{
	fx_fail_above(fx_bytes());
	const avow_value none = avow_str("no room");
	fx_fail_never();
	const avow_value text = avow_str("room");
	ck_assert(avow_is_error(none));
	ck_assert_str_eq(fx_text(text), "room");
	avow_drop(none);
	avow_drop(text);
}

FX_TEST(a_job_runs_on_a_small_stack)
{
	fx_on_small_stack(fx_job, "there");
	fx_expect("there");
}

FX_TEST(events_are_told_in_order_and_once)
{
	fx_log("a");
	fx_log("b:%d", 2);
	fx_expect("a|b:2");
	fx_expect("");
}

int main(void)
{
	const char *const fork_mode = getenv("CK_FORK");
	if (!fork_mode || strcmp(fork_mode, "no"))
		run_broken();
	return fx_main("fixture");
}
