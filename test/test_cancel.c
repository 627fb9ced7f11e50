/*
 * SPDX-License-Identifier: MIT
 *
 * Cancellation: who is cancelled with whom, who is told, what still runs, and
 * that it may be done from anywhere.
 */
#include "scene.h"

static avow_value note_kind(avow_value value, void *name)
{
	fx_log("%s:%s", (const char *)name,
	       avow_is_cancelled(value) ? "cancelled" : fx_text(value));
	return avow_none();
}

/* A call whose hook logs "hook:name"; it never settles by itself. */
struct work {
	const char *name;
	const void *context;
	avow_promise *promise;
};

static void note_hook(void *name)
{
	fx_log("hook:%s", (const char *)name);
}

static struct work work_start(const char *name)
{
	const avow_call call = avow_begin(fx.loop, name);
	fx.ignores_late = true; /* tests settle it after cancelling it */
	avow_on_cancel(call.context, note_hook, (void *)(uintptr_t)name);
	return (struct work){ name, call.context, avow_end(call, true, 0) };
}

static avow_value give_promise(avow_value value, void *p)
{
	(void)value;
	return avow_await(p);
}


/* ------------------------------------------------------------------- Itself */

FX_TEST(cancelling_rejects_at_once)
{
	avow_promise *const p = avow_pending(fx.loop);
	avow_cancel(p);
	ck_assert_int_eq(avow_state_of(p), AVOW_REJECTED);
	ck_assert(avow_is_cancelled(avow_value_of(p)));
	ck_assert(avow_error_is(avow_value_of(p), &avow_core_domain,
				AVOW_ECANCELLED));
	ck_assert(!avow_is_timeout(avow_value_of(p)));
}

FX_TEST(handlers_of_a_cancelled_promise_run_as_jobs)
{
	avow_promise *const p = avow_pending(fx.loop);
	avow_catch(p, note_kind, "catch");
	avow_cancel(p);
	fx_log("return");
	fx_run();
	fx_expect("return|catch:cancelled");
}

FX_TEST(a_cancellation_nobody_handles_is_not_reported)
{
	avow_promise *const p = avow_pending(fx.loop);
	avow_then(avow_then(p, fx_note, "never"), fx_note, "never");
	avow_cancel(p);
	fx_run();
	fx_expect("");
	fx_expect_reports("");
}

FX_TEST(a_settled_promise_is_left_alone)
{
	avow_promise *const p = avow_resolved(fx.loop, avow_int(1));
	avow_cancel(p);
	avow_cancel(NULL);
	avow_then(p, fx_note, "then");
	fx_run();
	fx_expect("then:1");
}

FX_TEST(cancelling_twice_does_it_once)
{
	const struct work work = work_start("w");
	avow_cancel(work.promise);
	avow_cancel(work.promise);
	fx_run();
	fx_expect("hook:w");
	avow_settle(work.context, avow_none());
}

FX_TEST(a_cancelled_promise_cannot_be_settled)
{
	avow_promise *const p = avow_pending(fx.loop);
	avow_catch(p, note_kind, "catch");
	avow_cancel(p);
	avow_resolve(p, fx_box_new(1));
	ck_assert_int_eq(fx.boxes, 0);
	fx_run();
	fx_expect("catch:cancelled");
}


/* -------------------------------------------------------------------- Hooks */

FX_TEST(the_hook_of_the_work_is_called_before_cancel_returns)
{
	const struct work work = work_start("w");
	avow_cancel(work.promise);
	fx_log("return");
	fx_run();
	fx_expect("hook:w|return");
	avow_settle(work.context, avow_none());
}

FX_TEST(a_result_that_comes_late_is_dropped_and_counted)
{
	avow_stats stats;
	const struct work work = work_start("w");
	avow_catch(work.promise, note_kind, "catch");
	avow_cancel(work.promise);
	fx_run();
	avow_settle(work.context, fx_box_new(1));
	ck_assert_int_eq(fx.boxes, 0);
	avow_loop_stats(fx.loop, &stats);
	ck_assert_uint_eq(stats.late, 1);
	fx_run();
	fx_expect("hook:w|catch:cancelled");
}

FX_TEST(a_hook_is_not_called_once_the_call_has_settled)
{
	const struct work work = work_start("w");
	avow_settle(work.context, avow_int(1));
	avow_cancel(work.promise);
	avow_then(work.promise, fx_note, "then");
	fx_run();
	fx_expect("then:1");
}

FX_TEST(a_second_hook_replaces_the_first)
{
	const struct work work = work_start("w");
	avow_on_cancel(work.context, note_hook, "other");
	avow_cancel(work.promise);
	fx_run();
	fx_expect("hook:other");
	avow_settle(work.context, avow_none());
}

static void settle_in_hook(void *where)
{
	const struct work *const work = where;
	fx_log("hook");
	avow_settle(work->context, fx_box_new(1));
}

FX_TEST(a_hook_may_settle_its_call)
{
	struct work work = work_start("w");
	avow_on_cancel(work.context, settle_in_hook, &work);
	avow_catch(work.promise, note_kind, "catch");
	avow_cancel(work.promise);
	fx_run();
	fx_expect("hook|catch:cancelled");
	ck_assert_int_eq(fx.boxes, 0);
}

FX_TEST(a_context_of_a_pending_promise_may_have_a_hook)
{
	avow_promise *const p = avow_pending(fx.loop);
	avow_on_cancel(avow_context(p), note_hook, "p");
	avow_cancel(p);
	fx_run();
	fx_expect("hook:p");
}

FX_TEST(a_cancelled_delay_keeps_no_loop_alive)
{
	avow_promise *const p = avow_delay(fx.loop, 3600.);
	avow_catch(p, note_kind, "catch");
	avow_cancel(p);
	fx_run();
	fx_expect("catch:cancelled");
}


/* ------------------------------------------------------------- The way up */

FX_TEST(cancelling_the_end_of_a_chain_stops_its_work)
{
	const struct work work = work_start("w");
	avow_promise *p = avow_then(work.promise, fx_note, "never");
	p = avow_then(p, fx_note, "never");
	p = avow_then(p, fx_note, "never");
	avow_cancel(p);
	ck_assert_int_eq(avow_state_of(work.promise), AVOW_REJECTED);
	ck_assert(avow_is_cancelled(avow_value_of(p)));
	fx_run();
	fx_expect("hook:w");
	avow_settle(work.context, avow_none());
}

FX_TEST(a_source_that_another_branch_wants_goes_on)
{
	const struct work work = work_start("w");
	avow_promise *const a = avow_then(work.promise, fx_note, "a");
	avow_then(work.promise, fx_note, "b");
	avow_cancel(a);
	ck_assert_int_eq(avow_state_of(work.promise), AVOW_PENDING);
	avow_settle(work.context, avow_int(1));
	fx_run();
	fx_expect("b:1");
}

FX_TEST(a_source_is_cancelled_with_its_last_branch)
{
	const struct work work = work_start("w");
	avow_promise *const a = avow_then(work.promise, fx_note, "a");
	avow_promise *const b = avow_then(work.promise, fx_note, "b");
	avow_promise *const c = avow_then(work.promise, fx_note, "c");
	avow_cancel(b);
	avow_cancel(a);
	fx_expect("");
	avow_cancel(c);
	fx_expect("hook:w");
	avow_settle(work.context, avow_none());
}

FX_TEST(a_source_that_is_held_goes_on)
{
	const struct work work = work_start("w");
	avow_hold(work.promise);
	avow_cancel(avow_then(work.promise, fx_note, "a"));
	ck_assert_int_eq(avow_state_of(work.promise), AVOW_PENDING);
	avow_release(work.promise);
	ck_assert_int_eq(avow_state_of(work.promise), AVOW_PENDING);
	avow_settle(work.context, avow_int(1));
	fx_run();
	fx_expect("");
}

FX_TEST(a_slot_does_not_keep_a_source)
{
	avow_promise *slot = NULL;
	const struct work work = work_start("w");
	avow_slot(work.promise, &slot);
	avow_cancel(avow_then(work.promise, fx_note, "a"));
	fx_expect("hook:w");
	fx_run();
	ck_assert_ptr_null(slot);
	avow_settle(work.context, avow_none());
}

FX_TEST(a_shield_stops_the_climb)
{
	const struct work work = work_start("w");
	avow_promise *const p =
		avow_then(avow_shield(work.promise), fx_note, "never");
	avow_catch(p, note_kind, "catch");
	avow_cancel(p);
	fx_run();
	fx_expect("catch:cancelled");
	ck_assert_int_eq(avow_state_of(work.promise), AVOW_PENDING);
	avow_settle(work.context, avow_int(1));
	fx_run();
}

FX_TEST(a_shield_itself_can_be_cancelled)
{
	const struct work work = work_start("w");
	avow_promise *const shield = avow_shield(work.promise);
	avow_cancel(shield);
	ck_assert(avow_is_cancelled(avow_value_of(shield)));
	ck_assert_int_eq(avow_state_of(work.promise), AVOW_PENDING);
	avow_settle(work.context, avow_int(1));
	fx_run();
	fx_expect("");
}

FX_TEST(cancelling_a_source_goes_down_as_a_rejection)
{
	avow_promise *const p = avow_pending(fx.loop);
	avow_then(p, fx_note, "never");
	avow_catch(avow_then(p, fx_note, "never"), note_kind, "catch");
	avow_finally(p, note_kind, "finally");
	avow_cancel(p);
	fx_run();
	fx_expect("finally:cancelled|catch:cancelled");
}

FX_TEST(cancelling_in_the_middle_tells_both_ends)
{
	const struct work work = work_start("w");
	avow_promise *const middle = avow_then(work.promise, fx_note, "never");
	avow_catch(avow_then(middle, fx_note, "never"), note_kind, "catch");
	avow_cancel(middle);
	fx_run();
	fx_expect("hook:w|catch:cancelled");
	avow_settle(work.context, avow_none());
}

FX_TEST(a_catch_does_not_stop_the_climb)
{
	const struct work work = work_start("w");
	avow_cancel(avow_catch(work.promise, note_kind, "never"));
	fx_run();
	fx_expect("hook:w");
	avow_settle(work.context, avow_none());
}


/* ---------------------------------------------------------------- Followers */

/* What broke an earlier design: a follower that could not be cancelled. */
FX_TEST(a_follower_can_be_cancelled_and_stops_what_it_follows)
{
	const struct work work = work_start("w");
	avow_promise *const p = avow_pending(fx.loop);
	avow_catch(p, note_kind, "catch");
	avow_resolve(p, avow_await(work.promise));
	avow_cancel(p);
	fx_run();
	fx_expect("hook:w|catch:cancelled");
	avow_settle(work.context, avow_none());
}

FX_TEST(a_follower_among_others_leaves_what_they_follow)
{
	const struct work work = work_start("w");
	avow_promise *const p = avow_pending(fx.loop);
	avow_promise *const q = avow_pending(fx.loop);
	avow_catch(p, note_kind, "p");
	avow_then(q, fx_note, "q");
	avow_resolve(p, avow_await(work.promise));
	avow_resolve(q, avow_await(work.promise));
	avow_cancel(p);
	fx_run();
	fx_expect("p:cancelled");
	avow_settle(work.context, avow_int(1));
	fx_run();
	fx_expect("q:1");
}

FX_TEST(a_promise_whose_handler_waits_can_be_cancelled)
{
	const struct work work = work_start("w");
	avow_promise *const p = avow_then(avow_resolved(fx.loop, avow_none()),
					  give_promise, work.promise);
	avow_catch(p, note_kind, "catch");
	fx_run();
	avow_cancel(p);
	fx_run();
	fx_expect("hook:w|catch:cancelled");
	avow_settle(work.context, avow_none());
}

FX_TEST(a_path_of_followers_is_cancelled_as_one)
{
	const struct work work = work_start("w");
	avow_promise *last = work.promise;
	for (int i = 0; i < 5; i++) {
		avow_promise *const next = avow_pending(fx.loop);
		avow_resolve(next, avow_await(last));
		last = avow_then(next, fx_note, "never");
	}
	avow_catch(last, note_kind, "catch");
	avow_cancel(last);
	fx_run();
	fx_expect("hook:w|catch:cancelled");
	avow_settle(work.context, avow_none());
}

FX_TEST(cancelling_what_is_followed_rejects_its_followers)
{
	avow_promise *const p = avow_pending(fx.loop);
	avow_promise *const q = avow_pending(fx.loop);
	avow_catch(p, note_kind, "p");
	avow_resolve(p, avow_await(q));
	avow_cancel(q);
	fx_run();
	fx_expect("p:cancelled");
}

FX_TEST(a_loop_of_promises_can_be_cancelled_in_the_middle)
{
	avow_promise *const first = avow_pending(fx.loop);
	avow_promise *last = first;
	avow_catch(first, note_kind, "catch");
	for (int i = 0; i < 100; i++) {
		avow_promise *const next = avow_pending(fx.loop);
		avow_resolve(last, avow_await(next));
		last = next;
		fx_run();
	}
	const struct work work = work_start("w");
	avow_resolve(last, avow_await(work.promise));
	avow_cancel(first);
	fx_run();
	fx_expect("hook:w|catch:cancelled");
	avow_settle(work.context, avow_none());
}


/* -------------------------------------------------------- Queued, running */

FX_TEST(a_queued_handler_that_is_cancelled_does_not_run)
{
	avow_promise *const p = avow_resolved(fx.loop, avow_int(1));
	avow_promise *const a = avow_then(p, fx_note, "a");
	avow_then(p, fx_note, "b");
	avow_catch(a, note_kind, "catch");
	avow_cancel(a);
	fx_run();
	fx_expect("b:1|catch:cancelled");
}

FX_TEST(a_queued_passer_by_that_is_cancelled_does_not_pass)
{
	avow_promise *const p = avow_resolved(fx.loop, fx_box_new(1));
	avow_promise *const a = avow_catch(p, fx_note, "never");
	avow_on(a, .fulfilled = note_kind, .rejected = note_kind, .arg = "x");
	avow_cancel(a);
	fx_run();
	fx_expect("x:cancelled");
	ck_assert_int_eq(fx.boxes, 0);
}

static avow_promise *self;

static avow_value cancel_self(avow_value value, void *name)
{
	fx_log("%s", (const char *)name);
	avow_cancel(self);
	fx_log("%d", avow_state_of(self));
	return value;
}

FX_TEST(cancelling_inside_ones_own_handler_is_safe)
{
	avow_promise *const p = avow_resolved(fx.loop, fx_box_new(1));
	self = avow_then(p, cancel_self, "in");
	avow_on(self, .fulfilled = note_kind, .rejected = note_kind,
		.arg = "x");
	fx_run();
	fx_expect("in|2|x:cancelled");
	ck_assert_int_eq(fx.boxes, 0);
}

static avow_value cancel_self_and_take(avow_value value, void *arg)
{
	(void)arg;
	avow_cancel(self);
	fx_log("%s", fx_text(value));
	return avow_take(value);
}

FX_TEST(a_value_that_a_cancelled_handler_returns_is_dropped)
{
	avow_promise *const p = avow_resolved(fx.loop, fx_box_new(1));
	self = avow_then(p, cancel_self_and_take, NULL);
	avow_catch(self, note_kind, "catch");
	fx_run();
	fx_expect("box:1|catch:cancelled");
	ck_assert_int_eq(fx.boxes, 0);
}

static avow_value cancel_self_and_wait(avow_value value, void *p)
{
	(void)value;
	avow_cancel(self);
	return avow_await(p);
}

FX_TEST(a_promise_returned_by_a_cancelled_handler_is_cancelled_too)
{
	const struct work work = work_start("w");
	self = avow_then(avow_resolved(fx.loop, avow_none()),
			 cancel_self_and_wait, work.promise);
	avow_catch(self, note_kind, "catch");
	fx_run();
	const char *const text = fx_take_log();
	ck_assert_msg(strstr(text, "hook:w") && strstr(text, "catch:cancelled"),
		      "%s", text);
	avow_settle(work.context, avow_none());
}

FX_TEST(a_promise_returned_by_a_cancelled_handler_goes_on_where_wanted)
{
	const struct work work = work_start("w");
	avow_then(work.promise, fx_note, "other");
	self = avow_then(avow_resolved(fx.loop, avow_none()),
			 cancel_self_and_wait, work.promise);
	fx_run();
	fx_expect("");
	avow_settle(work.context, avow_int(1));
	fx_run();
	fx_expect("other:1");
}

static avow_value cancel_other(avow_value value, void *p)
{
	avow_cancel(p);
	return value;
}

FX_TEST(a_handler_may_cancel_another_promise)
{
	avow_promise *const p = avow_resolved(fx.loop, fx_box_new(1));
	avow_promise *const b = avow_pending(fx.loop);
	avow_catch(b, note_kind, "b");
	avow_then(avow_then(p, cancel_other, b), fx_note, "then");
	fx_run();
	fx_expect("b:cancelled|then:box:1");
}

static void cancel_and_note(void *p)
{
	avow_cancel(p);
	fx_log("dropped");
}

FX_TEST(a_drop_may_cancel)
{
	const struct work work = work_start("w");
	avow_catch(work.promise, note_kind, "w");
	avow_attach(avow_resolved(fx.loop, avow_int(1)), work.promise,
		    cancel_and_note);
	fx_run();
	fx_expect("hook:w|dropped|w:cancelled");
	avow_settle(work.context, avow_none());
}

FX_TEST(a_hook_may_cancel_another_promise)
{
	const struct work a = work_start("a");
	const struct work b = work_start("b");
	avow_on_cancel(a.context, cancel_and_note, b.promise);
	avow_cancel(a.promise);
	fx_run();
	fx_expect("hook:b|dropped");
	avow_settle(a.context, avow_none());
	avow_settle(b.context, avow_none());
}

FX_TEST(a_hook_may_cancel_its_own_promise_again)
{
	const struct work a = work_start("a");
	avow_on_cancel(a.context, cancel_and_note, a.promise);
	avow_catch(a.promise, note_kind, "catch");
	avow_cancel(a.promise);
	fx_run();
	fx_expect("dropped|catch:cancelled");
	avow_settle(a.context, avow_none());
}

FX_TEST(a_hook_may_cancel_the_end_of_its_own_chain)
{
	const struct work a = work_start("a");
	avow_promise *const end =
		avow_then(avow_then(a.promise, fx_note, "1"), fx_note, "2");
	avow_on_cancel(a.context, cancel_and_note, end);
	avow_catch(end, note_kind, "catch");
	avow_cancel(a.promise);
	fx_run();
	fx_expect("dropped|catch:cancelled");
	avow_settle(a.context, avow_none());
}


/* ------------------------------------------------------------------ Finally */

FX_TEST(finally_runs_on_cancellation_as_a_job)
{
	const struct work work = work_start("w");
	avow_promise *const p = avow_finally(work.promise, note_kind, "f");
	avow_catch(p, note_kind, "catch");
	avow_cancel(p);
	fx_log("return");
	fx_run();
	const char *const text = fx_take_log();
	ck_assert_msg(!strncmp(text, "hook:w|return|", 14), "%s", text);
	ck_assert_msg(strstr(text, "f:cancelled") &&
			      strstr(text, "catch:cancelled"),
		      "%s", text);
	avow_settle(work.context, avow_none());
}

FX_TEST(every_finally_on_the_way_up_runs)
{
	const struct work work = work_start("w");
	avow_promise *p = avow_finally(work.promise, note_kind, "f1");
	p = avow_then(p, fx_note, "never");
	p = avow_finally(p, note_kind, "f2");
	p = avow_then(p, fx_note, "never");
	avow_cancel(p);
	fx_run();
	const char *const text = fx_take_log();
	ck_assert_msg(strstr(text, "hook:w") == text, "%s", text);
	ck_assert_msg(strstr(text, "f1:cancelled") &&
			      strstr(text, "f2:cancelled"),
		      "%s", text);
	ck_assert_uint_eq(strlen(text), strlen("hook:w|f2:cancelled|") +
						strlen("f1:cancelled"));
	avow_settle(work.context, avow_none());
}

static avow_promise *cleanup;

static avow_value clean_up(avow_value value, void *arg)
{
	(void)arg;
	fx_log("clean:%s", avow_is_cancelled(value) ? "cancelled" : "no");
	return avow_await(cleanup);
}

FX_TEST(work_that_finally_waits_for_is_not_cancelled)
{
	avow_promise *const p = avow_pending(fx.loop);
	cleanup = avow_pending(fx.loop);
	avow_promise *const q = avow_finally(p, clean_up, NULL);
	avow_cancel(q);
	fx_run();
	fx_expect("clean:cancelled");
	ck_assert_int_eq(avow_state_of(cleanup), AVOW_PENDING);
	avow_then(cleanup, fx_note, "cleaned");
	avow_resolve(cleanup, avow_int(1));
	fx_run();
	fx_expect("cleaned:1");
}

FX_TEST(a_finally_that_is_at_work_finishes_when_it_is_cancelled)
{
	avow_promise *const p = avow_resolved(fx.loop, avow_int(1));
	cleanup = avow_pending(fx.loop);
	avow_promise *const q = avow_finally(p, clean_up, NULL);
	avow_on(q, .fulfilled = note_kind, .rejected = note_kind, .arg = "q");
	fx_run();
	fx_expect("clean:no");
	avow_cancel(q);
	fx_run();
	ck_assert_int_eq(avow_state_of(cleanup), AVOW_PENDING);
	avow_resolve(cleanup, avow_int(1));
	fx_run();
	fx_expect("q:cancelled");
}

FX_TEST(a_finally_runs_once_where_its_source_is_cancelled)
{
	avow_promise *const p = avow_pending(fx.loop);
	avow_promise *const q = avow_finally(p, note_kind, "f");
	avow_cancel(p);
	avow_cancel(q);
	fx_run();
	fx_expect("f:cancelled");
}

static avow_value cancel_self_and_clean(avow_value value, void *arg)
{
	(void)arg;
	(void)value;
	fx_log("in");
	avow_cancel(self);
	return avow_await(cleanup);
}

FX_TEST(a_finally_that_cancels_itself_still_cleans_up)
{
	avow_promise *const p = avow_resolved(fx.loop, avow_int(1));
	cleanup = avow_pending(fx.loop);
	self = avow_on(p, .finally = cancel_self_and_clean, .arg = "f",
		       .drop = fx_drop);
	avow_catch(self, note_kind, "catch");
	fx_run();
	fx_expect("in|catch:cancelled");
	ck_assert_int_eq(avow_state_of(cleanup), AVOW_PENDING);
	avow_resolve(cleanup, fx_box_new(1));
	fx_run();
	fx_expect("drop:f");
	ck_assert_int_eq(fx.boxes, 0);
}

static avow_value cancel_self_and_fail(avow_value value, void *arg)
{
	(void)arg;
	(void)value;
	avow_cancel(self);
	return avow_error(EIO, "no cleanup");
}

FX_TEST(the_error_of_a_finally_that_cancelled_itself_is_reported)
{
	avow_promise *const p = avow_resolved(fx.loop, avow_int(1));
	self = avow_finally(p, cancel_self_and_fail, NULL);
	fx_run();
	fx_expect_reports("unhandled:no cleanup");
}

FX_TEST(a_finally_whose_cleanup_is_done_can_be_cancelled)
{
	avow_promise *const p = avow_resolved(fx.loop, fx_box_new(1));
	cleanup = avow_pending(fx.loop);
	avow_promise *const q =
		avow_on(p, .finally = clean_up, .arg = "f", .drop = fx_drop);
	avow_on(q, .fulfilled = note_kind, .rejected = note_kind, .arg = "q");
	fx_run();
	avow_resolve(cleanup, avow_int(1));
	avow_cancel(q);
	fx_run();
	const char *const text = fx_take_log();
	ck_assert_msg(strstr(text, "q:cancelled") && strstr(text, "drop:f"),
		      "%s", text);
	ck_assert_int_eq(fx.boxes, 0);
}

FX_TEST(a_tap_that_waits_can_be_cancelled)
{
	const struct work work = work_start("w");
	avow_promise *const p = avow_resolved(fx.loop, fx_box_new(1));
	avow_promise *const q = avow_tap(p, give_promise, work.promise);
	avow_catch(q, note_kind, "q");
	fx_run();
	avow_cancel(q);
	fx_run();
	fx_expect("hook:w|q:cancelled");
	ck_assert_int_eq(fx.boxes, 0);
	avow_settle(work.context, avow_none());
}

FX_TEST(promises_that_wait_in_a_circle_can_be_cancelled)
{
	avow_promise *const p = avow_pending(fx.loop);
	avow_promise *const q = avow_then(p, fx_note, "never");
	avow_resolve(p, avow_await(q));
	fx_run();
	avow_cancel(q);
	fx_run();
	fx_expect("");
}


/* ------------------------------------------------------- Behind a finally
 *
 * What is attached behind a finally may be used by it: it is dropped when the
 * finally has ended, which is after avow_cancel() has returned.
 */

static void count_drop(void *drops)
{
	++*(int *)drops;
}

static avow_value begin_cleaned(avow_value value, void *name)
{
	(void)value;
	(void)name;
	return avow_int(1);
}

static avow_value use_name(avow_value value, void *name)
{
	fx_log("finally:%s", (const char *)name);
	return value;
}

static avow_promise *guarded(const char *name)
{
	avow_promise *const p = avow_pending(fx.loop);
	return avow_finally(p, use_name, (void *)(uintptr_t)name);
}

FX_TEST(what_is_attached_behind_a_finally_is_dropped_after_it)
{
	avow_promise *const p = avow_attach(
		avow_then(guarded("x"), fx_note, "never"), "x", fx_drop);
	avow_cancel(avow_attach(p, "y", fx_drop));
	fx_log("returned");
	fx_run();
	fx_expect("returned|finally:x|drop:x|drop:y");
}

FX_TEST(what_is_attached_before_a_finally_is_dropped_at_once)
{
	avow_promise *const p =
		avow_attach(avow_pending(fx.loop), "x", fx_drop);
	avow_cancel(avow_finally(p, use_name, "y"));
	fx_log("returned");
	fx_run();
	fx_expect("drop:x|returned|finally:y");
}

FX_TEST(what_is_behind_a_finally_waits_for_all_of_its_cleanup)
{
	cleanup = avow_pending(fx.loop);
	avow_promise *const p =
		avow_finally(avow_pending(fx.loop), clean_up, NULL);
	avow_cancel(avow_attach(p, "x", fx_drop));
	fx_run();
	(void)fx_take_log();
	avow_resolve(cleanup, avow_none());
	fx_log("cleaned");
	fx_run();
	fx_expect("cleaned|drop:x");
}

FX_TEST(what_is_behind_a_finally_at_work_waits_as_well)
{
	cleanup = avow_pending(fx.loop);
	avow_promise *const source = avow_pending(fx.loop);
	avow_promise *const p =
		avow_attach(avow_finally(source, clean_up, NULL), "x", fx_drop);
	avow_resolve(source, avow_none());
	fx_run();
	(void)fx_take_log();
	avow_cancel(p);
	fx_log("returned");
	avow_resolve(cleanup, avow_none());
	fx_run();
	fx_expect("returned|drop:x");
}

FX_TEST(slots_are_cleared_and_copies_stay_behind_a_finally)
{
	const int number = 7;
	avow_promise *slot;
	avow_promise *const p = avow_then_copy(guarded("x"), fx_note, &number);
	avow_slot(avow_attach(p, "y", fx_drop), &slot);
	avow_cancel(slot);
	fx_run();
	ck_assert_ptr_null(slot);
	fx_expect("finally:x|drop:y");
}

static avow_value begin_guarded(avow_value index, void *arg)
{
	(void)index;
	return avow_await(guarded(arg));
}

FX_TEST(what_is_behind_a_map_waits_for_the_cleanup_of_its_items)
{
	avow_promise *const p = avow_attach(
		avow_map(fx.loop, 2, begin_guarded, "x"), "x", fx_drop);
	ev_run(fx.ev, EVRUN_NOWAIT);
	avow_cancel(p);
	fx_log("returned");
	fx_run();
	fx_expect("returned|finally:x|finally:x|drop:x");
}

static avow_value use_nothing(avow_value value, void *arg)
{
	(void)value;
	(void)arg;
	return avow_await(avow_pending(fx.loop));
}

FX_TEST(what_is_behind_resources_waits_for_their_release)
{
	const avow_resource one = { begin_cleaned, use_name, "x" };
	avow_promise *const p = avow_attach(
		avow_using(fx.loop, &one, 1, use_nothing, NULL), "x", fx_drop);
	ev_run(fx.ev, EVRUN_NOWAIT);
	avow_cancel(p);
	fx_log("returned");
	fx_run();
	fx_expect("returned|finally:x|drop:x");
}

FX_TEST(a_permit_comes_back_when_the_cleanup_has_ended)
{
	avow_semaphore *const one = avow_mutex_new(fx.loop);
	avow_promise *const p = avow_limit(one, begin_guarded, "x");
	avow_then(avow_limit(one, use_name, "second"), fx_note, "end");
	ev_run(fx.ev, EVRUN_NOWAIT);
	avow_cancel(p);
	fx_log("returned");
	fx_run();
	fx_expect("returned|finally:x|finally:second|end:none");
	avow_semaphore_free(one);
}

FX_TEST(what_waits_behind_a_finally_is_dropped_with_its_loop)
{
	cleanup = avow_pending(fx.loop);
	avow_promise *const p =
		avow_finally(avow_pending(fx.loop), clean_up, NULL);
	avow_cancel(avow_attach(p, "x", fx_drop));
	fx_run();
	(void)fx_take_log();
	fx_free_loop();
	fx_expect("drop:x");
}

FX_TEST(the_error_of_a_finally_that_is_waited_for_is_reported)
{
	avow_promise *const p =
		avow_finally(avow_pending(fx.loop), fx_fail, "finally");
	avow_cancel(avow_attach(p, "x", fx_drop));
	fx_run();
	fx_expect("finally:!cancelled|drop:x");
	fx_expect_reports("unhandled:failed");
}

static void cancel_guarded(void *arg)
{
	avow_loop *const loop = avow_loop_new(fx.ev);
	int drops = 0;
	(void)arg;
	if (!loop)
		return;
	avow_promise *p = avow_finally(avow_pending(loop), fx_pass, "f");
	for (int i = 0; i < 3; i++)
		p = avow_on(p, .arg = &drops, .drop = count_drop);
	avow_cancel(p);
	ev_run(fx.ev, 0);
	avow_loop_free(loop);
	ck_assert_int_eq(drops, 3);
	(void)fx_take_log();
}

FX_TEST(what_is_behind_a_finally_is_dropped_once_without_memory)
{
	fx_sweep(cancel_guarded, NULL);
}

static void act_in_drop(void *arg)
{
	(void)arg;
	scene_act();
}

static void prepare_late_drop(void)
{
	avow_promise *const p =
		avow_finally(avow_pending(scene.loop), fx_pass, NULL);
	scene_self(avow_attach(p, &scene, act_in_drop));
	avow_cancel(avow_attach(scene.self, &scene, act_in_drop));
}

FX_TEST(a_drop_behind_a_finally_may_do_anything)
{
	scene_try_all(prepare_late_drop, 2);
	(void)fx_take_log();
}


/* ----------------------------------------------------------- In the large */

static void cancel_long_chain(void *arg)
{
	const struct work work = work_start("w");
	avow_promise *p = work.promise;
	(void)arg;
	for (size_t i = 0; i < fx_scale(1000000); i++)
		p = avow_then(p, fx_note, "never");
	avow_catch(p, note_kind, "catch");
	avow_cancel(p);
	fx_run();
	fx_expect("hook:w|catch:cancelled");
	avow_settle(work.context, avow_none());
}

FX_TEST_LIMIT(a_chain_of_a_million_is_cancelled_on_a_small_stack, 20.)
{
	fx_on_small_stack(cancel_long_chain, NULL);
}

static void cancel_many_branches(void *arg)
{
	const size_t count = fx_scale(300000);
	avow_promise **const all = malloc(count * sizeof(avow_promise *));
	const struct work work = work_start("w");
	(void)arg;
	for (size_t i = 0; i < count; i++)
		all[i] = avow_then(work.promise, fx_note, "never");
	for (size_t i = 0; i < count; i++) {
		fx_expect("");
		avow_cancel(all[i]);
	}
	fx_expect("hook:w");
	fx_run();
	fx_expect("");
	free(all);
	avow_settle(work.context, avow_none());
}

FX_TEST_LIMIT(branches_in_hundreds_of_thousands_are_cancelled_one_by_one, 20.)
{
	fx_on_small_stack(cancel_many_branches, NULL);
}

static void cancel_long_path(void *arg)
{
	const size_t count = fx_scale(1000000);
	avow_promise **const all = malloc(count * sizeof(avow_promise *));
	const struct work work = work_start("w");
	avow_promise *last = work.promise;
	(void)arg;
	for (size_t i = 0; i < count; i++) {
		all[i] = avow_pending(fx.loop);
		avow_then(all[i], fx_note, "never");
		avow_resolve(all[i], avow_await(last));
		last = all[i];
	}
	avow_cancel(work.promise);
	fx_run();
	fx_expect("hook:w");
	free(all);
	avow_settle(work.context, avow_none());
}

FX_TEST_LIMIT(a_follow_path_of_a_million_is_cancelled_on_a_small_stack, 20.)
{
	fx_on_small_stack(cancel_long_path, NULL);
}

static avow_promise *branches[2];

static void note_branches(void *name)
{
	fx_log("%s:%d%d", (const char *)name,
	       avow_state_of(branches[0]) == AVOW_PENDING,
	       avow_state_of(branches[1]) == AVOW_PENDING);
}

FX_TEST(hooks_run_when_all_branches_are_settled)
{
	for (int i = 0; i < 2; i++) {
		branches[i] = avow_pending(fx.loop);
		avow_on_cancel(avow_context(branches[i]), note_branches,
			       i ? "second" : "first");
	}

	avow_cancel(avow_all(fx.loop, branches, 2));

	fx_expect("first:00|second:00");
}

static avow_value wait_a_turn(avow_value value, void *arg)
{
	(void)value;
	(void)arg;
	return avow_await(avow_immediate(fx.loop));
}

static void cancel_it(void *p)
{
	avow_cancel(p);
}

FX_TEST(a_cancelled_finally_does_not_tell_of_what_it_passes_on)
{
	avow_promise *const p = avow_finally(
		avow_rejected(fx.loop, avow_errno(EIO)), wait_a_turn, NULL);
	ck_assert(avow_post(fx.loop, cancel_it, p));

	fx_run();

	fx_expect_reports("");
}

int main(void)
{
	return fx_main("cancel");
}
