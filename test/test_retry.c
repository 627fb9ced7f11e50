/*
 * SPDX-License-Identifier: MIT
 *
 * Retries: avow_retry().  Pauses are a few milliseconds, and only the order of
 * events is looked at.  libev's clock stands still within one iteration and it
 * fires timers by the time they are due, so that the order of timers that were
 * started in one iteration says how long each is, however slow the machine.
 */
#include "scene.h"

#include <limits.h>
#include <math.h>

/* Fails with EIO until the attempt of this number. */
static int good_attempt;

static avow_value flaky(avow_value attempt, void *arg)
{
	const int number = (int)avow_int_get(attempt);
	(void)arg;
	fx_log("try:%d", number);
	if (number < good_attempt)
		return avow_error(EIO, "no luck");
	return fx_box_new(number);
}

static avow_value hopeless(avow_value attempt, void *arg)
{
	(void)arg;
	fx_log("try:%d", (int)avow_int_get(attempt));
	return avow_error(EIO, "no luck");
}

static avow_value note_error(avow_value error, void *name)
{
	fx_log("%s:%s%s", (const char *)name,
	       avow_is_timeout(error) ? "timeout:" : "", avow_message(error));
	return avow_none();
}

static avow_promise *stuck(avow_loop *loop, const char *name)
{
	const avow_call call = avow_begin(loop, "stuck");
	avow_on_cancel(call.context, fx_job, (void *)(uintptr_t)name);
	return avow_end(call, true, 0);
}

/* Each attempt is work that nobody ends. */
static avow_value try_stuck(avow_value attempt, void *loop)
{
	fx_log("try:%d", (int)avow_int_get(attempt));
	return avow_await(stuck(loop, "stopped"));
}

static size_t promise_count(void)
{
	avow_stats stats;
	avow_loop_stats(fx.loop, &stats);
	return stats.promise_count;
}


/* ------------------------------------------------------------------ Attempts */

FX_TEST(the_first_attempt_that_succeeds_is_the_value)
{
	good_attempt = 3;
	avow_then(avow_retry(fx.loop, flaky, NULL, .first = .001), fx_note,
		  "then");
	fx_run();

	fx_expect("try:1|try:2|try:3|then:box:3");
}

FX_TEST(an_attempt_never_runs_inside_the_call)
{
	good_attempt = 1;
	avow_then(avow_retry(fx.loop, flaky, NULL), fx_note, "then");
	fx_log("returned");
	fx_run();

	fx_expect("returned|try:1|then:box:1");
}

static avow_value fetch_later(avow_value attempt, void *loop)
{
	fx_log("try:%d", (int)avow_int_get(attempt));
	avow_promise *const p = avow_delay(loop, .001);
	return avow_await(avow_int_get(attempt) < 2
				  ? avow_then(p, fx_fail, "late")
				  : avow_then(p, fx_seven, "late"));
}

FX_TEST(an_attempt_may_take_its_time)
{
	avow_then(avow_retry(fx.loop, fetch_later, fx.loop, .first = .001),
		  fx_note, "then");
	fx_run();

	fx_expect("try:1|late:none|try:2|late:none|then:7");
}

FX_TEST(there_are_five_attempts_unless_told_otherwise)
{
	avow_catch(avow_retry(fx.loop, hopeless, NULL, .first = .0001),
		   note_error, "catch");
	fx_run();

	fx_expect("try:1|try:2|try:3|try:4|try:5|"
		  "catch:5 attempts failed, the last with: no luck");
}

FX_TEST(one_attempt_is_one)
{
	avow_catch(avow_retry(fx.loop, hopeless, NULL, .attempts = 1),
		   note_error, "catch");
	fx_run();

	fx_expect("try:1|catch:1 attempt failed, the last with: no luck");
}

static avow_value look_at_the_error(avow_value error, void *arg)
{
	const char *const colon = strrchr(avow_error_place(error), ':');
	ck_assert(avow_error_is(error, &avow_errno_domain, EIO));
	ck_assert_str_eq(avow_message(avow_cause(error)), "no luck");
	ck_assert_int_eq(colon ? atoi(colon + 1) : 0, *(int *)arg);
	fx_log("seen");
	return avow_none();
}

FX_TEST(the_last_error_keeps_its_code_and_is_the_cause)
{
	int line = __LINE__ + 1;
	avow_catch(avow_retry(fx.loop, hopeless, NULL, .attempts = 1),
		   look_at_the_error, &line);
	fx_run();

	fx_expect("try:1|seen");
}

/* An error of the program's own, which cannot be copied. */
static void own_free(void *ptr)
{
	fx_log("freed:%d", *(int *)ptr);
	free(ptr);
}

static void own_describe(avow_value value, char *text, size_t size)
{
	snprintf(text, size, "own %d", *(int *)value.as.ptr);
}

static const avow_type own_type = { .name = "own",
				    .drop = own_free,
				    .is_error = true,
				    .describe = own_describe };

static avow_value own_error(int number)
{
	int *const box = malloc(sizeof(*box));
	ck_assert_ptr_nonnull(box);
	*box = number;
	return avow_own(box, &own_type);
}

static avow_value fail_by_own(avow_value attempt, void *arg)
{
	(void)arg;
	return own_error((int)avow_int_get(attempt));
}

FX_TEST(an_error_that_cannot_be_copied_is_moved)
{
	avow_catch(avow_retry(fx.loop, fail_by_own, NULL, .attempts = 3,
			      .first = .0001),
		   note_error, "catch");
	fx_run();

	fx_expect("freed:1|freed:2|"
		  "catch:3 attempts failed, the last with: own 3|freed:3");
}

static avow_value share_own(avow_value attempt, void *held)
{
	(void)attempt;
	return avow_await(held);
}

FX_TEST(one_that_somebody_else_reads_is_passed_on_as_it_is)
{
	avow_promise *const p = avow_rejected(fx.loop, own_error(1));

	avow_hold(p);
	avow_catch(avow_retry(fx.loop, share_own, p, .attempts = 2,
			      .first = .0001),
		   note_error, "catch");
	fx_run();
	ck_assert_str_eq(avow_message(avow_value_of(p)), "own 1");
	avow_release(p);
	fx_run();
	fx_free_loop();

	fx_expect("catch:own 1|freed:1");
}

FX_TEST(an_error_that_is_shared_is_the_cause_in_both)
{
	avow_promise *const p =
		avow_rejected(fx.loop, avow_error(EIO, "shared"));

	avow_hold(p);
	avow_catch(avow_retry(fx.loop, share_own, p, .attempts = 2,
			      .first = .0001),
		   note_error, "catch");
	fx_run();
	ck_assert_str_eq(avow_message(avow_value_of(p)), "shared");
	avow_release(p);

	fx_expect("catch:2 attempts failed, the last with: shared");
}

static avow_value cancelled(avow_value attempt, void *arg)
{
	(void)arg;
	fx_log("try:%d", (int)avow_int_get(attempt));
	return avow_domain_error(&avow_core_domain, AVOW_ECANCELLED);
}

FX_TEST(a_cancelled_attempt_is_not_made_again)
{
	avow_catch(avow_retry(fx.loop, cancelled, NULL), note_error, "catch");
	avow_catch(avow_retry(fx.loop, cancelled, NULL, .attempts = 1),
		   note_error, "catch");
	fx_run();

	fx_expect("try:1|try:1|catch:cancelled|catch:cancelled");
}

FX_TEST(a_failure_that_nobody_handles_is_reported_once)
{
	(void)avow_retry(fx.loop, hopeless, NULL, .attempts = 2,
			 .first = .0001);
	fx_run();

	fx_expect("try:1|try:2");
	fx_expect_reports(
		"unhandled:2 attempts failed, the last with: no luck");
}


/* ---------------------------------------------------------------------- When */

static avow_value is_io(avow_value error, void *arg)
{
	(void)arg;
	fx_log("when:%s", avow_message(error));
	return avow_bool(avow_error_is(error, &avow_errno_domain, EIO));
}

static avow_value io_then_denied(avow_value attempt, void *arg)
{
	(void)arg;
	return avow_int_get(attempt) < 3 ? avow_error(EIO, "io")
					 : avow_error(EACCES, "denied");
}

FX_TEST(an_error_that_is_not_worth_it_is_passed_on_as_it_is)
{
	avow_catch(avow_retry(fx.loop, io_then_denied, NULL, .first = .0001,
			      .when = is_io),
		   note_error, "catch");
	fx_run();

	fx_expect("when:io|when:io|when:denied|catch:denied");
}

FX_TEST(after_the_last_attempt_nobody_is_asked)
{
	avow_catch(avow_retry(fx.loop, io_then_denied, NULL, .first = .0001,
			      .when = is_io, .attempts = 2),
		   note_error, "catch");
	fx_run();

	fx_expect("when:io|catch:2 attempts failed, the last with: io");
}

static avow_value say_true(avow_value value, void *arg)
{
	(void)value;
	(void)arg;
	return avow_bool(true);
}

static avow_value decide_later(avow_value error, void *loop)
{
	fx_log("when:%s", avow_message(error));
	return avow_await(avow_then(avow_delay(loop, .001), say_true, NULL));
}

static avow_value flaky_of(avow_value attempt, void *loop)
{
	(void)loop;
	return flaky(attempt, NULL);
}

FX_TEST(the_predicate_may_take_its_time)
{
	good_attempt = 2;
	avow_then(avow_retry(fx.loop, flaky_of, fx.loop, .first = .0001,
			     .when = decide_later),
		  fx_note, "then");
	fx_run();

	fx_expect("try:1|when:no luck|try:2|then:box:2");
}

static avow_value undecided(avow_value error, void *arg)
{
	(void)error;
	(void)arg;
	return avow_error(EINVAL, "cannot say");
}

FX_TEST(a_predicate_that_fails_ends_it_with_its_error)
{
	avow_catch(avow_retry(fx.loop, hopeless, NULL, .when = undecided),
		   note_error, "catch");
	fx_run();

	fx_expect("try:1|catch:cannot say");
}

static avow_value take_it(avow_value error, void *arg)
{
	(void)arg;
	avow_drop(avow_take(error));
	return avow_bool(false);
}

FX_TEST(a_predicate_may_take_the_error)
{
	avow_catch(avow_retry(fx.loop, hopeless, NULL, .when = take_it),
		   note_error, "catch");
	fx_run();

	fx_expect("try:1|catch:no luck");
}

FX_TEST(a_predicate_may_allow_a_cancelled_attempt)
{
	avow_catch(avow_retry(fx.loop, cancelled, NULL, .attempts = 2,
			      .first = .0001, .when = say_true),
		   note_error, "catch");
	fx_run();

	fx_expect("try:1|try:2|catch:cancelled");
}

static avow_value say_seven(avow_value value, void *arg)
{
	(void)value;
	(void)arg;
	return avow_int(7);
}

static void ask_for_seven(void)
{
	avow_retry(fx.loop, hopeless, NULL, .when = say_seven);
	fx_run();
}

FX_TEST(a_predicate_that_gives_no_bool_aborts)
{
	FX_ABORTS("the .when of avow_retry() gave int, not a bool",
		  ask_for_seven());
}


/* -------------------------------------------------------------------- Pauses */

static avow_value fail_silently(avow_value attempt, void *arg)
{
	(void)attempt;
	(void)arg;
	return avow_error(EIO, "no luck");
}

static avow_value note_second(avow_value attempt, void *arg)
{
	if (avow_int_get(attempt) == 1)
		return avow_error(EIO, "no luck");
	return fx_seven(attempt, arg);
}

/* A delay that is begun when the pauses after the first attempts have been, so
 * that it ends after those that are no longer, however slow this is. */
static struct after {
	double seconds;
	avow_handler_fn *fn;
} after;

static void begin_after(void *arg)
{
	avow_then(avow_delay(fx.loop, after.seconds), after.fn, arg);
}

static void post_after(void *arg)
{
	ck_assert(avow_post(fx.loop, begin_after, arg));
}

static void later_than_the_pause(double seconds, avow_handler_fn *fn, void *arg)
{
	after = (struct after){ seconds, fn };
	ck_assert(avow_post(fx.loop, post_after, arg));
}

/* One pause, and timers around it. */
static void pause_exactly(void *arg)
{
	(void)arg;
	avow_then(avow_delay(fx.loop, .0039), fx_note, "before");
	avow_retry(fx.loop, note_second, "retry", .first = .004,
		   .no_jitter = true);
	later_than_the_pause(.0041, fx_note, "after");
}

FX_TEST(without_jitter_the_pause_is_the_whole)
{
	fx_in_callback(pause_exactly, NULL);

	fx_expect("before:none|retry:2|after:none");
}

static void pause_as_usual(void *arg)
{
	(void)arg;
	avow_then(avow_delay(fx.loop, .0999), fx_note, "before");
	avow_retry(fx.loop, note_second, "retry", .no_jitter = true);
	later_than_the_pause(.1001, fx_note, "after");
}

FX_TEST(the_first_pause_is_a_tenth_of_a_second_unless_told_otherwise)
{
	fx_in_callback(pause_as_usual, NULL);

	fx_expect("before:none|retry:2|after:none");
}

/* Every pause is cut to `most`, so the fifth attempt is due 4 ms later. */
static avow_value note_fifth(avow_value attempt, void *arg)
{
	if (avow_int_get(attempt) < 5)
		return avow_error(EIO, "no luck");
	return fx_seven(attempt, arg);
}

FX_TEST(no_pause_is_longer_than_the_most)
{
	avow_then(avow_retry(fx.loop, note_fifth, "retry", .first = 1000,
			     .factor = 1000, .most = .001, .no_jitter = true),
		  fx_note, "then");
	fx_run();

	fx_expect("retry:5|then:7");
}

/* By libev's clock, which no timer is early by; its zero is moved now and then,
 * by little. */
static ev_tstamp begun, ended;

static avow_value note_end(avow_value error, void *arg)
{
	(void)arg;
	ended = ev_now(fx.ev);
	return note_error(error, "catch");
}

static void fail_often(void *options)
{
	begun = ev_now(fx.ev);
	avow_catch(avow_retry_at(NULL, fx.loop, fail_silently, options),
		   note_end, NULL);
}

/* 2, 6 and 18 ms, where a factor of 2 would make it 14 in all. */
FX_TEST(each_pause_is_so_many_times_the_one_before)
{
	avow_retry_options options = {
		.attempts = 4, .first = .002, .factor = 3, .no_jitter = true
	};
	fx_in_callback(fail_often, &options);

	fx_expect("catch:4 attempts failed, the last with: no luck");
	ck_assert_double_ge(ended - begun, .024);
}

/* 2, 4, 8 and 16 ms. */
FX_TEST(a_pause_is_twice_the_one_before_unless_told_otherwise)
{
	avow_retry_options options = { .first = .002, .no_jitter = true };
	fx_in_callback(fail_often, &options);

	fx_expect("catch:5 attempts failed, the last with: no luck");
	ck_assert_double_ge(ended - begun, .028);
}

enum { JITTERED = 48 };
static int early, late, phase;

static avow_value count_by_phase(avow_value attempt, void *arg)
{
	(void)arg;
	if (avow_int_get(attempt) == 1)
		return avow_error(EIO, "no luck");
	ck_assert_int_gt(phase, 0);
	ck_assert_int_lt(phase, 3);
	early += phase == 1;
	late += phase == 2;
	return avow_none();
}

static avow_value next_phase(avow_value value, void *arg)
{
	(void)arg;
	phase++;
	return value;
}

static void pause_many(void *arg)
{
	(void)arg;
	avow_then(avow_delay(fx.loop, .199), next_phase, NULL);
	avow_then(avow_delay(fx.loop, .3), next_phase, NULL);
	for (int i = 0; i < JITTERED; i++)
		avow_retry(fx.loop, count_by_phase, NULL, .first = .4);
	later_than_the_pause(.6, next_phase, NULL);
}

FX_TEST(a_pause_is_a_random_part_between_half_and_the_whole)
{
	/* All of it within one iteration, however slow. */
	avow_loop_budget(fx.loop, 0, 1000);
	early = late = phase = 0;
	fx_in_callback(pause_many, NULL);

	ck_assert_int_eq(phase, 3);
	ck_assert_int_eq(early + late, JITTERED);
	ck_assert_int_gt(early, 4);
	ck_assert_int_gt(late, 4);
}

FX_TEST(the_programs_random_numbers_are_left_alone)
{
	srand(7);
	const int first = rand(), second = rand();
	srand(7);
	ck_assert_int_eq(rand(), first);
	good_attempt = 3;
	avow_retry(fx.loop, flaky, NULL, .first = .001);
	fx_run();
	ck_assert_int_eq(rand(), second);

	(void)fx_take_log();
}


/* ------------------------------------------------------------------ Deadlines */

FX_TEST(at_the_deadline_the_running_attempt_is_cancelled)
{
	avow_catch(avow_retry(fx.loop, try_stuck, fx.loop, .deadline = .002),
		   note_error, "catch");
	fx_run();

	fx_expect("try:1|stopped|"
		  "catch:timeout:timed out after 0.002 seconds and 1 attempt");
}

static avow_value look_at_the_cause(avow_value error, void *arg)
{
	(void)arg;
	ck_assert(avow_is_timeout(error));
	ck_assert(avow_error_is(avow_cause(error), &avow_errno_domain, EIO));
	return note_error(error, "catch");
}

FX_TEST(at_the_deadline_a_pause_ends_too)
{
	avow_catch(avow_retry(fx.loop, hopeless, NULL, .first = 1000,
			      .most = 1000, .deadline = .002),
		   look_at_the_cause, NULL);
	fx_run();

	fx_expect("try:1|catch:timeout:timed out after 0.002 seconds and 1 "
		  "attempt, the last failure: no luck");
}

static avow_value fail_then_stick(avow_value attempt, void *loop)
{
	return avow_int_get(attempt) == 1 ? avow_error(EIO, "no luck")
					  : try_stuck(attempt, loop);
}

FX_TEST(the_cause_of_a_deadline_is_the_last_error)
{
	avow_catch(avow_retry(fx.loop, fail_then_stick, fx.loop, .first = .0001,
			      .deadline = .3),
		   look_at_the_cause, NULL);
	fx_run();

	fx_expect("try:2|stopped|catch:timeout:timed out after 0.3 seconds "
		  "and 2 attempts, the last failure: no luck");
}

FX_TEST(a_deadline_that_is_not_reached_does_nothing)
{
	good_attempt = 2;
	avow_then(avow_retry(fx.loop, flaky, NULL, .first = .0001,
			     .deadline = 1000),
		  fx_note, "then");
	avow_catch(avow_retry(fx.loop, hopeless, NULL, .attempts = 1,
			      .deadline = 1000),
		   note_error, "catch");
	fx_run(); /* returns: no timer is left */

	fx_expect("try:1|try:1|catch:1 attempt failed, the last with: no luck|"
		  "try:2|then:box:2");
}

static avow_value wait_for_ever(avow_value error, void *loop)
{
	(void)error;
	return avow_await(stuck(loop, "undecided"));
}

static avow_value fail_of(avow_value attempt, void *loop)
{
	(void)loop;
	return hopeless(attempt, NULL);
}

FX_TEST(at_the_deadline_a_predicate_is_cancelled)
{
	avow_catch(avow_retry(fx.loop, fail_of, fx.loop, .deadline = .002,
			      .when = wait_for_ever),
		   look_at_the_cause, NULL);
	fx_run();

	fx_expect("try:1|undecided|catch:timeout:timed out after 0.002 seconds "
		  "and 1 attempt, the last failure: no luck");
}


/* -------------------------------------------- Cancelling, signals, the loop */

static void cancel(void *p)
{
	avow_cancel(p);
}

FX_TEST(cancelling_it_before_the_first_attempt_prevents_that)
{
	avow_promise *const p = avow_retry(fx.loop, hopeless, NULL);

	avow_catch(p, note_error, "catch");
	avow_cancel(p);
	fx_run();

	fx_expect("catch:cancelled");
}

FX_TEST(cancelling_it_cancels_the_attempt)
{
	avow_promise *const p =
		avow_retry(fx.loop, try_stuck, fx.loop, .deadline = 1000);

	avow_catch(p, note_error, "catch");
	fx_later(.001, cancel, p);
	fx_run();

	fx_expect("try:1|stopped|catch:cancelled");
}

FX_TEST(cancelling_it_ends_the_pause)
{
	avow_promise *const p = avow_retry(fx.loop, hopeless, NULL,
					   .first = 1000, .most = 1000);

	avow_catch(p, note_error, "catch");
	fx_later(.001, cancel, p);
	fx_run();

	fx_expect("try:1|catch:cancelled");
}

FX_TEST(cancelling_it_cancels_the_predicate)
{
	avow_promise *const p =
		avow_retry(fx.loop, fail_of, fx.loop, .when = wait_for_ever);

	avow_catch(p, note_error, "catch");
	fx_later(.001, cancel, p);
	fx_run();

	fx_expect("try:1|undecided|catch:cancelled");
}

FX_TEST(an_attempt_that_somebody_else_waits_for_goes_on)
{
	avow_promise *const work = avow_pending(fx.loop);
	avow_promise *const p = avow_retry(fx.loop, share_own, work);

	avow_hold(work);
	avow_catch(p, note_error, "catch");
	fx_later(.001, cancel, p);
	fx_run();
	ck_assert_int_eq(avow_state_of(work), AVOW_PENDING);
	avow_resolve(work, avow_none());
	avow_release(work);

	fx_expect("catch:cancelled");
}

FX_TEST(a_signal_aborts_it)
{
	avow_abort *const stop = avow_abort_new(fx.loop);

	avow_catch(avow_retry(fx.loop, try_stuck, fx.loop,
			      .signal = avow_abort_signal(stop)),
		   note_error, "catch");
	fx_run();
	avow_abort_with(stop, avow_error(EINTR, "enough"));
	fx_run();
	avow_abort_free(stop);

	fx_expect("try:1|stopped|catch:enough");
}

FX_TEST(a_signal_that_has_aborted_prevents_the_first_attempt)
{
	avow_catch(avow_retry(fx.loop, hopeless, NULL,
			      .signal = avow_signal_timeout(fx.loop, -1)),
		   fx_note_code, "code");
	fx_run();

	fx_expect("code:10");
}

static void free_loop(void *arg)
{
	(void)arg;
	fx_free_loop();
}

FX_TEST(freeing_the_loop_ends_the_attempt)
{
	avow_catch(avow_retry(fx.loop, try_stuck, fx.loop, .deadline = 1000),
		   fx_note_code, "code");
	fx_later(.001, free_loop, NULL);
	fx_run();

	fx_expect("try:1|stopped|code:3");
	fx_expect_reports("abandoned:stuck");
}

FX_TEST(freeing_the_loop_ends_the_pause)
{
	avow_catch(avow_retry(fx.loop, hopeless, NULL, .first = 1000,
			      .deadline = 1000),
		   fx_note_code, "code");
	fx_later(.001, free_loop, NULL);
	fx_run();

	fx_expect("try:1|code:3");
}

FX_TEST(freeing_the_loop_ends_the_predicate)
{
	avow_catch(avow_retry(fx.loop, fail_of, fx.loop, .deadline = 1000,
			      .when = wait_for_ever),
		   fx_note_code, "code");
	fx_later(.001, free_loop, NULL);
	fx_run();

	fx_expect("try:1|undecided|code:3");
	fx_expect_reports("abandoned:stuck");
}

FX_TEST(freeing_the_loop_before_the_first_attempt_prevents_that)
{
	avow_catch(avow_retry(fx.loop, hopeless, NULL), fx_note_code, "code");
	fx_free_loop();

	fx_expect("code:3");
}

static avow_value retry_at_the_end(avow_value value, void *loop)
{
	(void)value;
	avow_catch(avow_retry(loop, hopeless, NULL), fx_note_code, "code");
	return avow_none();
}

FX_TEST(a_retry_in_a_loop_that_is_being_freed_is_abandoned)
{
	avow_catch(avow_pending(fx.loop), retry_at_the_end, fx.loop);
	fx_free_loop();

	fx_expect("code:3");
}

FX_TEST(without_an_event_loop_there_is_neither_pause_nor_deadline)
{
	fx_destroy_ev();
	avow_catch(avow_retry(fx.loop, hopeless, NULL), fx_note_code, "pause");
	avow_catch(avow_retry(fx.loop, hopeless, NULL, .deadline = 1),
		   fx_note_code, "deadline");
	fx_free_loop();

	fx_expect("pause:3|deadline:3");
}


/* -------------------------------------------------------------- Bad arguments */

static void says(avow_promise *p, const char *expected)
{
	ck_assert(avow_error_is(avow_value_of(p), &avow_core_domain,
				AVOW_EINVALID));
	avow_catch(p, note_error, "says");
	fx_run();
	fx_expect(expected);
}

FX_TEST(numbers_that_are_none_are_rejected)
{
	says(avow_retry(fx.loop, hopeless, NULL, .attempts = -1),
	     "says:avow_retry() of -1 attempts");
	says(avow_retry(fx.loop, hopeless, NULL, .first = -.5),
	     "says:avow_retry() with a .first of -0.5");
	says(avow_retry(fx.loop, hopeless, NULL, .factor = -2),
	     "says:avow_retry() with a .factor of -2");
	says(avow_retry(fx.loop, hopeless, NULL, .most = INFINITY),
	     "says:avow_retry() with a .most of inf");
	says(avow_retry(fx.loop, hopeless, NULL, .deadline = -INFINITY),
	     "says:avow_retry() with a .deadline of -inf");
	says(avow_retry(fx.loop, hopeless, NULL, .deadline = fabs(NAN)),
	     "says:avow_retry() with a .deadline of nan");
}

FX_TEST(what_is_missing_aborts)
{
	FX_ABORTS("avow_retry() of a NULL function",
		  avow_retry(fx.loop, NULL, NULL));
	FX_ABORTS("avow_retry() with a NULL loop",
		  avow_retry(NULL, hopeless, NULL));
}

FX_TEST(the_function_without_options_does_the_same)
{
	avow_promise *(*const fn)(avow_loop *, avow_handler_fn *, void *) =
		avow_retry;

	good_attempt = 1;
	avow_then(fn(fx.loop, flaky, NULL), fx_note, "then");
	fx_run();

	fx_expect("try:1|then:box:1");
}


/* ------------------------------------------------------------- Re-entrancy */

static avow_value act_and_fail(avow_value attempt, void *arg)
{
	(void)attempt;
	(void)arg;
	scene_act();
	return avow_error(EIO, "no luck");
}

static void prepare_attempt(void)
{
	scene_self(avow_retry(scene.loop, act_and_fail, NULL, .attempts = 1));
}

FX_TEST(an_attempt_may_do_anything)
{
	scene_try_all(prepare_attempt, 1);
}

static avow_value act_and_await(avow_value attempt, void *loop)
{
	avow_promise *const p = stuck(loop, "stopped");
	(void)attempt;
	scene_act();
	return avow_await(p);
}

static void prepare_waiting_attempt(void)
{
	scene_self(avow_retry(scene.loop, act_and_await, scene.loop,
			      .deadline = .002));
}

FX_TEST(an_attempt_that_waits_may_do_anything)
{
	scene_try_all(prepare_waiting_attempt, 1);
	(void)fx_take_log();
}

static avow_value act_and_refuse(avow_value error, void *arg)
{
	(void)error;
	(void)arg;
	scene_act();
	return avow_bool(false);
}

static void prepare_when(void)
{
	scene_self(avow_retry(scene.loop, fail_silently, NULL,
			      .when = act_and_refuse));
}

FX_TEST(a_predicate_may_do_anything)
{
	scene_try_all(prepare_when, 1);
}

static void act(void *arg)
{
	(void)arg;
	scene_act();
}

static avow_value start_acting(avow_value attempt, void *arg)
{
	const avow_call call = avow_begin(scene.loop, "acting");
	(void)attempt;
	(void)arg;
	avow_on_cancel(call.context, act, NULL);
	return avow_await(avow_end(call, true, 0));
}

static void prepare_hook(void)
{
	scene_self(
		avow_retry(scene.loop, start_acting, NULL, .deadline = .001));
}

FX_TEST(the_hook_of_an_attempt_that_is_late_may_do_anything)
{
	scene_try_all(prepare_hook, 1);
}

/* Errors whose end, text and copy are the program's. */
static int acts_left;

static void act_once(void)
{
	if (acts_left && !--acts_left)
		scene_act();
}

static void acting_free(void *ptr)
{
	free(ptr);
	act_once();
}

static void acting_describe(avow_value value, char *text, size_t size)
{
	(void)value;
	snprintf(text, size, "acting");
	act_once();
}

static avow_value acting_copy(avow_value value);
static const avow_type dropping_type = { .name = "dropping",
					 .drop = acting_free,
					 .is_error = true };
static const avow_type describing_type = { .name = "describing",
					   .drop = free,
					   .is_error = true,
					   .describe = acting_describe };
static const avow_type copying_type = {
	.name = "copying", .drop = free, .is_error = true, .copy = acting_copy
};

static avow_value acting_copy(avow_value value)
{
	(void)value;
	act_once();
	return avow_own(malloc(1), &copying_type);
}

static avow_value fail_acting(avow_value attempt, void *type)
{
	(void)attempt;
	return avow_own(malloc(1), type);
}

static const avow_type *acting_type;

static void prepare_acting(void)
{
	acts_left = 1;
	scene_self(avow_retry(scene.loop, fail_acting,
			      (void *)(uintptr_t)acting_type, .attempts = 2,
			      .first = .0001));
}

FX_TEST(the_drop_of_an_earlier_error_may_do_anything)
{
	acting_type = &dropping_type;
	scene_try_all(prepare_acting, 1);
}

FX_TEST(the_text_of_the_last_error_may_do_anything)
{
	acting_type = &describing_type;
	scene_try_all(prepare_acting, 1);
}

static void prepare_text_at_deadline(void)
{
	acts_left = 1;
	scene_self(avow_retry(scene.loop, fail_acting,
			      (void *)(uintptr_t)acting_type, .first = 1000,
			      .deadline = .001));
}

FX_TEST(the_text_of_the_last_error_at_the_deadline_may_do_anything)
{
	acting_type = &describing_type;
	scene_try_all(prepare_text_at_deadline, 1);
}

static void prepare_copy(void)
{
	avow_promise *const p =
		avow_rejected(scene.loop, avow_own(malloc(1), &copying_type));
	acts_left = 1;
	avow_hold(p);
	scene_self(avow_retry(scene.loop, share_own, p, .attempts = 1));
}

FX_TEST(the_copy_of_the_last_error_may_do_anything)
{
	scene_try_all(prepare_copy, 1);
}


/* ---------------------------------------------------------------- Memory */

static void ignore_reports(avow_loop *loop, const avow_report *report,
			   void *arg)
{
	(void)loop;
	(void)report;
	(void)arg;
}

static int outcomes, seen;

static avow_value count_outcome(avow_value value, void *arg)
{
	(void)value;
	(void)arg;
	outcomes++;
	return avow_none();
}

static avow_value fail_with_a_box(avow_value attempt, void *arg)
{
	(void)arg;
	seen++;
	return avow_int_get(attempt) < 3 ? avow_wrap(fx_box_new(1), "attempt")
					 : fx_box_new(3);
}

static avow_value always(avow_value error, void *arg)
{
	(void)arg;
	return avow_bool(avow_is_error(error));
}

static void retry_once(void *arg)
{
	const avow_retry_options *const options = arg;
	avow_loop *const loop = avow_loop_new(fx.ev);
	if (!loop)
		return;
	avow_loop_on_report(loop, ignore_reports, NULL);
	outcomes = 0;
	avow_on(avow_retry_at("here:1", loop, fail_with_a_box, options),
		.fulfilled = count_outcome, .rejected = count_outcome);
	ev_run(fx.ev, 0);
	ck_assert_int_eq(outcomes, 1);
	avow_loop_free(loop);
}

FX_TEST(it_survives_any_failure_of_memory)
{
	avow_retry_options options = { .first = 1e-6 };

	ck_assert_uint_ge(fx_sweep(retry_once, &options), 8);
	options.when = always;
	options.deadline = 1000;
	fx_sweep(retry_once, &options);
	options.attempts = 2;
	fx_sweep(retry_once, &options);
}

enum { NODES = 8192 };
static avow_promise *filling[NODES];

/* A loop with no node left but `left`, and no slab to be had; small blocks are.
 * Returns it, and what fills it. */
static avow_loop *loop_with_nodes(size_t left, avow_promise **fill)
{
	avow_loop *const loop = avow_loop_new(fx.ev);
	size_t count = 0;
	ck_assert_ptr_nonnull(loop);
	avow_loop_on_report(loop, ignore_reports, NULL);
	fx_fail_above(fx_bytes() + 8192);
	do
		fill[count] = avow_pending(loop);
	while (avow_state_of(fill[count]) == AVOW_PENDING && ++count < NODES);
	ck_assert_uint_lt(count, NODES);
	while (left && count && left--)
		avow_resolve(fill[--count], avow_none());
	avow_tidy(loop);
	return loop;
}

static void retry_with_nodes(size_t left, avow_retry_options options)
{
	avow_loop *const loop = loop_with_nodes(left, filling);
	avow_abort *const stop = avow_abort_new(loop);
	if (options.signal)
		options.signal = avow_abort_signal(stop);
	avow_promise *const p =
		avow_retry_at(NULL, loop, fail_with_a_box, &options);
	const bool is_refused = avow_state_of(p) == AVOW_REJECTED;
	seen = 0;
	avow_hold(p);
	ev_run(fx.ev, 0);
	fx_fail_never();
	if (is_refused)
		ck_assert_int_eq(seen, 0); /* nothing goes on unseen */
	avow_abort_free(stop);
	ck_assert_int_ne(avow_state_of(p), AVOW_PENDING);
	if (avow_state_of(p) == AVOW_REJECTED)
		ck_assert_int_eq(avow_code(avow_value_of(p)), ENOMEM);
	avow_release(p);
	avow_loop_free(loop);
}

FX_TEST(it_survives_any_lack_of_nodes)
{
	avow_retry_options options = { .first = 1e-6 };

	if (FX_QUARANTINE)
		return; /* which keeps them back */
	for (size_t left = 0; left < 16; left++) {
		options.when = NULL;
		options.deadline = 0;
		options.signal = NULL;
		retry_with_nodes(left, options);
		options.signal = avow_signal_any(fx.loop, NULL, 0); /* some */
		retry_with_nodes(left, options);
		options.when = always;
		retry_with_nodes(left, options);
		options.deadline = 1000;
		retry_with_nodes(left, options);
	}
}

/* Leaves nothing for the pause. */
static avow_value eat_and_fail(avow_value attempt, void *loop)
{
	(void)attempt;
	seen++;
	while (avow_state_of(avow_pending(loop)) == AVOW_PENDING)
		;
	return avow_errno(EIO);
}

FX_TEST(a_pause_that_cannot_be_made_ends_it)
{
	avow_loop *const loop =
		loop_with_nodes(FX_QUARANTINE ? 0 : 32, filling);
	avow_promise *const p = avow_retry(loop, eat_and_fail, loop);
	seen = 0;
	avow_hold(p);
	ev_run(fx.ev, 0);
	fx_fail_never();
	ck_assert_int_le(seen, 1);
	ck_assert_int_eq(avow_code(avow_value_of(p)), ENOMEM);
	avow_release(p);
	avow_loop_free(loop);
}

static size_t count_at[2];
static size_t bytes_at[2];

static avow_value fail_and_count(avow_value attempt, void *arg)
{
	const int number = (int)avow_int_get(attempt);
	const int last = *(int *)arg;
	if (number == 10 || number == last) {
		count_at[number == last] = promise_count();
		bytes_at[number == last] = fx_bytes();
	}
	return number == last ? avow_int(number)
			      : avow_error(EIO, "attempt %d", 1000);
}

FX_TEST_LIMIT(memory_does_not_grow_with_the_attempts, 10)
{
	int last = 1000 + (int)fx_scale(4000);

	avow_then(avow_retry(fx.loop, fail_and_count, &last,
			     .attempts = INT_MAX, .first = 1e-9, .most = 1e-6,
			     .when = always),
		  count_outcome, NULL);
	outcomes = 0;
	fx_run();

	ck_assert_int_eq(outcomes, 1);
	ck_assert_uint_eq(bytes_at[1] > bytes_at[0] && !FX_QUARANTINE, 0);
	if (!FX_QUARANTINE)
		ck_assert_uint_eq(count_at[0], count_at[1]);
}

FX_TEST_LIMIT(ten_thousand_at_once_all_end, 10)
{
	const size_t count = fx_scale(10000);

	outcomes = 0;
	for (size_t i = 0; i < count; i++)
		avow_catch(avow_retry(fx.loop, fail_silently, NULL,
				      .attempts = 3, .first = .001,
				      .deadline = 1000),
			   count_outcome, NULL);
	fx_run();
	ck_assert_uint_eq((size_t)outcomes, count);
}

int main(void)
{
	return fx_main("retry");
}
