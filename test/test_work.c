/*
 * SPDX-License-Identifier: MIT
 *
 * Work off the loop: avow_work() and its pool.
 *
 * Functions of the pool stand at gates that the test opens, so that a test
 * decides what is queued and what runs, and nothing sleeps.  Each test ends by
 * avow_work_end(), after which the fixture may count.  Made to run under a
 * thread sanitizer.
 */
#include "scene.h"

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

/* The one allows no threads in the child of a threaded process, the other's
 * allocator may be locked there. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define IS_SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_SANITIZED 1
#endif

/* A place where functions of the pool stop, and tell that they are there. */
struct gate {
	sem_t arrived, open;
};

static struct gate gate;

static void gate_close(void)
{
	ck_assert_int_eq(sem_init(&gate.arrived, 0, 0), 0);
	ck_assert_int_eq(sem_init(&gate.open, 0, 0), 0);
}

static void gate_await(int count)
{
	for (int i = 0; i < count; i++)
		ck_assert_int_eq(sem_wait(&gate.arrived), 0);
}

static void gate_open(int count)
{
	for (int i = 0; i < count; i++)
		ck_assert_int_eq(sem_post(&gate.open), 0);
}

static avow_value stand(void *arg)
{
	(void)arg;
	sem_post(&gate.arrived);
	while (sem_wait(&gate.open) != 0)
		;
	return fx_box_new(7);
}

/* One thread, and it stands at the gate: what comes now is queued. */
static avow_promise *occupy(avow_loop *loop)
{
	gate_close();
	ck_assert(avow_work_threads(1));
	avow_promise *const p = avow_work(loop, stand, NULL);
	gate_await(1);
	return p;
}

static avow_value seven(void *arg)
{
	(void)arg;
	return avow_int(7);
}

static avow_value broken(void *arg)
{
	(void)arg;
	return avow_error(EIO, "broken");
}

/* How often it ran; from any thread. */
static int runs;

static avow_value count_run(void *arg)
{
	(void)arg;
	__atomic_fetch_add(&runs, 1, __ATOMIC_RELAXED);
	return avow_none();
}

/* An argument that knows its end. */
static int drops;
static pthread_t dropped_in;

static void count_drop(void *arg)
{
	(void)arg;
	__atomic_store_n(&dropped_in, pthread_self(), __ATOMIC_RELAXED);
	__atomic_fetch_add(&drops, 1, __ATOMIC_RELEASE);
}

static int drop_count(void)
{
	return __atomic_load_n(&drops, __ATOMIC_ACQUIRE);
}

static bool is_dropped_here(void)
{
	return drop_count() == 1 && pthread_equal(dropped_in, pthread_self());
}

static avow_value note_error(avow_value error, void *name)
{
	fx_log("%s:%s", (const char *)name, avow_message(error));
	return avow_none();
}

static avow_value count_value(avow_value value, void *counter)
{
	(void)value;
	++*(size_t *)counter;
	return avow_none();
}

static void wait_for(avow_promise *p)
{
	if (avow_is_error(avow_wait(p)))
		abort();
}

/* Run what is ready, without waiting for the pool. */
static void run_ready(void)
{
	ev_run(fx.ev, EVRUN_NOWAIT);
}


/* --------------------------------------------------------------- What it does */

FX_TEST(the_value_of_the_function_is_the_promises)
{
	avow_then(avow_work(fx.loop, seven, NULL), fx_note, "then");
	fx_run();
	avow_work_end();

	fx_expect("then:7");
}

FX_TEST(an_error_of_the_function_rejects)
{
	avow_catch(avow_work(fx.loop, broken, NULL), note_error, "catch");
	fx_run();
	avow_work_end();

	fx_expect("catch:broken");
}

static avow_value tell_thread(void *where)
{
	*(pthread_t *)where = pthread_self();
	return avow_str("from afar");
}

FX_TEST(it_runs_in_a_thread_of_the_pool)
{
	pthread_t there = pthread_self();

	avow_then(avow_work(fx.loop, tell_thread, &there), fx_note, "then");
	fx_run();
	avow_work_end();

	ck_assert(!pthread_equal(there, pthread_self()));
	fx_expect("then:from afar");
}

static avow_value add_one(void *arg)
{
	++*(int *)arg;
	return avow_ptr(arg);
}

static avow_value note_number(avow_value value, void *arg)
{
	(void)arg;
	fx_log("number:%d", *(int *)avow_ptr_get(value));
	return avow_none();
}

FX_TEST(the_argument_goes_there_and_back)
{
	int number = 41;

	avow_then(avow_work(fx.loop, add_one, &number), note_number, NULL);
	fx_run();
	avow_work_end();

	fx_expect("number:42");
}

FX_TEST(work_is_begun_in_the_order_in_which_it_came)
{
	avow_promise *const first = occupy(fx.loop);

	avow_then(first, fx_note, "first");
	for (int i = 0; i < 3; i++)
		avow_then(avow_work(fx.loop, seven, NULL), fx_note, "next");
	gate_open(1);
	fx_run();
	avow_work_end();

	fx_expect("first:box:7|next:7|next:7|next:7");
}

static unsigned iterations;

static void count_iteration(struct ev_loop *ev, ev_prepare *watcher, int events)
{
	(void)ev;
	(void)watcher;
	(void)events;
	iterations++;
}

static void open_the_gate(void *arg)
{
	(void)arg;
	gate_open(1);
}

FX_TEST(the_loop_sleeps_while_it_waits_for_the_pool)
{
	ev_prepare prepare;

	avow_then(occupy(fx.loop), fx_note, "then");
	iterations = 0;
	ev_prepare_init(&prepare, count_iteration);
	ev_prepare_start(fx.ev, &prepare);
	ev_unref(fx.ev);
	fx_later(.02, open_the_gate, NULL);
	fx_run();
	ev_ref(fx.ev);
	ev_prepare_stop(fx.ev, &prepare);
	avow_work_end();

	fx_expect("then:box:7");
	ck_assert_uint_lt(iterations, 8);
}

FX_TEST(a_timer_ticks_on_while_the_pool_is_at_work)
{
	avow_then(occupy(fx.loop), fx_note, "work");
	avow_then(avow_delay(fx.loop, .001), fx_note, "tick");
	fx_later(.003, open_the_gate, NULL);
	fx_run();
	avow_work_end();

	fx_expect("tick:none|work:box:7");
}

FX_TEST(waiting_for_work_is_no_deadlock)
{
	ck_assert_str_eq(fx_text(avow_wait(avow_work(fx.loop, seven, NULL))),
			 "7");
	avow_work_end();
}

FX_TEST(settling_it_by_hand_aborts)
{
	avow_promise *const p = occupy(fx.loop);

	FX_ABORTS("settles itself", avow_resolve(p, avow_none()));
	FX_ABORTS("settles itself", (void)avow_context(p));
	avow_catch(p, note_error, "catch");
	gate_open(1);
	fx_run();
	avow_work_end();
}

FX_TEST(what_is_missing_aborts)
{
	FX_ABORTS("avow_work() of a NULL function",
		  avow_work(fx.loop, NULL, NULL));
	FX_ABORTS("avow_work() with a NULL loop", avow_work(NULL, seven, NULL));
}

static avow_value await_something(void *p)
{
	avow_value value = { { .ptr = p }, &avow_promise_type };
	return value;
}

static void work_that_awaits(void)
{
	avow_promise *const p =
		avow_work(fx.loop, await_something, avow_pending(fx.loop));
	wait_for(p);
}

FX_TEST(a_function_that_gives_a_promise_aborts)
{
	FX_ABORTS("thread", work_that_awaits());
}

FX_TEST(the_function_without_options_does_the_same)
{
	avow_promise *(*const fn)(avow_loop *, avow_work_fn *, void *) =
		avow_work;

	avow_then(fn(fx.loop, seven, NULL), fx_note, "then");
	fx_run();
	avow_work_end();

	fx_expect("then:7");
}


/* ------------------------------------------------------------- The argument */

static avow_value look_whether_dropped(avow_value value, void *arg)
{
	(void)arg;
	fx_log("drops:%d", drop_count());
	return value;
}

FX_TEST(the_argument_is_dropped_here_when_the_promise_has_settled)
{
	avow_then(avow_work(fx.loop, seven, &drops, .drop = count_drop),
		  look_whether_dropped, NULL);
	fx_run();
	avow_work_end();

	fx_expect("drops:1");
	ck_assert(is_dropped_here());
}

FX_TEST(the_argument_of_queued_work_is_dropped_when_that_is_cancelled)
{
	avow_promise *const first = occupy(fx.loop);
	avow_promise *const p =
		avow_work(fx.loop, count_run, &drops, .drop = count_drop);

	avow_cancel(p);
	ck_assert(is_dropped_here());
	avow_then(first, fx_note, "first");
	gate_open(1);
	fx_run();
	avow_work_end();

	ck_assert_int_eq(runs, 0);
	ck_assert_int_eq(drop_count(), 1);
	fx_expect("first:box:7");
}

/* Runs at the gate; its box is dropped by whoever has it last. */
FX_TEST(the_argument_of_running_work_is_dropped_there_when_that_has_ended)
{
	gate_close();
	avow_promise *const p =
		avow_work(fx.loop, stand, &drops, .drop = count_drop);
	avow_catch(p, note_error, "catch");
	gate_await(1);
	avow_cancel(p);
	fx_run();
	fx_expect("catch:cancelled");
	ck_assert_int_eq(drop_count(), 0);
	gate_open(1);
	avow_work_end();

	ck_assert_int_eq(drop_count(), 1);
	ck_assert(!pthread_equal(dropped_in, pthread_self()));
	ck_assert_int_eq(fx.boxes, 0);
}


/* --------------------------------------------------------------- Cancelling */

FX_TEST(any_of_the_queue_can_be_cancelled)
{
	avow_promise *const first = occupy(fx.loop);
	avow_promise *queue[6];

	for (int i = 0; i < 6; i++)
		queue[i] = avow_work(fx.loop, count_run, &drops,
				     .drop = count_drop);
	avow_cancel(queue[0]); /* the first, one within, the last */
	avow_cancel(queue[3]);
	avow_cancel(queue[5]);
	ck_assert_int_eq(drop_count(), 3);
	avow_then(first, fx_note, NULL);
	gate_open(1);
	fx_run();
	avow_work_end();

	ck_assert_int_eq(runs, 3);
	ck_assert_int_eq(drop_count(), 6);
	fx_expect("box:7");
}

FX_TEST_LIMIT(leaving_a_long_queue_takes_no_longer, 10)
{
	const size_t count = fx_scale_calls(100000);
	avow_promise *const first = occupy(fx.loop);
	avow_promise **const queue = calloc(count, sizeof(*queue));

	ck_assert_ptr_nonnull(queue);
	for (size_t i = 0; i < count; i++)
		queue[i] = avow_work(fx.loop, count_run, NULL);
	for (size_t i = 0; i < count; i++)
		avow_cancel(queue[(i * 7919) % count]);
	for (size_t i = 0; i < count; i++)
		if (avow_state_of(queue[i]) == AVOW_PENDING)
			avow_cancel(queue[i]);
	free(queue);
	avow_then(first, fx_note, NULL);
	gate_open(1);
	fx_run();
	avow_work_end();

	ck_assert_int_eq(runs, 0);
	fx_expect("box:7");
}

/* Runs until nobody wants it any more. */
static avow_value turn_until_cancelled(void *arg)
{
	(void)arg;
	sem_post(&gate.arrived);
	while (!avow_work_is_cancelled())
		sched_yield();
	count_run(NULL);
	return fx_box_new(1);
}

FX_TEST(a_running_function_can_ask_whether_it_is_cancelled)
{
	gate_close();
	avow_promise *const p = avow_work(fx.loop, turn_until_cancelled, NULL);

	gate_await(1);
	avow_cancel(p);
	avow_work_end();

	ck_assert_int_eq(runs, 1);
	ck_assert_int_eq(fx.boxes, 0);
}

static avow_value ask(void *arg)
{
	(void)arg;
	return avow_bool(avow_work_is_cancelled());
}

FX_TEST(nobody_else_is_cancelled)
{
	ck_assert(!avow_work_is_cancelled());
	avow_then(avow_work(fx.loop, ask, NULL), fx_note, "then");
	fx_run();
	avow_work_end();

	fx_expect("then:false");
}

FX_TEST(a_signal_takes_it_out_of_the_queue)
{
	avow_abort *const stop = avow_abort_new(fx.loop);
	avow_promise *const first = occupy(fx.loop);

	avow_then(first, fx_note, "first");
	avow_catch(avow_work(fx.loop, count_run, &drops, .drop = count_drop,
			     .signal = avow_abort_signal(stop)),
		   note_error, "catch");
	avow_abort_with(stop, avow_error(EINTR, "enough"));
	ck_assert(is_dropped_here());
	run_ready();
	gate_open(1);
	fx_run();
	avow_work_end();
	avow_abort_free(stop);

	ck_assert_int_eq(runs, 0);
	fx_expect("catch:enough|first:box:7");
}

FX_TEST(with_a_signal_that_has_aborted_nothing_is_begun)
{
	avow_abort *const stop = avow_abort_new(fx.loop);

	avow_abort_with(stop, avow_error(EINTR, "enough"));
	avow_catch(avow_work(fx.loop, count_run, &drops, .drop = count_drop,
			     .signal = avow_abort_signal(stop)),
		   note_error, "catch");
	ck_assert(is_dropped_here());
	fx_run();
	avow_work_end();
	avow_abort_free(stop);

	ck_assert_int_eq(runs, 0);
	fx_expect("catch:enough");
}

FX_TEST_LIMIT(cancelling_at_any_moment_ends_everything_once, 20)
{
	const size_t count = fx_scale(8000);

	fx.ignores_late = true;
	for (size_t i = 0; i < count; i++) {
		avow_promise *const p =
			avow_work(fx.loop, count_run, NULL, .drop = count_drop);
		for (size_t k = 0; k < i % 64; k++)
			sched_yield();
		avow_cancel(p);
		run_ready();
		if (i % 256 == 255)
			avow_work_end();
	}
	avow_work_end();
	fx_run();

	ck_assert_uint_eq((size_t)drop_count(), count);
}


/* -------------------------------------------------------------- The loop's end */

FX_TEST(freeing_the_loop_takes_its_work_out_of_the_queue)
{
	avow_promise *const first = occupy(fx.loop);

	avow_catch(first, fx_note_code, "first");
	avow_catch(avow_work(fx.loop, count_run, &drops, .drop = count_drop),
		   fx_note_code, "queued");
	fx_free_loop(); /* does not wait for the gate */
	ck_assert(is_dropped_here());
	gate_open(1);
	avow_work_end();

	ck_assert_int_eq(runs, 0);
	fx_expect("first:3|queued:3");
	fx_expect_reports("abandoned:avow_work()|abandoned:avow_work()");
}

FX_TEST(freeing_the_loop_leaves_running_work_to_the_pool)
{
	gate_close();
	avow_catch(avow_work(fx.loop, stand, &drops, .drop = count_drop),
		   fx_note_code, "code");
	gate_await(1);
	fx_free_loop();
	ck_assert_int_eq(drop_count(), 0);
	gate_open(1);
	avow_work_end();

	ck_assert_int_eq(drop_count(), 1);
	ck_assert_int_eq(fx.boxes, 0);
	fx_expect("code:3");
	fx_expect_reports("abandoned:avow_work()");
}

FX_TEST(what_was_done_when_the_loop_is_freed_counts)
{
	gate_close();
	gate_open(1);
	avow_then(avow_work(fx.loop, stand, &drops, .drop = count_drop),
		  fx_note, "then");
	avow_work_end(); /* done, and the loop does not know yet */
	fx_free_loop();

	ck_assert(is_dropped_here());
	fx_expect("then:box:7");
}

static avow_value work_at_the_end(avow_value value, void *loop)
{
	(void)value;
	avow_catch(avow_work(loop, count_run, &drops, .drop = count_drop),
		   fx_note_code, "code");
	return avow_none();
}

FX_TEST(work_in_a_loop_that_is_being_freed_is_abandoned)
{
	avow_catch(avow_pending(fx.loop), work_at_the_end, fx.loop);
	fx_free_loop();
	avow_work_end();

	ck_assert(is_dropped_here());
	ck_assert_int_eq(runs, 0);
	fx_expect("code:3");
}

FX_TEST(an_event_loop_that_is_destroyed_first_is_survived)
{
	avow_promise *const first = occupy(fx.loop);

	avow_catch(first, fx_note_code, "code");
	fx_destroy_ev();
	gate_open(1);
	avow_work_end();
	fx_free_loop();

	const char *const log = fx_take_log();
	ck_assert_msg(!strcmp(log, "") || !strcmp(log, "code:3"), "%s", log);
	(void)fx_take_reports();
}

static void free_loops_in_a_row(void *arg)
{
	(void)arg;
	for (size_t i = 0; i < fx_scale(300); i++) {
		avow_loop *const loop = avow_loop_new(fx.ev);
		ck_assert_ptr_nonnull(loop);
		avow_loop_on_report(loop, fx_report, NULL);
		for (int k = 0; k < 8; k++)
			avow_work(loop, seven, NULL, .drop = count_drop);
		if (i % 2)
			run_ready();
		avow_loop_free(loop);
		(void)fx_take_reports();
	}
}

FX_TEST_LIMIT(loops_may_go_at_any_moment, 10)
{
	free_loops_in_a_row(NULL);
	avow_work_end();

	ck_assert_uint_eq((size_t)drop_count(), 8 * fx_scale(300));
}


/* ------------------------------------------------------------------ The pool */

FX_TEST(no_threads_are_refused)
{
	ck_assert(!avow_work_threads(0));
	ck_assert(avow_work_threads(1));
	ck_assert(!avow_work_threads(0));
	avow_then(avow_work(fx.loop, seven, NULL), fx_note, "then");
	fx_run();
	avow_work_end();

	fx_expect("then:7");
}

FX_TEST(there_are_four_threads_unless_told_otherwise)
{
	gate_close();
	for (int i = 0; i < 4; i++)
		avow_then(avow_work(fx.loop, stand, NULL), fx_note, NULL);
	avow_then(avow_work(fx.loop, count_run, NULL), fx_note, NULL);
	gate_await(4); /* all of them at the same time */
	ck_assert_int_eq(__atomic_load_n(&runs, __ATOMIC_RELAXED), 0);
	gate_open(4);
	fx_run();
	avow_work_end();

	ck_assert_int_eq(runs, 1);
	(void)fx_take_log();
}

FX_TEST(a_pool_that_grows_takes_up_what_waits)
{
	gate_close();
	avow_work_threads(1);
	for (int i = 0; i < 6; i++)
		avow_then(avow_work(fx.loop, stand, NULL), fx_note, NULL);
	gate_await(1);
	avow_work_threads(6);
	gate_await(5);
	gate_open(6);
	fx_run();
	avow_work_end();

	fx_expect("box:7|box:7|box:7|box:7|box:7|box:7");
}

FX_TEST(a_pool_that_shrinks_goes_on_with_fewer)
{
	size_t done = 0;

	gate_close();
	avow_work_threads(4);
	for (int i = 0; i < 4; i++)
		avow_then(avow_work(fx.loop, stand, NULL), count_value, &done);
	gate_await(4);
	avow_work_threads(1);
	for (int i = 0; i < 3; i++)
		avow_then(avow_work(fx.loop, stand, NULL), count_value, &done);
	gate_open(4);
	gate_await(1); /* the only one that is left */
	ck_assert_int_eq(sem_trywait(&gate.arrived), -1);
	gate_open(3);
	fx_run();
	avow_work_end();

	ck_assert_uint_eq(done, 7);
}

static int count_threads(void)
{
	int count = 0;
	char line[128];
	FILE *const file = fopen("/proc/self/status", "r");
	ck_assert_ptr_nonnull(file);
	while (fgets(line, sizeof(line), file))
		sscanf(line, "Threads: %d", &count);
	fclose(file);
	return count;
}

/* The system counts a thread for a moment after it was joined. */
static void expect_threads(int expected)
{
	for (int i = 0; i < 1000 && count_threads() != expected; i++)
		usleep(1000);
	ck_assert_int_eq(count_threads(), expected);
}

/* Sanitizers have a thread of their own from the first thread on. */
static int threads_without_pool(void)
{
	avow_work(fx.loop, seven, NULL);
	fx_run();
	avow_work_end();
	usleep(10000);
	return count_threads();
}

FX_TEST(threads_are_started_when_there_is_work_and_ended_when_told)
{
	const int before = threads_without_pool();

	avow_work_threads(64);
	ck_assert_int_eq(count_threads(), before);
	gate_close();
	for (int i = 0; i < 3; i++)
		avow_work(fx.loop, stand, NULL);
	gate_await(3);
	ck_assert_int_eq(count_threads(), before + 3);
	gate_open(3);
	fx_run();
	avow_work_end();
	expect_threads(before);
	avow_work_end();

	avow_then(avow_work(fx.loop, seven, NULL), fx_note, "again");
	fx_run();
	avow_work_end();
	expect_threads(before);
	fx_expect("again:7");
}

FX_TEST(an_idle_thread_is_used_again)
{
	const int before = threads_without_pool();

	for (size_t i = 0; i < 10 + fx_scale(200); i++) {
		avow_work(fx.loop, count_run, NULL);
		fx_run();
	}
	/* One more may have come where the first was not idle again yet. */
	ck_assert_int_le(count_threads(), before + 4);
	avow_work_end();
	ck_assert_int_eq((int)(10 + fx_scale(200)), runs);
}

FX_TEST(the_end_waits_for_what_is_queued)
{
	avow_work_threads(2);
	for (int i = 0; i < 100; i++)
		avow_work(fx.loop, count_run, NULL);
	avow_work_end();
	ck_assert_int_eq(runs, 100);
	fx_run();
}

/* Threads that leave something to be cleaned up when they are gone. */
static pthread_key_t clean_key;
static int unclean;

static void clean_slowly(void *ptr)
{
	(void)ptr;
	usleep(1000);
	__atomic_sub_fetch(&unclean, 1, __ATOMIC_RELEASE);
}

static avow_value leave_unclean(void *arg)
{
	(void)arg;
	if (!pthread_getspecific(clean_key)) {
		__atomic_add_fetch(&unclean, 1, __ATOMIC_RELAXED);
		pthread_setspecific(clean_key, &clean_key);
	}
	return avow_none();
}

static void *end_and_look(void *ready)
{
	pthread_barrier_wait(ready);
	avow_work_end();
	return (void *)(intptr_t)__atomic_load_n(&unclean, __ATOMIC_ACQUIRE);
}

FX_TEST_LIMIT(no_thread_is_left_when_the_end_returns_in_any_thread, 20)
{
	const size_t rounds = 5 + fx_scale(50);
	pthread_barrier_t ready;
	pthread_key_create(&clean_key, clean_slowly);
	ck_assert_int_eq(pthread_barrier_init(&ready, NULL, 2), 0);

	for (size_t i = 0; i < rounds; i++) {
		pthread_t thread;
		void *left_there;
		for (int k = 0; k < 8; k++)
			avow_work(fx.loop, leave_unclean, NULL);
		pthread_create(&thread, NULL, end_and_look, &ready);
		const void *const left_here = end_and_look(&ready);
		pthread_join(thread, &left_there);
		ck_assert_ptr_null(left_here);
		ck_assert_ptr_null(left_there);
		fx_run();
	}

	pthread_barrier_destroy(&ready);
	pthread_key_delete(clean_key);
}

static avow_value end_the_pool(void *arg)
{
	(void)arg;
	avow_work_end();
	return avow_none();
}

static void end_the_pool_in_itself(void)
{
	wait_for(avow_work(fx.loop, end_the_pool, NULL));
}

FX_TEST(the_end_inside_of_the_pool_aborts)
{
	FX_ABORTS("avow_work_end() in a thread of the pool",
		  end_the_pool_in_itself());
}

static avow_value look_at_the_thread(void *arg)
{
	sigset_t blocked;
	char name[16] = "";
	(void)arg;
	pthread_sigmask(SIG_SETMASK, NULL, &blocked);
	prctl(PR_GET_NAME, name);
	if (!sigismember(&blocked, SIGINT) || !sigismember(&blocked, SIGCHLD) ||
	    !sigismember(&blocked, SIGUSR1) || sigismember(&blocked, SIGSEGV))
		return avow_error(EINVAL, "signals");
	return avow_str(name);
}

FX_TEST(its_threads_have_a_name_and_leave_signals_alone)
{
	sigset_t before, after;

	pthread_sigmask(SIG_SETMASK, NULL, &before);
	avow_then(avow_work(fx.loop, look_at_the_thread, NULL), fx_note, "is");
	fx_run();
	avow_work_end();
	pthread_sigmask(SIG_SETMASK, NULL, &after);

	ck_assert_int_eq(sigismember(&after, SIGINT),
			 sigismember(&before, SIGINT));
	fx_expect("is:avow-work");
}

/* From here on the stack of a thread does not fit. */
static void allow_no_thread(void)
{
	unsigned long pages = 0;
	FILE *const file = fopen("/proc/self/statm", "r");
	if (!file || fscanf(file, "%lu", &pages) != 1)
		abort();
	fclose(file);
	const rlim_t bytes = pages * (rlim_t)sysconf(_SC_PAGESIZE) + (2 << 20);
	setrlimit(RLIMIT_AS, &(struct rlimit){ bytes, bytes });
}

static void work_without_threads(void)
{
	avow_promise *p;

	allow_no_thread();
	p = avow_work(fx.loop, seven, NULL, .drop = count_drop);
	if (avow_state_of(p) == AVOW_REJECTED &&
	    avow_error_is(avow_value_of(p), &avow_errno_domain, EAGAIN) &&
	    is_dropped_here())
		fprintf(stderr, "%s\n", avow_message(avow_value_of(p)));
	abort();
}

static void work_with_one_thread_left(void)
{
	avow_promise *const first = occupy(fx.loop);

	avow_work_threads(4);
	allow_no_thread();
	avow_then(first, fx_note, NULL);
	avow_promise *const p = avow_work(fx.loop, seven, NULL);
	if (avow_state_of(p) != AVOW_PENDING)
		abort();
	gate_open(1);
	if (avow_int_get(avow_wait(p)) == 7)
		fprintf(stderr, "done by the one\n");
	abort();
}

FX_TEST(without_any_thread_it_is_rejected)
{
	if (fx_scale(1000) != 1000)
		return; /* valgrind and sanitizers need their own memory */
	FX_ABORTS("no thread for avow_work(): Resource temporarily unavailable",
		  work_without_threads());
}

FX_TEST(as_long_as_there_is_a_thread_it_is_queued)
{
	if (fx_scale(1000) != 1000)
		return;
	FX_ABORTS("done by the one", work_with_one_thread_left());
}


/* ---------------------------------------------------------- Exit, and forks */

/* Check's handler of the alarm would kill the test as well. */
static void be_a_child(void)
{
	signal(SIGALRM, SIG_DFL);
	alarm(10);
}

static int child_status(pid_t pid)
{
	int status = 0;

	ck_assert_int_ne(pid, -1);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return status;
}

FX_TEST(a_process_with_queued_work_exits)
{
	fflush(NULL);
	const pid_t pid = fork();

	if (!pid) {
		be_a_child();
		(void)occupy(fx.loop);
		for (int i = 0; i < 100; i++)
			avow_work(fx.loop, count_run, NULL);
		exit(0);
	}
	ck_assert_int_eq(child_status(pid), 0);
}

#ifndef IS_SANITIZED
/* What the child does: the same pool, anew. */
static void work_in_the_child(avow_promise *running, avow_promise *queued)
{
	be_a_child();
	ev_loop_fork(fx.ev);
	avow_cancel(running);
	avow_cancel(queued);
	const int dropped = drop_count();
	const avow_value value = avow_wait(avow_work(fx.loop, seven, NULL));
	avow_work_end();
	_exit(dropped == 2 && !runs && avow_is(value, &avow_int_type) ? 0 : 1);
}

FX_TEST(the_child_of_a_fork_has_a_pool_of_its_own)
{
	if (fx_is_emulated())
		return; /* no threads in the child */
	gate_close();
	avow_work_threads(1);
	avow_promise *const running =
		avow_work(fx.loop, stand, NULL, .drop = count_drop);
	gate_await(1);
	avow_promise *const queued =
		avow_work(fx.loop, count_run, NULL, .drop = count_drop);
	const pid_t pid = fork();
	if (!pid)
		work_in_the_child(running, queued);
	ck_assert_int_eq(child_status(pid), 0);
	ck_assert_int_eq(drop_count(), 0);
	gate_open(1);
	fx_run();
	avow_work_end();

	ck_assert_int_eq(drop_count(), 2);
	ck_assert_int_eq(runs, 1);
}

static void fork_once(void)
{
	const pid_t pid = fork();
	if (!pid) {
		be_a_child();
		ev_loop_fork(fx.ev);
		wait_for(avow_work(fx.loop, seven, NULL));
		_exit(0);
	}
	ck_assert_int_eq(child_status(pid), 0);
}

FX_TEST_LIMIT(a_busy_pool_can_be_forked_at_any_moment, 20)
{
	size_t done = 0, begun = 0;

	if (fx_is_emulated())
		return; /* no threads in the child */
	for (size_t i = 0; i < 5 + fx_scale(30); i++) {
		for (int k = 0; k < 50; k++, begun++)
			avow_then(avow_work(fx.loop, seven, NULL), count_value,
				  &done);
		fork_once();
	}
	fx_run();
	avow_work_end();
	ck_assert_uint_eq(done, begun);
}

/* A function that forks, and whose child returns. */
static avow_value fork_inside(void *arg)
{
	(void)arg;
	const pid_t pid = fork();
	int status = -1;
	if (!pid) {
		be_a_child();
		return avow_none();
	}
	if (waitpid(pid, &status, 0) != pid)
		return avow_errno(errno);
	return avow_int(WIFEXITED(status) ? WEXITSTATUS(status) : -1);
}

FX_TEST(the_child_of_a_function_that_forks_ends_with_it)
{
	avow_then(avow_work(fx.loop, fork_inside, NULL), fx_note, "exit");
	fx_run();
	avow_work_end();

	fx_expect("exit:0");
}
#endif


/* ------------------------------------------------------------- Many loops */

enum { LOOPS = 4 };
static pthread_barrier_t all_ready;

static void *use_the_pool(void *arg)
{
	struct ev_loop *const ev = ev_loop_new(EVFLAG_AUTO);
	avow_loop *const loop = avow_loop_new(ev);
	const size_t count = *(const size_t *)arg;
	size_t done = 0;

	if (!loop)
		abort();
	pthread_barrier_wait(&all_ready);
	for (size_t i = 0; i < count; i++) {
		avow_promise *const p =
			avow_work(loop, seven, NULL, .drop = count_drop);
		avow_then(p, count_value, &done);
		if (i % 16 == 15)
			ev_run(ev, EVRUN_NOWAIT);
		if (i % 64 == 63)
			avow_work_threads(1 + (unsigned)(i / 64 % 4));
	}
	ev_run(ev, 0);
	avow_loop_free(loop);
	ev_loop_destroy(ev);
	if (done != count)
		abort();
	return NULL;
}

FX_TEST_LIMIT(several_loops_in_several_threads_share_it, 20)
{
	pthread_t threads[LOOPS];
	size_t count = fx_scale(5000);

	ck_assert_int_eq(pthread_barrier_init(&all_ready, NULL, LOOPS), 0);
	for (int i = 0; i < LOOPS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, use_the_pool,
						&count),
				 0);
	for (int i = 0; i < LOOPS; i++)
		pthread_join(threads[i], NULL);
	avow_work_end();
	pthread_barrier_destroy(&all_ready);

	ck_assert_uint_eq((size_t)drop_count(), LOOPS * count);
}

static void *end_again_and_again(void *arg)
{
	(void)arg;
	pthread_barrier_wait(&all_ready);
	for (size_t i = 0; i < fx_scale(500); i++)
		avow_work_end();
	return NULL;
}

FX_TEST_LIMIT(the_pool_may_be_ended_while_others_use_it, 20)
{
	pthread_t threads[3];
	size_t count = fx_scale(2000);

	ck_assert_int_eq(pthread_barrier_init(&all_ready, NULL, 3), 0);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL,
						i ? end_again_and_again
						  : use_the_pool,
						&count),
				 0);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	avow_work_end();
	pthread_barrier_destroy(&all_ready);
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

static void prepare_drop(void)
{
	scene_self(avow_work(scene.loop, seven, NULL, .drop = act));
}

FX_TEST(the_drop_of_the_argument_may_do_anything)
{
	scene_try_all(prepare_drop, 1);
	avow_work_end();
}

static void prepare_then(void)
{
	avow_promise *const p = avow_work(scene.loop, seven, NULL);
	scene_self(avow_then(p, act_and_pass, NULL));
}

FX_TEST(a_handler_of_its_value_may_do_anything)
{
	scene_try_all(prepare_then, 1);
	avow_work_end();
}

static void run_the_loop(void *arg)
{
	fx_log("%s", (const char *)arg);
	ev_run(fx.ev, EVRUN_NOWAIT);
}

FX_TEST(what_is_not_begun_is_there_after_a_drop_has_run_the_loop)
{
	avow_abort *const stop = avow_abort_new(fx.loop);
	avow_abort_with(stop, avow_none());
	avow_promise *const p = avow_work(fx.loop, seven, "drop",
					  .drop = run_the_loop,
					  .signal = avow_abort_signal(stop));
	avow_catch(p, note_error, "aborted");
	fx_run();
	avow_abort_free(stop);
	fx_expect("drop|aborted:cancelled");
}

static void prepare_drop_by_cancel(void)
{
	avow_promise *const p =
		avow_work(scene.loop, count_run, NULL, .drop = act);
	scene_self(p);
	avow_cancel(p);
}

FX_TEST(the_drop_by_a_cancellation_may_do_anything)
{
	const int before = runs;
	avow_promise *const first = occupy(fx.loop);

	/* The scene runs fx.ev: nothing of ours must keep it. */
	avow_catch(first, note_error, "first");
	avow_cancel(first);
	scene_try_all(prepare_drop_by_cancel, 1);
	gate_open(1);
	avow_work_end();
	ck_assert_int_eq(runs, before);
	fx_expect("first:cancelled");
}

static void prepare_drop_at_once(void)
{
	avow_abort *const stop = avow_abort_new(scene.loop);
	avow_abort_with(stop, avow_none());
	avow_work(scene.loop, count_run, NULL, .drop = act,
		  .signal = avow_abort_signal(stop));
	avow_abort_free(stop);
}

FX_TEST(the_drop_of_what_is_not_begun_may_do_anything)
{
	scene_try_all(prepare_drop_at_once, 1);
	avow_work_end();
}


/* ------------------------------------------------------------------- Memory */

static void ignore_reports(avow_loop *loop, const avow_report *report,
			   void *arg)
{
	(void)loop;
	(void)report;
	(void)arg;
}

static void work_once(void *arg)
{
	avow_loop *const loop = avow_loop_new(fx.ev);
	size_t outcomes = 0;
	(void)arg;
	if (!loop)
		return;
	avow_loop_on_report(loop, ignore_reports, NULL);
	drops = 0;
	avow_on(avow_work(loop, seven, NULL, .drop = count_drop),
		.fulfilled = count_value, .rejected = count_value,
		.arg = &outcomes);
	ev_run(fx.ev, 0);
	avow_work_end();
	ck_assert_uint_eq(outcomes, 1);
	avow_loop_free(loop);
	ck_assert_int_eq(drop_count(), 1);
}

FX_TEST(it_survives_any_failure_of_memory)
{
	ck_assert_uint_ge(fx_sweep(work_once, NULL), 8);
}

int main(void)
{
	return fx_main("work");
}
