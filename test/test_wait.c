/*
 * SPDX-License-Identifier: MIT
 *
 * Waiting: avow_wait() runs the loop until a promise settles, or says why it
 * never will.
 */
#include "fixture.h"

static avow_value pass(avow_value value, void *arg)
{
	(void)arg;
	return value;
}


/* ----------------------------------------------------------------- Waiting */

static void resolve_seven(void *p)
{
	avow_resolve(p, avow_int(7));
}

FX_TEST(wait_runs_the_loop_until_the_promise_settles)
{
	avow_promise *const p = avow_pending(fx.loop);
	fx_later(0.001, resolve_seven, p);
	ck_assert_int_eq(avow_int_get(avow_wait(p)), 7);
}

FX_TEST(wait_needs_no_watcher_where_jobs_settle)
{
	avow_promise *const p = avow_resolved(fx.loop, avow_int(1));
	ck_assert_str_eq(fx_text(avow_wait(avow_then(p, fx_pass, "a"))), "1");
	fx_expect("a:1");
}

FX_TEST(wait_for_a_settled_promise_returns_its_value)
{
	avow_promise *const p = avow_resolved(fx.loop, avow_int(1));
	ck_assert_int_eq(avow_int_get(avow_wait(p)), 1);
}

FX_TEST(wait_handles_a_rejection)
{
	avow_promise *const p = avow_rejected(fx.loop, avow_errno(EIO));
	ck_assert_int_eq(avow_code(avow_wait(p)), EIO);
	fx_run();
}

FX_TEST(wait_for_what_nothing_can_settle_is_a_deadlock)
{
	avow_promise *const p = avow_pending(fx.loop);
	const avow_value value = avow_wait(p);
	ck_assert(avow_error_is(value, &avow_core_domain, AVOW_EDEADLOCK));
	ck_assert_int_eq(avow_state_of(p), AVOW_PENDING);
	avow_resolve(p, avow_int(1));
	ck_assert_int_eq(avow_int_get(avow_wait(p)), 1);
}

static void break_all(void *arg)
{
	(void)arg;
	ev_break(fx.ev, EVBREAK_ALL);
}

FX_TEST(wait_ends_at_a_break)
{
	avow_promise *const p = avow_pending(fx.loop);
	fx_later(0.001, break_all, NULL);
	fx_later(3600., fx_job, "never");
	const avow_value value = avow_wait(p);
	ck_assert(avow_error_is(value, &avow_core_domain, AVOW_EINTERRUPTED));
	ck_assert_int_eq(avow_state_of(p), AVOW_PENDING);
	avow_resolve(p, avow_none());
}

static void free_loop(void *arg)
{
	(void)arg;
	avow_loop *const loop = fx.loop;
	fx.loop = NULL;
	avow_loop_free(loop);
}

FX_TEST(wait_ends_when_the_loop_is_freed)
{
	avow_promise *const p = avow_pending(fx.loop);
	fx_later(0.001, free_loop, NULL);
	fx_later(3600., fx_job, "never");
	const avow_value value = avow_wait(p);
	ck_assert(avow_error_is(value, &avow_core_domain, AVOW_EABANDONED));
}

static avow_value wait_for_nothing(avow_value value, void *p)
{
	fx_note_code(avow_wait(p), "wait");
	return value;
}

FX_TEST(wait_in_a_loop_that_is_being_freed_ends_at_once)
{
	avow_promise *const p = avow_pending(fx.loop);
	avow_promise *const q = avow_pending(fx.loop);
	avow_catch(p, wait_for_nothing, q);
	avow_catch(q, fx_note_code, "q");
	avow_hold(q);
	fx_free_loop();
	const char *const text = fx_take_log();
	ck_assert_msg(strstr(text, "wait:3") && strstr(text, "q:3"), "%s",
		      text);
}

FX_TEST(wait_without_a_libev_loop_is_a_deadlock)
{
	avow_promise *const p = avow_pending(fx.loop);
	fx_destroy_ev();
	const avow_value value = avow_wait(p);
	ck_assert(avow_error_is(value, &avow_core_domain, AVOW_EDEADLOCK));
}

static avow_value wait_in_handler(avow_value value, void *arg)
{
	(void)value;
	fx_log("in");
	const avow_value got = avow_wait(avow_delay(fx.loop, 0.001));
	fx_log("out:%s", fx_text(got));
	(void)arg;
	return avow_int(1);
}

FX_TEST(a_handler_may_wait)
{
	avow_promise *const p = avow_resolved(fx.loop, avow_none());
	avow_then(avow_then(p, wait_in_handler, NULL), fx_note, "then");
	avow_then(p, fx_note, "beside");
	fx_run();
	fx_expect("in|beside:none|out:none|then:1");
}

FX_TEST(waits_nest_last_in_first_out)
{
	avow_promise *const p = avow_resolved(fx.loop, avow_none());
	avow_promise *const a = avow_then(p, wait_in_handler, NULL);
	avow_then(p, wait_in_handler, NULL);
	ck_assert_int_eq(avow_int_get(avow_wait(a)), 1);
	fx_run();
	fx_expect("in|in|out:none|out:none");
}

static avow_value wait_deeper(avow_value value, void *levels)
{
	const intptr_t left = (intptr_t)levels;
	(void)value;
	if (left == 0)
		return avow_int(0);
	avow_promise *const p = avow_then(avow_resolved(fx.loop, avow_none()),
					  wait_deeper, (void *)(left - 1));
	const avow_value got = avow_wait(p);
	return avow_is_error(got) ? avow_domain_error(avow_domain_of(got),
						      avow_code(got)) :
	       avow_int(avow_int_get(got) + 1);
}

FX_TEST(waits_nest_thirty_two_deep_and_no_deeper)
{
	avow_promise *const p = avow_resolved(fx.loop, avow_none());
	avow_then(avow_then(p, wait_deeper, (void *)32), fx_note, "fits");
	fx_run();
	fx_expect("fits:32");
	avow_promise *const q = avow_resolved(fx.loop, avow_none());
	avow_catch(avow_then(q, wait_deeper, (void *)33), fx_note_code, "deep");
	fx_run();
	fx_expect("deep:7");
}

FX_TEST(the_nesting_of_waits_can_be_set)
{
	avow_loop_nesting_max(fx.loop, 2);
	avow_promise *const p = avow_resolved(fx.loop, avow_none());
	avow_then(avow_then(p, wait_deeper, (void *)2), fx_note, "fits");
	fx_run();
	fx_expect("fits:2");
	avow_promise *const q = avow_resolved(fx.loop, avow_none());
	avow_catch(avow_then(q, wait_deeper, (void *)3), fx_note_code, "deep");
	fx_run();
	fx_expect("deep:7");
}

FX_TEST(waiting_in_one_loop_leaves_the_handles_of_another_alone)
{
	avow_loop *const other = avow_loop_new(fx.ev);
	avow_promise *const p = avow_resolved(fx.loop, fx_box_new(1));
	ck_assert(avow_is_none(avow_wait(avow_delay(other, 0.001))));
	ck_assert_str_eq(fx_text(avow_value_of(p)), "box:1");
	avow_promise *const q = avow_resolved(other, fx_box_new(2));
	ck_assert(avow_is_none(avow_wait(avow_delay(fx.loop, 0.001))));
	ck_assert_str_eq(fx_text(avow_value_of(p)), "box:1");
	ck_assert_str_eq(fx_text(avow_value_of(q)), "box:2");
	fx_run();
	ck_assert_int_eq(fx.boxes, 0);
	avow_loop_free(other);
}


/* --------------------------------------------- What ends a wait that sleeps
 *
 * Each has a timer that would keep the loop asleep beyond the time limit.
 */

static avow_promise *awaited;

static void resolve_in_prepare(struct ev_loop *ev, ev_prepare *prepare,
			       int events)
{
	(void)events;
	ev_prepare_stop(ev, prepare);
	avow_resolve(awaited, avow_int(7));
}

static void wait_with_prepare(int priority)
{
	ev_prepare prepare;
	ev_prepare_init(&prepare, resolve_in_prepare);
	ev_set_priority(&prepare, priority);
	ev_prepare_start(fx.ev, &prepare);
	fx_later(3600., fx_job, "never");
	awaited = avow_pending(fx.loop);
	ck_assert_int_eq(avow_int_get(avow_wait(awaited)), 7);
}

FX_TEST(a_wait_ends_when_a_prepare_watcher_settles_its_promise)
{
	wait_with_prepare(0);
}

FX_TEST(a_wait_ends_when_the_last_of_prepare_watchers_settles_its_promise)
{
	wait_with_prepare(EV_MINPRI);
}

static void settling_free(int *settling)
{
	*settling = 0;
	avow_resolve(awaited, avow_int(7));
}

AVOW_TYPE(settling, int *, settling_free);

static int settlings;

static void resolve_with_settling(void *root)
{
	settlings = 1;
	avow_resolve(root, settling_value(&settlings));
}

/* The value is dropped when the loop outside of the nested one goes on. */
static void settle_nested(void *arg)
{
	(void)arg;
	fx_later(0., resolve_with_settling, avow_pending(fx.loop));
	ev_run(fx.ev, EVRUN_ONCE);
}

FX_TEST(a_wait_ends_when_a_drop_before_it_sleeps_settles_its_promise)
{
	awaited = avow_pending(fx.loop);
	fx_later(0.001, settle_nested, NULL);
	fx_later(3600., fx_job, "never");
	ck_assert_int_eq(avow_int_get(avow_wait(awaited)), 7);
	ck_assert_int_eq(settlings, 0);
}

FX_TEST(a_program_that_only_waits_tidies)
{
	avow_stats stats;
	for (size_t i = 0; i < fx_scale(100000); i++) {
		avow_promise *const p = avow_resolved(fx.loop, fx_box_new(1));
		ck_assert(!avow_is_error(
			avow_wait(avow_then(p, pass, NULL))));
		avow_tidy(fx.loop);
	}
	avow_loop_stats(fx.loop, &stats);
	ck_assert_uint_le(stats.promise_count, 100 + FX_QUARANTINE);
	ck_assert_int_eq(fx.boxes, 0);
}

int main(void)
{
	return fx_main("wait");
}
