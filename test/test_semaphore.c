/*
 * SPDX-License-Identifier: MIT
 *
 * Semaphores, mutexes and limits.  A permit must never be lost, and never be
 * there twice: after each test of that kind all of them are available again.
 */
#include "hoard.h"
#include "scene.h"

#include <pthread.h>

static avow_semaphore *sem;

static avow_value keep_permit(avow_value permit, void *arg)
{
	avow_value *const kept = arg;
	*kept = avow_take(permit);
	ck_assert(avow_is(*kept, &avow_permit_type));
	fx_log("got");
	return avow_none();
}

static avow_value note_permit(avow_value permit, void *name)
{
	ck_assert(avow_is(permit, &avow_permit_type));
	fx_log("%s", (const char *)name);
	return avow_none();
}

static void note_code(avow_promise *p, const char *name)
{
	avow_catch(p, fx_note_code, name);
}

static void all_back(size_t count)
{
	ck_assert_uint_eq(avow_semaphore_available(sem), count);
	avow_semaphore_free(sem);
	sem = NULL;
}


/* -------------------------------------------------------------- Acquiring */

FX_TEST(a_permit_is_there_at_once_while_there_are_some)
{
	sem = avow_semaphore_new(fx.loop, 2);
	avow_promise *const p = avow_semaphore_acquire(sem);

	ck_assert_int_eq(avow_state_of(p), AVOW_FULFILLED);
	ck_assert_uint_eq(avow_semaphore_available(sem), 1);
	avow_then(p, note_permit, "then");
	fx_log("attached");
	fx_run();

	fx_expect("attached|then");
	all_back(2);
}

FX_TEST(whoever_finds_none_waits_in_line)
{
	avow_value one, two;

	sem = avow_semaphore_new(fx.loop, 1);
	avow_then(avow_semaphore_acquire(sem), keep_permit, &one);
	avow_then(avow_semaphore_acquire(sem), keep_permit, &two);
	avow_then(avow_semaphore_acquire(sem), note_permit, "third");
	fx_run();
	fx_expect("got");
	avow_drop(one);
	fx_run();
	fx_expect("got");
	ck_assert_uint_eq(avow_semaphore_available(sem), 0);
	avow_drop(two);
	fx_run();

	fx_expect("third");
	all_back(1);
}

FX_TEST(a_permit_comes_back_when_the_promise_that_holds_it_goes)
{
	sem = avow_semaphore_new(fx.loop, 1);
	for (int i = 0; i < 100; i++)
		avow_semaphore_acquire(sem);
	fx_run();

	all_back(1);
}

FX_TEST(a_permit_of_a_held_promise_is_out_until_it_is_released)
{
	sem = avow_semaphore_new(fx.loop, 1);
	avow_promise *const p = avow_semaphore_acquire(sem);

	avow_hold(p);
	fx_run();
	ck_assert_uint_eq(avow_semaphore_available(sem), 0);
	avow_release(p);
	fx_run();

	all_back(1);
}

static avow_value give_back_early(avow_value permit, void *arg)
{
	(void)arg;
	avow_drop(avow_take(permit));
	fx_log("available:%zu", avow_semaphore_available(sem));
	return avow_none();
}

FX_TEST(a_handler_may_give_its_permit_back_early)
{
	sem = avow_semaphore_new(fx.loop, 1);
	avow_then(avow_semaphore_acquire(sem), give_back_early, NULL);
	fx_run();

	fx_expect("available:1");
	all_back(1);
}

static avow_value share(avow_value permit, void *arg)
{
	avow_value *const kept = arg;
	*kept = avow_copy(permit);
	ck_assert(avow_is(*kept, &avow_permit_type));
	return avow_none();
}

FX_TEST(a_copy_of_a_permit_is_the_same_permit)
{
	avow_value one, two;

	sem = avow_semaphore_new(fx.loop, 1);
	avow_promise *const p = avow_semaphore_acquire(sem);
	avow_then(p, share, &one);
	avow_then(p, share, &two);
	fx_run();
	avow_drop(one);
	ck_assert_uint_eq(avow_semaphore_available(sem), 0);
	avow_drop(two);

	all_back(1);
}

FX_TEST(of_no_permits_none_is_waited_for)
{
	sem = avow_semaphore_new(fx.loop, 0);
	note_code(avow_semaphore_acquire(sem), "code");
	avow_catch(avow_semaphore_acquire(sem), fx_note, "acquire");
	avow_catch(avow_limit(sem, fx_seven, NULL), fx_note, "limit");
	fx_run();

	fx_expect("code:10|acquire:!a semaphore of 0 permits|"
		  "limit:!a semaphore of 0 permits");
	all_back(0);
}

FX_TEST(a_mutex_has_one_permit)
{
	avow_value one;

	sem = avow_mutex_new(fx.loop);
	avow_then(avow_semaphore_acquire(sem), keep_permit, &one);
	avow_then(avow_semaphore_acquire(sem), note_permit, "second");
	fx_run();
	fx_expect("got");
	avow_drop(one);
	fx_run();

	fx_expect("second");
	all_back(1);
}


/* ------------------------------------------------------------- Cancelling */

FX_TEST(cancelling_leaves_the_line)
{
	avow_value one;

	sem = avow_semaphore_new(fx.loop, 1);
	avow_then(avow_semaphore_acquire(sem), keep_permit, &one);
	avow_promise *const second =
		avow_then(avow_semaphore_acquire(sem), note_permit, "second");
	avow_then(avow_semaphore_acquire(sem), note_permit, "third");
	fx_run();
	avow_cancel(second);
	avow_drop(one);
	fx_run();

	fx_expect("got|third");
	all_back(1);
}

FX_TEST(cancelling_the_only_one_in_line_keeps_the_permit_for_the_next)
{
	avow_value one;

	sem = avow_semaphore_new(fx.loop, 1);
	avow_then(avow_semaphore_acquire(sem), keep_permit, &one);
	fx_run();
	avow_cancel(avow_semaphore_acquire(sem));
	avow_drop(one);
	fx_run();

	fx_expect("got");
	all_back(1);
}

FX_TEST(a_permit_granted_to_what_is_then_cancelled_is_not_lost)
{
	avow_value one;

	sem = avow_semaphore_new(fx.loop, 1);
	avow_then(avow_semaphore_acquire(sem), keep_permit, &one);
	avow_promise *const second =
		avow_then(avow_semaphore_acquire(sem), note_permit, "second");
	avow_then(avow_semaphore_acquire(sem), note_permit, "third");
	fx_run();
	avow_drop(one); /* granted, and its handler has not run */
	avow_cancel(second);
	fx_run();

	fx_expect("got|third");
	all_back(1);
}

FX_TEST(a_signal_that_has_aborted_gives_the_permit_back)
{
	avow_abort *const stop = avow_abort_new(fx.loop);

	sem = avow_semaphore_new(fx.loop, 1);
	avow_abort_with(stop, avow_error(EIO, "enough"));
	avow_catch(avow_semaphore_acquire(sem,
					  .signal = avow_abort_signal(stop)),
		   fx_note, "end");
	fx_run();

	fx_expect("end:!enough");
	avow_abort_free(stop);
	all_back(1);
}

FX_TEST(a_signal_takes_whoever_waits_out_of_the_line)
{
	avow_abort *const stop = avow_abort_new(fx.loop);
	avow_value one;

	sem = avow_semaphore_new(fx.loop, 1);
	avow_then(avow_semaphore_acquire(sem), keep_permit, &one);
	avow_catch(avow_semaphore_acquire(sem,
					  .signal = avow_abort_signal(stop)),
		   fx_note, "end");
	fx_run();
	avow_abort_with(stop, avow_none());
	avow_drop(one);
	fx_run();

	fx_expect("got|end:!cancelled");
	avow_abort_free(stop);
	all_back(1);
}

static void cancel_all_of_line(void *arg)
{
	avow_promise **const list = arg;
	for (size_t i = 0; list[i]; i++)
		avow_cancel(list[i]);
}

FX_TEST_LIMIT(a_line_of_hundreds_of_thousands_is_left_from_its_middle, 20)
{
	const size_t count = fx_scale(300 * 1000);
	avow_promise **const list = calloc(count + 1, sizeof(*list));
	avow_value one;

	sem = avow_semaphore_new(fx.loop, 1);
	avow_then(avow_semaphore_acquire(sem), keep_permit, &one);
	fx_run();
	for (size_t i = 0; i < count; i++) {
		/* Every second one, from the inside out. */
		const size_t at = i % 2 ? count / 2 + i / 2
					: count / 2 - 1 - i / 2;
		list[at] = avow_semaphore_acquire(sem);
	}
	cancel_all_of_line(list);
	avow_drop(one);

	free(list);
	fx_expect("got");
	all_back(1);
}


/* -------------------------------------------------------------- The end */

FX_TEST(freeing_rejects_who_waits)
{
	avow_value one;

	sem = avow_semaphore_new(fx.loop, 1);
	avow_then(avow_semaphore_acquire(sem), keep_permit, &one);
	note_code(avow_semaphore_acquire(sem), "second");
	note_code(avow_limit(sem, fx_seven, "never"), "third");
	fx_run();
	avow_semaphore_free(sem);
	fx_run();
	fx_expect("got|second:12|third:12");
	avow_drop(one);
	avow_semaphore_free(NULL);
}

FX_TEST(a_semaphore_and_its_permits_may_outlive_the_loop)
{
	avow_value one;

	sem = avow_semaphore_new(fx.loop, 1);
	avow_then(avow_semaphore_acquire(sem), keep_permit, &one);
	note_code(avow_semaphore_acquire(sem), "second");
	fx_run();
	fx_free_loop();
	fx_expect("got|second:3");
	avow_drop(one);

	all_back(1);
}

static avow_value drop_permit(avow_value value, void *arg)
{
	(void)value;
	avow_drop(*(avow_value *)arg);
	return avow_none();
}

FX_TEST(a_loop_that_ends_hands_no_permit_out)
{
	avow_value one;
	avow_promise *const first = avow_pending(fx.loop);

	sem = avow_semaphore_new(fx.loop, 1);
	avow_then(avow_semaphore_acquire(sem), keep_permit, &one);
	fx_run();
	avow_catch(first, drop_permit, &one);
	note_code(avow_semaphore_acquire(sem), "second");
	fx_free_loop();

	fx_expect("got|second:3");
	all_back(1);
}

static avow_value free_semaphore(avow_value value, void *arg)
{
	(void)value;
	(void)arg;
	avow_semaphore_free(sem);
	fx_log("free");
	return avow_none();
}

FX_TEST(whoever_has_a_permit_may_free_the_semaphore)
{
	sem = avow_semaphore_new(fx.loop, 1);
	avow_then(avow_semaphore_acquire(sem), free_semaphore, NULL);
	note_code(avow_semaphore_acquire(sem), "second");
	fx_run();

	fx_expect("free|second:12");
}


/* ----------------------------------------------------------------- Limits */

static int running, running_max;

static avow_value one_less(avow_value value, void *arg)
{
	(void)arg;
	running--;
	return value;
}

static avow_value run_for_a_while(avow_value value, void *arg)
{
	ck_assert(avow_is_none(value));
	if (++running > running_max)
		running_max = running;
	fx_log("%s", (const char *)arg);
	return avow_await(
		avow_finally(avow_delay(fx.loop, .001), one_less, NULL));
}

FX_TEST(no_more_run_at_a_time_than_there_are_permits)
{
	static const char *const names[] = { "a", "b", "c", "d", "e" };

	sem = avow_semaphore_new(fx.loop, 2);
	for (int i = 0; i < 5; i++)
		avow_limit(sem, run_for_a_while, names[i]);
	fx_log("returned");
	fx_run();

	fx_expect("returned|a|b|c|d|e");
	ck_assert_int_eq(running, 0);
	ck_assert_int_eq(running_max, 2);
	all_back(2);
}

FX_TEST(the_outcome_of_the_function_is_passed_on)
{
	sem = avow_semaphore_new(fx.loop, 1);
	avow_then(avow_limit(sem, fx_seven, "run"), fx_note, "then");
	avow_catch(avow_limit(sem, fx_fail, "run"), fx_note, "catch");
	fx_run();

	ck_assert_ptr_nonnull(strstr(fx_take_log(), "then:7"));
	all_back(1);
}

FX_TEST(the_permit_comes_back_when_the_function_fails)
{
	sem = avow_semaphore_new(fx.loop, 1);
	for (int i = 0; i < 3; i++)
		avow_catch(avow_limit(sem, fx_fail, "run"), fx_note, "end");
	fx_run();

	fx_take_log();
	all_back(1);
}

FX_TEST(cancelled_in_line_the_function_is_never_called)
{
	avow_value one;

	sem = avow_semaphore_new(fx.loop, 1);
	avow_then(avow_semaphore_acquire(sem), keep_permit, &one);
	fx_run();
	avow_promise *const p = avow_limit(sem, fx_seven, "never");
	avow_then(avow_limit(sem, fx_seven, "other"), fx_note, "end");
	avow_cancel(p);
	avow_drop(one);
	fx_run();

	fx_expect("got|other:none|end:7");
	all_back(1);
}

FX_TEST(cancelled_when_just_granted_the_function_is_never_called)
{
	sem = avow_semaphore_new(fx.loop, 1);
	avow_cancel(avow_limit(sem, fx_seven, "never"));
	fx_run();

	fx_expect("");
	all_back(1);
}

static void stopped(void *name)
{
	fx_log("stop:%s|available:%zu", (const char *)name,
	       avow_semaphore_available(sem));
}

static avow_value run_for_ever(avow_value value, void *name)
{
	const avow_call call = avow_begin(avow_loop_current(), name);
	(void)value;
	fx_log("run");
	avow_on_cancel(call.context, stopped, name);
	return avow_await(avow_end(call, true, 0));
}

FX_TEST(cancelled_while_it_runs_the_work_stops_and_then_the_permit_is_back)
{
	sem = avow_semaphore_new(fx.loop, 1);
	avow_promise *const p = avow_limit(sem, run_for_ever, "work");
	fx_run();
	avow_cancel(p);

	fx_expect("run|stop:work|available:0");
	all_back(1);
}

FX_TEST(a_signal_cancels_a_limited_function)
{
	avow_abort *const stop = avow_abort_new(fx.loop);

	sem = avow_semaphore_new(fx.loop, 1);
	avow_catch(avow_limit(sem, run_for_ever, "work",
			      .signal = avow_abort_signal(stop)),
		   fx_note, "end");
	fx_run();
	avow_abort_with(stop, avow_error(EIO, "enough"));
	fx_run();

	fx_expect("run|stop:work|available:0|end:!enough");
	avow_abort_free(stop);
	all_back(1);
}

static avow_value limit_again(avow_value value, void *arg)
{
	int *const left = arg;
	(void)value;
	if (!--*left)
		return avow_int(1);
	avow_limit(sem, limit_again, left);
	return avow_none();
}

FX_TEST(a_limited_function_may_queue_the_next)
{
	int left = 1000;

	sem = avow_semaphore_new(fx.loop, 1);
	avow_limit(sem, limit_again, &left);
	fx_run();

	ck_assert_int_eq(left, 0);
	all_back(1);
}

static void wait_in_callback(void *arg)
{
	(void)arg;
	/* Granted out here, run in a loop nested in this callback. */
	avow_promise *const p = avow_limit(sem, fx_seven, "run");
	ck_assert_int_eq(avow_int_get(avow_wait(p)), 7);
}

FX_TEST(a_limited_function_may_be_waited_for)
{
	sem = avow_semaphore_new(fx.loop, 1);
	fx_in_callback(wait_in_callback, NULL);

	fx_expect("run:none");
	all_back(1);
}

static void wait_for_the_second(void *arg)
{
	(void)arg;
	avow_limit(sem, fx_note, "first");
	const avow_value value = avow_wait(avow_limit(sem, fx_seven, "second"));
	fx_log("waited:%s", fx_text(value));
}

/* The first has its permit from further out than the loop in which it runs. */
FX_TEST(a_permit_comes_back_in_a_nested_loop)
{
	sem = avow_semaphore_new(fx.loop, 1);
	fx_in_callback(wait_for_the_second, NULL);

	fx_expect("first:none|second:none|waited:7");
	all_back(1);
}


/* --------------------------------------------------------------- Anything */

static avow_value act_and_give(avow_value value, void *arg)
{
	(void)value;
	(void)arg;
	scene_act();
	return fx_box_new(1);
}

static void prepare_limit(void)
{
	avow_semaphore_free(sem);
	sem = avow_semaphore_new(scene.loop, 1);
	scene_self(avow_limit(sem, act_and_give, NULL));
	avow_limit(sem, act_and_give, NULL);
}

/* A loop that was freed in the first runs no second. */
FX_TEST(a_limited_function_may_do_anything)
{
	for (int act = 0; act < ACTS; act++) {
		scene_open((enum act)act);
		prepare_limit();
		fx_run();
		scene_look(act == FREE ? 1 : 2);
		all_back(1);
	}
}

static avow_value act_with_permit(avow_value permit, void *arg)
{
	(void)arg;
	scene_act();
	ck_assert(avow_is(permit, &avow_permit_type));
	return permit;
}

static void prepare_acquire(void)
{
	avow_semaphore_free(sem);
	sem = avow_semaphore_new(scene.loop, 1);
	scene_self(
		avow_then(avow_semaphore_acquire(sem), act_with_permit, NULL));
}

FX_TEST(what_waits_for_a_permit_may_do_anything)
{
	scene_try_all(prepare_acquire, 1);
	all_back(1);
}


/* -------------------------------------------------------- No memory, misuse */

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
	int ends = 0, calls = 0;

	(void)arg;
	if (!loop)
		return;
	avow_loop_on_report(loop, ignore, NULL);
	sem = avow_semaphore_new(loop, 1);
	if (sem) {
		for (int i = 0; i < 3; i++) {
			avow_promise *const p =
				i == 1 ? avow_semaphore_acquire(sem)
				       : avow_limit(sem, count_end, &calls);
			avow_on(p, .fulfilled = count_end,
				.rejected = count_end, .arg = &ends);
			ev_run(fx.ev, 0);
		}
		ck_assert_int_eq(ends, 3);
	}
	avow_loop_free(loop);
	if (sem)
		all_back(1);
}

FX_TEST(whatever_cannot_be_allocated_no_permit_is_lost)
{
	fx_sweep(without_memory, NULL);
}

FX_TEST_LIMIT(a_limit_that_could_not_be_attached_leaves_the_line, 10)
{
	avow_value one;

	sem = avow_semaphore_new(fx.loop, 1);
	avow_then(avow_semaphore_acquire(sem), keep_permit, &one);
	fx_run();
	for (size_t left = 0; left < 8; left++) {
		hoard_begin(left);
		avow_cancel(avow_limit(sem, fx_seven, "never"));
		hoard_end();
	}
	avow_drop(one);
	fx_run();

	fx_expect("got");
	all_back(1);
}

static void *drop_in_thread(void *permit)
{
	avow_drop(*(avow_value *)permit);
	return NULL;
}

static void drop_elsewhere(avow_value *permit)
{
	pthread_t thread;
	ck_assert_int_eq(pthread_create(&thread, NULL, drop_in_thread, permit),
			 0);
	pthread_join(thread, NULL);
}

static avow_value run_if_seen(avow_value value, void *is_seen)
{
	(void)value;
	fx_check(*(const bool *)is_seen);
	return avow_none();
}

/* There is memory for small blocks, but for so many nodes only: the signal is
 * what there is none left for. */
FX_TEST_LIMIT(a_limit_that_is_rejected_for_lack_of_memory_calls_nothing, 10)
{
	avow_abort *const stop = avow_abort_new(fx.loop);

	sem = avow_semaphore_new(fx.loop, 1);
	for (size_t left = 0; left < 12; left++) {
		bool is_seen = true;
		hoard_begin(left);
		fx_fail_never();
		fx_fail_above(fx_bytes() + 4096);
		const avow_promise *const p =
			avow_limit(sem, run_if_seen, &is_seen,
				   .signal = avow_abort_signal(stop));
		is_seen = avow_state_of(p) == AVOW_PENDING;
		hoard_end();
		fx_run();
		ck_assert_uint_eq(avow_semaphore_available(sem), 1);
	}
	avow_abort_free(stop);
	all_back(1);
}

FX_TEST(a_permit_that_somebody_waits_for_is_dropped_in_its_thread)
{
	avow_value one;

	sem = avow_semaphore_new(fx.loop, 1);
	avow_then(avow_semaphore_acquire(sem), keep_permit, &one);
	avow_then(avow_semaphore_acquire(sem), note_permit, "second");
	fx_run();
	FX_ABORTS("another thread", drop_elsewhere(&one));
	avow_drop(one);
	fx_run();

	fx_expect("got|second");
	all_back(1);
}

/* Whatever is done in whatever order: acquired and kept, limited and pending,
 * cancelled at any time, dropped late. */
enum { PERMITS = 3, SEATS = 40 };

static struct seat {
	avow_promise *p; /* slot */
	avow_value permit;
} seats[SEATS];

static avow_value keep_in_seat(avow_value permit, void *arg)
{
	struct seat *const seat = arg;
	seat->permit = avow_take(permit);
	return avow_none();
}

static avow_value work_in_turn(avow_value none, void *arg)
{
	(void)none;
	if (++running > running_max)
		running_max = running;
	return avow_await(
		avow_finally(arg ? avow_immediate(fx.loop)
				 : avow_resolved(fx.loop, avow_none()),
			     one_less, NULL));
}

static unsigned dice(unsigned sides)
{
	static uint32_t state = 12345;
	state = state * 1664525 + 1013904223;
	return (state >> 16) % sides;
}

static void use_seat(struct seat *seat)
{
	if (seat->permit.type) {
		const avow_value permit = seat->permit;
		seat->permit = avow_none();
		avow_drop(permit);
	} else if (seat->p) {
		avow_cancel(seat->p);
	} else if (dice(3)) {
		avow_slot(avow_limit(sem, work_in_turn, dice(2) ? &fx : NULL),
			  &seat->p);
	} else {
		avow_slot(avow_then(avow_semaphore_acquire(sem), keep_in_seat,
				    seat),
			  &seat->p);
	}
}

FX_TEST_LIMIT(at_random_no_permit_is_lost_or_there_twice, 20)
{
	const size_t rounds = fx_scale(100 * 1000);

	sem = avow_semaphore_new(fx.loop, PERMITS);
	for (size_t i = 0; i < rounds; i++) {
		size_t kept = 0;
		use_seat(&seats[dice(SEATS)]);
		if (dice(4) == 0)
			ev_run(fx.ev, EVRUN_NOWAIT);
		for (size_t s = 0; s < SEATS; s++)
			kept += seats[s].permit.type != NULL;
		ck_assert_uint_le(kept + avow_semaphore_available(sem),
				  PERMITS);
	}
	for (size_t s = 0; s < SEATS; s++) {
		avow_cancel(seats[s].p);
		avow_drop(seats[s].permit);
	}
	fx_run();

	ck_assert_int_eq(running, 0);
	ck_assert_int_le(running_max, PERMITS);
	all_back(PERMITS);
}

FX_TEST(misuse_of_a_semaphore_is_told)
{
	sem = avow_semaphore_new(fx.loop, 1);
	FX_ABORTS("NULL loop", avow_semaphore_free(avow_mutex_new(NULL)));
	FX_ABORTS("NULL semaphore", avow_semaphore_acquire(NULL));
	FX_ABORTS("NULL semaphore", avow_limit(NULL, fx_seven, NULL));
	FX_ABORTS("NULL function", avow_limit(sem, NULL, NULL));
	FX_ABORTS("avow_semaphore_available(NULL)",
		  (void)avow_semaphore_available(NULL));
	all_back(1);
}

FX_TEST(the_functions_have_addresses)
{
	avow_promise *(*const acquire)(avow_semaphore *) =
		avow_semaphore_acquire;
	avow_promise *(*const limit)(avow_semaphore *, avow_handler_fn *,
				     void *) = avow_limit;

	sem = avow_semaphore_new(fx.loop, 1);
	avow_then(acquire(sem), note_permit, "acquire");
	avow_then(limit(sem, fx_seven, "run"), fx_note, "limit");
	fx_run();

	fx_expect("acquire|run:none|limit:7");
	all_back(1);
}

int main(void)
{
	return fx_main("semaphore");
}
