/*
 * SPDX-License-Identifier: MIT
 *
 * The scheduler and its binding to libev: when jobs run, in which order, how
 * they yield to timers and sockets, nested loops, forks, threads, and the end
 * of a loop.
 *
 * Nothing sleeps for its own sake.  Which turn of the loop something ran in is
 * told by ev_iteration(); where two timers are due together, both do the same,
 * as libev does not say which comes first.
 */
#include "fixture.h"

#include <pthread.h>
#include <sys/wait.h>

/* Log "name" from a job. */
static void post_note(const char *name)
{
	ck_assert(avow_post(fx.loop, fx_job, (void *)(uintptr_t)name));
}


/* ---------------------------------------------------------- The checkpoint */

FX_TEST(then_runs_after_the_caller_returns)
{
	avow_promise *const p = avow_resolved(fx.loop, avow_int(1));
	fx_log("attach");
	avow_then(p, fx_note, "then");
	fx_log("return");
	fx_run();
	fx_expect("attach|return|then:1");
}

static void resolve_and_note(void *p)
{
	avow_resolve(p, avow_int(2));
	fx_log("return");
}

FX_TEST(then_runs_after_the_callback_that_resolved_has_returned)
{
	avow_promise *const p = avow_pending(fx.loop);
	avow_then(p, fx_note, "then");
	fx_in_callback(resolve_and_note, p);
	fx_expect("return|then:2");
}

static void note_and_chain(void *arg)
{
	(void)arg;
	avow_promise *p = avow_resolved(fx.loop, avow_int(1));
	fx_log("in");
	p = avow_then(p, fx_pass, "a");
	p = avow_then(p, fx_pass, "b");
	avow_then(p, fx_pass, "c");
	fx_log("out");
}

FX_TEST(all_jobs_run_before_the_next_watcher_is_called)
{
	fx_later(0., note_and_chain, NULL);
	fx_later(0., note_and_chain, NULL);
	fx_run();
	fx_expect("in|out|a:1|b:1|c:1|in|out|a:1|b:1|c:1");
}

FX_TEST(jobs_made_before_ev_run_run_before_any_watcher)
{
	fx_later(0., fx_job, "timer");
	post_note("job");
	fx_run();
	fx_expect("job|timer");
}

FX_TEST(ev_run_returns_when_there_are_only_jobs)
{
	post_note("job");
	fx_run();
	fx_log("returned");
	fx_expect("job|returned");
}

FX_TEST(a_pending_promise_does_not_keep_ev_run_alive)
{
	avow_catch(avow_pending(fx.loop), fx_note, "catch");
	fx_run();
	fx_log("returned");
	fx_expect("returned");
}

FX_TEST(handlers_run_in_the_order_in_which_they_were_attached)
{
	avow_promise *const p = avow_pending(fx.loop);
	avow_then(p, fx_note, "a");
	avow_then(p, fx_note, "b");
	avow_catch(p, fx_note, "never");
	avow_then(p, fx_note, "c");
	avow_resolve(p, avow_int(1));
	fx_run();
	fx_expect("a:1|b:1|c:1");
}

FX_TEST(handlers_of_several_promises_run_in_the_order_of_settling)
{
	avow_promise *const p = avow_pending(fx.loop);
	avow_promise *const q = avow_pending(fx.loop);
	avow_then(p, fx_note, "p1");
	avow_then(q, fx_note, "q1");
	avow_then(p, fx_note, "p2");
	avow_then(q, fx_note, "q2");
	avow_resolve(q, avow_int(1));
	avow_resolve(p, avow_int(2));
	fx_run();
	fx_expect("q1:1|q2:1|p1:2|p2:2");
}

FX_TEST(posted_jobs_and_handlers_share_one_queue)
{
	post_note("a");
	avow_then(avow_resolved(fx.loop, avow_int(1)), fx_note, "b");
	post_note("c");
	avow_then(avow_resolved(fx.loop, avow_int(2)), fx_note, "d");
	fx_run();
	fx_expect("a|b:1|c|d:2");
}

static void post_late(void *name)
{
	fx_log("first");
	ck_assert(avow_post(fx.loop, fx_job, name));
}

FX_TEST(a_job_posted_by_a_job_goes_to_the_end_of_the_queue)
{
	ck_assert(avow_post(fx.loop, post_late, "third"));
	post_note("second");
	fx_run();
	fx_expect("first|second|third");
}

static avow_value note_current(avow_value value, void *loop)
{
	(void)value;
	fx_log("%s", avow_loop_current() == loop ? "mine" : "other");
	return avow_none();
}

FX_TEST(the_current_loop_is_known_in_a_handler_and_nowhere_else)
{
	avow_promise *const p = avow_resolved(fx.loop, avow_none());
	ck_assert_ptr_null(avow_loop_current());
	ck_assert_ptr_eq(avow_loop_of(p), fx.loop);
	ck_assert_ptr_eq(avow_loop_ev(fx.loop), fx.ev);
	avow_then(p, note_current, fx.loop);
	fx_run();
	fx_expect("mine");
	ck_assert_ptr_null(avow_loop_current());
}

FX_TEST(jobs_are_counted)
{
	avow_stats before, after;
	avow_loop_stats(fx.loop, &before);
	post_note("a");
	avow_then(avow_resolved(fx.loop, avow_int(1)), fx_note, "b");
	fx_run();
	avow_loop_stats(fx.loop, &after);
	fx_expect("a|b:1");
	ck_assert_uint_eq(after.jobs - before.jobs, 2);
}

FX_TEST(user_data_of_the_libev_loop_stays_the_programs)
{
	int mine = 0;
	ev_set_userdata(fx.ev, &mine);
	post_note("job");
	fx_run();
	fx_expect("job");
	ck_assert_ptr_eq(ev_userdata(fx.ev), &mine);
}

static void invoke_and_note(struct ev_loop *ev)
{
	if (ev_pending_count(ev))
		fx_log("invoke");
	ev_invoke_pending(ev);
}

FX_TEST(a_program_may_have_an_invoke_pending_callback)
{
	ev_set_invoke_pending_cb(fx.ev, invoke_and_note);
	fx_later(0., note_and_chain, NULL);
	fx_run();
	fx_expect("invoke|in|out|a:1|b:1|c:1");
}


/* ----------------------------------------------------------------- Budgets */

struct turns {
	unsigned first;
	int jobs[8];		/* how many ran in each turn of the loop */
	int next, order_errors;
};
static struct turns turns;

static void job_in_turn(void *number)
{
	const unsigned turn = ev_iteration(fx.ev) - turns.first;
	ck_assert_uint_lt(turn, 8);
	turns.jobs[turn]++;
	turns.order_errors += turns.next++ != (int)(intptr_t)number;
}

static void post_numbered(void *count)
{
	turns = (struct turns){ .first = ev_iteration(fx.ev) };
	for (intptr_t i = 0; i < (intptr_t)count; i++)
		ck_assert(avow_post(fx.loop, job_in_turn, (void *)i));
}

FX_TEST(a_budget_of_jobs_hands_the_rest_to_the_next_turn)
{
	avow_loop_budget(fx.loop, 10, 3600.);
	fx_in_callback(post_numbered, (void *)25);
	ck_assert_int_eq(turns.jobs[0], 10);
	ck_assert_int_eq(turns.jobs[1], 10);
	ck_assert_int_eq(turns.jobs[2], 5);
	ck_assert_int_eq(turns.order_errors, 0);
}

FX_TEST(a_zero_leaves_that_bound_as_it_is)
{
	avow_loop_budget(fx.loop, 10, 3600.);
	avow_loop_budget(fx.loop, 0, 1800.);
	avow_loop_budget(fx.loop, 0, 0.);
	fx_in_callback(post_numbered, (void *)15);
	ck_assert_int_eq(turns.jobs[0], 10);
	ck_assert_int_eq(turns.jobs[1], 5);
}

static double now(void)
{
	return ev_time();
}

static void slow_job(void *arg)
{
	const double end = now() + 0.0005;
	job_in_turn(arg);
	while (now() < end)
		;
}

static void post_slow(void *count)
{
	turns = (struct turns){ .first = ev_iteration(fx.ev) };
	for (intptr_t i = 0; i < (intptr_t)count; i++)
		ck_assert(avow_post(fx.loop, slow_job, (void *)i));
}

FX_TEST(a_budget_of_time_hands_the_rest_to_the_next_turn)
{
	avow_loop_budget(fx.loop, 1000000, 0.001);
	fx_in_callback(post_slow, (void *)32);
	ck_assert_int_eq(turns.next, 32);
	ck_assert_int_eq(turns.order_errors, 0);
	ck_assert_int_ge(turns.jobs[0], 7);
	ck_assert_int_lt(turns.jobs[0], 32);
	ck_assert_int_ge(turns.jobs[1], 7);
}

static bool is_stopped;

static void job_for_ever(void *arg)
{
	if (!is_stopped)
		ck_assert(avow_post(fx.loop, job_for_ever, arg));
}

static void stop(void *arg)
{
	(void)arg;
	is_stopped = true;
	fx_log("stopped");
}

FX_TEST(jobs_without_end_do_not_starve_a_timer)
{
	is_stopped = false;
	fx_later(0.005, stop, NULL);
	job_for_ever(NULL);
	fx_run();
	fx_expect("stopped");
}

static avow_value chain_for_ever(avow_value value, void *arg)
{
	(void)value;
	if (is_stopped)
		return avow_int(1);
	return avow_await(avow_then(avow_resolved(fx.loop, avow_none()),
				    chain_for_ever, arg));
}

FX_TEST(a_chain_without_end_does_not_starve_a_timer)
{
	is_stopped = false;
	fx_later(0.005, stop, NULL);
	avow_then(avow_then(avow_resolved(fx.loop, avow_none()),
			    chain_for_ever, NULL), fx_note, "end");
	fx_run();
	fx_expect("stopped|end:1");
}

static void byte_came(struct ev_loop *ev, ev_io *io, int events)
{
	(void)events;
	ev_io_stop(ev, io);
	stop(NULL);
}

FX_TEST(jobs_without_end_do_not_starve_a_socket)
{
	ev_io io;
	int ends[2];
	ck_assert_int_eq(pipe(ends), 0);
	ck_assert_int_eq((int)write(ends[1], "x", 1), 1);
	is_stopped = false;
	ev_io_init(&io, byte_came, ends[0], EV_READ);
	ev_io_start(fx.ev, &io);
	job_for_ever(NULL);
	fx_run();
	fx_expect("stopped");
	close(ends[0]);
	close(ends[1]);
}

/* A drop that makes a promise with the same value: there is always one more. */
static size_t drop_count;

static void phoenix_free(int *phoenix);

AVOW_TYPE(phoenix, int *, phoenix_free);

static void phoenix_free(int *phoenix)
{
	if (!is_stopped && ++drop_count < 3000000)
		avow_resolved(fx.loop, phoenix_value(phoenix));
}

FX_TEST(drops_that_make_work_for_ever_do_not_starve_a_timer)
{
	static int phoenix;
	is_stopped = false;
	drop_count = 0;
	fx_later(0.001, stop, NULL);
	avow_resolved(fx.loop, phoenix_value(&phoenix));
	fx_run();
	fx_expect("stopped");
	ck_assert_uint_ge(drop_count, 1);
	ck_assert_uint_lt(drop_count, 3000000);
}

struct busy {
	ev_io io;
	size_t events, jobs;
};

static void always_ready(struct ev_loop *ev, ev_io *io, int events)
{
	struct busy *const busy = io->data;
	(void)events;
	if (++busy->events == 10000 || busy->jobs == 1000)
		ev_io_stop(ev, io);
}

static void next_job(void *arg)
{
	struct busy *const busy = arg;
	if (++busy->jobs < 1000)
		ck_assert(avow_post(fx.loop, next_job, busy));
}

FX_TEST(a_hand_over_goes_on_beside_a_busy_watcher_of_the_highest_priority)
{
	struct busy busy = { .jobs = 0 };
	int ends[2];
	ck_assert_int_eq(pipe(ends), 0);
	avow_loop_budget(fx.loop, 10, 3600.);
	ev_io_init(&busy.io, always_ready, ends[1], EV_WRITE);
	ev_set_priority(&busy.io, EV_MAXPRI);
	busy.io.data = &busy;
	ev_io_start(fx.ev, &busy.io);
	ck_assert(avow_post(fx.loop, next_job, &busy));
	fx_run();
	ck_assert_uint_eq(busy.jobs, 1000);
	ck_assert_uint_lt(busy.events, 10000);
	close(ends[0]);
	close(ends[1]);
}

static void break_all(void *arg)
{
	(void)arg;
	fx_log("break");
	ev_break(fx.ev, EVBREAK_ALL);
}

FX_TEST(jobs_without_end_do_not_starve_a_break)
{
	is_stopped = false;
	job_for_ever(NULL);
	ev_run(fx.ev, EVRUN_ONCE);
	fx_log("one turn");
	fx_later(0.001, break_all, NULL);
	fx_run();
	fx_log("broken");
	is_stopped = true;
	fx_run();
	fx_expect("one turn|break|broken");
}

static void post_four(void *arg)
{
	(void)arg;
	post_note("a");
	post_note("b");
	post_note("c");
	post_note("d");
}

static void timer_posts(void *arg)
{
	(void)arg;
	fx_log("timer");
	post_note("e");
}

static void post_four_and_a_timer(void *arg)
{
	post_four(arg);
	fx_later(0., timer_posts, NULL);
}

FX_TEST(what_a_timer_posts_runs_behind_what_was_handed_over)
{
	const char *text;
	avow_loop_budget(fx.loop, 2, 3600.);
	fx_in_callback(post_four_and_a_timer, NULL);
	text = fx_take_log();
	ck_assert_msg(strstr(text, "c|d|e") || strstr(text, "c|d|timer|e") ||
		      strstr(text, "c|timer|d|e"), "%s", text);
	ck_assert_msg(!strncmp(text, "a|b|", 4), "%s", text);
}


/* ------------------------------------------------------- Nesting, breaking */

static avow_value nest(avow_value value, void *name)
{
	fx_log("%s(", (const char *)name);
	ev_run(fx.ev, EVRUN_NOWAIT);
	fx_log(")%s", (const char *)name);
	return value;
}

FX_TEST(a_nested_ev_run_runs_the_jobs_behind_the_running_one)
{
	avow_promise *const p = avow_resolved(fx.loop, avow_int(1));
	avow_then(avow_then(p, nest, "x"), fx_note, "after");
	avow_then(p, fx_note, "behind");
	fx_run();
	fx_expect("x(|behind:1|)x|after:1");
}

static avow_value nest_with_new_job(avow_value value, void *arg)
{
	fx_log("x(");
	(void)arg;
	avow_then(avow_resolved(fx.loop, avow_int(2)), fx_note, "inner");
	ev_run(fx.ev, EVRUN_NOWAIT);
	fx_log(")x");
	return value;
}

FX_TEST(a_nested_ev_run_runs_jobs_made_just_before)
{
	avow_then(avow_resolved(fx.loop, avow_int(1)), nest_with_new_job, NULL);
	fx_run();
	fx_expect("x(|inner:2|)x");
}

static avow_value nest_until_timer(avow_value value, void *arg)
{
	(void)arg;
	fx_log("x(");
	fx_later(0., fx_job, "timer");
	ev_run(fx.ev, EVRUN_ONCE);
	fx_log(")x");
	return value;
}

FX_TEST(a_nested_ev_run_serves_timers)
{
	avow_promise *const p = avow_resolved(fx.loop, avow_int(1));
	avow_then(avow_then(p, nest_until_timer, NULL), fx_note, "after");
	fx_run();
	fx_expect("x(|timer|)x|after:1");
}

static void nest_deeper(void *depth)
{
	const intptr_t left = (intptr_t)depth;
	fx_log("in%d", (int)left);
	if (left > 0) {
		ck_assert(avow_post(fx.loop, nest_deeper, (void *)(left - 1)));
		ev_run(fx.ev, EVRUN_NOWAIT);
	}
	fx_log("out%d", (int)left);
}

FX_TEST(loops_nest_several_levels_deep)
{
	ck_assert(avow_post(fx.loop, nest_deeper, (void *)3));
	fx_run();
	fx_expect("in3|in2|in1|in0|out0|out1|out2|out3");
}

static void nest_in_many_levels(void *depth)
{
	const intptr_t left = (intptr_t)depth;
	if (left == 0) {
		fx_log("bottom");
		return;
	}
	avow_then(avow_resolved(fx.loop, avow_int(left)), fx_pass, NULL);
	ck_assert(avow_post(fx.loop, nest_in_many_levels, (void *)(left - 1)));
	ev_run(fx.ev, EVRUN_NOWAIT);
}

/* Beyond what the library counts levels for. */
FX_TEST(loops_nest_a_hundred_levels_deep)
{
	ck_assert(avow_post(fx.loop, nest_in_many_levels, (void *)100));
	fx_run();
	const char *const text = fx_take_log();
	ck_assert_msg(strstr(text, "100|99|98|") == text, "%s", text);
	ck_assert_msg(strstr(text, "|2|1|bottom"), "%s", text);
}

static avow_value break_loop(avow_value value, void *arg)
{
	(void)arg;
	fx_log("break");
	ev_break(fx.ev, EVBREAK_ONE);
	return value;
}

FX_TEST(a_break_in_a_handler_ends_ev_run_after_the_jobs)
{
	avow_promise *const p = avow_resolved(fx.loop, avow_int(1));
	fx_later(0.001, fx_job, "timer");
	avow_then(avow_then(p, break_loop, NULL), fx_note, "next");
	avow_then(p, fx_note, "beside");
	fx_run();
	fx_log("returned");
	fx_run();
	fx_expect("break|beside:1|next:1|returned|timer");
}

FX_TEST(jobs_handed_over_at_a_break_run_in_the_next_ev_run)
{
	avow_loop_budget(fx.loop, 1, 3600.);
	avow_then(avow_resolved(fx.loop, avow_int(1)), break_loop, NULL);
	post_note("b");
	post_note("c");
	fx_run();
	fx_log("returned");
	fx_run();
	fx_expect("break|returned|b|c");
}


/* ------------------------------------------------------------------- Forks */

static void note_resolved(void *arg)
{
	(void)arg;
	avow_then(avow_resolved(fx.loop, avow_int(1)), fx_note, "job");
	avow_then(avow_delay(fx.loop, 0.001), fx_note, "delay");
}

FX_TEST(a_loop_goes_on_in_a_forked_child)
{
	int status = -1;
	avow_promise *const p = avow_pending(fx.loop);
	avow_then(p, fx_note, "before");
	fx_run();
	const pid_t pid = fork();
	ck_assert_int_ne(pid, -1);
	if (!pid) {
		ev_loop_fork(fx.ev);
		avow_resolve(p, avow_int(1));
		fx_in_callback(note_resolved, NULL);
		_exit(strcmp(fx_take_log(),
			     "before:1|job:1|delay:none") ? 1 : 0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	avow_resolve(p, avow_int(2));
	fx_in_callback(note_resolved, NULL);
	fx_expect("before:2|job:1|delay:none");
}


/* ------------------------------------------------------------ Several loops */

FX_TEST(the_default_loop_can_carry_promises)
{
	struct ev_loop *const ev = ev_default_loop(EVFLAG_AUTO);
	avow_loop *const loop = avow_loop_new(ev);
	ck_assert_ptr_nonnull(loop);
	avow_then(avow_resolved(loop, avow_int(1)), note_current, loop);
	avow_then(avow_delay(loop, 0.001), fx_note, "delay");
	ev_run(ev, 0);
	fx_expect("mine|delay:none");
	avow_loop_free(loop);
	ev_loop_destroy(ev);
}

FX_TEST(two_loops_in_one_thread_do_not_mix)
{
	struct ev_loop *const ev = ev_loop_new(EVFLAG_AUTO);
	avow_loop *const loop = avow_loop_new(ev);
	avow_then(avow_resolved(fx.loop, avow_int(1)), fx_note, "one");
	avow_then(avow_resolved(loop, avow_int(2)), fx_note, "two");
	ev_run(ev, 0);
	fx_log("other");
	fx_run();
	fx_expect("two:2|other|one:1");
	avow_loop_free(loop);
	ev_loop_destroy(ev);
}

static avow_value run_other(avow_value value, void *loop)
{
	(void)value;
	avow_then(avow_resolved(loop, avow_int(2)), note_current, loop);
	ev_run(avow_loop_ev(loop), 0);
	fx_log("%s", avow_loop_current() == fx.loop ? "back" : "lost");
	return avow_none();
}

FX_TEST(a_handler_may_run_another_loop)
{
	struct ev_loop *const ev = ev_loop_new(EVFLAG_AUTO);
	avow_loop *const loop = avow_loop_new(ev);
	avow_then(avow_resolved(fx.loop, avow_none()), run_other, loop);
	fx_run();
	fx_expect("mine|back");
	avow_loop_free(loop);
	ev_loop_destroy(ev);
}

FX_TEST(two_promise_loops_may_share_a_libev_loop)
{
	avow_loop *const loop = avow_loop_new(fx.ev);
	avow_then(avow_resolved(fx.loop, avow_int(1)), note_current, fx.loop);
	avow_then(avow_resolved(loop, avow_int(2)), note_current, loop);
	fx_run();
	fx_expect("mine|mine");
	avow_loop_free(loop);
	avow_then(avow_resolved(fx.loop, avow_int(1)), fx_note, "still");
	fx_run();
	fx_expect("still:1");
}

FX_TEST_LIMIT(loop_numbers_are_used_again, 30)
{
	for (size_t i = 0; i < fx_scale(10000) + 5000; i++) {
		avow_loop *const loop = avow_loop_new(fx.ev);
		fx_check(loop);
		avow_loop_free(loop);
	}
}

struct worker {
	pthread_t thread;
	size_t laps, sum;
};

static avow_value add_one(avow_value value, void *arg)
{
	struct worker *const worker = arg;
	worker->sum++;
	return avow_int(avow_int_get(value) + 1);
}

static avow_value count_lap(avow_value value, void *arg)
{
	struct worker *const worker = arg;
	worker->laps += avow_is_none(value);
	return avow_none();
}

static void *work(void *arg)
{
	struct worker *const worker = arg;
	struct ev_loop *const ev = ev_loop_new(EVFLAG_AUTO);
	avow_loop *const loop = avow_loop_new(ev);
	for (int lap = 0; lap < 10; lap++) {
		avow_promise *p = avow_resolved(loop, avow_int(0));
		for (int i = 0; i < 100; i++)
			p = avow_then(p, add_one, worker);
		avow_then(avow_delay(loop, 0.0001), count_lap, worker);
		ev_run(ev, 0);
	}
	avow_loop_free(loop);
	ev_loop_destroy(ev);
	return NULL;
}

FX_TEST(several_threads_run_a_loop_each)
{
	struct worker workers[4] = { { .laps = 0 } };
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&workers[i].thread, NULL, work,
						&workers[i]), 0);
	for (int i = 0; i < 4; i++) {
		pthread_join(workers[i].thread, NULL);
		ck_assert_uint_eq(workers[i].sum, 1000);
		ck_assert_uint_eq(workers[i].laps, 10);
	}
}

static void *run_adopted(void *arg)
{
	(void)arg;
	avow_loop_adopt(fx.loop);
	avow_then(avow_resolved(fx.loop, avow_int(1)), fx_note, "there");
	fx_run();
	return NULL;
}

FX_TEST(a_loop_can_be_handed_to_another_thread_and_back)
{
	pthread_t thread;
	avow_then(avow_resolved(fx.loop, avow_int(0)), fx_note, "here");
	ck_assert_int_eq(pthread_create(&thread, NULL, run_adopted, NULL), 0);
	pthread_join(thread, NULL);
	avow_loop_adopt(fx.loop);
	avow_then(avow_resolved(fx.loop, avow_int(2)), fx_note, "back");
	fx_run();
	fx_expect("here:0|there:1|back:2");
}


/* ------------------------------------------------------ The end of a loop */

static avow_value note_code(avow_value value, void *name)
{
	fx_log("%s:%s", (const char *)name,
	       avow_error_is(value, &avow_core_domain, AVOW_EABANDONED) ?
	       "abandoned" : fx_text(value));
	return avow_none();
}

FX_TEST(freeing_a_loop_rejects_what_is_pending)
{
	avow_promise *const p = avow_pending(fx.loop);
	avow_catch(avow_then(p, fx_note, "never"), note_code, "catch");
	avow_finally(avow_catch(p, note_code, "first"), note_code, "finally");
	fx_run();
	fx_free_loop();
	fx_expect("first:abandoned|catch:abandoned|finally:none");
}

FX_TEST(freeing_a_loop_runs_the_jobs_in_its_queue)
{
	post_note("job");
	avow_then(avow_resolved(fx.loop, avow_int(1)), fx_note, "then");
	fx_free_loop();
	fx_expect("job|then:1");
}

FX_TEST(freeing_a_loop_rejects_a_delay)
{
	avow_catch(avow_delay(fx.loop, 3600.), note_code, "delay");
	ev_run(fx.ev, EVRUN_NOWAIT);
	fx_free_loop();
	fx_expect("delay:abandoned");
	fx_run();
	(void)fx_take_reports();
}

FX_TEST(freeing_a_loop_ends_its_immediates)
{
	avow_on(avow_immediate(fx.loop), .fulfilled = note_code,
		.rejected = note_code, .arg = "immediate");
	fx_free_loop();
	const char *const text = fx_take_log();
	ck_assert_msg(!strncmp(text, "immediate:", 10), "%s", text);
	fx_run();
}

static avow_value immediate_in_turn(avow_value value, void *first)
{
	fx_log("%u", ev_iteration(fx.ev) - *(unsigned *)first);
	return value;
}

static void make_immediates(void *first)
{
	*(unsigned *)first = ev_iteration(fx.ev);
	avow_promise *const p = avow_then(avow_immediate(fx.loop),
					  immediate_in_turn, first);
	avow_then(avow_resolved(fx.loop, avow_none()), immediate_in_turn,
		  first);
	avow_then(avow_immediate(fx.loop), NULL, NULL);
	avow_then(p, fx_pass, NULL);
}

FX_TEST(an_immediate_runs_in_the_next_turn_of_the_loop)
{
	unsigned first = 0;
	fx_in_callback(make_immediates, &first);
	fx_expect("0|1|none");
}

FX_TEST(freeing_no_loop_does_nothing)
{
	avow_loop_free(NULL);
}

static avow_value work_while_closing(avow_value value, void *arg)
{
	avow_promise *const p = avow_pending(arg);
	(void)value;
	fx_log("%s", avow_state_of(p) == AVOW_REJECTED ? "born rejected" :
	       "born pending");
	fx_log("%s", avow_post(arg, fx_job, "never") ? "posted" : "refused");
	avow_catch(p, fx_note, NULL);
	return avow_none();
}

FX_TEST(while_a_loop_is_freed_promises_are_born_rejected)
{
	avow_catch(avow_pending(fx.loop), work_while_closing, fx.loop);
	fx_run();
	fx_free_loop();
	const char *const text = fx_take_log();
	ck_assert_msg(!strncmp(text, "born rejected|refused|!", 23), "%s",
		      text);
}

static size_t endless_laps;

static avow_value work_for_ever(avow_value value, void *loop)
{
	(void)value;
	endless_laps++;
	avow_catch(avow_pending(loop), work_for_ever, loop);
	return avow_none();
}

FX_TEST(handlers_that_go_on_for_ever_do_not_keep_a_loop_from_its_end)
{
	endless_laps = 0;
	avow_catch(avow_pending(fx.loop), work_for_ever, fx.loop);
	fx_run();
	fx_free_loop();
	ck_assert_uint_ge(endless_laps, 1);
}

static avow_value free_loop(avow_value value, void *loop)
{
	(void)value;
	avow_loop_free(loop);
	fx_log("freed");
	avow_promise *const p = avow_pending(loop);
	avow_catch(p, note_code, "new");
	return avow_none();
}

FX_TEST(a_loop_freed_in_a_handler_ends_when_the_handler_has_returned)
{
	avow_loop *const loop = fx.loop;
	avow_promise *pending = NULL;
	fx.loop = NULL;
	avow_slot(avow_pending(loop), &pending);
	avow_catch(pending, note_code, "pending");
	avow_then(avow_resolved(loop, avow_none()), free_loop, loop);
	avow_then(avow_resolved(loop, avow_int(1)), note_code, "behind");
	ck_assert_ptr_nonnull(pending);
	fx_run();
	ck_assert_ptr_null(pending);
	const char *const text = fx_take_log();
	ck_assert_msg(!strncmp(text, "freed|", 6), "%s", text);
	ck_assert_msg(strstr(text, "behind:1"), "%s", text);
	ck_assert_msg(strstr(text, "pending:abandoned"), "%s", text);
	ck_assert_msg(strstr(text, "new:abandoned"), "%s", text);
}

static avow_value free_loop_nested(avow_value value, void *loop)
{
	avow_then(avow_resolved(loop, avow_none()), free_loop, loop);
	ev_run(fx.ev, EVRUN_NOWAIT);
	fx_log("outer");
	return value;
}

FX_TEST(a_loop_freed_in_a_nested_handler_ends_with_the_outermost)
{
	avow_loop *const loop = fx.loop;
	avow_promise *pending = NULL;
	fx.loop = NULL;
	avow_slot(avow_pending(loop), &pending);
	avow_then(avow_resolved(loop, avow_int(5)), free_loop_nested, loop);
	fx_run();
	ck_assert_ptr_null(pending);
	const char *const text = fx_take_log();
	ck_assert_msg(strstr(text, "freed|"), "%s", text);
	ck_assert_msg(strstr(text, "outer"), "%s", text);
	(void)fx_take_reports();
}

static void free_loop_job(void *loop)
{
	avow_loop_free(loop);
	fx_log("freed");
}

FX_TEST(a_loop_can_be_freed_in_a_posted_job)
{
	avow_loop *const loop = fx.loop;
	fx.loop = NULL;
	ck_assert(avow_post(loop, free_loop_job, loop));
	ck_assert(avow_post(loop, fx_job, "behind"));
	fx_run();
	fx_expect("freed|behind");
}

static void free_loop_now(void *slot)
{
	avow_promise **const pending = slot;
	fx_free_loop();
	fx_log("%s", *pending ? "alive" : "gone");
}

FX_TEST(a_loop_freed_in_a_watcher_ends_at_once)
{
	avow_promise *pending = NULL;
	avow_slot(avow_pending(fx.loop), &pending);
	avow_catch(pending, note_code, "pending");
	fx_in_callback(free_loop_now, &pending);
	fx_expect("pending:abandoned|gone");
}

FX_TEST(a_loop_can_be_freed_in_a_cancel_hook)
{
	avow_loop *const loop = fx.loop;
	const avow_call call = avow_begin(loop, "call");
	avow_promise *const p = avow_end(call, true, 0);
	avow_on_cancel(call.context, free_loop_job, loop);
	avow_catch(avow_pending(loop), note_code, "pending");
	avow_catch(p, fx_note, "cancelled");
	fx.loop = NULL;
	avow_cancel(p);
	fx_run();
	const char *const text = fx_take_log();
	ck_assert_msg(!strncmp(text, "freed|", 6), "%s", text);
	ck_assert_msg(strstr(text, "pending:abandoned"), "%s", text);
	ck_assert_msg(strstr(text, "cancelled:!"), "%s", text);
	avow_settle(call.context, avow_none());
}

FX_TEST(a_loop_can_be_freed_in_a_drop)
{
	avow_loop *const loop = fx.loop;
	fx.loop = NULL;
	avow_attach(avow_resolved(loop, avow_none()), loop, free_loop_job);
	avow_catch(avow_pending(loop), note_code, "pending");
	fx_run();
	fx_expect("freed|pending:abandoned");
}

static avow_value free_other(avow_value value, void *loop)
{
	avow_loop_free(loop);
	fx_log("freed");
	return value;
}

FX_TEST(a_handler_may_free_another_loop)
{
	avow_loop *const loop = avow_loop_new(fx.ev);
	avow_catch(avow_pending(loop), note_code, "pending");
	avow_then(avow_resolved(fx.loop, avow_none()), free_other, loop);
	fx_run();
	fx_expect("pending:abandoned|freed");
}

FX_TEST(a_libev_loop_may_be_destroyed_first)
{
	avow_promise *const p = avow_pending(fx.loop);
	avow_catch(p, note_code, "pending");
	avow_catch(avow_delay(fx.loop, 3600.), note_code, "delay");
	ev_run(fx.ev, EVRUN_NOWAIT);
	fx_destroy_ev();
	ck_assert_ptr_null(avow_loop_ev(fx.loop));
	fx_free_loop();
	const char *const text = fx_take_log();
	ck_assert_msg(strstr(text, "pending:abandoned"), "%s", text);
	ck_assert_msg(strstr(text, "delay:"), "%s", text);
	(void)fx_take_reports();
}

FX_TEST(jobs_queued_when_the_libev_loop_is_destroyed_still_run_once)
{
	post_note("job");
	avow_then(avow_resolved(fx.loop, avow_int(1)), fx_note, "then");
	fx_destroy_ev();
	fx_free_loop();
	fx_expect("job|then:1");
}

FX_TEST(a_detached_loop_still_takes_work)
{
	fx_destroy_ev();
	avow_then(avow_resolved(fx.loop, avow_int(1)), fx_note, "then");
	post_note("job");
	fx_free_loop();
	fx_expect("then:1|job");
}

static void destroy_libev_loop(void *arg)
{
	(void)arg;
	fx_log("in");
	avow_then(avow_resolved(fx.loop, avow_int(1)), fx_note, "then");
	ev_break(fx.ev, EVBREAK_ALL);
}

FX_TEST(a_libev_loop_destroyed_after_a_break_loses_no_job)
{
	avow_loop_budget(fx.loop, 1, 3600.);
	fx_in_callback(destroy_libev_loop, NULL);
	post_note("late");
	fx_destroy_ev();
	fx_free_loop();
	fx_expect("in|then:1|late");
}

FX_TEST(settling_after_the_loop_is_gone_is_harmless)
{
	const avow_call call = avow_begin(fx.loop, "call");
	(void)avow_end(call, true, 0);
	fx_run();
	fx_free_loop();
	fx_expect_reports("abandoned:call");
	avow_settle(call.context, fx_box_new(1));
	ck_assert_int_eq(fx.boxes, 0);
}

int main(void)
{
	return fx_main("sched");
}
