/*
 * SPDX-License-Identifier: MIT
 *
 * Groups: what is added runs on, what joins is told when nothing is left, and
 * nothing outlives that.
 */
#include "hoard.h"
#include "scene.h"

/* A call of the program's that ends when the test says so, and tells when it
 * is given up. */
static void hook(void *name)
{
	fx_log("stop:%s", (const char *)name);
}

static avow_promise *work_on(avow_loop *loop, const char *name, void **context)
{
	const avow_call call = avow_begin(loop, name);
	avow_on_cancel(call.context, hook, (void *)(uintptr_t)name);
	if (context)
		*context = call.context;
	return avow_end(call, true, 0);
}

static avow_promise *work(const char *name, void **context)
{
	return work_on(fx.loop, name, context);
}

static avow_promise *failed(void)
{
	return avow_rejected(fx.loop, avow_error(EIO, "bad"));
}

static void note_end(avow_promise *p, const char *name)
{
	avow_on(p, .fulfilled = fx_note, .rejected = fx_note, .arg = name);
}

static void note_code(avow_promise *p, const char *name)
{
	avow_catch(p, fx_note_code, name);
}

static void free_group(void *group)
{
	avow_group_free(group);
}


/* ------------------------------------------------------------------ Joining */

FX_TEST(joining_an_empty_group_is_fulfilled_with_none)
{
	avow_group *const group = avow_group_new(fx.loop);

	note_end(avow_group_join(group), "join");
	fx_log("attached");
	fx_run();

	fx_expect("attached|join:none");
	avow_group_free(group);
}

FX_TEST(a_join_is_fulfilled_once_no_member_is_left)
{
	avow_group *const group = avow_group_new(fx.loop);
	void *one, *two;

	ck_assert(avow_group_add(group, work("one", &one)));
	ck_assert(avow_group_add(group, work("two", &two)));
	note_end(avow_group_join(group), "join");
	ck_assert_uint_eq(avow_group_count(group), 2);
	avow_settle(one, avow_none());
	fx_run();
	ck_assert_uint_eq(avow_group_count(group), 1);
	fx_expect("");
	avow_settle(two, fx_box_new(2));
	fx_run();

	ck_assert_uint_eq(avow_group_count(group), 0);
	fx_expect("join:none");
	avow_group_free(group);
}

FX_TEST(several_may_join_and_join_again)
{
	avow_group *const group = avow_group_new(fx.loop);
	void *one;

	avow_group_add(group, work("one", &one));
	note_end(avow_group_join(group), "first");
	note_end(avow_group_join(group), "second");
	avow_settle(one, avow_none());
	fx_run();
	note_end(avow_group_join(group), "third");
	fx_run();

	fx_expect("first:none|second:none|third:none");
	avow_group_free(group);
}

FX_TEST(members_may_be_added_while_the_group_is_joined)
{
	avow_group *const group = avow_group_new(fx.loop);
	void *one, *two;

	avow_group_add(group, work("one", &one));
	note_end(avow_group_join(group), "join");
	avow_group_add(group, work("two", &two));
	avow_settle(one, avow_none());
	fx_run();
	fx_expect("");
	avow_settle(two, avow_none());
	fx_run();

	fx_expect("join:none");
	avow_group_free(group);
}

static avow_value add_a_last_one(avow_value value, void *group)
{
	(void)value;
	fx_log("add");
	avow_group_add(group,
		       avow_then(avow_delay(fx.loop, .001), fx_note, "last"));
	return avow_none();
}

FX_TEST(a_member_may_add_members_from_its_handler)
{
	avow_group *const group = avow_group_new(fx.loop);

	avow_group_add(group, avow_then(avow_delay(fx.loop, .001),
					add_a_last_one, group));
	note_end(avow_group_join(group), "join");
	fx_run();

	fx_expect("add|last:none|join:none");
	avow_group_free(group);
}

FX_TEST(a_settled_promise_may_be_added)
{
	avow_group *const group = avow_group_new(fx.loop);

	avow_group_add(group, avow_resolved(fx.loop, fx_box_new(1)));
	note_end(avow_group_join(group), "join");
	fx_run();

	fx_expect("join:none");
	avow_group_free(group);
}

FX_TEST(a_member_lives_until_it_has_settled)
{
	avow_group *const group = avow_group_new(fx.loop);
	avow_promise *slot;

	avow_slot(avow_resolved(fx.loop, fx_box_new(1)), &slot);
	avow_group_add(group, slot);
	ck_assert_ptr_nonnull(slot);
	fx_run();

	ck_assert_ptr_null(slot);
	avow_group_free(group);
}

FX_TEST(the_memory_of_a_member_goes_when_it_settles)
{
	avow_group *const group = avow_group_new(fx.loop);
	const size_t total = fx_scale(100 * 1000);
	avow_stats stats;

	for (size_t i = 0; i < total; i++) {
		avow_group_add(group, avow_resolved(fx.loop, avow_none()));
		if (i % 100 == 0)
			fx_run();
	}
	fx_run();
	avow_loop_stats(fx.loop, &stats);

	ck_assert_uint_lt(stats.promise_count, 300 + FX_QUARANTINE);
	avow_group_free(group);
}

FX_TEST_LIMIT(a_million_members_end_and_a_million_are_cancelled, 20)
{
	avow_group *group = avow_group_new(fx.loop);
	const size_t total = fx_scale(1000 * 1000);
	avow_promise *const gate = avow_pending(fx.loop);

	for (size_t i = 0; i < total; i++)
		avow_group_add(group, avow_then(gate, fx_pass, NULL));
	avow_group_cancel(group);
	avow_group_free(group);
	group = avow_group_new(fx.loop);
	avow_promise *const door = avow_pending(fx.loop);
	for (size_t i = 0; i < total; i++)
		avow_group_add(group, door);
	ck_assert_uint_eq(avow_group_count(group), total);
	avow_resolve(door, avow_none());
	fx_run();

	ck_assert_uint_eq(avow_group_count(group), 0);
	avow_group_free(group);
}


/* ------------------------------------------------------------------- Failing */

FX_TEST(the_first_failure_cancels_the_others_and_rejects_the_join)
{
	avow_group *const group = avow_group_new(fx.loop);
	void *two;

	avow_group_add(group, work("one", NULL));
	avow_group_add(group, work("two", &two));
	avow_group_add(group, work("three", NULL));
	note_end(avow_group_join(group), "join");
	note_end(avow_group_join(group), "other");
	avow_settle(two, avow_error(EIO, "bad"));
	fx_run();

	fx_expect("stop:one|stop:three|join:!bad|other:!bad");
	avow_group_free(group);
}

FX_TEST(later_joins_get_the_same_failure)
{
	avow_group *const group = avow_group_new(fx.loop);

	avow_group_add(group, failed());
	note_end(avow_group_join(group), "first");
	fx_run();
	note_end(avow_group_join(group), "second");
	fx_run();

	fx_expect("first:!bad|second:!bad");
	avow_group_free(group);
}

FX_TEST(of_two_failures_the_first_counts_and_the_other_is_handled)
{
	avow_group *const group = avow_group_new(fx.loop);

	avow_group_add(group, failed());
	avow_group_add(group, avow_rejected(fx.loop, avow_error(EIO, "worse")));
	note_end(avow_group_join(group), "join");
	fx_run();

	fx_expect("join:!bad");
	avow_group_free(group);
}

FX_TEST(a_group_that_has_failed_takes_no_more_members)
{
	avow_group *const group = avow_group_new(fx.loop);

	avow_group_add(group, failed());
	note_end(avow_group_join(group), "join");
	fx_run();
	ck_assert(!avow_group_add(group, work("late", NULL)));
	ck_assert(!avow_group_add(group, failed()));
	fx_run();

	fx_expect("join:!bad|stop:late");
	ck_assert_uint_eq(avow_group_count(group), 0);
	avow_group_free(group);
}

FX_TEST(a_member_that_was_cancelled_has_ended_and_not_failed)
{
	avow_group *const group = avow_group_new(fx.loop);
	avow_promise *const one = work("one", NULL);
	void *two;

	avow_group_add(group, one);
	avow_group_add(group, work("two", &two));
	note_end(avow_group_join(group), "join");
	avow_cancel(one);
	fx_run();
	ck_assert_uint_eq(avow_group_count(group), 1);
	avow_settle(two, avow_none());
	fx_run();

	fx_expect("stop:one|join:none");
	avow_group_free(group);
}

FX_TEST(a_failure_that_no_join_was_told_of_is_reported_by_the_free)
{
	avow_group *const group = avow_group_new(fx.loop);

	const int line = __LINE__ + 1;
	avow_group_add(group, failed());
	fx_run();
	fx_expect_reports("");
	avow_group_free(group);
	fx_run();

	fx_expect_reports("unhandled:bad");
	ck_assert_int_eq(fx_report_line(0), line);
}

FX_TEST(a_failure_that_no_join_was_told_of_is_reported_by_the_end)
{
	avow_group *const group = avow_group_new(fx.loop);

	avow_group_add(group, failed());
	fx_run();
	fx_free_loop();
	avow_group_free(group);

	fx_expect_reports("unhandled:bad");
}

FX_TEST(a_join_that_nobody_looks_at_is_reported)
{
	avow_group *const group = avow_group_new(fx.loop);

	avow_group_add(group, failed());
	avow_group_join(group);
	fx_run();
	avow_group_free(group);

	fx_expect_reports("unhandled:bad");
}

FX_TEST(an_error_with_an_owner_is_shared_by_all_joins)
{
	avow_group *const group = avow_group_new(fx.loop);
	avow_value error = avow_wrap(fx_box_new(1), "wrapped");

	avow_group_add(group, avow_rejected(fx.loop, error));
	note_end(avow_group_join(group), "first");
	note_end(avow_group_join(group), "second");
	fx_run();

	fx_expect("first:!wrapped|second:!wrapped");
	avow_group_free(group);
}

FX_TEST(a_group_that_keeps_going_lets_all_come_to_their_end)
{
	avow_group *const group = avow_group_new(fx.loop, .keep_going = true);
	void *one, *two;

	avow_group_add(group, failed());
	avow_group_add(group, work("one", &one));
	note_end(avow_group_join(group), "join");
	fx_run();
	fx_expect("");
	ck_assert(avow_group_add(group, work("two", &two)));
	avow_settle(one, avow_error(EIO, "worse"));
	fx_run();
	fx_expect("");
	avow_settle(two, avow_none());
	fx_run();

	fx_expect("join:!bad");
	avow_group_free(group);
}


/* --------------------------------------------------------------- Cancelling */

FX_TEST(cancelling_cancels_all_members_in_their_order)
{
	avow_group *const group = avow_group_new(fx.loop);

	avow_group_add(group, work("one", NULL));
	avow_group_add(group, work("two", NULL));
	note_code(avow_group_join(group), "join");
	avow_group_cancel(group);
	fx_expect("stop:one|stop:two");
	fx_run();

	fx_expect("join:1");
	ck_assert(!avow_group_add(group, work("late", NULL)));
	fx_expect("stop:late");
	avow_group_cancel(group);
	avow_group_free(group);
}

FX_TEST(cancelling_an_empty_group_rejects_its_joins)
{
	avow_group *const group = avow_group_new(fx.loop);

	avow_group_cancel(group);
	note_code(avow_group_join(group), "join");
	fx_run();

	fx_expect("join:1");
	avow_group_free(group);
}

FX_TEST(the_group_cancels_a_member_that_others_wait_for)
{
	avow_group *const group = avow_group_new(fx.loop);
	avow_promise *const p = work("one", NULL);

	avow_group_add(group, p);
	note_code(p, "other");
	avow_hold(p);
	avow_group_cancel(group);
	fx_run();

	fx_expect("stop:one|other:1");
	avow_release(p);
	avow_group_free(group);
}

FX_TEST(a_shielded_member_goes_on_when_the_group_is_cancelled)
{
	avow_group *const group = avow_group_new(fx.loop);
	avow_promise *const p = avow_delay(fx.loop, .001);

	avow_then(p, fx_note, "work");
	avow_group_add(group, avow_shield(p));
	avow_group_cancel(group);
	fx_run();

	fx_expect("work:none");
	avow_group_free(group);
}

FX_TEST(cancelling_the_only_join_cancels_the_group)
{
	avow_group *const group = avow_group_new(fx.loop);

	avow_group_add(group, work("one", NULL));
	avow_promise *const end =
		avow_then(avow_group_join(group), fx_note, "never");
	avow_cancel(end);

	fx_expect("stop:one");
	ck_assert_uint_eq(avow_group_count(group), 0);
	avow_group_free(group);
}

FX_TEST(cancelling_one_of_two_joins_leaves_the_group_running)
{
	avow_group *const group = avow_group_new(fx.loop);
	void *context;

	avow_group_add(group, work("one", &context));
	avow_promise *const first = avow_group_join(group);
	note_end(avow_group_join(group), "two");
	avow_cancel(first);
	ck_assert_uint_eq(avow_group_count(group), 1);
	avow_settle(context, avow_none());
	fx_run();

	fx_expect("two:none");
	avow_group_free(group);
}

FX_TEST(a_signal_cancels_the_join_and_so_the_group)
{
	avow_group *const group = avow_group_new(fx.loop);
	avow_abort *const stop = avow_abort_new(fx.loop);

	avow_group_add(group, work("one", NULL));
	note_end(avow_group_join(group, .signal = avow_abort_signal(stop)),
		 "join");
	avow_abort_with(stop, avow_error(EIO, "enough"));
	fx_run();

	fx_expect("stop:one|join:!enough");
	avow_abort_free(stop);
	avow_group_free(group);
}

/* A group in a group in a group: a cancellation goes down by a loop. */
struct nest {
	avow_group **groups;
	size_t count;
};

static void cancel_nested(void *arg)
{
	const struct nest *const nest = arg;

	avow_group_cancel(nest->groups[nest->count - 1]);
}

FX_TEST_LIMIT(groups_nested_a_hundred_thousand_deep_are_cancelled, 20)
{
	const size_t count = fx_scale(100 * 1000);
	avow_group **const groups = malloc(count * sizeof(avow_group *));
	struct nest nest = { groups, count };

	for (size_t i = 0; i < count; i++) {
		groups[i] = avow_group_new(fx.loop);
		ck_assert(avow_group_add(groups[i],
					 i ? avow_group_join(groups[i - 1])
					   : work("innermost", NULL)));
	}
	fx_on_small_stack(cancel_nested, &nest);
	fx_expect("stop:innermost");
	for (size_t i = 0; i < count; i++) {
		ck_assert_uint_eq(avow_group_count(groups[i]), 0);
		avow_group_free(groups[i]);
	}
	free(groups);
}

FX_TEST(a_group_may_contain_its_own_join_and_be_cancelled)
{
	avow_group *const group = avow_group_new(fx.loop);

	avow_group_add(group, work("one", NULL));
	avow_group_add(group, avow_group_join(group));
	avow_group_cancel(group);
	fx_run();

	fx_expect("stop:one");
	avow_group_free(group);
}

static void cancel_group(void *group)
{
	fx_log("hook:%zu", avow_group_count(group));
	avow_group_cancel(group);
}

FX_TEST(a_cancel_hook_may_cancel_the_group_again)
{
	avow_group *const group = avow_group_new(fx.loop);

	for (int i = 0; i < 3; i++) {
		const avow_call call = avow_begin(fx.loop, "call");
		avow_on_cancel(call.context, cancel_group, group);
		avow_group_add(group, avow_end(call, true, 0));
	}
	note_code(avow_group_join(group), "join");
	avow_group_cancel(group);
	fx_run();

	fx_expect("hook:0|hook:0|hook:0|join:1");
	avow_group_free(group);
}

static void join_and_add(void *group)
{
	note_code(avow_group_join(group), "join");
	ck_assert(!avow_group_add(group, work("late", NULL)));
}

FX_TEST(a_join_made_in_a_cancel_hook_waits_for_the_other_members)
{
	avow_group *const group = avow_group_new(fx.loop);
	const avow_call call = avow_begin(fx.loop, "call");

	avow_on_cancel(call.context, join_and_add, group);
	avow_group_add(group, avow_end(call, true, 0));
	avow_group_add(group, work("two", NULL));
	avow_group_cancel(group);
	fx_run();

	fx_expect("stop:late|stop:two|join:1");
	avow_group_free(group);
}

static avow_value cancel_from_handler(avow_value value, void *group)
{
	fx_log("member");
	avow_group_cancel(group);
	return value;
}

FX_TEST(a_member_may_cancel_the_group_it_is_in)
{
	avow_group *const group = avow_group_new(fx.loop);

	avow_group_add(group, avow_then(avow_resolved(fx.loop, avow_none()),
					cancel_from_handler, group));
	avow_group_add(group, work("two", NULL));
	note_code(avow_group_join(group), "join");
	fx_run();

	fx_expect("member|stop:two|join:1");
	avow_group_free(group);
}


/* ------------------------------------------------------------------ Freeing */

FX_TEST(freeing_cancels_what_is_running_and_closes_the_joins)
{
	avow_group *const group = avow_group_new(fx.loop);

	avow_group_add(group, work("one", NULL));
	note_code(avow_group_join(group), "join");
	avow_group_free(group);
	fx_expect("stop:one");
	fx_run();

	fx_expect("join:12");
	avow_group_free(NULL);
}

static avow_value free_from_handler(avow_value value, void *group)
{
	fx_log("member");
	avow_group_free(group);
	return value;
}

FX_TEST(a_member_may_free_the_group_it_is_in)
{
	avow_group *const group = avow_group_new(fx.loop);

	avow_group_add(group, avow_then(avow_resolved(fx.loop, avow_none()),
					free_from_handler, group));
	avow_group_add(group, work("two", NULL));
	note_code(avow_group_join(group), "join");
	fx_run();

	fx_expect("member|stop:two|join:12");
}

FX_TEST(a_cancel_hook_may_free_the_group)
{
	avow_group *const group = avow_group_new(fx.loop);
	const avow_call call = avow_begin(fx.loop, "call");

	avow_on_cancel(call.context, free_group, group);
	avow_group_add(group, avow_end(call, true, 0));
	avow_group_add(group, work("two", NULL));
	note_code(avow_group_join(group), "join");
	avow_group_cancel(group);
	fx_run();

	fx_expect("stop:two|join:12");
}

static void free_group_of_value(void *group)
{
	fx_log("drop");
	avow_group_free(group);
}

static const avow_type freeing_type = { .name = "freeing",
					.drop = free_group_of_value };

FX_TEST(the_value_of_a_member_may_free_the_group_when_it_is_dropped)
{
	avow_group *const group = avow_group_new(fx.loop);

	avow_group_add(group,
		       avow_resolved(fx.loop, avow_own(group, &freeing_type)));
	note_code(avow_group_join(group), "join");
	fx_run();

	fx_expect("drop|join:12");
}

FX_TEST(the_last_join_may_free_the_group)
{
	avow_group *const group = avow_group_new(fx.loop);

	avow_then(avow_group_join(group), free_from_handler, group);
	fx_run();

	fx_expect("member");
}

FX_TEST(a_group_may_be_freed_after_its_loop)
{
	avow_group *const group = avow_group_new(fx.loop);

	avow_group_add(group, avow_pending(fx.loop));
	note_code(avow_group_join(group), "join");
	fx_free_loop();
	avow_group_cancel(group);
	avow_group_free(group);

	fx_expect("join:3");
}

static struct ending {
	avow_loop *loop;
	avow_group *group;
} ending;

static void use_at_the_end(void *arg)
{
	(void)arg;
	fx_log("hook");
	avow_group_add(ending.group, avow_pending(ending.loop));
	note_code(avow_group_join(ending.group), "late");
	avow_group_cancel(ending.group);
	avow_group_free(ending.group);
}

/* The hook comes before the group knows of the end, or after. */
static void end_with(bool hook_is_first)
{
	ending.loop = fx.loop;
	if (!hook_is_first)
		ending.group = avow_group_new(fx.loop);
	const avow_call call = avow_begin(fx.loop, "call");
	if (hook_is_first)
		ending.group = avow_group_new(fx.loop);
	avow_on_cancel(call.context, use_at_the_end, NULL);
	avow_group_add(ending.group, avow_end(call, true, 0));
	note_code(avow_group_join(ending.group), "join");
	fx_free_loop();
	fx_expect_reports("abandoned:call");
}

FX_TEST(a_group_may_be_used_and_freed_as_soon_as_its_loop_ends)
{
	end_with(true);
	fx_expect("hook|late:3|join:1");
}

FX_TEST(a_group_may_be_used_and_freed_after_the_loop_has_ended_it)
{
	end_with(false);
	fx_expect("hook|late:3|join:12");
}

static avow_value make_a_group_too_late(avow_value value, void *loop)
{
	avow_loop_free(loop);
	ck_assert_ptr_null(avow_group_new(loop));
	fx_log("none");
	return value;
}

FX_TEST(no_group_is_made_on_a_loop_that_is_being_freed)
{
	avow_loop *const loop = avow_loop_new(fx.ev);

	avow_then(avow_resolved(loop, avow_none()), make_a_group_too_late,
		  loop);
	fx_run();

	fx_expect("none");
}


/* ----------------------------------------------------------------- Anything */

static avow_group *scene_group;

static avow_value act_in_handler(avow_value value, void *arg)
{
	(void)arg;
	scene_act();
	return value;
}

static void act(void *arg)
{
	(void)arg;
	scene_act();
}

static void prepare_join_handler(void)
{
	avow_group_free(scene_group);
	scene_group = avow_group_new(scene.loop);
	avow_group_add(scene_group, avow_resolved(scene.loop, fx_box_new(1)));
	scene_self(
		avow_then(avow_group_join(scene_group), act_in_handler, NULL));
}

FX_TEST(what_waits_for_a_join_may_do_anything)
{
	scene_try_all(prepare_join_handler, 1);
	avow_group_free(scene_group);
}

static void prepare_member_handler(void)
{
	avow_group_free(scene_group);
	scene_group = avow_group_new(scene.loop);
	avow_promise *const p = avow_then(
		avow_resolved(scene.loop, avow_none()), act_in_handler, NULL);
	avow_group_add(scene_group, scene_self(p));
	avow_group_join(scene_group);
}

FX_TEST(a_member_may_do_anything)
{
	scene_try_all(prepare_member_handler, 1);
	avow_group_free(scene_group);
}

static void prepare_cancelled_member(void)
{
	avow_group_free(scene_group);
	scene_group = avow_group_new(scene.loop);
	for (int i = 0; i < 2; i++) {
		const avow_call call = avow_begin(scene.loop, "call");
		avow_on_cancel(call.context, act, NULL);
		avow_promise *const p = avow_end(call, true, 0);
		if (i == 0)
			scene_self(p);
		avow_group_add(scene_group, p);
	}
	avow_group_join(scene_group);
	avow_group_cancel(scene_group);
}

FX_TEST(the_cancel_hook_of_a_member_may_do_anything)
{
	scene_try_all(prepare_cancelled_member, 2);
	avow_group_free(scene_group);
}


/* ------------------------------------------------------------- No memory, misuse */

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

	if (!loop)
		return;
	avow_loop_on_report(loop, ignore, NULL);
	avow_group *const group =
		avow_group_new(loop, .keep_going = arg != NULL);
	if (group) {
		for (int i = 0; i < 3; i++)
			avow_group_add(group,
				       avow_resolved(loop, fx_box_new(i)));
		avow_on(avow_group_join(group), .fulfilled = count_end,
			.rejected = count_end, .arg = &ends);
		ev_run(fx.ev, 0);
		ck_assert_int_eq(ends, 1);
		avow_group_free(group);
	}
	avow_loop_free(loop);
}

FX_TEST(whatever_cannot_be_allocated_a_join_settles)
{
	fx_sweep(without_memory, NULL);
	fx_sweep(without_memory, &fx);
	fx_take_log();
}

FX_TEST_LIMIT(a_member_that_there_is_no_memory_for_is_cancelled, 10)
{
	for (size_t left = 0; left < 3; left++) {
		avow_group *const group = avow_group_new(fx.loop);
		avow_promise *const one = work("one", NULL);

		avow_group_add(group, work("two", NULL));
		avow_on(avow_group_join(group), .rejected = fx_note,
			.arg = "join");
		hoard_begin(left);
		if (avow_group_add(group, one)) {
			hoard_end();
			avow_group_cancel(group);
			fx_run();
			fx_expect("stop:two|stop:one|join:!cancelled");
		} else {
			ck_assert_int_eq(avow_state_of(one), AVOW_REJECTED);
			hoard_end();
			ck_assert_int_eq(strncmp(fx_take_log(),
						 "stop:one|stop:two|join:!",
						 24),
					 0);
		}
		avow_group_free(group);
	}
}

FX_TEST(a_failure_there_is_no_memory_for_is_one_all_the_same)
{
	avow_group *const group = avow_group_new(fx.loop);
	avow_promise *const p = avow_pending(fx.loop);

	avow_group_add(group, p);
	note_end(avow_group_join(group), "join");
	const avow_value error = avow_error(EIO, "bad");
	hoard_begin(0);
	avow_reject(p, error);
	fx_run();
	ck_assert_int_eq(strncmp(fx_take_log(), "join:!", 6), 0);
	hoard_end();

	avow_group_free(group);
}

/* It does not cancel the group, and no group waits for it any more. */
FX_TEST_LIMIT(a_join_that_there_is_no_memory_for_is_none, 10)
{
	avow_abort *const stop = avow_abort_new(fx.loop);

	for (size_t left = 0; left < 8; left++) {
		avow_group *const group = avow_group_new(fx.loop);
		avow_group_add(group, work("one", NULL));
		hoard_begin(left);
		avow_promise *const p = avow_group_join(
			group, .signal = avow_abort_signal(stop));
		const bool is_made = avow_state_of(p) == AVOW_PENDING;
		fx_expect("");
		hoard_end();
		if (is_made)
			avow_cancel(p);
		else
			avow_cancel(avow_group_join(group));
		fx_expect("stop:one");
		fx_run();
		avow_group_free(group);
	}
	avow_abort_free(stop);
}

FX_TEST(misuse_of_a_group_is_told)
{
	avow_group *const group = avow_group_new(fx.loop);
	struct ev_loop *const ev = ev_loop_new(EVFLAG_AUTO);
	avow_loop *const other = avow_loop_new(ev);

	FX_ABORTS("avow_group_new() with a NULL loop",
		  avow_group_free(avow_group_new(NULL)));
	FX_ABORTS("NULL group", avow_group_add(NULL, avow_pending(fx.loop)));
	FX_ABORTS("NULL group", avow_group_join(NULL));
	FX_ABORTS("avow_group_cancel(NULL)", avow_group_cancel(NULL));
	FX_ABORTS("avow_group_count(NULL)", (void)avow_group_count(NULL));
	FX_ABORTS("NULL promise", avow_group_add(group, NULL));
	FX_ABORTS("another loop", avow_group_add(group, avow_pending(other)));
	avow_loop_free(other);
	ev_loop_destroy(ev);
	avow_group_free(group);
}

FX_TEST(the_functions_have_addresses)
{
	avow_group *(*const make)(avow_loop *) = avow_group_new;
	bool (*const add)(avow_group *, avow_promise *) = avow_group_add;
	avow_promise *(*const join)(avow_group *) = avow_group_join;
	avow_group *const group = make(fx.loop);

	ck_assert(add(group, avow_resolved(fx.loop, avow_none())));
	note_end(join(group), "join");
	fx_run();

	fx_expect("join:none");
	avow_group_free(group);
}

int main(void)
{
	return fx_main("group");
}
