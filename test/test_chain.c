/*
 * SPDX-License-Identifier: MIT
 *
 * Chains: then, catch, finally, tap, attach, on and their kin; what passes
 * through, who owns a value, when an argument is dropped, and the order of
 * handlers.
 *
 * Order is told in hops, as in JavaScript: at which rung of a ladder of plain
 * thens, begun just before, does a handler of the promise in question run?  It
 * is the X in "1|2|X|3|4|5|6".
 */
#include "fixture.h"

static avow_promise *one(void)
{
	return avow_resolved(fx.loop, avow_int(1));
}

static avow_promise *bad(void)
{
	return avow_rejected(fx.loop, avow_error(EIO, "bad"));
}

static avow_value give_promise(avow_value value, void *p)
{
	(void)value;
	return avow_await(p);
}


/* --------------------------------------------------- Then, catch, finally */

FX_TEST(then_maps_a_value)
{
	avow_then(avow_then(one(), fx_seven, "a"), fx_note, "b");
	fx_run();
	fx_expect("a:1|b:7");
}

FX_TEST(then_lets_a_rejection_pass_by)
{
	avow_promise *p = avow_then(bad(), fx_note, "never");
	p = avow_then(p, fx_note, "never");
	avow_catch(p, fx_note, "catch");
	fx_run();
	fx_expect("catch:!bad");
}

FX_TEST(catch_recovers)
{
	avow_then(avow_catch(bad(), fx_seven, "catch"), fx_note, "then");
	fx_run();
	fx_expect("catch:!bad|then:7");
}

FX_TEST(catch_lets_a_value_pass_by)
{
	avow_then(avow_catch(one(), fx_note, "never"), fx_note, "then");
	fx_run();
	fx_expect("then:1");
}

FX_TEST(a_handler_that_returns_an_error_rejects)
{
	avow_catch(avow_then(one(), fx_fail, "then"), fx_note, "catch");
	fx_run();
	fx_expect("then:1|catch:!failed");
}

FX_TEST(a_handler_that_returns_its_error_passes_the_rejection_on)
{
	avow_catch(avow_catch(bad(), fx_pass, "a"), fx_note, "b");
	fx_run();
	fx_expect("a:!bad|b:!bad");
}

FX_TEST(finally_sees_either_outcome_and_passes_it_on)
{
	avow_then(avow_finally(one(), fx_seven, "f"), fx_note, "then");
	fx_run();
	fx_expect("f:1|then:1");
	avow_catch(avow_finally(bad(), fx_seven, "f"), fx_note, "catch");
	fx_run();
	fx_expect("f:!bad|catch:!bad");
}

FX_TEST(an_error_from_finally_takes_the_place_of_the_outcome)
{
	avow_catch(avow_finally(one(), fx_fail, "f"), fx_note, "catch");
	fx_run();
	fx_expect("f:1|catch:!failed");
	avow_catch(avow_finally(bad(), fx_fail, "f"), fx_note, "catch");
	fx_run();
	fx_expect("f:!bad|catch:!failed");
}

FX_TEST(finally_may_wait)
{
	avow_promise *const work = avow_pending(fx.loop);
	avow_promise *const p = avow_finally(one(), give_promise, work);
	avow_then(p, fx_note, "then");
	fx_run();
	fx_expect("");
	avow_resolve(work, avow_int(9));
	fx_run();
	fx_expect("then:1");
}

FX_TEST(work_of_finally_that_fails_takes_the_place_of_the_outcome)
{
	avow_promise *const work = avow_pending(fx.loop);
	avow_catch(avow_finally(one(), give_promise, work), fx_note, "catch");
	fx_run();
	avow_reject(work, avow_error(EIO, "no commit"));
	fx_run();
	fx_expect("catch:!no commit");
}

static avow_value give_box(avow_value value, void *arg)
{
	(void)value;
	(void)arg;
	return fx_box_new(3);
}

FX_TEST(what_finally_returns_is_dropped)
{
	avow_then(avow_finally(one(), give_box, NULL), fx_note, "then");
	fx_run();
	fx_expect("then:1");
	ck_assert_int_eq(fx.boxes, 0);
}

FX_TEST(finally_keeps_an_owned_outcome_while_it_waits)
{
	avow_promise *const work = avow_pending(fx.loop);
	avow_promise *const p = avow_resolved(fx.loop, fx_box_new(1));
	avow_then(avow_finally(p, give_promise, work), fx_note, "then");
	fx_run();
	ck_assert_int_eq(fx.boxes, 1);
	avow_resolve(work, fx_box_new(2));
	fx_run();
	fx_expect("then:box:1");
	ck_assert_int_eq(fx.boxes, 0);
}

FX_TEST(attaching_twice_branches)
{
	avow_promise *const p = one();
	avow_then(avow_then(p, fx_seven, "a"), fx_note, "a2");
	avow_then(avow_then(p, fx_pass, "b"), fx_note, "b2");
	fx_run();
	fx_expect("a:1|b:1|a2:7|b2:1");
}

static avow_value add_one(avow_value value, void *arg)
{
	(void)arg;
	return avow_await(avow_resolved(fx.loop,
					avow_int(avow_int_get(value) + 1)));
}

FX_TEST(ten_steps_are_ten_lines)
{
	avow_promise *p = one();
	p = avow_then(p, add_one, NULL);
	p = avow_then(p, add_one, NULL);
	p = avow_then(p, add_one, NULL);
	p = avow_then(p, add_one, NULL);
	p = avow_then(p, add_one, NULL);
	p = avow_then(p, add_one, NULL);
	p = avow_then(p, add_one, NULL);
	p = avow_then(p, add_one, NULL);
	p = avow_then(p, add_one, NULL);
	p = avow_then(p, add_one, NULL);
	avow_then(p, fx_note, "end");
	fx_run();
	fx_expect("end:11");
}


/* -------------------------------------------- Tap, catch_code, on, shield */

FX_TEST(tap_passes_the_value_on)
{
	avow_then(avow_tap(one(), fx_seven, "tap"), fx_note, "then");
	avow_catch(avow_tap(bad(), fx_note, "never"), fx_note, "catch");
	fx_run();
	const char *const text = fx_take_log();
	ck_assert_msg(strstr(text, "tap:1") && strstr(text, "then:1") &&
		      strstr(text, "catch:!bad") && !strstr(text, "never"),
		      "%s", text);
}

FX_TEST(an_error_from_tap_replaces_the_value)
{
	avow_catch(avow_tap(one(), fx_fail, "tap"), fx_note, "catch");
	fx_run();
	fx_expect("tap:1|catch:!failed");
}

FX_TEST(what_tap_returns_is_dropped)
{
	avow_then(avow_tap(one(), give_box, NULL), fx_note, "then");
	fx_run();
	fx_expect("then:1");
	ck_assert_int_eq(fx.boxes, 0);
}

FX_TEST(tap_may_wait)
{
	avow_promise *const work = avow_pending(fx.loop);
	avow_then(avow_tap(one(), give_promise, work), fx_note, "then");
	fx_run();
	fx_expect("");
	avow_resolve(work, avow_int(9));
	fx_run();
	fx_expect("then:1");
}

FX_TEST(tap_catch_passes_the_rejection_on)
{
	avow_catch(avow_tap_catch(bad(), fx_seven, "tap"), fx_note, "catch");
	fx_run();
	fx_expect("tap:!bad|catch:!bad");
	avow_then(avow_tap_catch(one(), fx_note, "never"), fx_note, "then");
	fx_run();
	fx_expect("then:1");
}

FX_TEST(an_error_from_tap_catch_replaces_the_rejection)
{
	avow_catch(avow_tap_catch(bad(), fx_fail, "tap"), fx_note, "catch");
	fx_run();
	fx_expect("tap:!bad|catch:!failed");
}

FX_TEST(catch_code_catches_one_code_of_one_domain)
{
	avow_promise *const p = bad();
	avow_then(avow_catch_code(p, &avow_errno_domain, EIO, fx_seven, "a"),
		  fx_note, "then");
	fx_run();
	fx_expect("a:!bad|then:7");
}

FX_TEST(catch_code_lets_other_rejections_pass_by)
{
	avow_promise *p = bad();
	p = avow_catch_code(p, &avow_errno_domain, EPERM, fx_seven, "code");
	p = avow_catch_code(p, &avow_core_domain, EIO, fx_seven, "domain");
	avow_catch(p, fx_note, "catch");
	fx_run();
	fx_expect("catch:!bad");
}

FX_TEST(catch_code_lets_a_value_pass_by)
{
	avow_then(avow_catch_code(one(), &avow_errno_domain, EIO, fx_note,
				  "never"), fx_note, "then");
	fx_run();
	fx_expect("then:1");
}

FX_TEST(on_takes_one_of_two_handlers)
{
	avow_on(one(), .fulfilled = fx_note, .rejected = fx_fail, .arg = "a");
	avow_on(bad(), .fulfilled = fx_fail, .rejected = fx_note, .arg = "b");
	fx_run();
	fx_expect("a:1|b:!bad");
}

FX_TEST(on_passes_through_where_it_has_no_handler)
{
	avow_then(avow_on(one(), .rejected = fx_fail), fx_note, "a");
	avow_catch(avow_on(bad(), .fulfilled = fx_fail), fx_note, "b");
	avow_then(avow_on(one(), .arg = NULL), fx_note, "c");
	avow_catch(avow_on(bad(), .arg = NULL), fx_note, "d");
	fx_run();
	fx_expect("a:1|b:!bad|c:1|d:!bad");
}

FX_TEST(on_has_a_finally_as_well)
{
	avow_promise *const p = avow_on(one(), .finally = fx_seven, .arg = "f",
					.drop = fx_drop);
	avow_then(p, fx_note, "then");
	fx_run();
	fx_expect("f:1|drop:f|then:1");
}

FX_TEST(a_shield_passes_everything_on)
{
	avow_then(avow_shield(one()), fx_note, "then");
	avow_catch(avow_shield(bad()), fx_note, "catch");
	fx_run();
	fx_expect("then:1|catch:!bad");
}


/* ------------------------------------------------------ Owning and taking */

/* What broke an earlier design: a double free on `return value;`. */
FX_TEST(returning_the_value_as_it_was_given_passes_it_through)
{
	avow_promise *p = avow_resolved(fx.loop, fx_box_new(1));
	for (int i = 0; i < 5; i++)
		p = avow_then(p, fx_pass, NULL);
	fx_run();
	fx_expect("box:1|box:1|box:1|box:1|box:1");
	ck_assert_int_eq(fx.boxes, 0);
}

FX_TEST(two_branches_may_both_return_the_value)
{
	avow_promise *const p = avow_resolved(fx.loop, fx_box_new(1));
	avow_then(avow_then(p, fx_pass, "a"), fx_note, "a2");
	avow_then(avow_then(p, fx_pass, "b"), fx_note, "b2");
	fx_run();
	fx_expect("a:box:1|b:box:1|a2:box:1|b2:box:1");
	ck_assert_int_eq(fx.boxes, 0);
}

FX_TEST(an_owned_error_passes_through_as_well)
{
	avow_promise *p = bad();
	p = avow_catch(p, fx_pass, "a");
	p = avow_finally(p, fx_pass, "b");
	p = avow_tap_catch(p, fx_pass, "c");
	avow_catch(p, fx_note, "d");
	fx_run();
	fx_expect("a:!bad|b:!bad|c:!bad|d:!bad");
}

FX_TEST(passing_through_shares_one_payload)
{
	avow_promise *const p = avow_resolved(fx.loop, fx_box_new(1));
	avow_promise *const q = avow_catch(avow_then(p, fx_pass, NULL),
					   fx_note, NULL);
	avow_hold(p);
	avow_hold(q);
	fx_run();
	ck_assert_ptr_eq(avow_value_of(p).as.ptr, avow_value_of(q).as.ptr);
	ck_assert_int_eq(fx.boxes, 1);
	avow_release(p);
	fx_run();
	ck_assert_int_eq(fx_box_get(avow_value_of(q))->number, 1);
	avow_release(q);
	fx_run();
	ck_assert_int_eq(fx.boxes, 0);
	(void)fx_take_log();
}

FX_TEST(passing_through_allocates_nothing)
{
	avow_promise *p = bad();
	for (int i = 0; i < 100; i++)
		p = avow_then(p, fx_note, NULL);
	avow_promise *const end = avow_catch(p, fx_note, "end");
	(void)end;
	const size_t allocations = fx_allocations();
	fx_run();
	if (!FX_QUARANTINE)
		ck_assert_uint_eq(fx_allocations(), allocations);
	fx_expect("end:!bad");
}

static avow_value taken;

static avow_value take(avow_value value, void *name)
{
	taken = avow_take(value);
	fx_log("%s:%s", (const char *)name, fx_text(taken));
	return avow_none();
}

static avow_value take_and_drop(avow_value value, void *name)
{
	take(value, name);
	avow_drop(taken);
	return avow_none();
}

static avow_value take_and_return(avow_value value, void *name)
{
	take(value, name);
	return taken;
}

FX_TEST(take_moves_a_value_out_where_nobody_else_reads_it)
{
	avow_then(avow_resolved(fx.loop, fx_box_new(1)), take, "take");
	fx_run();
	fx_expect("take:box:1");
	ck_assert_int_eq(fx.boxes, 1);
	ck_assert_int_eq(fx_box_get(taken)->number, 1);
	avow_drop(taken);
	ck_assert_int_eq(fx.boxes, 0);
}

FX_TEST(a_taken_value_may_be_returned)
{
	avow_promise *const p = avow_resolved(fx.loop, fx_box_new(1));
	avow_then(avow_then(p, take_and_return, "take"), fx_note, "then");
	fx_run();
	fx_expect("take:box:1|then:box:1");
	ck_assert_int_eq(fx.boxes, 0);
}

FX_TEST(take_gives_an_error_where_others_read_what_cannot_be_copied)
{
	avow_promise *const p = avow_resolved(fx.loop, fx_box_new(1));
	avow_then(p, take_and_drop, "first");
	avow_then(p, take_and_drop, "last");
	fx_run();
	const char *const text = fx_take_log();
	ck_assert_msg(!strncmp(text, "first:!", 7), "%s", text);
	ck_assert_msg(strstr(text, "|last:box:1"), "%s", text);
	ck_assert_int_eq(fx.boxes, 0);
}

FX_TEST(take_copies_where_others_read_what_can_be_copied)
{
	avow_promise *const p = avow_resolved(fx.loop, fx_twin_new(1));
	avow_then(p, take_and_drop, "first");
	avow_then(p, fx_note, "second");
	avow_then(p, take_and_drop, "last");
	fx_run();
	fx_expect("first:twin:1|second:twin:1|last:twin:1");
	ck_assert_int_eq(fx.boxes, 0);
}

FX_TEST(take_never_moves_the_value_of_a_held_promise)
{
	avow_promise *const p = avow_resolved(fx.loop, fx_box_new(1));
	avow_hold(p);
	avow_then(p, take_and_drop, "take");
	fx_run();
	ck_assert_int_eq(fx_box_get(avow_value_of(p))->number, 1);
	const char *const text = fx_take_log();
	ck_assert_msg(!strncmp(text, "take:!", 6), "%s", text);
	avow_release(p);
	fx_run();
}

FX_TEST(a_value_passed_through_can_be_taken_at_the_end)
{
	avow_promise *p = avow_resolved(fx.loop, fx_box_new(1));
	p = avow_then(p, fx_pass, "a");
	p = avow_catch(p, fx_note, "never");
	avow_then(p, take_and_drop, "take");
	fx_run();
	fx_expect("a:box:1|take:box:1");
	ck_assert_int_eq(fx.boxes, 0);
}

/* A counted type: its copy is the same payload, with one more owner. */
struct counted {
	int owners;
};

static void counted_end(struct counted *counted)
{
	ck_assert_int_gt(counted->owners, 0);
	counted->owners--;
}

static struct counted *counted_ref(struct counted *counted)
{
	counted->owners++;
	return counted;
}

AVOW_TYPE(counted, struct counted *, counted_end, counted_ref);

static avow_value take_counted(avow_value value, void *arg)
{
	(void)arg;
	return avow_take(value);
}

static int owners_left_by(avow_handler_fn *fn, bool has_another_reader)
{
	struct counted counted = { 1 };
	avow_promise *const p = avow_resolved(fx.loop, counted_value(&counted));
	avow_then(p, fn, NULL);
	if (has_another_reader)
		avow_then(p, fx_note, NULL);
	avow_then(p, fn, NULL);
	fx_run();
	(void)fx_take_log();
	return counted.owners;
}

FX_TEST(a_counted_value_that_is_taken_and_returned_ends)
{
	ck_assert_int_eq(owners_left_by(take_counted, false), 0);
	ck_assert_int_eq(owners_left_by(take_counted, true), 0);
}

static avow_value take_in_nested_handler(avow_value value, void *arg)
{
	avow_then(one(), fx_note, "inner");
	ev_run(fx.ev, EVRUN_NOWAIT);
	return take_and_drop(value, arg);
}

FX_TEST(take_works_after_a_nested_loop)
{
	avow_then(avow_resolved(fx.loop, fx_twin_new(1)),
		  take_in_nested_handler, "take");
	fx_run();
	fx_expect("inner:1|take:twin:1");
	ck_assert_int_eq(fx.boxes, 0);
}

static avow_value take_twice(avow_value value, void *arg)
{
	const avow_value first = avow_take(value);
	(void)arg;
	fx_log("%s", fx_text(first));
	avow_drop(first);
	return avow_none();
}

FX_TEST(taking_what_needs_no_drop_gives_it_back)
{
	avow_promise *const p = one();
	avow_then(p, take_twice, NULL);
	avow_then(p, take_twice, NULL);
	fx_run();
	fx_expect("1|1");
}

static avow_value take_second_item(avow_value list, void *arg)
{
	(void)arg;
	taken = avow_take(avow_list_at(list, 1));
	return avow_int((int64_t)avow_list_count(list));
}

FX_TEST(an_item_of_a_list_can_be_taken)
{
	const avow_value items[3] = {
		fx_box_new(1), fx_box_new(2), fx_box_new(3)
	};
	avow_promise *const p = avow_resolved(fx.loop, avow_list(items, 3));
	avow_then(avow_then(p, take_second_item, NULL), fx_note, "then");
	fx_run();
	fx_expect("then:3");
	ck_assert_int_eq(fx.boxes, 1);
	ck_assert_str_eq(fx_text(taken), "box:2");
	avow_drop(taken);
	ck_assert_int_eq(fx.boxes, 0);
}


/* --------------------------------------------------- Arguments, resources */

FX_TEST(an_argument_is_dropped_when_its_promise_has_settled)
{
	avow_promise *const p = avow_on(one(), .fulfilled = fx_pass,
					.arg = "a", .drop = fx_drop);
	avow_then(p, fx_note, "next");
	fx_run();
	fx_expect("a:1|drop:a|next:1");
}

FX_TEST(an_argument_is_kept_while_its_handler_waits)
{
	avow_promise *const work = avow_pending(fx.loop);
	avow_promise *const p = avow_on(one(), .fulfilled = give_promise,
					.arg = work, .drop = NULL);
	avow_promise *const q = avow_attach(p, "a", fx_drop);
	avow_then(q, fx_note, "next");
	fx_run();
	fx_expect("");
	avow_resolve(work, avow_int(2));
	fx_run();
	fx_expect("drop:a|next:2");
}

struct waiting {
	avow_promise *work;
	int drops;
};

static avow_value wait_for_work(avow_value value, void *arg)
{
	const struct waiting *const waiting = arg;
	(void)value;
	return avow_await(waiting->work);
}

static void count_drop(void *arg)
{
	struct waiting *const waiting = arg;
	waiting->drops++;
}

FX_TEST(drop_comes_when_the_awaited_work_is_done)
{
	struct waiting waiting = { avow_pending(fx.loop), 0 };
	avow_on(one(), .fulfilled = wait_for_work, .arg = &waiting,
		.drop = count_drop);
	fx_run();
	ck_assert_int_eq(waiting.drops, 0);
	avow_resolve(waiting.work, avow_none());
	fx_run();
	ck_assert_int_eq(waiting.drops, 1);
}

FX_TEST(drop_comes_where_the_handler_was_skipped)
{
	avow_on(one(), .rejected = fx_note, .arg = "a", .drop = fx_drop);
	avow_promise *const p = avow_on(bad(), .fulfilled = fx_note,
					.arg = "b", .drop = fx_drop);
	avow_catch(p, fx_note, "catch");
	fx_run();
	fx_expect("drop:a|drop:b|catch:!bad");
}

FX_TEST(drop_comes_where_the_handler_failed)
{
	avow_promise *const p = avow_on(one(), .fulfilled = fx_fail,
					.arg = "a", .drop = fx_drop);
	avow_catch(p, fx_note, "catch");
	fx_run();
	fx_expect("a:1|drop:a|catch:!failed");
}

FX_TEST(drop_comes_where_the_promise_was_cancelled)
{
	avow_promise *const p = avow_on(avow_pending(fx.loop),
					.fulfilled = fx_note, .arg = "a",
					.drop = fx_drop);
	avow_cancel(p);
	fx_log("cancelled");
	fx_run();
	fx_expect("drop:a|cancelled");
}

FX_TEST(drop_comes_where_a_queued_handler_was_cancelled)
{
	avow_promise *const p = avow_on(one(), .fulfilled = fx_note,
					.arg = "a", .drop = fx_drop);
	avow_cancel(p);
	fx_run();
	fx_expect("drop:a");
}

FX_TEST(drop_comes_where_the_source_was_cancelled)
{
	avow_promise *const p = avow_pending(fx.loop);
	avow_on(p, .fulfilled = fx_note, .arg = "a", .drop = fx_drop);
	avow_cancel(p);
	fx_run();
	fx_expect("drop:a");
}

FX_TEST(drop_comes_where_waiting_was_cancelled)
{
	struct waiting waiting = { avow_pending(fx.loop), 0 };
	avow_promise *const p = avow_on(one(), .fulfilled = wait_for_work,
					.arg = &waiting, .drop = count_drop);
	fx_run();
	avow_cancel(p);
	fx_run();
	ck_assert_int_eq(waiting.drops, 1);
}

FX_TEST(drop_comes_where_the_loop_is_freed)
{
	avow_promise *const p = avow_pending(fx.loop);
	avow_on(p, .rejected = fx_seven, .arg = "a", .drop = fx_drop);
	avow_catch(avow_on(p, .fulfilled = fx_note, .arg = "b",
			   .drop = fx_drop), fx_seven, "c");
	fx_run();
	fx_free_loop();
	const char *const text = fx_take_log();
	ck_assert_msg(!strncmp(text, "a:!", 3), "%s", text);
	ck_assert_msg(strstr(text, "|drop:a|drop:b|c:!"), "%s", text);
}

FX_TEST(drop_comes_without_any_handler)
{
	avow_on(one(), .arg = "a", .drop = fx_drop);
	fx_run();
	fx_expect("drop:a");
}

FX_TEST(drop_comes_in_a_finally_that_was_cancelled)
{
	avow_promise *const p = avow_pending(fx.loop);
	avow_promise *const q = avow_on(p, .finally = fx_note, .arg = "f",
					.drop = fx_drop);
	avow_cancel(q);
	fx_run();
	const char *const text = fx_take_log();
	ck_assert_msg(strstr(text, "f:!") && strstr(text, "drop:f"), "%s",
		      text);
	ck_assert_msg(strstr(text, "f:!") < strstr(text, "drop:f"), "%s",
		      text);
}

struct lookup {
	int app, id;
};

static avow_value note_lookup(avow_value value, void *arg)
{
	const struct lookup *const lookup = arg;
	(void)value;
	fx_log("%d/%d", lookup->app, lookup->id);
	return avow_none();
}

static avow_promise *attach_copy(avow_promise *p)
{
	return avow_then_copy(p, note_lookup, &(struct lookup){ 3, 4 });
}

FX_TEST(then_copy_gives_the_handler_a_copy)
{
	attach_copy(one());
	fx_run();
	fx_expect("3/4");
}

FX_TEST(a_copy_that_is_not_used_goes_too)
{
	avow_catch(attach_copy(bad()), fx_note, "catch");
	avow_cancel(attach_copy(avow_pending(fx.loop)));
	fx_run();
	fx_expect("catch:!bad");
}

struct large {
	char text[300];
};

static avow_value note_large(avow_value value, void *arg)
{
	const struct large *const large = arg;
	(void)value;
	fx_log("%s", large->text);
	return avow_none();
}

FX_TEST(a_copy_may_be_larger_than_a_node)
{
	struct large large = { "large" };
	avow_then_copy(one(), note_large, &large);
	strcpy(large.text, "changed");
	fx_run();
	fx_expect("large");
}

static void drop_lookup(void *arg)
{
	const struct lookup *const lookup = arg;
	fx_log("drop:%d/%d", lookup->app, lookup->id);
}

FX_TEST(drop_gets_the_copy_before_it_ends)
{
	const struct lookup lookup = { 5, 6 };
	avow_on(one(), .fulfilled = note_lookup, .copy = &lookup,
		.copy_size = sizeof(lookup), .drop = drop_lookup);
	avow_catch(avow_on(bad(), .fulfilled = note_lookup, .copy = &lookup,
			   .copy_size = sizeof(lookup), .drop = drop_lookup),
		   fx_note, "catch");
	fx_run();
	fx_expect("5/6|drop:5/6|drop:5/6|catch:!bad");
}

FX_TEST(an_attached_resource_ends_whatever_happens)
{
	avow_then(avow_attach(one(), "a", fx_drop), fx_note, "then");
	fx_run();
	fx_expect("drop:a|then:1");
	avow_catch(avow_attach(bad(), "b", fx_drop), fx_note, "catch");
	fx_run();
	fx_expect("drop:b|catch:!bad");
	avow_cancel(avow_attach(avow_pending(fx.loop), "c", fx_drop));
	fx_run();
	fx_expect("drop:c");
}

FX_TEST(a_resource_of_a_whole_chain_ends_with_it)
{
	avow_promise *const first = avow_pending(fx.loop);
	avow_promise *p = avow_then(first, fx_pass, "a");
	p = avow_then(p, fx_pass, "b");
	avow_attach(p, "file", fx_drop);
	avow_resolve(first, avow_int(1));
	fx_run();
	fx_expect("a:1|b:1|drop:file");
}


/* ------------------------------------------------------------------- Order */

static avow_value rung(avow_value value, void *number)
{
	fx_log("%d", (int)(intptr_t)number);
	return value;
}

static void ladder(void)
{
	avow_promise *p = avow_resolved(fx.loop, avow_none());
	for (intptr_t i = 1; i <= 6; i++)
		p = avow_then(p, rung, (void *)i);
}

static avow_value note_x(avow_value value, void *arg)
{
	(void)arg;
	(void)value;
	fx_log("X");
	return avow_none();
}

static const char *order_of(avow_promise *p)
{
	avow_on(p, .fulfilled = note_x, .rejected = note_x);
	fx_run();
	return fx_take_log();
}

static avow_value give_int(avow_value value, void *arg)
{
	(void)value;
	(void)arg;
	return avow_int(1);
}

static avow_value give_error(avow_value value, void *arg)
{
	(void)value;
	(void)arg;
	return avow_errno(EIO);
}

FX_TEST(a_settled_promise_takes_one_hop)
{
	ladder();
	ck_assert_str_eq(order_of(one()), "1|X|2|3|4|5|6");
	ladder();
	ck_assert_str_eq(order_of(bad()), "1|X|2|3|4|5|6");
}

FX_TEST(a_handler_takes_a_second_hop)
{
	ladder();
	ck_assert_str_eq(order_of(avow_then(one(), give_int, NULL)),
			 "1|2|X|3|4|5|6");
	ladder();
	ck_assert_str_eq(order_of(avow_then(one(), give_error, NULL)),
			 "1|2|X|3|4|5|6");
	ladder();
	ck_assert_str_eq(order_of(avow_catch(bad(), give_int, NULL)),
			 "1|2|X|3|4|5|6");
}

FX_TEST(passing_by_takes_a_second_hop)
{
	ladder();
	ck_assert_str_eq(order_of(avow_then(bad(), give_int, NULL)),
			 "1|2|X|3|4|5|6");
	ladder();
	ck_assert_str_eq(order_of(avow_catch(one(), give_int, NULL)),
			 "1|2|X|3|4|5|6");
}

static avow_value give_none(avow_value value, void *arg)
{
	(void)value;
	(void)arg;
	return avow_none();
}

FX_TEST(a_finally_that_gives_nothing_takes_a_second_hop)
{
	ladder();
	ck_assert_str_eq(order_of(avow_finally(one(), give_none, NULL)),
			 "1|2|X|3|4|5|6");
	ladder();
	ck_assert_str_eq(order_of(avow_finally(one(), give_error, NULL)),
			 "1|2|X|3|4|5|6");
}

/* A thenable that settles at once; 2 gives 1, and 1 gives a number. */
static avow_value start_thenable(avow_value value, void *context);

AVOW_TYPE_WITH(instant, int64_t, 0, 0, start_thenable, false, 0);

static avow_value start_thenable(avow_value value, void *context)
{
	const int64_t more = instant_get(value);
	avow_settle(context, more > 1 ? instant_value(more - 1) : avow_int(1));
	return avow_none();
}

static avow_value give_thenable(avow_value value, void *arg)
{
	(void)value;
	(void)arg;
	return instant_value(1);
}

FX_TEST(a_thenable_takes_a_second_hop)
{
	ladder();
	ck_assert_str_eq(order_of(avow_resolved(fx.loop, instant_value(1))),
			 "1|2|X|3|4|5|6");
}

FX_TEST(a_handler_that_gives_a_thenable_takes_a_third_hop)
{
	ladder();
	ck_assert_str_eq(order_of(avow_then(one(), give_thenable, NULL)),
			 "1|2|3|X|4|5|6");
}

FX_TEST(a_thenable_of_a_thenable_takes_a_third_hop)
{
	ladder();
	ck_assert_str_eq(order_of(avow_resolved(fx.loop, instant_value(2))),
			 "1|2|3|X|4|5|6");
}

FX_TEST(two_chains_take_turns)
{
	avow_promise *p = one();
	avow_promise *q = one();
	for (intptr_t i = 1; i <= 3; i++)
		p = avow_then(p, rung, (void *)i);
	for (intptr_t i = 11; i <= 13; i++)
		q = avow_then(q, rung, (void *)i);
	fx_run();
	fx_expect("1|11|2|12|3|13");
}

FX_TEST(tap_attach_and_shield_take_a_second_hop)
{
	ladder();
	ck_assert_str_eq(order_of(avow_tap(one(), give_int, NULL)),
			 "1|2|X|3|4|5|6");
	ladder();
	ck_assert_str_eq(order_of(avow_shield(one())), "1|2|X|3|4|5|6");
	ladder();
	avow_promise *const p = avow_attach(one(), "a", fx_drop);
	ck_assert_str_eq(order_of(p), "1|drop:a|2|X|3|4|5|6");
}



/* ------------------------------------------------------------ By address */

/* The names are macros that add the place; behind each is a function. */
FX_TEST(every_chain_verb_has_an_address)
{
	avow_promise *(*const verbs[])(avow_promise *, avow_handler_fn *,
				       void *) = {
		avow_then, avow_catch, avow_finally, avow_tap, avow_tap_catch
	};
	avow_promise *(*const shield)(avow_promise *) = avow_shield;
	avow_promise *(*const attach)(avow_promise *, void *, avow_drop_fn *) =
		avow_attach;
	avow_promise *(*const catch_code)(avow_promise *, const avow_domain *,
					  int, avow_handler_fn *, void *) =
		avow_catch_code;
	avow_promise *p = bad();
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		p = verbs[i](p, i == 1 ? fx_fail : fx_pass, "v");
		fx_log("%zu", i);
	}
	p = catch_code(attach(shield(p), "a", fx_drop), &avow_errno_domain,
		       EIO, fx_seven, "code");
	avow_then(p, fx_note, "end");
	fx_run();
	fx_expect("0|1|2|3|4|v:!bad|v:!failed|v:!failed|drop:a|code:!failed|"
		  "end:7");
}

FX_TEST(every_source_of_promises_has_an_address)
{
	avow_promise *(*const pending)(avow_loop *) = avow_pending;
	avow_promise *(*const resolved)(avow_loop *, avow_value) =
		avow_resolved;
	avow_promise *(*const rejected)(avow_loop *, avow_value) =
		avow_rejected;
	avow_promise *const p = pending(fx.loop);
	avow_then(p, fx_note, "p");
	avow_then(resolved(fx.loop, avow_int(1)), fx_note, "q");
	avow_catch(rejected(fx.loop, avow_error(EIO, "bad")), fx_note, "r");
	avow_resolve(p, avow_int(0));
	fx_run();
	fx_expect("q:1|r:!bad|p:0");
}

int main(void)
{
	return fx_main("chain");
}
