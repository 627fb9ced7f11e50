/*
 * SPDX-License-Identifier: MIT
 *
 * Threads, rule 25: settling from any thread, and everything else in one.
 *
 * The races are real ones: a barrier lets the threads go at the same moment,
 * many times over, and what is looked at must hold whoever came first.  The
 * suite is made to run under a thread sanitizer as well, which sees the races
 * that chance does not show.
 */
#include "fixture.h"

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/wait.h>

/* A value that knows the thread it was made in. */
typedef struct marked {
	pthread_t made_in;
	int number;
} marked;

static int marked_alive;
static int dropped_at_home;	/* in the thread they were made in */

static void marked_free(marked *m)
{
	if (pthread_equal(m->made_in, pthread_self()))
		__atomic_fetch_add(&dropped_at_home, 1, __ATOMIC_RELAXED);
	__atomic_fetch_sub(&marked_alive, 1, __ATOMIC_RELAXED);
	free(m);
}

AVOW_TYPE(marked, marked *, marked_free);

static avow_value marked_new(int number)
{
	marked *const m = malloc(sizeof(*m));

	if (!m)
		abort();
	m->made_in = pthread_self();
	m->number = number;
	__atomic_fetch_add(&marked_alive, 1, __ATOMIC_RELAXED);
	return marked_value(m);
}

static int alive(void)
{
	return __atomic_load_n(&marked_alive, __ATOMIC_RELAXED);
}

static pthread_t thread_start(void *(*fn)(void *), void *arg)
{
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, fn, arg), 0);
	return thread;
}

static void thread_join(pthread_t thread)
{
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
}

static void *settle_seven(void *context)
{
	avow_settle(context, avow_int(7));
	return NULL;
}

static void *settle_marked(void *context)
{
	avow_settle(context, marked_new(7));
	return NULL;
}

static size_t call_count(void)
{
	avow_stats stats;

	avow_loop_stats(fx.loop, &stats);
	return stats.call_count;
}

static void be_silent(avow_loop *loop, const avow_report *report, void *arg)
{
	(void)loop;
	(void)report;
	(void)arg;
}

static avow_value ignore(avow_value value, void *arg)
{
	(void)value;
	(void)arg;
	return avow_none();
}


/* ------------------------------------------------------ One other thread */

static sem_t asleep;

static void wake_thread(void *arg)
{
	(void)arg;
	fx_log("about to sleep");
	sem_post(&asleep);
}

static void *settle_when_asleep(void *context)
{
	sem_wait(&asleep);
	avow_settle(context, avow_int(7));
	return NULL;
}

FX_TEST(settling_from_another_thread_wakes_a_sleeping_loop)
{
	sem_init(&asleep, 0, 0);
	const avow_call c = avow_begin(fx.loop, "call");
	avow_promise *const p = avow_end(c, true, 0);
	const pthread_t t = thread_start(settle_when_asleep,
					 avow_threaded(c.context));

	avow_then(p, fx_note, "then");
	fx_later(.001, wake_thread, NULL);
	fx_run();
	thread_join(t);

	fx_expect("about to sleep|then:7");
	sem_destroy(&asleep);
}

FX_TEST(a_threaded_call_keeps_the_loop_running_until_it_is_settled)
{
	for (size_t i = 0; i < fx_scale(500); i++) {
		const avow_call c = avow_begin(fx.loop, "call");
		const pthread_t t = thread_start(settle_seven,
						 avow_threaded(c.context));

		avow_then(avow_end(c, true, 0), fx_note, NULL);
		fx_run();
		fx_expect("7");
		thread_join(t);
	}
	ck_assert_uint_eq(call_count(), 0);
}

FX_TEST(a_call_that_is_not_threaded_does_not_keep_the_loop_running)
{
	const avow_call c = avow_begin(fx.loop, "call");

	avow_then(avow_end(c, true, 0), fx_note, "then");
	fx_run();
	fx_expect("");
	thread_join(thread_start(settle_seven, c.context));
	fx_run();

	fx_expect("then:7");
}

FX_TEST(a_threaded_call_settled_in_the_loops_own_thread_is_over_as_well)
{
	const avow_call c = avow_begin(fx.loop, "call");

	ck_assert_ptr_eq(avow_threaded(c.context), c.context);
	ck_assert_ptr_eq(avow_threaded(c.context), c.context);
	avow_then(avow_end(c, true, 0), fx_note, "then");
	avow_settle(c.context, avow_int(7));
	fx_run();

	fx_expect("then:7");
}

FX_TEST(a_threaded_call_that_was_cancelled_does_not_keep_the_loop_running)
{
	const avow_call c = avow_begin(fx.loop, "call");

	(void)avow_threaded(c.context);
	avow_cancel(avow_end(c, true, 0));
	fx_run();
	thread_join(thread_start(settle_marked, c.context));
	fx_run();

	ck_assert_int_eq(alive(), 0);
	(void)fx_take_reports();
}

FX_TEST(a_threaded_call_that_did_not_start_does_not_keep_the_loop_running)
{
	const avow_call c = avow_begin(fx.loop, "call");

	(void)avow_threaded(c.context);
	avow_catch(avow_end(c, false, 1), ignore, NULL);
	fx_run();
}

FX_TEST(waiting_for_a_threaded_call_is_no_deadlock)
{
	const avow_call c = avow_begin(fx.loop, "call");
	avow_promise *const p = avow_end(c, true, 0);
	const pthread_t t = thread_start(settle_seven,
					 avow_threaded(c.context));

	ck_assert_str_eq(fx_text(avow_wait(p)), "7");
	thread_join(t);
}

FX_TEST(waiting_for_a_call_that_nothing_can_settle_is_a_deadlock)
{
	const avow_call c = avow_begin(fx.loop, "call");
	avow_promise *const p = avow_end(c, true, 0);

	ck_assert(avow_error_is(avow_wait(p), &avow_core_domain,
				AVOW_EDEADLOCK));
	ck_assert_int_eq(avow_state_of(p), AVOW_PENDING);
	avow_settle(c.context, avow_int(7));
	ck_assert_str_eq(fx_text(avow_wait(p)), "7");
}

static int start_thread(pthread_t *t, void *context)
{
	return pthread_create(t, NULL, settle_seven, context);
}

FX_TEST(a_threaded_context_can_stand_in_the_call)
{
	static pthread_t t;

	avow_then(AVOW_PROMISIFY(fx.loop,
				 start_thread(&t, avow_threaded(AVOW_CONTEXT))),
		  fx_note, "then");
	fx_run();
	thread_join(t);

	fx_expect("then:7");
}

FX_TEST(a_pending_promise_can_be_settled_through_its_context_by_a_thread)
{
	avow_promise *const p = avow_pending(fx.loop);
	const pthread_t t = thread_start(settle_seven,
					 avow_threaded(avow_context(p)));

	avow_then(p, fx_note, "then");
	fx_run();
	thread_join(t);

	fx_expect("then:7");
}

static avow_value is_in(avow_value value, void *thread)
{
	ck_assert(pthread_equal(*(pthread_t *)thread, pthread_self()));
	fx_log("then");
	return value;
}

FX_TEST(handlers_and_drops_run_in_the_loops_thread)
{
	pthread_t here = pthread_self();
	const avow_call c = avow_begin(fx.loop, "call");
	const pthread_t t = thread_start(settle_marked,
					 avow_threaded(c.context));

	avow_then(avow_end(c, true, 0), is_in, &here);
	fx_run();
	thread_join(t);

	fx_expect("then");
	ck_assert_int_eq(alive(), 0);
	ck_assert_int_eq(dropped_at_home, 0);
}

struct numbers {
	int64_t a[6];
};

AVOW_STRUCT(numbers, struct numbers);

static void *settle_struct(void *context)
{
	avow_settle(context,
		    numbers_value((struct numbers){ { 1, 2, 3, 4, 5, 6 } }));
	avow_settle(context,
		    numbers_value((struct numbers){ { 6, 5, 4, 3, 2, 1 } }));
	return NULL;
}

static avow_value last_number(avow_value value, void *arg)
{
	(void)arg;
	return avow_int(numbers_get(value)->a[5]);
}

FX_TEST(a_struct_made_in_another_thread_can_be_read_and_dropped_here)
{
	for (size_t i = 0; i < fx_scale(200); i++) {
		const avow_call c = avow_begin(fx.loop, "call");
		const pthread_t t = thread_start(settle_struct,
						 avow_threaded(c.context));

		avow_drop(numbers_value((struct numbers){ { 0 } }));
		avow_then(avow_then(avow_end(c, true, 0), last_number, NULL),
			  fx_note, NULL);
		fx_run();
		fx_expect("6");
		thread_join(t);
		(void)fx_take_reports();
	}
}

static void *settle_error(void *context)
{
	avow_settle(context, avow_wrap(avow_errno(EIO), "in a thread"));
	return NULL;
}

FX_TEST(a_thread_can_settle_with_an_error)
{
	const avow_call c = avow_begin(fx.loop, "call");
	const pthread_t t = thread_start(settle_error,
					 avow_threaded(c.context));

	avow_catch(avow_end(c, true, 0), fx_note, "catch");
	fx_run();
	thread_join(t);

	ck_assert_int_eq(strncmp(fx_take_log(), "catch:!in a thread", 18), 0);
}

static avow_value wait_for_thread(avow_value value, void *arg)
{
	const avow_call c = avow_begin(fx.loop, "inner");
	const pthread_t t = thread_start(settle_seven,
					 avow_threaded(c.context));
	avow_promise *const p = avow_end(c, true, 0);

	(void)value;
	(void)arg;
	const avow_value got = avow_take(avow_wait(p));
	thread_join(t);
	return got;
}

FX_TEST(a_handler_can_wait_for_another_thread)
{
	avow_promise *const p = avow_resolved(fx.loop, avow_none());

	avow_then(avow_then(p, wait_for_thread, NULL), fx_note, "then");
	fx_run();

	fx_expect("then:7");
}

static void *read_messages(void *arg)
{
	size_t *const sum = arg;

	for (int i = 0; i < 200; i++)
		*sum += strlen(avow_message(avow_domain_error(
			&avow_core_domain, i))) > 0;
	return NULL;
}

FX_TEST(messages_can_be_read_in_several_threads)
{
	size_t a = 0, b = 0;
	const pthread_t t = thread_start(read_messages, &a);

	read_messages(&b);
	thread_join(t);

	ck_assert_uint_eq(a, 200);
	ck_assert_uint_eq(b, 200);
}


/* ------------------------------------------------------------------ Races */

static pthread_barrier_t start_line;

static void *race_marked(void *context)
{
	pthread_barrier_wait(&start_line);
	avow_settle(context, marked_new(7));
	return NULL;
}

FX_TEST_LIMIT(of_two_threads_that_settle_the_same_call_one_wins, 20)
{
	const size_t rounds = fx_scale(4000);

	pthread_barrier_init(&start_line, NULL, 2);
	for (size_t i = 0; i < rounds; i++) {
		const avow_call c = avow_begin(fx.loop, "call");
		avow_promise *const p = avow_end(c, true, 0);
		void *const context = avow_threaded(c.context);

		dropped_at_home = 0;
		avow_hold(p);
		const pthread_t a = thread_start(race_marked, context);
		const pthread_t b = thread_start(race_marked, context);
		fx_run();
		thread_join(a);
		thread_join(b);
		fx_run();
		ck_assert_int_eq(avow_state_of(p), AVOW_FULFILLED);
		ck_assert_int_eq(marked_get(avow_value_of(p))->number, 7);
		ck_assert_int_eq(alive(), 1);
		ck_assert_int_eq(dropped_at_home, 1);
		avow_release(p);
		avow_tidy(fx.loop);
		(void)fx_take_reports();
	}
	ck_assert_int_eq(alive(), 0);
	pthread_barrier_destroy(&start_line);
}

FX_TEST_LIMIT(settling_may_race_with_cancelling, 20)
{
	const size_t rounds = fx_scale(4000);
	size_t settled = 0, cancelled = 0;

	pthread_barrier_init(&start_line, NULL, 2);
	for (size_t i = 0; i < rounds; i++) {
		const avow_call c = avow_begin(fx.loop, "call");
		avow_promise *const p = avow_end(c, true, 0);
		const pthread_t t = thread_start(race_marked,
						 avow_threaded(c.context));

		avow_hold(p);
		pthread_barrier_wait(&start_line);
		if (i % 2)
			ev_run(fx.ev, EVRUN_NOWAIT);
		avow_cancel(p);
		fx_run();
		thread_join(t);
		fx_run();
		settled += avow_state_of(p) == AVOW_FULFILLED;
		cancelled += avow_is_cancelled(avow_value_of(p));
		avow_release(p);
		avow_tidy(fx.loop);
		(void)fx_take_reports();
		ck_assert_int_eq(alive(), 0);
	}
	ck_assert_uint_eq(settled + cancelled, rounds);
	pthread_barrier_destroy(&start_line);
}

FX_TEST_LIMIT(settling_may_race_with_the_end_of_the_loop, 20)
{
	const size_t rounds = fx_scale(4000);

	pthread_barrier_init(&start_line, NULL, 3);
	for (size_t i = 0; i < rounds; i++) {
		avow_loop *const loop = avow_loop_new(fx.ev);
		ck_assert_ptr_nonnull(loop);
		avow_loop_on_report(loop, be_silent, NULL);
		const avow_call c = avow_begin(loop, "call");
		const avow_call d = avow_begin(loop, "call");

		avow_catch(avow_end(c, true, 0), ignore, NULL);
		avow_catch(avow_end(d, true, 0), ignore, NULL);
		const pthread_t a = thread_start(race_marked,
						 avow_threaded(c.context));
		const pthread_t b = thread_start(race_marked,
						 avow_threaded(d.context));
		pthread_barrier_wait(&start_line);
		if (i % 2)
			ev_run(fx.ev, EVRUN_NOWAIT);
		avow_loop_free(loop);
		thread_join(a);
		thread_join(b);
		ck_assert_int_eq(alive(), 0);
	}
	pthread_barrier_destroy(&start_line);
}

FX_TEST(settling_after_the_end_of_the_loop_drops_the_value_in_its_thread)
{
	const avow_call c = avow_begin(fx.loop, "call");

	avow_catch(avow_end(c, true, 0), ignore, NULL);
	(void)avow_threaded(c.context);
	fx_free_loop();
	thread_join(thread_start(settle_marked, c.context));

	ck_assert_int_eq(alive(), 0);
	ck_assert_int_eq(dropped_at_home, 1);
	fx_expect_reports("abandoned:call");
}

FX_TEST(a_late_value_is_dropped_in_the_thread_that_brought_it)
{
	const avow_call c = avow_begin(fx.loop, "call");

	avow_then(avow_end(c, true, 0), fx_note, "then");
	avow_settle(c.context, avow_int(1));
	fx_run();
	thread_join(thread_start(settle_marked, c.context));
	fx_run();

	fx_expect("then:1");
	ck_assert_int_eq(alive(), 0);
	ck_assert_int_eq(dropped_at_home, 1);
	(void)fx_take_reports();
}

static void note_hook(void *arg)
{
	fx_log("hook:%s", (const char *)arg);
}

FX_TEST(a_loop_freed_with_a_threaded_call_in_the_mail_leaves_no_reference)
{
	const avow_call c = avow_begin(fx.loop, "call");

	avow_then(avow_end(c, true, 0), fx_note, "then");
	avow_on_cancel(c.context, note_hook, "never");
	thread_join(thread_start(settle_seven, avow_threaded(c.context)));
	fx_free_loop();

	ck_assert(!ev_run(fx.ev, EVRUN_NOWAIT));
	fx_expect("then:7");
	fx_expect_reports("");
}

FX_TEST(a_loop_freed_with_a_threaded_call_still_at_work_leaves_no_reference)
{
	const avow_call c = avow_begin(fx.loop, "call");

	avow_catch(avow_end(c, true, 0), ignore, NULL);
	(void)avow_threaded(c.context);
	ck_assert_ptr_nonnull(avow_alloc(c.context, 8));
	avow_on_cancel(c.context, note_hook, "stop");
	fx_free_loop();

	ck_assert(!ev_run(fx.ev, EVRUN_NOWAIT));
	fx_expect("hook:stop");
	fx_expect_reports("abandoned:call");
}

FX_TEST(the_hook_is_not_called_once_another_thread_has_settled)
{
	const avow_call c = avow_begin(fx.loop, "call");
	avow_promise *const p = avow_end(c, true, 0);

	avow_catch(p, fx_note_code, "cancelled");
	avow_on_cancel(c.context, note_hook, "never");
	thread_join(thread_start(settle_marked, avow_threaded(c.context)));
	avow_cancel(p);
	fx_run();

	fx_expect("cancelled:1");
	ck_assert_int_eq(alive(), 0);
	(void)fx_take_reports();
}

/* A value whose drop waits for another promise. */
static avow_promise *waited_for;

static void waiting_free(int *waiting)
{
	*waiting = 0;
	fx_log("wait:%s", fx_text(avow_wait(waited_for)));
}

AVOW_TYPE(waiting, int *, waiting_free);

struct two_contexts {
	const void *first, *second;
	int waiting;
};

static void *settle_two(void *arg)
{
	struct two_contexts *const two = arg;

	avow_settle(two->first, waiting_value(&two->waiting));
	avow_settle(two->second, avow_int(7));
	return NULL;
}

FX_TEST(the_drop_of_a_late_value_may_wait_for_what_is_behind_it_in_the_mail)
{
	avow_promise *const p = avow_pending(fx.loop);
	struct two_contexts two = { avow_threaded(avow_context(p)), NULL, 1 };

	waited_for = avow_pending(fx.loop);
	avow_hold(waited_for);
	two.second = avow_threaded(avow_context(waited_for));
	thread_join(thread_start(settle_two, &two));
	fx.ignores_late = true;
	avow_cancel(p);
	fx_run();

	fx_expect("wait:7");
	ck_assert_int_eq(two.waiting, 0);
	avow_release(waited_for);
	(void)fx_take_reports();
}

FX_TEST_LIMIT(a_libev_loop_may_be_destroyed_while_threads_settle, 20)
{
	for (size_t lap = 0; lap < fx_scale(300) + 20; lap++) {
		struct ev_loop *const ev = ev_loop_new(EVFLAG_AUTO);
		avow_loop *const loop = avow_loop_new(ev);
		pthread_t threads[4];

		avow_loop_on_report(loop, be_silent, NULL);
		for (int i = 0; i < 4; i++) {
			avow_promise *const p = avow_pending(loop);
			threads[i] = thread_start(settle_marked,
						  avow_context(p));
		}
		ev_loop_destroy(ev);
		for (int i = 0; i < 4; i++)
			thread_join(threads[i]);
		avow_loop_free(loop);
		ck_assert_int_eq(alive(), 0);
	}
}

FX_TEST(what_waits_in_the_mailbox_when_the_loop_ends_is_not_lost)
{
	const avow_call c = avow_begin(fx.loop, "call");

	avow_on(avow_end(c, true, 0), .fulfilled = ignore, .rejected = ignore);
	thread_join(thread_start(settle_marked, avow_threaded(c.context)));
	fx_free_loop();

	ck_assert_int_eq(alive(), 0);
	(void)fx_take_reports();
}


/* ------------------------------------------------------------------- Many */

enum { THREADS = 4 };

struct batch {
	void **contexts;
	size_t count;
};

static void *settle_batch(void *arg)
{
	const struct batch *const b = arg;

	pthread_barrier_wait(&start_line);
	for (size_t i = 0; i < b->count; i++)
		avow_settle(b->contexts[i], avow_int((int64_t)i));
	return NULL;
}

static avow_value add(avow_value value, void *sum)
{
	*(int64_t *)sum += avow_int_get(value);
	return avow_none();
}

FX_TEST_LIMIT(many_threads_settle_many_calls_each_once, 20)
{
	const size_t each = 1 + fx_scale_calls(80 * 1000) / THREADS;
	struct batch batches[THREADS];
	pthread_t threads[THREADS];
	int64_t sum = 0;

	pthread_barrier_init(&start_line, NULL, THREADS);
	for (int t = 0; t < THREADS; t++) {
		batches[t].count = each;
		batches[t].contexts = calloc(each, sizeof(void *));
		ck_assert_ptr_nonnull(batches[t].contexts);
		for (size_t i = 0; i < each; i++) {
			const avow_call c = avow_begin(fx.loop, "call");
			batches[t].contexts[i] = avow_threaded(c.context);
			avow_then(avow_end(c, true, 0), add, &sum);
		}
	}
	for (int t = 0; t < THREADS; t++)
		threads[t] = thread_start(settle_batch, &batches[t]);
	fx_run();
	for (int t = 0; t < THREADS; t++) {
		thread_join(threads[t]);
		free(batches[t].contexts);
	}

	ck_assert(sum == (int64_t)(THREADS * (each * (each - 1) / 2)));
	ck_assert_uint_eq(call_count(), 0);
	pthread_barrier_destroy(&start_line);
}

/* Two threads settle the same calls, in opposite order. */
static void *settle_backwards(void *arg)
{
	const struct batch *const b = arg;

	pthread_barrier_wait(&start_line);
	for (size_t left = b->count; left > 0; left--)
		avow_settle(b->contexts[left - 1], marked_new(1));
	return NULL;
}

static void *settle_forwards(void *arg)
{
	const struct batch *const b = arg;

	pthread_barrier_wait(&start_line);
	for (size_t i = 0; i < b->count; i++)
		avow_settle(b->contexts[i], marked_new(1));
	return NULL;
}

static avow_value count_marked(avow_value value, void *count)
{
	*(size_t *)count += (size_t)marked_get(value)->number;
	return avow_none();
}

FX_TEST_LIMIT(two_threads_settle_the_same_calls_and_half_is_dropped, 20)
{
	const size_t count = fx_scale_calls(20 * 1000);
	struct batch batch = { calloc(count, sizeof(void *)), count };
	size_t seen = 0;

	ck_assert_ptr_nonnull(batch.contexts);
	pthread_barrier_init(&start_line, NULL, 2);
	dropped_at_home = 0;
	for (size_t i = 0; i < count; i++) {
		const avow_call c = avow_begin(fx.loop, "call");
		batch.contexts[i] = avow_threaded(c.context);
		avow_then(avow_end(c, true, 0), count_marked, &seen);
	}
	const pthread_t a = thread_start(settle_forwards, &batch);
	const pthread_t b = thread_start(settle_backwards, &batch);
	fx_run();
	thread_join(a);
	thread_join(b);

	ck_assert_uint_eq(seen, count);
	ck_assert_int_eq(alive(), 0);
	ck_assert_int_eq(dropped_at_home, (int)count);
	pthread_barrier_destroy(&start_line);
	free(batch.contexts);
	(void)fx_take_reports();
}

static avow_value one_more(avow_value value, void *arg)
{
	(void)arg;
	return avow_int(avow_int_get(value) + 1);
}

static avow_value keep_number(avow_value value, void *into)
{
	*(int64_t *)into = avow_int_get(value);
	return avow_none();
}

/* A thread with a loop of its own, a long chain and a few delays. */
static void *live_alone(void *into)
{
	struct ev_loop *const ev = ev_loop_new(EVFLAG_AUTO);
	avow_loop *const loop = avow_loop_new(ev);
	const size_t length = fx_scale(20 * 1000);

	if (!loop)
		abort();
	avow_promise *p = avow_resolved(loop, avow_int(0));
	for (size_t i = 0; i < length; i++)
		p = avow_then(p, one_more, NULL);
	avow_then(p, keep_number, into);
	for (int i = 0; i < 5; i++)
		avow_then(avow_delay(loop, i * .001), ignore, NULL);
	ev_run(ev, 0);
	avow_loop_free(loop);
	ev_loop_destroy(ev);
	return NULL;
}

FX_TEST_LIMIT(loops_in_several_threads_know_nothing_of_each_other, 20)
{
	pthread_t threads[THREADS];
	int64_t got[THREADS] = { 0 };

	for (int i = 0; i < THREADS; i++)
		threads[i] = thread_start(live_alone, &got[i]);
	avow_then(avow_delay(fx.loop, .002), fx_note, "here");
	fx_run();
	for (int i = 0; i < THREADS; i++) {
		thread_join(threads[i]);
		ck_assert_uint_eq((size_t)got[i], fx_scale(20 * 1000));
	}

	fx_expect("here:none");
}

/* Two loops in two threads that settle each other's calls. */
struct partner {
	struct ev_loop *ev;
	avow_loop *loop;
	void **contexts;	/* of the other's calls */
	size_t count;
	int64_t sum;
};

static void *play_with_partner(void *arg)
{
	struct partner *const me = arg;

	avow_loop_adopt(me->loop);
	pthread_barrier_wait(&start_line);
	for (size_t i = 0; i < me->count; i++) {
		avow_settle(me->contexts[i], avow_int(1));
		if (i % 16 == 0)
			ev_run(me->ev, EVRUN_NOWAIT);
	}
	ev_run(me->ev, 0);
	avow_loop_free(me->loop);
	return NULL;
}

FX_TEST_LIMIT(loops_in_two_threads_can_settle_each_others_calls, 20)
{
	const size_t count = fx_scale(5000);
	struct partner two[2];
	pthread_t threads[2];

	pthread_barrier_init(&start_line, NULL, 2);
	for (int i = 0; i < 2; i++) {
		two[i].ev = ev_loop_new(EVFLAG_AUTO);
		two[i].loop = avow_loop_new(two[i].ev);
		ck_assert_ptr_nonnull(two[i].loop);
		two[i].contexts = calloc(count, sizeof(void *));
		two[i].count = count;
		two[i].sum = 0;
	}
	for (int i = 0; i < 2; i++) {
		for (size_t k = 0; k < count; k++) {
			const avow_call c = avow_begin(two[i].loop, "call");
			two[!i].contexts[k] = avow_threaded(c.context);
			avow_then(avow_end(c, true, 0), add, &two[i].sum);
		}
	}
	for (int i = 0; i < 2; i++)
		threads[i] = thread_start(play_with_partner, &two[i]);
	for (int i = 0; i < 2; i++) {
		thread_join(threads[i]);
		ev_loop_destroy(two[i].ev);
		free(two[i].contexts);
		ck_assert_uint_eq((size_t)two[i].sum, count);
	}
	pthread_barrier_destroy(&start_line);
}


/* ---------------------------------------------------- Handing a loop over */

static void *run_adopted(void *arg)
{
	(void)arg;
	avow_loop_adopt(fx.loop);
	avow_then(avow_delay(fx.loop, .001), fx_note, "there");
	fx_run();
	return NULL;
}

FX_TEST(a_loop_can_be_adopted_by_another_thread_and_back)
{
	avow_then(avow_resolved(fx.loop, avow_int(1)), fx_note, "made here");
	thread_join(thread_start(run_adopted, NULL));
	fx_expect("made here:1|there:none");

	avow_loop_adopt(fx.loop);
	avow_then(avow_resolved(fx.loop, avow_int(2)), fx_note, "here");
	fx_run();

	fx_expect("here:2");
}

static void *free_adopted(void *arg)
{
	(void)arg;
	avow_loop_adopt(fx.loop);
	fx_free_loop();
	return NULL;
}

FX_TEST(a_loop_can_be_freed_by_the_thread_that_adopted_it)
{
	avow_catch(avow_pending(fx.loop), fx_note, "caught");
	thread_join(thread_start(free_adopted, NULL));

	ck_assert_int_eq(strncmp(fx_take_log(), "caught:!", 8), 0);
	(void)fx_take_reports();
}

static void *settle_own(void *context)
{
	avow_loop_adopt(fx.loop);
	avow_settle(context, avow_int(3));
	fx_run();
	return NULL;
}

FX_TEST(a_context_knows_the_thread_that_adopted_its_loop)
{
	const avow_call c = avow_begin(fx.loop, "call");

	avow_then(avow_end(c, true, 0), fx_note, "there");
	thread_join(thread_start(settle_own, avow_threaded(c.context)));
	avow_loop_adopt(fx.loop);

	fx_expect("there:3");
}

static void *attach_elsewhere(void *p)
{
	avow_then(p, ignore, NULL);
	return NULL;
}

static void *make_elsewhere(void *arg)
{
	(void)arg;
	(void)avow_pending(fx.loop);
	return NULL;
}

static void *resolve_elsewhere(void *p)
{
	avow_resolve(p, avow_none());
	return NULL;
}

static void in_a_thread(void *(*fn)(void *), void *arg)
{
	thread_join(thread_start(fn, arg));
}

FX_TEST(anything_but_settling_aborts_in_another_thread)
{
	avow_promise *const p = avow_pending(fx.loop);

	FX_ABORTS("thread", in_a_thread(attach_elsewhere, p));
	FX_ABORTS("thread", in_a_thread(make_elsewhere, NULL));
	FX_ABORTS("thread", in_a_thread(resolve_elsewhere, p));
	avow_resolve(p, avow_none());
}

static void *await_elsewhere(void *arg)
{
	const avow_call *const c = arg;

	avow_settle(c->context, avow_await(c->promise));
	return NULL;
}

FX_TEST(a_thread_that_settles_with_a_promise_aborts)
{
	avow_call c = avow_begin(fx.loop, "call");

	FX_ABORTS("thread", in_a_thread(await_elsewhere, &c));
	avow_settle(c.context, avow_none());
}


/* ------------------------------------------------------------------ Forks */

static bool is_enough;

/* Each time too late; each time under the lock of the loop's seat. */
static void *settle_on_and_on(void *context)
{
	while (!__atomic_load_n(&is_enough, __ATOMIC_RELAXED))
		avow_settle(context, avow_none());
	return NULL;
}

/* What takes the lock; a deadlock is ended by the alarm. */
static void use_the_loop_in_a_child(void)
{
	const pid_t pid = fork();
	int status = 0;

	ck_assert_int_ne(pid, -1);
	if (!pid) {
		signal(SIGALRM, SIG_DFL); /* Check's would kill us too */
		alarm(2);
		_exit(call_count() ? 1 : 0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0,
		      "the child ended by %d", status);
}

FX_TEST_LIMIT(a_forked_child_finds_no_lock_held_by_another_thread, 10)
{
	const avow_call c = avow_begin(fx.loop, "call");

	(void)avow_end(c, true, 0);
	avow_settle(c.context, avow_none());
	is_enough = false;
	const pthread_t t = thread_start(settle_on_and_on, c.context);
	for (size_t i = 0; i < 50 + fx_scale(200); i++)
		use_the_loop_in_a_child();
	__atomic_store_n(&is_enough, true, __ATOMIC_RELAXED);
	thread_join(t);
}

int main(void)
{
	return fx_main("thread");
}
