/*
 * SPDX-License-Identifier: MIT
 *
 * Deadlines: avow_timeout().  Times are a few milliseconds, and only the order
 * of events is looked at.
 */
#include "scene.h"

#include <math.h>

#define LONG 1000.

/* A call that nobody answers, and that logs when it is stopped. */
static avow_promise *stuck(avow_loop *loop)
{
	const avow_call call = avow_begin(loop, "stuck");
	avow_on_cancel(call.context, fx_job, "stopped");
	return avow_end(call, true, 0);
}

static avow_value note_kind(avow_value error, void *name)
{
	fx_log("%s:%s%s", (const char *)name,
	       avow_is_timeout(error) ? "timeout:" : "", avow_message(error));
	return avow_none();
}

static size_t promise_count(void)
{
	avow_stats stats;
	avow_loop_stats(fx.loop, &stats);
	return stats.promise_count;
}


/* ----------------------------------------------------------- What it does */

FX_TEST(what_settles_in_time_passes_its_value_on)
{
	avow_promise *const p = avow_pending(fx.loop);

	avow_then(avow_timeout(p, LONG), fx_note, "then");
	avow_resolve(p, fx_box_new(7));
	fx_run();

	fx_expect("then:box:7");
}

FX_TEST(what_is_rejected_in_time_passes_its_error_on)
{
	avow_promise *const p = avow_pending(fx.loop);

	avow_catch(avow_timeout(p, LONG), note_kind, "catch");
	avow_reject(p, avow_error(EIO, "broken"));
	fx_run();

	fx_expect("catch:broken");
}

FX_TEST(what_does_not_settle_in_time_is_cancelled)
{
	avow_catch(avow_timeout(stuck(fx.loop), .002), note_kind, "catch");
	fx_run();

	fx_expect("stopped|catch:timeout:timed out after 0.002 seconds");
}

static avow_value note_place(avow_value error, void *arg)
{
	const char *const colon = strrchr(avow_error_place(error), ':');
	(void)arg;
	fx_log("line %d", colon ? atoi(colon + 1) : 0);
	return avow_none();
}

FX_TEST(the_error_says_where_the_deadline_was_set)
{
	char expected[32];

	avow_catch(avow_timeout(stuck(fx.loop), 0), note_place, NULL);
	snprintf(expected, sizeof(expected), "stopped|line %d", __LINE__ - 1);
	fx_run();

	fx_expect(expected);
}

FX_TEST(the_cancellation_climbs_to_the_work)
{
	avow_promise *p = avow_then(stuck(fx.loop), fx_note, "not run");

	p = avow_finally(p, fx_pass, "finally");
	avow_catch(avow_timeout(p, .002), note_kind, "catch");
	fx_run();

	fx_expect("stopped|finally:!cancelled|"
		  "catch:timeout:timed out after 0.002 seconds");
}

FX_TEST(what_somebody_else_waits_for_goes_on)
{
	const avow_call call = avow_begin(fx.loop, "call");
	avow_promise *const p = avow_end(call, true, 0);

	avow_then(p, fx_note, "other");
	avow_catch(avow_timeout(p, .002), note_kind, "catch");
	fx_run();
	avow_settle(call.context, avow_int(7));
	fx_run();

	fx_expect("catch:timeout:timed out after 0.002 seconds|other:7");
}

FX_TEST(what_is_held_goes_on)
{
	avow_promise *const p = avow_pending(fx.loop);

	avow_hold(p);
	avow_catch(avow_timeout(p, 0), note_kind, "catch");
	fx_run();
	ck_assert_int_eq(avow_state_of(p), AVOW_PENDING);
	avow_resolve(p, avow_none());
	avow_release(p);

	fx_expect("catch:timeout:timed out after 0 seconds");
}

FX_TEST(a_shield_lets_the_work_go_on)
{
	avow_promise *const p = stuck(fx.loop);

	avow_catch(avow_timeout(avow_shield(p), .001), note_kind, "catch");
	fx_run();
	fx_expect("catch:timeout:timed out after 0.001 seconds");
	avow_cancel(p);
	fx_expect("stopped");
}

FX_TEST(what_is_settled_already_passes_whatever_the_time)
{
	avow_then(avow_timeout(avow_resolved(fx.loop, avow_int(7)), 0), fx_note,
		  "then");
	avow_catch(avow_timeout(avow_rejected(fx.loop, avow_errno(EIO)), 0),
		   fx_note_code, "catch");
	fx_run();

	fx_expect("then:7|catch:0");
}

FX_TEST(the_timer_is_stopped_when_the_promise_settles_first)
{
	avow_promise *const p = avow_pending(fx.loop);

	avow_then(avow_timeout(p, LONG), fx_note, "then");
	avow_resolve(p, avow_int(1));
	fx_run(); /* returns: no timer is left */

	fx_expect("then:1");
}

FX_TEST(a_deadline_keeps_the_loop_running)
{
	avow_catch(avow_timeout(avow_pending(fx.loop), .001), note_kind, "is");
	fx_run();

	fx_expect("is:timeout:timed out after 0.001 seconds");
}

static avow_value be_slow_and_wait(avow_value value, void *fds)
{
	const int *const fd = fds;
	const double end = ev_time() + .03;

	while (ev_time() < end)
		continue;
	ck_assert_int_eq(write(fd[1], "x", 1), 1);
	avow_on(avow_timeout(avow_readable(fx.loop, fd[0]), .02),
		.fulfilled = fx_note, .rejected = note_kind, .arg = "is");
	return value;
}

FX_TEST(the_time_counts_from_the_call_however_long_the_callback_runs)
{
	int fds[2];

	ck_assert_int_eq(pipe(fds), 0);
	avow_then(avow_delay(fx.loop, 0), be_slow_and_wait, fds);
	fx_run();
	close(fds[0]);
	close(fds[1]);

	fx_expect("is:1");
}

FX_TEST(a_timeout_that_nobody_handles_is_reported)
{
	(void)avow_timeout(stuck(fx.loop), 0);
	const int line = __LINE__ - 1;
	fx_run();

	fx_expect("stopped");
	fx_expect_reports("unhandled:timed out after 0 seconds");
	ck_assert_int_eq(fx_report_line(0), line);
}

FX_TEST(a_deadline_can_have_a_deadline)
{
	avow_promise *p = avow_timeout(stuck(fx.loop), LONG);

	p = avow_timeout(p, .001);
	avow_catch(avow_timeout(p, LONG), note_kind, "catch");
	fx_run();

	fx_expect("stopped|catch:timeout:timed out after 0.001 seconds");
}

static void fulfil(void *p)
{
	avow_resolve(p, avow_int(7));
}

/* Both in one iteration: the timer has fired, its job is queued behind. */
static avow_value settle_the_other(avow_value value, void *other)
{
	avow_resolve(other, avow_int(7));
	return value;
}

FX_TEST(who_comes_first_wins_when_both_come_at_once)
{
	avow_promise *const p = avow_pending(fx.loop);

	avow_then(avow_delay(fx.loop, 0), settle_the_other, p);
	avow_on(avow_timeout(p, 0), .fulfilled = fx_note, .rejected = note_kind,
		.arg = "is");
	avow_hold(p);
	fx_later(0, fulfil, p);
	fx_run();
	avow_release(p);

	const char *const log = fx_take_log();
	ck_assert_msg(!strcmp(log, "is:7") ||
			      !strcmp(log, "is:timeout:timed out after 0 "
					   "seconds"),
		      "%s", log);
}


/* ---------------------------------------------------------- Bad arguments */

FX_TEST(a_time_that_is_none_has_passed)
{
	static const double times[] = { -1, NAN, INFINITY, -INFINITY, -1e-9 };

	for (size_t i = 0; i < sizeof(times) / sizeof(*times); i++) {
		avow_catch(avow_timeout(stuck(fx.loop), times[i]), fx_note_code,
			   "code");
		fx_run();
		fx_expect("stopped|code:10");
	}
	avow_catch(avow_timeout(stuck(fx.loop), -1), note_kind, "says");
	fx_run();
	fx_expect("stopped|says:a timeout of -1 seconds");
}

FX_TEST(a_time_that_is_none_leaves_alone_what_somebody_else_wants)
{
	avow_promise *const p = avow_pending(fx.loop);

	avow_then(p, fx_note, "other");
	avow_catch(avow_timeout(p, -1), fx_note_code, "code");
	avow_resolve(p, avow_int(1));
	fx_run();

	fx_expect("code:10|other:1");
}

FX_TEST(a_time_that_is_none_is_told_of_a_settled_promise_too)
{
	avow_catch(avow_timeout(avow_resolved(fx.loop, avow_int(1)), NAN),
		   fx_note_code, "code");
	fx_run();

	fx_expect("code:10");
}

FX_TEST(a_promise_that_is_none_aborts)
{
	FX_ABORTS("avow_timeout() of a NULL promise", avow_timeout(NULL, 1));
	FX_ABORTS("avow_timeout() of a NULL promise", (avow_timeout)(NULL, 1));
}

FX_TEST(the_function_without_a_place_does_the_same)
{
	avow_promise *(*const fn)(avow_promise *, double) = avow_timeout;

	avow_catch(fn(stuck(fx.loop), .001), note_kind, "catch");
	fx_run();

	fx_expect("stopped|catch:timeout:timed out after 0.001 seconds");
}


/* ----------------------------------------------- Cancelling, and the loop */

FX_TEST(cancelling_it_cancels_the_work_and_the_timer)
{
	avow_promise *const p = avow_timeout(stuck(fx.loop), LONG);

	avow_catch(p, note_kind, "catch");
	avow_cancel(p);
	fx_run(); /* returns: no timer is left */

	fx_expect("stopped|catch:cancelled");
}

FX_TEST(cancelling_the_source_settles_it_and_stops_the_timer)
{
	avow_promise *const p = stuck(fx.loop);

	avow_catch(avow_timeout(p, LONG), note_kind, "catch");
	avow_cancel(p);
	fx_run();

	fx_expect("stopped|catch:cancelled");
}

FX_TEST(cancelling_it_after_the_timer_has_fired_does_no_harm)
{
	avow_promise *const p = avow_timeout(stuck(fx.loop), 0);

	avow_hold(p);
	avow_catch(p, note_kind, "catch");
	fx_run();
	avow_cancel(p);
	avow_release(p);

	fx_expect("stopped|catch:timeout:timed out after 0 seconds");
}

FX_TEST(freeing_the_loop_ends_it)
{
	avow_catch(avow_timeout(stuck(fx.loop), LONG), fx_note_code, "code");
	fx_free_loop();
	fx_run();

	fx_expect("stopped|code:3");
	fx_expect_reports("abandoned:stuck");
}

static avow_value free_the_loop(avow_value value, void *arg)
{
	(void)value;
	(void)arg;
	fx_free_loop();
	return avow_none();
}

FX_TEST(freeing_the_loop_when_the_time_has_passed_ends_it)
{
	avow_promise *const p = avow_timeout(stuck(fx.loop), .001);

	avow_catch(p, free_the_loop, NULL);
	avow_catch(p, note_kind, "other");
	fx_run();

	fx_expect("stopped|other:timeout:timed out after 0.001 seconds");
}

static avow_value set_a_deadline(avow_value value, void *arg)
{
	(void)value;
	(void)arg;
	avow_catch(avow_timeout(avow_pending(fx.loop), 1), fx_note_code,
		   "code");
	return avow_none();
}

FX_TEST(a_deadline_in_a_loop_that_is_being_freed_is_abandoned)
{
	avow_loop *const loop = fx.loop;

	avow_catch(avow_pending(loop), set_a_deadline, NULL);
	avow_loop_free(loop);
	fx.loop = NULL;

	fx_expect("code:3");
}

FX_TEST(a_deadline_without_an_event_loop_is_abandoned)
{
	avow_promise *const p = avow_pending(fx.loop);

	fx_destroy_ev();
	avow_catch(avow_timeout(p, 1), fx_note_code, "code");
	avow_resolve(p, avow_none());
	fx_free_loop();

	fx_expect("code:3");
}

FX_TEST(an_event_loop_that_is_destroyed_leaves_nothing)
{
	avow_catch(avow_timeout(stuck(fx.loop), LONG), fx_note_code, "code");
	fx_destroy_ev();
	fx_free_loop();

	fx_expect("stopped|code:3");
	fx_expect_reports("abandoned:stuck");
}


/* ------------------------------------------------------------- Re-entrancy */

static void act(void *arg)
{
	(void)arg;
	scene_act();
}

static avow_value act_and_pass(avow_value value, void *arg)
{
	(void)arg;
	scene_act();
	return value;
}

static avow_promise *acting(void)
{
	const avow_call call = avow_begin(scene.loop, "acting");
	avow_on_cancel(call.context, act, NULL);
	return avow_end(call, true, 0);
}

static void prepare_hook(void)
{
	scene_self(avow_timeout(acting(), .001));
}

FX_TEST(the_hook_of_what_is_late_may_do_anything)
{
	scene_try_all(prepare_hook, 1);
}

static void prepare_drop(void)
{
	avow_promise *const p =
		avow_attach(avow_pending(scene.loop), &scene, act);
	scene_self(avow_timeout(p, .001));
}

FX_TEST(a_drop_of_what_is_late_may_do_anything)
{
	scene_try_all(prepare_drop, 1);
}

static void prepare_catch(void)
{
	avow_promise *const p = avow_timeout(avow_pending(scene.loop), .001);
	scene_self(avow_catch(p, act_and_pass, NULL));
}

FX_TEST(a_catch_of_a_timeout_may_do_anything)
{
	scene_try_all(prepare_catch, 1);
}

static void prepare_hook_of_no_time(void)
{
	scene_self(avow_timeout(acting(), -1));
}

FX_TEST(the_hook_of_what_has_no_time_may_do_anything)
{
	for (int a = 0; a < ACTS; a++) {
		if (a == CANCEL_SELF || a == FREE)
			continue; /* it is not there yet, or gone */
		scene_open((enum act)a);
		prepare_hook_of_no_time();
		fx_run();
		scene_look(1);
	}
}


/* --------------------------------------------------------- Many, and memory */

static void ignore_reports(avow_loop *loop, const avow_report *report,
			   void *arg)
{
	(void)loop;
	(void)report;
	(void)arg;
}

static int outcomes;

static avow_value count_outcome(avow_value value, void *arg)
{
	(void)value;
	(void)arg;
	outcomes++;
	return avow_none();
}

static void time_out_once(void *arg)
{
	const double *const seconds = arg;
	avow_loop *const loop = avow_loop_new(fx.ev);
	if (!loop)
		return;
	avow_loop_on_report(loop, ignore_reports, NULL);
	outcomes = 0;
	avow_promise *const p = avow_pending(loop);
	avow_promise *const q = avow_timeout(p, *seconds);
	avow_on(q, .fulfilled = count_outcome, .rejected = count_outcome);
	if (*seconds > 1)
		avow_resolve(p, fx_box_new(1));
	ev_run(fx.ev, 0);
	avow_loop_free(loop);
}

FX_TEST(it_survives_any_failure_of_memory)
{
	double seconds[] = { 0, LONG, -1 };

	for (size_t i = 0; i < 3; i++)
		ck_assert_uint_ge(fx_sweep(time_out_once, &seconds[i]), 2);
}

FX_TEST(without_any_memory_the_work_is_left_alone)
{
	avow_promise *const p = avow_pending(fx.loop);

	fx_fail_from(0);
	while (avow_post(fx.loop, fx_job, "job"))
		;
	avow_promise *const q = avow_timeout(p, 1);
	fx_fail_never();

	ck_assert_int_eq(avow_state_of(q), AVOW_REJECTED);
	ck_assert_int_eq(avow_code(avow_value_of(q)), ENOMEM);
	ck_assert_int_eq(avow_state_of(p), AVOW_PENDING);
	avow_resolve(p, avow_none());
	avow_loop_on_report(fx.loop, ignore_reports, NULL);
	fx_run();
	(void)fx_take_log();
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

FX_TEST(it_survives_any_lack_of_nodes)
{
	for (size_t left = 0; left < 10 && !FX_QUARANTINE; left++) {
		avow_loop *const loop = loop_with_nodes(left, filling);
		avow_promise *const p = avow_timeout(filling[0], .0001);
		avow_hold(p);
		ev_run(fx.ev, 0);
		fx_fail_never();
		ck_assert_int_eq(avow_state_of(p), AVOW_REJECTED);
		ck_assert_int_eq(avow_is_timeout(avow_value_of(p)), left >= 6);
		if (left < 6)
			ck_assert_int_eq(avow_state_of(filling[0]),
					 AVOW_PENDING);
		avow_release(p);
		avow_loop_free(loop);
	}
}

FX_TEST_LIMIT(a_hundred_thousand_take_six_nodes_each_and_no_malloc, 10)
{
	const size_t count = fx_scale(100000);
	avow_promise *const p = avow_pending(fx.loop);
	const size_t before = promise_count();

	for (size_t i = 0; i < count; i++)
		avow_then(avow_timeout(p, LONG), count_outcome, NULL);
	if (!FX_QUARANTINE)
		ck_assert_uint_eq(promise_count() - before, 7 * count);
	outcomes = 0;
	avow_resolve(p, avow_none());
	fx_run();
	ck_assert_uint_eq((size_t)outcomes, count);
	if (!FX_QUARANTINE)
		ck_assert_uint_lt(promise_count(), 16);
}

FX_TEST_LIMIT(a_hundred_thousand_pass_at_once, 10)
{
	const size_t count = fx_scale(100000);

	outcomes = 0;
	for (size_t i = 0; i < count; i++)
		avow_catch(avow_timeout(avow_pending(fx.loop), .001),
			   count_outcome, NULL);
	fx_run();
	ck_assert_uint_eq((size_t)outcomes, count);
}

static void stack_deadlines(void *arg)
{
	avow_promise *p = stuck(fx.loop);
	(void)arg;
	for (size_t i = 0; i < fx_scale(100000); i++)
		p = avow_timeout(p, LONG);
	avow_catch(p, note_kind, "catch");
	avow_cancel(p);
	fx_run();
}

FX_TEST_LIMIT(deadlines_on_deadlines_need_no_stack, 10)
{
	fx_on_small_stack(stack_deadlines, NULL);

	fx_expect("stopped|catch:cancelled");
}

int main(void)
{
	return fx_main("timeout");
}
