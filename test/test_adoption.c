/*
 * SPDX-License-Identifier: MIT
 *
 * avow_loop_ecmascript_order(): a promise that follows another stands in the
 * job queue first, then with what it follows, then in the queue again.  What
 * may happen to it at each of these stages, and what becomes of thenables and
 * of avow_finally().  The order itself is compared with V8's elsewhere; here a
 * ladder of `then` tells in which step something ran.
 */
#include "fixture.h"

/* Each rung logs its number: "1", "2", ... */
static avow_value ladder_step(avow_value value, void *arg)
{
	(void)arg;
	fx_log("%d", (int)avow_int_get(value));
	return avow_int(avow_int_get(value) + 1);
}

static void ladder(int rungs)
{
	avow_promise *p = avow_resolved(fx.loop, avow_int(1));
	while (rungs--)
		p = avow_then(p, ladder_step, NULL);
}

static void log_outcome(avow_promise *p)
{
	avow_on(p, .fulfilled = fx_note, .rejected = fx_note, .arg = "p");
}

static avow_value give_promise(avow_value value, void *p)
{
	(void)value;
	return avow_await(p);
}


/* -------------------------------------------------------------- The stages */

FX_TEST(following_takes_two_jobs_more_than_a_value)
{
	avow_loop_ecmascript_order(fx.loop, true);
	ladder(5);
	avow_promise *const p = avow_pending(fx.loop);
	avow_resolve(p, avow_await(avow_resolved(fx.loop, avow_int(9))));
	ck_assert_int_eq(avow_state_of(p), AVOW_PENDING);
	log_outcome(p);
	fx_run();
	fx_expect("1|2|3|p:9|4|5");
}

FX_TEST(a_handler_that_gives_a_promise_takes_two_jobs_more)
{
	avow_loop_ecmascript_order(fx.loop, true);
	ladder(5);
	avow_promise *const p = avow_resolved(fx.loop, avow_int(9));
	log_outcome(avow_then(p, give_promise, p));
	fx_run();
	fx_expect("1|2|3|4|p:9|5");
}

FX_TEST(without_it_following_takes_no_job)
{
	ladder(3);
	avow_promise *const p = avow_pending(fx.loop);
	avow_resolve(p, avow_await(avow_resolved(fx.loop, avow_int(9))));
	log_outcome(p);
	fx_run();
	fx_expect("1|p:9|2|3");
}

FX_TEST(a_finally_takes_two_jobs_more)
{
	avow_loop_ecmascript_order(fx.loop, true);
	ladder(5);
	avow_promise *const p = avow_resolved(fx.loop, avow_int(9));
	log_outcome(avow_finally(p, fx_seven, "f"));
	log_outcome(avow_finally(p, give_promise, p));
	fx_run();
	fx_expect("1|f:9|2|3|4|p:9|p:9|5");
}

FX_TEST(a_finally_over_a_rejection_takes_two_jobs_more)
{
	avow_loop_ecmascript_order(fx.loop, true);
	ladder(5);
	avow_promise *const p = avow_rejected(fx.loop, avow_errno(EIO));
	log_outcome(avow_finally(p, fx_seven, "f"));
	fx_run();
	fx_expect("1|f:!Input/output error|2|3|4|p:!Input/output error|5");
}

FX_TEST(a_finally_that_fails_takes_none)
{
	avow_loop_ecmascript_order(fx.loop, true);
	ladder(3);
	avow_promise *const p = avow_resolved(fx.loop, avow_int(9));
	log_outcome(avow_finally(p, fx_fail, "f"));
	fx_run();
	fx_expect("1|f:9|2|p:!failed|3");
}

FX_TEST(a_finally_waits_for_a_pending_promise_in_ecmascript_order_too)
{
	avow_loop_ecmascript_order(fx.loop, true);
	avow_promise *const gate = avow_pending(fx.loop);
	avow_promise *p = avow_resolved(fx.loop, fx_box_new(9));
	p = avow_finally(p, give_promise, gate);
	log_outcome(p);
	fx_run();
	ladder(4);
	avow_resolve(gate, avow_none());
	fx_run();
	fx_expect("1|2|3|p:box:9|4");
}


/* --------------------------------------------------------------- Thenables */

static avow_value now_start(avow_value value, void *context)
{
	avow_settle(context, avow_int(*(int *)value.as.ptr));
	return avow_none();
}

static avow_value nested_start(avow_value value, void *context);

static const avow_type now_type = { .name = "now", .then = now_start };
static const avow_type nested_type = { .name = "nested", .then = nested_start };

/* Gives `lap` more thenables, one after the other, before a number. */
static avow_value nested_start(avow_value value, void *context)
{
	int *const laps = value.as.ptr;
	avow_settle(context,
		    --*laps ? avow_own(laps, &nested_type) : avow_int(9));
	return avow_none();
}

static avow_value promise_start(avow_value value, void *context)
{
	avow_settle(context, avow_await(value.as.ptr));
	return avow_none();
}

static const avow_type giver_type = { .name = "giver", .then = promise_start };

FX_TEST(a_thenable_settles_its_promise_with_no_job_between)
{
	int nine = 9;
	avow_loop_ecmascript_order(fx.loop, true);
	ladder(3);
	avow_promise *const p = avow_pending(fx.loop);
	avow_resolve(p, avow_own(&nine, &now_type));
	log_outcome(p);
	fx_run();
	fx_expect("1|2|p:9|3");
}

static avow_value late_start(avow_value value, void *context)
{
	*(void **)value.as.ptr = context;
	return avow_none();
}

static const avow_type late_type = { .name = "late", .then = late_start };

FX_TEST(what_is_attached_after_a_thenable_settled_runs_in_its_turn)
{
	void *context = NULL;
	avow_loop_ecmascript_order(fx.loop, true);
	avow_promise *const p = avow_pending(fx.loop);
	avow_resolve(p, avow_own(&context, &late_type));
	fx_run();
	avow_settle(context, avow_int(9));
	ck_assert_int_eq(avow_state_of(p), AVOW_FULFILLED);
	ladder(2);
	log_outcome(p);
	fx_run();
	fx_expect("1|p:9|2");
}

FX_TEST(a_thenable_that_gives_a_promise_takes_two_jobs_more)
{
	avow_loop_ecmascript_order(fx.loop, true);
	ladder(4);
	avow_promise *const p = avow_pending(fx.loop);
	avow_promise *const q = avow_resolved(fx.loop, avow_int(9));
	avow_hold(q);
	avow_resolve(p, avow_own(q, &giver_type));
	log_outcome(p);
	fx_run();
	avow_release(q);
	fx_expect("1|2|3|4|p:9");
}

FX_TEST(a_thenable_that_gives_the_promise_it_settles_is_a_cycle)
{
	avow_loop_ecmascript_order(fx.loop, true);
	avow_promise *const p = avow_pending(fx.loop);
	avow_catch(p, fx_note_code, "catch");
	avow_resolve(p, avow_own(p, &giver_type));
	fx_run();
	fx_expect("catch:4");
}

FX_TEST(thenables_that_give_thenables_run_in_constant_memory)
{
	int laps = (int)fx_scale(100000);
	avow_stats stats;
	avow_loop_ecmascript_order(fx.loop, true);
	avow_promise *const p = avow_pending(fx.loop);
	avow_resolve(p, avow_own(&laps, &nested_type));
	log_outcome(p);
	fx_run();
	fx_expect("p:9");
	avow_loop_stats(fx.loop, &stats);
	ck_assert_uint_le(stats.slab_bytes,
			  (size_t)(1 + FX_QUARANTINE / 512) * 2 * 64 * 1024);
}


/* ------------------------------------------- Whatever happens at each stage */

/* `p` follows `q` in stage `stage`: in the queue before, with `q`, and in the
 * queue after.  A box is what `q` gives. */
static avow_promise *follow_up_to(int stage)
{
	avow_loop_ecmascript_order(fx.loop, true);
	avow_promise *const q = avow_pending(fx.loop);
	avow_promise *const p = avow_pending(fx.loop);
	avow_hold(p);
	avow_resolve(p, avow_await(q));
	if (stage > 0)
		fx_run();
	if (stage > 1)
		avow_resolve(q, fx_box_new(9));
	return p;
}

FX_TEST(a_follower_is_cancelled_at_every_stage)
{
	for (int stage = 0; stage < 3; stage++) {
		avow_promise *const p = follow_up_to(stage);
		avow_catch(p, fx_note_code, "catch");
		avow_cancel(p);
		avow_release(p);
		fx_run();
		fx_expect("catch:1");
	}
}

FX_TEST(cancelling_a_follower_in_the_queue_cancels_what_it_follows)
{
	avow_loop_ecmascript_order(fx.loop, true);
	avow_promise *const q = avow_delay(fx.loop, 3600.);
	avow_promise *const p = avow_pending(fx.loop);
	avow_hold(q);
	avow_hold(p);
	avow_resolve(p, avow_await(q));
	avow_release(q);
	avow_cancel(p);
	avow_release(p);
	fx_run(); /* or the timer would keep it */
}

FX_TEST(a_loop_is_freed_with_a_follower_in_its_first_stage)
{
	avow_promise *const p = follow_up_to(0);
	log_outcome(p);
	fx_free_loop();
	const char *const text = fx_take_log();
	ck_assert_msg(strstr(text, "p:!"), "%s", text);
}

FX_TEST(a_loop_is_freed_with_a_follower_in_its_last_stage)
{
	avow_promise *const p = follow_up_to(2);
	log_outcome(p);
	fx_free_loop();
	fx_expect("p:box:9");
}

FX_TEST(a_follower_that_is_followed_is_settled_after_it)
{
	avow_promise *const p = follow_up_to(1);
	avow_promise *const last = avow_pending(fx.loop);
	avow_resolve(last, avow_await(p));
	log_outcome(last);
	avow_cancel(p);
	avow_release(p);
	fx_run();
	fx_expect("p:!cancelled");
}

FX_TEST(a_finally_is_cancelled_in_its_last_stages)
{
	for (int turns = 0; turns < 3; turns++) {
		avow_loop_ecmascript_order(fx.loop, true);
		avow_loop_budget(fx.loop, 1, 3600.);
		avow_promise *p = avow_resolved(fx.loop, fx_box_new(9));
		p = avow_finally(p, fx_seven, "f");
		avow_hold(p);
		log_outcome(p);
		for (int i = 0; i <= turns; i++)
			ev_run(fx.ev, EVRUN_NOWAIT);
		avow_cancel(p);
		avow_release(p);
		fx_run();
		const char *const text = fx_take_log();
		ck_assert_msg(strstr(text, "f:box:9") && strstr(text, "p:"),
			      "%s", text);
	}
}

FX_TEST(a_cycle_is_found_before_the_jobs_have_run)
{
	avow_loop_ecmascript_order(fx.loop, true);
	avow_promise *const p = avow_pending(fx.loop);
	avow_promise *const q = avow_pending(fx.loop);
	avow_catch(p, fx_note_code, "p");
	avow_resolve(p, avow_await(q));
	avow_resolve(q, avow_await(p));
	fx_run();
	fx_expect("p:4");
}

FX_TEST(the_order_may_be_changed_while_promises_follow)
{
	for (int stage = 0; stage < 3; stage++) {
		avow_promise *const p = follow_up_to(stage);
		avow_promise *const q = avow_finally(p, fx_seven, "f");
		log_outcome(q);
		avow_loop_ecmascript_order(fx.loop, false);
		if (stage < 2)
			avow_cancel(p);
		avow_release(p);
		fx_run();
		fx_expect(stage < 2 ? "f:!cancelled|p:!cancelled"
				    : "f:box:9|p:box:9");
	}
}


int main(void)
{
	return fx_main("adoption");
}
