/*
 * SPDX-License-Identifier: MIT
 *
 * Rates: a burst of so many, then one at a time, first in, first out.
 *
 * No test measures time, but for one thing that must not depend on how busy the
 * machine is: nothing comes too early.  A wait that should have been stopped is
 * so long that the test's time limit would end it.
 */
#include "hoard.h"
#include "scene.h"

#include <math.h>
#include <time.h>

#define FOR_EVER 1e6

static avow_rate *rate;

static void acquire(const char *name)
{
	avow_on(avow_rate_acquire(rate), .fulfilled = fx_note,
		.rejected = fx_note_code, .arg = name);
}

static void open_rate(size_t count, double seconds)
{
	rate = avow_rate_new(fx.loop, count, seconds);
	ck_assert_ptr_nonnull(rate);
}

static double now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}


/* ----------------------------------------------------------------- In order */

FX_TEST(so_many_come_at_once_and_the_others_wait)
{
	open_rate(3, FOR_EVER);
	for (int i = 0; i < 3; i++)
		acquire("now");
	avow_promise *const late = avow_rate_acquire(rate);
	ck_assert_int_eq(avow_state_of(late), AVOW_PENDING);
	ev_run(fx.ev, EVRUN_NOWAIT);

	fx_expect("now:none|now:none|now:none");
	avow_cancel(late);
	fx_run();
	avow_rate_free(rate);
}

FX_TEST(who_waits_comes_in_the_order_of_the_line)
{
	open_rate(1, .002);
	acquire("a");
	acquire("b");
	acquire("c");
	acquire("d");
	fx_log("returned");
	fx_run();

	fx_expect("returned|a:none|b:none|c:none|d:none");
	avow_rate_free(rate);
}

FX_TEST(nobody_comes_too_early)
{
	const double start = now();

	open_rate(2, .008);
	for (int i = 0; i < 7; i++)
		acquire("x");
	fx_run();

	/* Two at once, and then five, four milliseconds each. */
	ck_assert_double_ge(now() - start, .020 - 1e-6);
	fx_take_log();
	avow_rate_free(rate);
}

static avow_value acquire_later(avow_value value, void *name)
{
	acquire(name);
	acquire(name);
	fx_log("%s", (const char *)name);
	return value;
}

FX_TEST(after_a_rest_so_many_may_come_at_once_again)
{
	open_rate(2, .004);
	acquire("a");
	acquire("a");
	fx_run();
	avow_then(avow_delay(fx.loop, .01), acquire_later, "b");
	fx_run();

	fx_expect("a:none|a:none|b|b:none|b:none");
	avow_rate_free(rate);
}

FX_TEST(a_rate_that_nobody_waits_for_keeps_no_loop_alive)
{
	open_rate(1, FOR_EVER);
	acquire("a");
	fx_run();

	fx_expect("a:none");
	avow_rate_free(rate);
}

FX_TEST(a_count_of_none_and_bad_times_are_rejected)
{
	static const struct {
		size_t count;
		double seconds;
		const char *text;
	} bad[] = { { 0, 1., "end:!a rate of 0 in 1 seconds" },
		    { 3, 0., "end:!a rate of 3 in 0 seconds" },
		    { 3, -2., "end:!a rate of 3 in -2 seconds" },
		    { 3, INFINITY, "end:!a rate of 3 in inf seconds" } };

	for (int i = 0; i < 4; i++) {
		open_rate(bad[i].count, bad[i].seconds);
		avow_catch(avow_rate_acquire(rate), fx_note, "end");
		acquire("code");
		fx_run();
		ck_assert_int_eq(strncmp(fx_take_log(), bad[i].text,
					 strlen(bad[i].text)),
				 0);
		avow_rate_free(rate);
	}
	open_rate(3, NAN);
	acquire("code");
	fx_run();

	fx_expect("code:10");
	avow_rate_free(rate);
}

FX_TEST(a_rate_without_any_bound_to_speak_of_lets_all_pass)
{
	open_rate(SIZE_MAX, 1e-300);
	for (int i = 0; i < 3; i++)
		acquire("x");
	fx_run();

	fx_expect("x:none|x:none|x:none");
	avow_rate_free(rate);
}


/* --------------------------------------------------------------- Cancelling */

FX_TEST(cancelling_leaves_the_line)
{
	open_rate(1, .002);
	acquire("a");
	avow_promise *const b =
		avow_then(avow_rate_acquire(rate), fx_note, "never");
	acquire("c");
	avow_cancel(b);
	fx_run();

	fx_expect("a:none|c:none");
	avow_rate_free(rate);
}

FX_TEST(when_the_last_one_leaves_the_timer_stops)
{
	open_rate(1, FOR_EVER);
	acquire("a");
	avow_promise *const b = avow_rate_acquire(rate);
	avow_promise *const c = avow_rate_acquire(rate);
	avow_cancel(b);
	avow_cancel(c);
	fx_run();

	fx_expect("a:none");
	avow_rate_free(rate);
}

FX_TEST(one_may_wait_again_after_the_timer_was_stopped)
{
	open_rate(1, .002);
	acquire("a");
	avow_cancel(avow_rate_acquire(rate));
	acquire("b");
	fx_run();

	fx_expect("a:none|b:none");
	avow_rate_free(rate);
}

FX_TEST(a_signal_takes_whoever_waits_out_of_the_line)
{
	avow_abort *const stop = avow_abort_new(fx.loop);

	open_rate(1, FOR_EVER);
	acquire("a");
	avow_catch(avow_rate_acquire(rate, .signal = avow_abort_signal(stop)),
		   fx_note, "b");
	avow_abort_with(stop, avow_error(EIO, "enough"));
	fx_run();

	fx_expect("a:none|b:!enough");
	avow_abort_free(stop);
	avow_rate_free(rate);
}

FX_TEST(a_signal_that_has_aborted_takes_no_turn)
{
	avow_abort *const stop = avow_abort_new(fx.loop);
	avow_rate *const one = avow_rate_new(fx.loop, 1, 3600.);

	avow_abort_with(stop, avow_none());
	avow_rate_acquire(one, .signal = avow_abort_signal(stop));
	ck_assert_int_eq(avow_state_of(avow_rate_acquire(one)), AVOW_FULFILLED);

	avow_abort_free(stop);
	avow_rate_free(one);
}

FX_TEST_LIMIT(a_line_of_hundreds_of_thousands_has_one_timer, 20)
{
	const size_t count = fx_scale(200 * 1000);
	avow_stats stats;
	avow_promise **const list = malloc(count * sizeof(*list));

	open_rate(1, FOR_EVER);
	acquire("a");
	for (size_t i = 0; i < count; i++)
		list[i] = avow_rate_acquire(rate);
	avow_loop_stats(fx.loop, &stats);
	/* A promise and its state are three blocks, and a timer two more. */
	ck_assert_uint_lt(stats.promise_count, 3 * count + 100 + FX_QUARANTINE);
	for (size_t i = 0; i < count; i++)
		avow_cancel(list[(i + count / 2) % count]);
	fx_run();

	free(list);
	fx_take_log();
	avow_rate_free(rate);
}


/* ------------------------------------------------------------------ The end */

FX_TEST(freeing_rejects_who_waits_and_stops_the_timer)
{
	open_rate(1, FOR_EVER);
	acquire("a");
	acquire("b");
	acquire("c");
	avow_rate_free(rate);
	fx_run();

	fx_expect("a:none|b:12|c:12");
	avow_rate_free(NULL);
}

FX_TEST(a_rate_may_outlive_its_loop)
{
	open_rate(1, FOR_EVER);
	acquire("a");
	acquire("b");
	fx_free_loop();
	avow_rate_free(rate);

	ck_assert_ptr_nonnull(strstr(fx_take_log(), "b:3"));
}

FX_TEST(a_rate_may_outlive_the_loop_of_libev)
{
	open_rate(1, FOR_EVER);
	acquire("a");
	fx_run();
	acquire("b");
	fx_destroy_ev();
	fx_free_loop();
	avow_rate_free(rate);

	fx_expect("a:none|b:3");
}

static avow_value free_rate(avow_value value, void *arg)
{
	(void)arg;
	fx_log("free");
	avow_rate_free(rate);
	return value;
}

/* The third one's turn is an hour away, however slow the machine is. */
FX_TEST(whose_turn_it_is_may_free_the_rate)
{
	open_rate(2, FOR_EVER);
	acquire("a");
	avow_then(avow_rate_acquire(rate), free_rate, NULL);
	acquire("c");
	fx_run();

	fx_expect("a:none|free|c:12");
}


/* ---------------------------------------------------------------- Anything */

static avow_value act_in_handler(avow_value value, void *arg)
{
	(void)arg;
	scene_act();
	return value;
}

static void prepare_turn(void)
{
	avow_rate_free(rate);
	rate = avow_rate_new(scene.loop, 1, .001);
	avow_rate_acquire(rate);
	scene_self(avow_then(avow_rate_acquire(rate), act_in_handler, NULL));
	avow_rate_acquire(rate);
}

FX_TEST(whose_turn_it_is_may_do_anything)
{
	rate = NULL;
	scene_try_all(prepare_turn, 1);
	avow_rate_free(rate);
}


/* ------------------------------------------------------- No memory, misuse */

static avow_value count_end(avow_value value, void *counter)
{
	(void)value;
	++*(int *)counter;
	return avow_none();
}

static void ignore(avow_loop *loop, const avow_report *report, void *arg)
{
	(void)loop;
	(void)report;
	(void)arg;
}

static void without_memory(void *arg)
{
	avow_loop *const loop = avow_loop_new(fx.ev);
	int ends = 0;

	(void)arg;
	if (!loop)
		return;
	avow_loop_on_report(loop, ignore, NULL);
	rate = avow_rate_new(loop, 1, .0001);
	if (rate) {
		for (int i = 0; i < 3; i++)
			avow_on(avow_rate_acquire(rate), .fulfilled = count_end,
				.rejected = count_end, .arg = &ends);
		ev_run(fx.ev, 0);
		ck_assert_int_eq(ends, 3);
		avow_rate_free(rate);
	}
	avow_loop_free(loop);
}

FX_TEST(whatever_cannot_be_allocated_each_turn_settles)
{
	fx_sweep(without_memory, NULL);
}

FX_TEST_LIMIT(nobody_waits_for_a_timer_that_there_is_no_memory_for, 10)
{
	/* Nodes for the promise and its state, and for a part of the timer. */
	for (size_t left = 0; left < 7; left++) {
		open_rate(1, FOR_EVER);
		avow_rate_acquire(rate);
		fx_run();
		hoard_begin(left);
		avow_promise *const p = avow_rate_acquire(rate);
		avow_hold(p);
		ev_run(fx.ev, EVRUN_NOWAIT);
		if (left < 6)
			ck_assert_int_eq(avow_state_of(p), AVOW_REJECTED);
		else if (!FX_QUARANTINE)
			ck_assert_int_eq(avow_state_of(p), AVOW_PENDING);
		avow_cancel(p);
		hoard_end();
		avow_release(p);
		fx_run();
		fx_take_reports();
		avow_rate_free(rate);
	}
}

FX_TEST(a_timer_that_could_not_start_rejects_who_waits_for_it)
{
	open_rate(1, FOR_EVER);
	avow_rate_acquire(rate);
	fx_run();
	/* The timer of libev is what no memory is there for. */
	hoard_begin(4);
	fx_fail_never();
	fx_fail_once(0);
	avow_promise *const p = avow_rate_acquire(rate);
	avow_hold(p);
	hoard_end();

	ck_assert(avow_error_is(avow_value_of(p), &avow_errno_domain, ENOMEM));
	avow_release(p);
	fx_run();
	fx_take_reports();
	avow_rate_free(rate);
}

FX_TEST(misuse_of_a_rate_is_told)
{
	FX_ABORTS("NULL loop", avow_rate_free(avow_rate_new(NULL, 1, 1.)));
	FX_ABORTS("NULL rate", avow_rate_acquire(NULL));
}

FX_TEST(the_function_has_an_address)
{
	avow_promise *(*const turn)(avow_rate *) = avow_rate_acquire;

	open_rate(1, 1.);
	avow_then(turn(rate), fx_note, "turn");
	fx_run();

	fx_expect("turn:none");
	avow_rate_free(rate);
}

int main(void)
{
	return fx_main("rate");
}
