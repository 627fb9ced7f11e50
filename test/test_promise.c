/*
 * SPDX-License-Identifier: MIT
 *
 * Promises: they settle once, by a value, an error or another promise, which
 * they then follow; and they find out when they would wait for themselves.
 */
#include "fixture.h"

static uint64_t ignored_count(void)
{
	avow_stats stats;
	avow_loop_stats(fx.loop, &stats);
	return stats.ignored;
}


/* ---------------------------------------------------------------- Settling */

FX_TEST(a_promise_is_pending_until_it_is_resolved)
{
	avow_promise *const p = avow_pending(fx.loop);
	ck_assert_int_eq(avow_state_of(p), AVOW_PENDING);
	avow_resolve(p, avow_int(7));
	ck_assert_int_eq(avow_state_of(p), AVOW_FULFILLED);
	ck_assert_int_eq(avow_int_get(avow_value_of(p)), 7);
}

FX_TEST(an_error_rejects)
{
	avow_promise *const p = avow_pending(fx.loop);
	avow_resolve(p, avow_errno(EIO));
	ck_assert_int_eq(avow_state_of(p), AVOW_REJECTED);
	ck_assert_int_eq(avow_code(avow_value_of(p)), EIO);
	avow_catch(p, fx_note, NULL);
	fx_run();
	(void)fx_take_log();
}

FX_TEST(promises_can_be_born_settled)
{
	avow_promise *const p = avow_resolved(fx.loop, avow_int(1));
	avow_promise *const q = avow_resolved(fx.loop, avow_errno(EIO));
	avow_promise *const r = avow_rejected(fx.loop, avow_errno(EPERM));
	ck_assert_int_eq(avow_state_of(p), AVOW_FULFILLED);
	ck_assert_int_eq(avow_state_of(q), AVOW_REJECTED);
	ck_assert_int_eq(avow_state_of(r), AVOW_REJECTED);
	ck_assert_int_eq(avow_code(avow_value_of(r)), EPERM);
	avow_catch(q, fx_note, NULL);
	avow_catch(r, fx_note, NULL);
	fx_run();
	(void)fx_take_log();
}

FX_TEST(a_promise_settles_once_and_counts_what_it_ignores)
{
	avow_promise *const p = avow_pending(fx.loop);
	avow_then(p, fx_note, "then");
	avow_resolve(p, fx_box_new(1));
	avow_resolve(p, fx_box_new(2));
	avow_reject(p, avow_errno(EIO));
	ck_assert_int_eq(fx.boxes, 1);
	ck_assert_uint_eq(ignored_count(), 2);
	fx_run();
	fx_expect("then:box:1");
	ck_assert_int_eq(fx.boxes, 0);
}

FX_TEST(a_rejected_promise_stays_rejected)
{
	avow_promise *const p = avow_pending(fx.loop);
	avow_catch(p, fx_note_code, "catch");
	avow_reject(p, avow_domain_error(&avow_core_domain, AVOW_EINVALID));
	avow_resolve(p, fx_box_new(2));
	ck_assert_uint_eq(ignored_count(), 1);
	fx_run();
	fx_expect("catch:10");
}

FX_TEST(a_reason_that_is_no_error_is_wrapped_in_one)
{
	avow_promise *const p = avow_rejected(fx.loop, avow_int(7));
	const avow_value reason = avow_value_of(p);
	ck_assert(avow_is_error(reason));
	ck_assert(avow_error_is(reason, &avow_core_domain, AVOW_EREASON));
	ck_assert_int_eq(avow_int_get(avow_cause(reason)), 7);
	avow_catch(p, fx_note_code, "catch");
	fx_run();
	fx_expect("catch:9");
}

FX_TEST(a_reason_that_is_none_is_wrapped_too)
{
	avow_promise *const p = avow_pending(fx.loop);
	avow_reject(p, avow_none());
	ck_assert_int_eq(avow_state_of(p), AVOW_REJECTED);
	avow_catch(p, fx_note_code, "catch");
	fx_run();
	fx_expect("catch:9");
}

FX_TEST(a_reason_owned_by_its_error_is_dropped_with_it)
{
	avow_catch(avow_rejected(fx.loop, fx_box_new(1)), fx_note_code,
		   "catch");
	ck_assert_int_eq(fx.boxes, 1);
	fx_run();
	ck_assert_int_eq(fx.boxes, 0);
	fx_expect("catch:9");
}

/* A type of a program that rejects, and would be a thenable if it did not. */
static avow_value never_started(avow_value value, void *context)
{
	(void)value;
	(void)context;
	fx_log("started");
	return avow_none();
}

AVOW_TYPE_WITH(oops, int64_t, 0, 0, never_started, true, 0);

FX_TEST(any_type_can_be_an_error_type_and_is_no_thenable_then)
{
	avow_promise *const p = avow_resolved(fx.loop, oops_value(5));
	ck_assert_int_eq(avow_state_of(p), AVOW_REJECTED);
	ck_assert_int_eq((int)oops_get(avow_value_of(p)), 5);
	avow_catch(p, fx_seven, NULL);
	fx_run();
	ck_assert_ptr_null(strstr(fx_take_log(), "started"));
}


/* --------------------------------------------------------------- Following */

FX_TEST(a_promise_follows_the_one_it_is_resolved_with)
{
	avow_promise *const p = avow_pending(fx.loop);
	avow_promise *const q = avow_pending(fx.loop);
	avow_then(p, fx_note, "p");
	avow_resolve(p, avow_await(q));
	ck_assert_int_eq(avow_state_of(p), AVOW_PENDING);
	avow_resolve(q, avow_int(1));
	fx_run();
	fx_expect("p:1");
}

FX_TEST(a_follower_takes_a_rejection_too)
{
	avow_promise *const p = avow_pending(fx.loop);
	avow_promise *const q = avow_pending(fx.loop);
	avow_resolve(p, avow_await(q));
	avow_catch(avow_then(p, fx_note, "never"), fx_note, "catch");
	avow_reject(q, avow_error(EIO, "broken"));
	fx_run();
	fx_expect("catch:!broken");
}

FX_TEST(following_a_settled_promise_works_as_well)
{
	avow_promise *const p = avow_pending(fx.loop);
	avow_then(p, fx_note, "p");
	avow_resolve(p, avow_await(avow_resolved(fx.loop, avow_int(1))));
	fx_run();
	fx_expect("p:1");
}

FX_TEST(a_follower_shares_the_value_without_a_copy)
{
	avow_promise *const p = avow_pending(fx.loop);
	avow_promise *const q = avow_pending(fx.loop);
	avow_hold(p);
	avow_hold(q);
	avow_resolve(p, avow_await(q));
	avow_resolve(q, fx_box_new(1));
	fx_run();
	ck_assert_int_eq(avow_state_of(p), AVOW_FULFILLED);
	ck_assert_ptr_eq(avow_value_of(p).as.ptr, avow_value_of(q).as.ptr);
	avow_release(q);
	fx_run();
	ck_assert_int_eq(fx_box_get(avow_value_of(p))->number, 1);
	avow_release(p);
	fx_run();
	ck_assert_int_eq(fx.boxes, 0);
}

FX_TEST(settling_a_follower_is_ignored)
{
	avow_promise *const p = avow_pending(fx.loop);
	avow_promise *const q = avow_pending(fx.loop);
	avow_then(p, fx_note, "p");
	avow_resolve(p, avow_await(q));
	avow_resolve(p, fx_box_new(2));
	ck_assert_uint_eq(ignored_count(), 1);
	ck_assert_int_eq(fx.boxes, 0);
	avow_resolve(q, avow_int(1));
	fx_run();
	fx_expect("p:1");
}

FX_TEST(followers_of_followers_settle_alike)
{
	avow_promise *const p = avow_pending(fx.loop);
	avow_promise *const q = avow_pending(fx.loop);
	avow_promise *const r = avow_pending(fx.loop);
	avow_then(p, fx_note, "p");
	avow_then(q, fx_note, "q");
	avow_then(r, fx_note, "r");
	avow_resolve(q, avow_await(r));
	avow_resolve(p, avow_await(q));
	avow_resolve(r, avow_int(1));
	fx_run();
	const char *const text = fx_take_log();
	ck_assert_msg(strstr(text, "p:1") && strstr(text, "q:1") &&
		      strstr(text, "r:1") && strlen(text) == 11, "%s", text);
}

FX_TEST(handlers_of_a_follower_run_where_it_began_to_follow)
{
	avow_promise *const p = avow_pending(fx.loop);
	avow_promise *const q = avow_pending(fx.loop);
	avow_then(q, fx_note, "q1");
	avow_then(p, fx_note, "p1");
	avow_resolve(p, avow_await(q));
	avow_then(q, fx_note, "q2");
	avow_then(p, fx_note, "p2");
	avow_resolve(q, avow_int(1));
	fx_run();
	fx_expect("q1:1|p1:1|p2:1|q2:1");
}

FX_TEST(several_promises_may_follow_one)
{
	avow_promise *const q = avow_pending(fx.loop);
	for (int i = 0; i < 3; i++) {
		avow_promise *const p = avow_pending(fx.loop);
		avow_then(p, fx_note, "p");
		avow_resolve(p, avow_await(q));
	}
	avow_resolve(q, avow_int(1));
	fx_run();
	fx_expect("p:1|p:1|p:1");
}

static avow_value give_promise(avow_value value, void *p)
{
	(void)value;
	return avow_await(p);
}

FX_TEST(a_handler_may_return_a_promise)
{
	avow_promise *const q = avow_pending(fx.loop);
	avow_promise *const p = avow_resolved(fx.loop, avow_none());
	avow_then(avow_then(p, give_promise, q), fx_note, "then");
	fx_run();
	fx_expect("");
	avow_resolve(q, avow_int(1));
	fx_run();
	fx_expect("then:1");
}

FX_TEST(a_held_promise_can_be_attached_to_after_it_was_followed)
{
	avow_promise *const p = avow_pending(fx.loop);
	avow_promise *const q = avow_pending(fx.loop);
	avow_hold(q);
	avow_resolve(p, avow_await(q));
	avow_then(p, fx_note, "p");
	fx_run();
	avow_then(q, fx_note, "q");
	avow_resolve(q, avow_int(1));
	fx_run();
	avow_then(q, fx_note, "later");
	fx_run();
	avow_release(q);
	fx_expect("p:1|q:1|later:1");
}


/* ------------------------------------------------------------------ Cycles */

FX_TEST(a_promise_that_follows_itself_is_rejected)
{
	avow_promise *const p = avow_pending(fx.loop);
	avow_catch(p, fx_note_code, "p");
	avow_resolve(p, avow_await(p));
	fx_run();
	fx_expect("p:4");
}

static avow_promise *kept;

static avow_value give_kept(avow_value value, void *arg)
{
	(void)value;
	(void)arg;
	return avow_await(kept);
}

FX_TEST(a_handler_that_returns_its_own_promise_is_rejected)
{
	kept = avow_then(avow_resolved(fx.loop, avow_none()), give_kept, NULL);
	avow_catch(kept, fx_note_code, "p");
	fx_run();
	fx_expect("p:4");
}

FX_TEST(two_promises_that_follow_each_other_are_rejected)
{
	avow_promise *const p = avow_pending(fx.loop);
	avow_promise *const q = avow_pending(fx.loop);
	avow_catch(p, fx_note_code, "p");
	avow_catch(q, fx_note_code, "q");
	avow_resolve(p, avow_await(q));
	avow_resolve(q, avow_await(p));
	fx_run();
	const char *const text = fx_take_log();
	ck_assert_msg(strstr(text, "p:4") && strstr(text, "q:4"), "%s", text);
}

/* Each follows the next, and the last the first. */
static void cycle_of(size_t count, bool is_held)
{
	avow_promise **const all = calloc(count, sizeof(avow_promise *));
	for (size_t i = 0; i < count; i++) {
		all[i] = avow_pending(fx.loop);
		if (is_held)
			avow_hold(all[i]);
	}
	avow_catch(all[0], fx_note_code, "first");
	for (size_t i = 0; i < count; i++)
		avow_resolve(all[i], avow_await(all[(i + 1) % count]));
	fx_run();
	fx_expect("first:4");
	for (size_t i = 0; is_held && i < count; i++) {
		ck_assert_int_eq(avow_state_of(all[i]), AVOW_REJECTED);
		avow_release(all[i]);
	}
	free(all);
}

FX_TEST(cycles_of_three_and_of_a_thousand_are_found)
{
	cycle_of(3, false);
	cycle_of(3, true);
	cycle_of(1000, false);
	cycle_of(1000, true);
}

FX_TEST_LIMIT(a_cycle_of_a_million_is_found, 20.)
{
	cycle_of(fx_scale(1000000), false);
	cycle_of(fx_scale(1000000), true);
}

FX_TEST(a_cycle_made_backwards_is_found)
{
	enum { COUNT = 100 };
	avow_promise *all[COUNT];
	for (int i = 0; i < COUNT; i++)
		all[i] = avow_pending(fx.loop);
	avow_catch(all[0], fx_note_code, "first");
	avow_catch(all[1], fx_note_code, "second");
	for (int i = COUNT - 1; i >= 0; i--)
		avow_resolve(all[i], avow_await(all[(i + 1) % COUNT]));
	fx_run();
	fx_expect("first:4|second:4");
}

/* A deadlock through a reaction is no follow cycle; it ends with the loop. */
FX_TEST(a_promise_that_follows_its_own_reaction_waits)
{
	avow_promise *const p = avow_pending(fx.loop);
	avow_promise *const q = avow_then(p, fx_note, "never");
	avow_catch(q, fx_note_code, "catch");
	avow_resolve(p, avow_await(q));
	fx_run();
	fx_expect("");
	fx_free_loop();
	fx_expect("catch:3");
	(void)fx_take_reports();
}


int main(void)
{
	return fx_main("promise");
}
