/*
 * SPDX-License-Identifier: MIT
 *
 * Emitters: listeners, what they may do while they are called, the next event
 * as a promise, and events one after the other.
 *
 * Listeners log in the middle of avow_emitter_emit(), handlers of promises from
 * the loop; the order of both in one log is what many tests look at.
 */
#include "scene.h"

static void hear(avow_value value, void *name)
{
	fx_log("%s:%s", (const char *)name, fx_text(value));
}

static avow_value unwrap(avow_value data, void *name)
{
	const avow_value error = avow_unreify(avow_take(data));
	fx_log("%s:%s", (const char *)name, fx_text(error));
	avow_drop(error);
	return avow_none();
}

static avow_emitter *open_emitter(void)
{
	avow_emitter *const e = avow_emitter_new(fx.loop);
	ck_assert_ptr_nonnull(e);
	return e;
}


/* --------------------------------------------------------------- Listeners */

FX_TEST(listeners_are_called_in_order_before_the_emit_returns)
{
	avow_emitter *const e = open_emitter();

	avow_emitter_on(e, "data", hear, "a");
	avow_emitter_on(e, "data", hear, "b");
	avow_emitter_on(e, "other", hear, "c");
	fx_log("emit");
	ck_assert_uint_eq(avow_emitter_emit(e, "data", avow_int(7)), 2);
	fx_log("emitted");

	fx_expect("emit|a:7|b:7|emitted");
	avow_emitter_free(e);
}

FX_TEST(an_event_that_nobody_listens_to_is_dropped)
{
	avow_emitter *const e = open_emitter();

	ck_assert_uint_eq(avow_emitter_emit(e, "data", fx_box_new(1)), 0);

	ck_assert_int_eq(fx.boxes, 0);
	avow_emitter_free(e);
}

FX_TEST(a_value_is_borrowed_by_its_listeners_and_dropped_once)
{
	avow_emitter *const e = open_emitter();

	avow_emitter_on(e, "data", hear, "a");
	avow_emitter_on(e, "data", hear, "b");
	avow_emitter_emit(e, "data", fx_box_new(3));

	fx_expect("a:box:3|b:box:3");
	ck_assert_int_eq(fx.boxes, 0);
	avow_emitter_free(e);
}

static void keep_copy(avow_value value, void *p)
{
	avow_resolve(p, avow_take(value));
}

FX_TEST(a_listener_keeps_a_value_by_taking_a_copy)
{
	avow_emitter *const e = open_emitter();
	avow_promise *const p = avow_pending(fx.loop);

	avow_then(p, fx_note, "kept");
	avow_emitter_on(e, "data", keep_copy, p);
	avow_emitter_on(e, "data", hear, "b");
	avow_emitter_emit(e, "data", fx_twin_new(3));
	fx_run();

	fx_expect("b:twin:3|kept:twin:3");
	avow_emitter_free(e);
}

static avow_value emit_it(avow_value value, void *emitter)
{
	avow_emitter_emit(emitter, "data", avow_take(value));
	return avow_int(1);
}

/* The handler's argument is gone, and the listener takes from the emit. */
FX_TEST(a_listener_takes_from_the_event_and_not_from_the_handler_that_emits)
{
	avow_emitter *const e = open_emitter();
	avow_promise *const p = avow_pending(fx.loop);
	const avow_value items[] = { avow_int(1), fx_twin_new(2) };
	avow_promise *const list = avow_resolved(fx.loop, avow_list(items, 2));

	avow_emitter_on(e, "data", keep_copy, p);
	avow_then(p, fx_note, "kept");
	avow_then(list, emit_it, e);
	avow_then(list, fx_note, "beside");
	fx_run();

	fx_expect("beside:[1,twin:2]|kept:[1,twin:2]");
	avow_emitter_free(e);
}

static avow_value emit_item(avow_value value, void *emitter)
{
	avow_emitter_emit(emitter, "data", avow_take(avow_list_at(value, 0)));
	return value;
}

FX_TEST(a_handler_that_emits_an_item_can_still_pass_its_argument_on)
{
	avow_emitter *const e = open_emitter();
	avow_promise *const p = avow_pending(fx.loop);
	const avow_value items[] = { fx_twin_new(2) };
	avow_promise *const list = avow_resolved(fx.loop, avow_list(items, 1));

	avow_emitter_on(e, "data", keep_copy, p);
	avow_then(p, fx_note, "kept");
	avow_then(avow_then(list, emit_item, e), fx_note, "passed");
	avow_then(list, fx_note, "beside");
	fx_run();

	fx_expect("beside:[twin:2]|kept:twin:2|passed:[twin:2]");
	avow_emitter_free(e);
}

FX_TEST(the_same_function_added_twice_is_called_twice)
{
	avow_emitter *const e = open_emitter();

	avow_emitter_on(e, "data", hear, "a");
	avow_emitter_on(e, "data", hear, "a");
	avow_emitter_emit(e, "data", avow_none());

	fx_expect("a:none|a:none");
	avow_emitter_free(e);
}

FX_TEST(a_listener_can_stand_in_front)
{
	avow_emitter *const e = open_emitter();

	avow_emitter_on(e, "data", hear, "a");
	avow_emitter_on(e, "data", hear, "b", .first = true);
	avow_emitter_on(e, "data", hear, "c", .first = true);
	avow_emitter_emit(e, "data", avow_none());

	fx_expect("c:none|b:none|a:none");
	avow_emitter_free(e);
}

FX_TEST(a_listener_can_be_for_one_event_alone)
{
	avow_emitter *const e = open_emitter();

	avow_emitter_once(e, "data", hear, "a", .drop = fx_drop);
	avow_emitter_on(e, "data", hear, "b", .once = true);
	avow_emitter_on(e, "data", hear, "c");
	ck_assert_uint_eq(avow_emitter_emit(e, "data", avow_int(1)), 3);
	ck_assert_uint_eq(avow_emitter_emit(e, "data", avow_int(2)), 1);

	fx_expect("a:1|drop:a|b:1|c:1|c:2");
	avow_emitter_free(e);
}

static void emit_again(avow_value value, void *emitter)
{
	fx_log("again:%s", fx_text(value));
	avow_emitter_emit(emitter, "data", avow_int(2));
}

FX_TEST(a_listener_for_one_event_is_gone_before_it_is_called)
{
	avow_emitter *const e = open_emitter();

	avow_emitter_once(e, "data", emit_again, e);
	avow_emitter_on(e, "data", hear, "b");
	avow_emitter_emit(e, "data", avow_int(1));

	fx_expect("again:1|b:2|b:1");
	avow_emitter_free(e);
}

FX_TEST(a_listener_is_taken_away_by_its_function_and_argument)
{
	avow_emitter *const e = open_emitter();

	avow_emitter_on(e, "data", hear, "a", .drop = fx_drop);
	avow_emitter_on(e, "data", hear, "b");
	avow_then(avow_once(e, "data"), fx_note, "once");
	ck_assert(!avow_emitter_off(e, "data", hear, "c"));
	ck_assert(!avow_emitter_off(e, "other", hear, "a"));
	ck_assert(!avow_emitter_off(e, "data", keep_copy, "a"));
	ck_assert(avow_emitter_off(e, "data", hear, "a"));
	ck_assert(!avow_emitter_off(e, "data", hear, "a"));
	avow_emitter_emit(e, "data", avow_int(1));
	fx_run();

	fx_expect("drop:a|b:1|once:1");
	avow_emitter_free(e);
}

FX_TEST(of_equal_listeners_the_last_is_taken_away)
{
	avow_emitter *const e = open_emitter();

	avow_emitter_on(e, "data", hear, "a");
	avow_emitter_on(e, "data", hear, "b");
	avow_emitter_on(e, "data", hear, "a");
	ck_assert(avow_emitter_off(e, "data", hear, "a"));
	avow_emitter_emit(e, "data", avow_int(1));

	fx_expect("a:1|b:1");
	avow_emitter_free(e);
}

FX_TEST(listeners_are_counted_by_event)
{
	avow_emitter *const e = open_emitter();
	avow_promise *const p = avow_once(e, "data");
	avow_events *const it = avow_events_new(e, "data");

	avow_emitter_on(e, "data", hear, "a");
	ck_assert_uint_eq(avow_emitter_count(e, "data"), 3);
	ck_assert_uint_eq(avow_emitter_count(e, "error"), 2);
	ck_assert_uint_eq(avow_emitter_count(e, "other"), 0);
	avow_cancel(p);
	avow_events_free(it);
	ck_assert_uint_eq(avow_emitter_count(e, "data"), 1);
	ck_assert_uint_eq(avow_emitter_count(e, "error"), 0);
	avow_emitter_free(e);
}

FX_TEST(a_name_is_copied_and_compared_by_its_text)
{
	avow_emitter *const e = open_emitter();
	char name[] = "data";

	avow_emitter_on(e, name, hear, "a");
	name[0] = 'x';
	avow_emitter_emit(e, "data", avow_int(1));

	fx_expect("a:1");
	avow_emitter_free(e);
}

FX_TEST(any_number_of_names_can_be_in_use)
{
	avow_emitter *const e = open_emitter();
	char name[32];

	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "reply %d", i);
		ck_assert(avow_emitter_once(e, name, hear, "a"));
	}
	for (int i = 999; i >= 0; i--) {
		snprintf(name, sizeof(name), "reply %d", i);
		ck_assert_uint_eq(avow_emitter_emit(e, name, avow_int(i)), 1);
		ck_assert_uint_eq(avow_emitter_emit(e, name, avow_int(i)), 0);
	}

	(void)fx_take_log();
	avow_emitter_free(e);
}


/* ------------------------------------------------- In the middle of an emit */

struct both {
	avow_emitter *e;
	const char *name;
};

static void add_one(avow_value value, void *arg)
{
	const struct both *const b = arg;
	fx_log("add:%s", fx_text(value));
	avow_emitter_on(b->e, "data", hear, (void *)(uintptr_t)b->name);
	avow_emitter_on(b->e, "data", hear, "front", .first = true);
}

FX_TEST(listeners_added_during_an_emit_are_not_called_by_it)
{
	avow_emitter *const e = open_emitter();
	struct both b = { e, "late" };

	avow_emitter_once(e, "data", add_one, &b);
	ck_assert_uint_eq(avow_emitter_emit(e, "data", avow_int(1)), 1);
	ck_assert_uint_eq(avow_emitter_emit(e, "data", avow_int(2)), 2);

	fx_expect("add:1|front:2|late:2");
	avow_emitter_free(e);
}

static void add_and_emit(avow_value value, void *emitter)
{
	fx_log("add:%s", fx_text(value));
	avow_emitter_on(emitter, "data", hear, "late");
	avow_emitter_emit(emitter, "data", avow_int(2));
}

FX_TEST(a_nested_emit_calls_what_was_added_and_the_outer_does_not)
{
	avow_emitter *const e = open_emitter();

	avow_emitter_once(e, "data", add_and_emit, e);
	avow_emitter_on(e, "data", hear, "b");
	avow_emitter_emit(e, "data", avow_int(1));

	fx_expect("add:1|b:2|late:2|b:1");
	avow_emitter_free(e);
}

static void take_away(avow_value value, void *arg)
{
	const struct both *const b = arg;
	fx_log("off:%s", fx_text(value));
	avow_emitter_off(b->e, "data", hear, (void *)(uintptr_t)b->name);
}

FX_TEST(listeners_removed_during_an_emit_are_not_called_any_more)
{
	avow_emitter *const e = open_emitter();
	struct both b = { e, "b" }, c = { e, "c" };

	avow_emitter_on(e, "data", hear, "a");
	avow_emitter_on(e, "data", take_away, &b);
	avow_emitter_on(e, "data", hear, "b", .drop = fx_drop);
	avow_emitter_on(e, "data", take_away, &c);
	avow_emitter_on(e, "data", hear, "c", .drop = fx_drop);
	ck_assert_uint_eq(avow_emitter_emit(e, "data", avow_int(1)), 3);

	fx_expect("a:1|off:1|drop:b|off:1|drop:c");
	avow_emitter_free(e);
}

static void take_next_away(avow_value value, void *arg)
{
	const struct both *const b = arg;
	fx_log("outer:%s", fx_text(value));
	if (avow_int_get(value) == 1)
		avow_emitter_emit(b->e, "data", avow_int(2));
	else
		avow_emitter_off(b->e, "data", hear,
				 (void *)(uintptr_t)b->name);
}

FX_TEST(what_a_nested_emit_removes_the_outer_does_not_call)
{
	avow_emitter *const e = open_emitter();
	struct both b = { e, "b" };

	avow_emitter_on(e, "data", take_next_away, &b);
	avow_emitter_on(e, "data", hear, "b");
	avow_emitter_on(e, "data", hear, "c");
	avow_emitter_emit(e, "data", avow_int(1));

	fx_expect("outer:1|outer:2|c:2|c:1");
	avow_emitter_free(e);
}

static struct both self;

static void take_self_away(avow_value value, void *name)
{
	ck_assert(avow_emitter_off(self.e, "data", take_self_away, name));
	fx_log("%s:%s", (const char *)name, fx_text(value));
}

FX_TEST(a_drop_waits_until_its_listener_has_returned)
{
	avow_emitter *const e = open_emitter();

	self = (struct both){ e, NULL };
	avow_emitter_on(e, "data", take_self_away, "a", .drop = fx_drop);
	avow_emitter_on(e, "data", hear, "b");
	avow_emitter_emit(e, "data", avow_int(1));

	fx_expect("a:1|drop:a|b:1");
	avow_emitter_free(e);
}

static void free_emitter(avow_value value, void *emitter)
{
	fx_log("free:%s", fx_text(value));
	avow_emitter_free(emitter);
	ck_assert(
		!avow_emitter_on(emitter, "data", hear, "x", .drop = fx_drop));
	ck_assert(!avow_emitter_on(emitter, "data", hear, "y"));
	avow_catch(avow_once(emitter, "data"), fx_note_code, "once");
	ck_assert_uint_eq(avow_emitter_emit(emitter, "data", fx_box_new(1)), 0);
	fx_log("freed");
}

FX_TEST(an_emitter_may_be_freed_by_its_own_listener)
{
	avow_emitter *const e = open_emitter();

	avow_emitter_on(e, "data", hear, "a", .drop = fx_drop);
	avow_emitter_on(e, "data", free_emitter, e);
	avow_emitter_on(e, "data", hear, "b", .drop = fx_drop);
	avow_catch(avow_once(e, "data"), fx_note_code, "code");
	ck_assert_uint_eq(avow_emitter_emit(e, "data", fx_box_new(1)), 2);
	fx_log("emitted");
	fx_run();

	fx_expect("a:box:1|free:box:1|drop:a|drop:b|drop:x|freed|emitted|"
		  "code:12|once:12");
}

static void emit_box(void *emitter)
{
	avow_emitter_emit(emitter, "data", fx_box_new(1));
}

FX_TEST(a_drop_may_emit_while_the_emitter_is_freed)
{
	avow_emitter *const e = open_emitter();

	avow_emitter_on(e, "data", free_emitter, e, .drop = emit_box);
	avow_emitter_on(e, "data", hear, "b");
	avow_emitter_free(e);

	fx_expect("");
}

FX_TEST(freeing_no_emitter_does_nothing)
{
	avow_emitter_free(NULL);
	avow_events_free(NULL);
}

static void emit_deeper(avow_value value, void *emitter)
{
	const int64_t n = avow_int_get(value);
	if (n)
		avow_emitter_emit(emitter, "data", avow_int(n - 1));
	else
		avow_emitter_free(emitter);
}

FX_TEST(an_emitter_may_be_freed_by_an_emit_nested_deep)
{
	avow_emitter *const e = open_emitter();

	avow_emitter_on(e, "data", emit_deeper, e);
	avow_emitter_on(e, "data", hear, "never");
	ck_assert_uint_eq(avow_emitter_emit(e, "data", avow_int(20)), 1);

	fx_expect("");
}


/* ------------------------------------------------------------------ Signals */

FX_TEST(a_listener_is_gone_as_soon_as_its_signal_aborts)
{
	avow_emitter *const e = open_emitter();
	avow_abort *const stop = avow_abort_new(fx.loop);

	avow_emitter_on(e, "data", hear, "a", .drop = fx_drop,
			.signal = avow_abort_signal(stop));
	avow_emitter_on(e, "data", hear, "b");
	avow_emitter_emit(e, "data", avow_int(1));
	avow_abort_with(stop, avow_error(EIO, "not told to anybody"));
	avow_emitter_emit(e, "data", avow_int(2));
	fx_run();

	fx_expect("a:1|b:1|drop:a|b:2");
	avow_abort_free(stop);
	avow_emitter_free(e);
}

FX_TEST(a_listener_that_has_gone_leaves_its_signal)
{
	avow_emitter *const e = open_emitter();
	avow_abort *const stop = avow_abort_new(fx.loop);
	avow_signal *const signal = avow_abort_signal(stop);
	avow_stats before, after;

	fx_run();
	avow_loop_stats(fx.loop, &before);
	avow_emitter_on(e, "data", hear, "a", .signal = signal);
	avow_emitter_once(e, "data", hear, "b", .signal = signal);
	avow_emitter_emit(e, "data", avow_int(1));
	avow_emitter_off(e, "data", hear, "a");
	ck_assert(avow_post(fx.loop, fx_job, "job"));
	fx_run();
	avow_loop_stats(fx.loop, &after);
	avow_abort_with(stop, avow_none());

	fx_expect("a:1|b:1|job");
	ck_assert_uint_le(after.promise_count,
			  before.promise_count + FX_QUARANTINE);
	avow_abort_free(stop);
	avow_emitter_free(e);
}

FX_TEST(a_signal_that_has_aborted_lets_nobody_listen)
{
	avow_emitter *const e = open_emitter();
	avow_abort *const stop = avow_abort_new(fx.loop);
	avow_signal *const signal = avow_abort_signal(stop);

	avow_abort_with(stop, avow_none());
	ck_assert(!avow_emitter_on(e, "data", hear, "a", .drop = fx_drop,
				   .signal = signal));
	avow_catch(avow_once(e, "data", .signal = signal), fx_note, "once");
	ck_assert_uint_eq(avow_emitter_count(e, "data"), 0);
	fx_run();

	fx_expect("drop:a|once:!cancelled");
	avow_abort_free(stop);
	avow_emitter_free(e);
}

static void abort_it(avow_value value, void *stop)
{
	fx_log("abort:%s", fx_text(value));
	avow_abort_with(stop, avow_none());
}

FX_TEST(a_listener_may_abort_its_own_signal)
{
	avow_emitter *const e = open_emitter();
	avow_abort *const stop = avow_abort_new(fx.loop);
	avow_signal *const signal = avow_abort_signal(stop);

	avow_emitter_on(e, "data", abort_it, stop, .signal = signal);
	avow_emitter_on(e, "data", hear, "b", .signal = signal,
			.drop = fx_drop);
	avow_emitter_emit(e, "data", avow_int(1));

	fx_expect("abort:1|drop:b");
	avow_abort_free(stop);
	avow_emitter_free(e);
}


/* ------------------------------------------------------------------- Errors */

FX_TEST(an_error_that_nobody_listens_to_is_an_unhandled_rejection)
{
	avow_emitter *const e = open_emitter();

	avow_emitter_on(e, "data", hear, "a");
	const int line = __LINE__ + 1;
	avow_emitter_emit(e, "error", avow_error(EIO, "lost"));
	fx_run();

	fx_expect_reports("unhandled:lost");
	ck_assert_int_eq(fx_report_line(0), line);
	avow_emitter_free(e);
}

FX_TEST(an_error_that_somebody_listens_to_is_not_reported)
{
	avow_emitter *const e = open_emitter();

	avow_emitter_on(e, "error", hear, "a");
	avow_emitter_emit(e, "error", avow_error(EIO, "told"));
	fx_run();

	fx_expect("a:!told");
	avow_emitter_free(e);
}

FX_TEST(an_error_event_always_has_an_error)
{
	avow_emitter *const e = open_emitter();

	avow_emitter_on(e, "error", hear, "a");
	avow_catch(avow_once(e, "data"), fx_note_code, "once");
	avow_emitter_emit(e, "error", avow_int(7));
	fx_run();

	const char *const log = fx_take_log();
	ck_assert_msg(strncmp(log, "a:!", 3) == 0, "%s", log);
	ck_assert_msg(strstr(log, "|once:9"), "%s", log);
	avow_emitter_free(e);
}

FX_TEST(an_error_of_another_event_is_a_value_like_others)
{
	avow_emitter *const e = open_emitter();

	avow_emitter_on(e, "data", hear, "a");
	avow_emitter_emit(e, "data", avow_error(EIO, "bad"));
	ck_assert_uint_eq(avow_emitter_emit(e, "other", avow_errno(EIO)), 0);
	fx_run();

	fx_expect("a:!bad");
	avow_emitter_free(e);
}


/* --------------------------------------------------------------------- Once */

FX_TEST(the_next_event_can_be_waited_for)
{
	avow_emitter *const e = open_emitter();

	avow_then(avow_once(e, "data"), fx_note, "once");
	avow_emitter_on(e, "data", hear, "on");
	avow_emitter_emit(e, "data", avow_int(1));
	avow_emitter_emit(e, "data", avow_int(2));
	fx_log("emitted");
	fx_run();

	fx_expect("on:1|on:2|emitted|once:1");
	avow_emitter_free(e);
}

static avow_value take_it(avow_value value, void *name)
{
	const avow_value taken = avow_take(value);
	fx_log("%s:%s", (const char *)name, fx_text(taken));
	avow_drop(taken);
	return avow_none();
}

FX_TEST(a_value_that_one_promise_waits_for_can_be_taken)
{
	avow_emitter *const e = open_emitter();

	avow_then(avow_once(e, "data"), take_it, "a");
	avow_emitter_on(e, "data", hear, "on");
	avow_emitter_emit(e, "data", fx_box_new(1));
	fx_run();

	fx_expect("on:box:1|a:box:1");
	avow_emitter_free(e);
}

FX_TEST(promises_of_one_event_share_its_value)
{
	avow_emitter *const e = open_emitter();

	avow_then(avow_once(e, "data"), fx_note, "a");
	avow_then(avow_once(e, "data"), fx_note, "b");
	avow_emitter_emit(e, "data", fx_box_new(1));
	ck_assert_int_eq(fx.boxes, 1);
	fx_run();

	fx_expect("a:box:1|b:box:1");
	ck_assert_int_eq(fx.boxes, 0);
	avow_emitter_free(e);
}

static void expect_taken(avow_emitter *e, avow_value value, const char *log)
{
	avow_then(avow_once(e, "data"), take_it, "a");
	avow_then(avow_once(e, "data"), take_it, "b");
	avow_then(avow_once(e, "data"), take_it, "c");
	avow_emitter_emit(e, "data", value);
	fx_run();
	fx_expect(log);
	ck_assert_int_eq(fx.boxes, 0);
}

FX_TEST(taking_copies_for_all_but_the_last)
{
	avow_emitter *const e = open_emitter();

	expect_taken(e, avow_str("text"), "a:text|b:text|c:text");
	expect_taken(e, fx_twin_new(1), "a:twin:1|b:twin:1|c:twin:1");
	expect_taken(e, fx_box_new(1),
		     "a:!a value of type fx_box cannot be copied|"
		     "b:!a value of type fx_box cannot be copied|c:box:1");
	avow_emitter_free(e);
}

FX_TEST(an_error_as_the_value_rejects_the_promise)
{
	avow_emitter *const e = open_emitter();

	avow_catch(avow_once(e, "data"), fx_note, "a");
	avow_catch(avow_once(e, "data"), fx_note, "b");
	avow_emitter_emit(e, "data", avow_error(EIO, "bad"));
	avow_catch(avow_once(e, "data"), fx_note, "c");
	avow_emitter_emit(e, "data", avow_errno(EPERM));
	fx_run();

	fx_expect("a:!bad|b:!bad|c:!Operation not permitted");
	avow_emitter_free(e);
}

FX_TEST(an_error_that_a_promise_got_is_that_promises_to_handle)
{
	avow_emitter *const e = open_emitter();

	(void)avow_once(e, "data");
	avow_emitter_emit(e, "error", avow_error(EIO, "bad"));
	fx_run();

	fx_expect_reports("unhandled:bad");
	avow_emitter_free(e);
}

FX_TEST(an_error_event_rejects_what_waits_for_another)
{
	avow_emitter *const e = open_emitter();

	avow_catch(avow_once(e, "data"), fx_note, "a");
	avow_catch(avow_once(e, "more"), fx_note, "b");
	ck_assert_uint_eq(avow_emitter_emit(e, "error", avow_error(EIO, "bad")),
			  2);
	avow_emitter_emit(e, "data", avow_int(1));
	fx_run();

	fx_expect("a:!bad|b:!bad");
	ck_assert_uint_eq(avow_emitter_count(e, "data"), 0);
	avow_emitter_free(e);
}

FX_TEST(waiting_for_an_error_gives_it_as_data)
{
	avow_emitter *const e = open_emitter();

	avow_then(avow_once(e, "error"), unwrap, "a");
	avow_then(avow_once(e, "error"), unwrap, "b");
	avow_emitter_emit(e, "error", avow_error(EIO, "bad"));
	avow_then(avow_once(e, "error"), unwrap, "c");
	avow_emitter_emit(e, "error", avow_errno(EPERM));
	fx_run();

	fx_expect("a:!bad|b:!bad|c:!Operation not permitted");
	avow_emitter_free(e);
}

FX_TEST(cancelling_stops_waiting_for_an_event)
{
	avow_emitter *const e = open_emitter();
	avow_promise *const p = avow_once(e, "data");

	avow_then(p, fx_note, "never");
	avow_cancel(p);
	ck_assert_uint_eq(avow_emitter_count(e, "data"), 0);
	ck_assert_uint_eq(avow_emitter_emit(e, "data", avow_int(1)), 0);
	fx_run();

	fx_expect("");
	avow_emitter_free(e);
}

static void cancel_it(avow_value value, void *p)
{
	fx_log("cancel:%s", fx_text(value));
	avow_cancel(p);
}

FX_TEST(a_promise_cancelled_in_the_middle_of_an_emit_gets_nothing)
{
	avow_emitter *const e = open_emitter();
	avow_promise *p;

	p = avow_once(e, "data");
	avow_emitter_on(e, "data", cancel_it, p, .first = true);
	avow_catch(p, fx_note, "once");
	ck_assert_uint_eq(avow_emitter_emit(e, "data", fx_box_new(1)), 1);
	fx_run();

	fx_expect("cancel:box:1|once:!cancelled");
	avow_emitter_free(e);
}

FX_TEST(a_signal_ends_waiting_with_its_reason)
{
	avow_emitter *const e = open_emitter();
	avow_abort *const stop = avow_abort_new(fx.loop);

	avow_catch(avow_once(e, "data", .signal = avow_abort_signal(stop)),
		   fx_note, "once");
	avow_abort_with(stop, avow_error(EIO, "enough"));
	ck_assert_uint_eq(avow_emitter_count(e, "data"), 0);
	fx_run();

	fx_expect("once:!enough");
	avow_abort_free(stop);
	avow_emitter_free(e);
}

FX_TEST(freeing_the_emitter_rejects_what_waits)
{
	avow_emitter *const e = open_emitter();

	avow_catch(avow_once(e, "data"), fx_note_code, "a");
	avow_catch(avow_once(e, "error"), fx_note_code, "b");
	avow_emitter_free(e);
	fx_run();

	ck_assert_int_eq(AVOW_ECLOSED, 12);
	fx_expect("a:12|b:12");
}

static avow_value start_thenable(avow_value value, void *context)
{
	(void)value;
	avow_settle(context, avow_int(5));
	return avow_none();
}

static const avow_type thenable_type = { .name = "thenable",
					 .then = start_thenable };

static avow_value is_thenable(avow_value value, void *name)
{
	fx_log("%s:%s", (const char *)name,
	       avow_is(value, &thenable_type) ? "thenable" : "other");
	return avow_none();
}

FX_TEST(a_thenable_is_passed_on_as_what_it_is)
{
	avow_emitter *const e = open_emitter();
	static int any;

	avow_then(avow_once(e, "data"), is_thenable, "a");
	avow_then(avow_once(e, "data"), is_thenable, "b");
	avow_emitter_emit(e, "data", avow_own(&any, &thenable_type));
	fx_run();

	fx_expect("a:thenable|b:thenable");
	avow_emitter_free(e);
}


/* ------------------------------------------------------ One after the other */

static void emit_numbers(avow_emitter *e, int first, int last)
{
	for (int i = first; i <= last; i++)
		avow_emitter_emit(e, "data", avow_int(i));
}

static void ask(avow_events *it, int count, const char *name)
{
	for (int i = 0; i < count; i++)
		avow_on(avow_events_next(it), .fulfilled = fx_note,
			.rejected = fx_note, .arg = (void *)(uintptr_t)name);
}

FX_TEST(events_between_two_requests_are_kept)
{
	avow_emitter *const e = open_emitter();
	avow_events *const it = avow_events_new(e, "data");

	emit_numbers(e, 1, 3);
	ask(it, 3, "next");
	fx_run();

	fx_expect("next:1|next:2|next:3");
	ck_assert_uint_eq(avow_events_lost(it), 0);
	avow_events_free(it);
	avow_emitter_free(e);
}

FX_TEST(requests_wait_for_events_in_their_order)
{
	avow_emitter *const e = open_emitter();
	avow_events *const it = avow_events_new(e, "data");

	ask(it, 1, "a");
	ask(it, 1, "b");
	emit_numbers(e, 1, 3);
	ask(it, 1, "c");
	fx_run();

	fx_expect("a:1|b:2|c:3");
	avow_events_free(it);
	avow_emitter_free(e);
}

FX_TEST(a_cancelled_request_takes_no_event)
{
	avow_emitter *const e = open_emitter();
	avow_events *const it = avow_events_new(e, "data");
	avow_promise *const p = avow_events_next(it);
	avow_promise *const q = avow_events_next(it);

	avow_then(avow_events_next(it), fx_note, "third");
	avow_cancel(q);
	avow_cancel(p);
	emit_numbers(e, 1, 1);
	fx_run();

	fx_expect("third:1");
	avow_events_free(it);
	avow_emitter_free(e);
}

FX_TEST(sixteen_events_are_kept_unless_said_otherwise)
{
	avow_emitter *const e = open_emitter();
	avow_events *const it = avow_events_new(e, "data");

	emit_numbers(e, 1, 18);
	ck_assert_uint_eq(avow_events_lost(it), 2);
	ask(it, 17, "n");
	fx_run();

	fx_expect("n:3|n:4|n:5|n:6|n:7|n:8|n:9|n:10|n:11|n:12|n:13|n:14|n:15|"
		  "n:16|n:17|n:18");
	avow_events_free(it);
	fx_run();
	fx_expect("n:!closed");
	avow_emitter_free(e);
}

FX_TEST(the_oldest_gives_way_in_a_full_buffer)
{
	avow_emitter *const e = open_emitter();
	avow_events *const it = avow_events_new(e, "data", .limit = 2);

	emit_numbers(e, 1, 5);
	ask(it, 2, "n");
	emit_numbers(e, 6, 8);
	ask(it, 2, "n");
	fx_run();

	fx_expect("n:4|n:5|n:7|n:8");
	ck_assert_uint_eq(avow_events_lost(it), 4);
	avow_events_free(it);
	avow_emitter_free(e);
}

FX_TEST(the_newest_can_give_way_instead)
{
	avow_emitter *const e = open_emitter();
	avow_events *const it = avow_events_new(e, "data", .limit = 2,
						.full = AVOW_DROP_NEWEST);

	emit_numbers(e, 1, 5);
	ask(it, 2, "n");
	fx_run();

	fx_expect("n:1|n:2");
	ck_assert_uint_eq(avow_events_lost(it), 3);
	avow_events_free(it);
	avow_emitter_free(e);
}

FX_TEST(a_full_buffer_can_be_a_failure)
{
	avow_emitter *const e = open_emitter();
	avow_events *const it =
		avow_events_new(e, "data", .limit = 2, .full = AVOW_FAIL);

	emit_numbers(e, 1, 5);
	ck_assert_uint_eq(avow_emitter_count(e, "data"), 0);
	ask(it, 2, "n");
	avow_catch_code(avow_events_next(it), &avow_errno_domain, ENOBUFS,
			fx_note, "full");
	avow_catch(avow_events_next(it), fx_note_code, "code");
	fx_run();

	fx_expect("n:1|n:2|full:!more than 2 events were waiting|code:12");
	ck_assert_uint_eq(avow_events_lost(it), 1);
	avow_events_free(it);
	avow_emitter_free(e);
}

FX_TEST(a_limit_beyond_all_memory_is_out_of_memory)
{
	avow_emitter *const e = open_emitter();

	ck_assert_ptr_null(avow_events_new(e, "data", .limit = SIZE_MAX));
	ck_assert_ptr_null(avow_events_new(e, "data", .limit = SIZE_MAX / 16));
	ck_assert_uint_eq(avow_emitter_count(e, "data"), 0);
	avow_emitter_free(e);
}

FX_TEST(what_is_kept_is_dropped_with_the_iterator)
{
	avow_emitter *const e = open_emitter();
	avow_events *const it = avow_events_new(e, "data", .limit = 2);

	for (int i = 0; i < 4; i++)
		avow_emitter_emit(e, "data", fx_box_new(i));
	avow_then(avow_events_next(it), take_it, "a");
	avow_events_free(it);
	fx_run();

	fx_expect("a:box:2");
	ck_assert_int_eq(fx.boxes, 0);
	avow_emitter_free(e);
}

FX_TEST(iterators_promises_and_listeners_share_a_value)
{
	avow_emitter *const e = open_emitter();
	avow_events *const it = avow_events_new(e, "data");
	avow_events *const other = avow_events_new(e, "data");

	avow_then(avow_once(e, "data"), fx_note, "once");
	avow_then(avow_events_next(it), fx_note, "it");
	avow_emitter_on(e, "data", hear, "on");
	ck_assert_uint_eq(avow_emitter_emit(e, "data", fx_box_new(1)), 4);
	avow_then(avow_events_next(other), fx_note, "other");
	fx_run();

	fx_expect("on:box:1|it:box:1|once:box:1|other:box:1");
	avow_events_free(it);
	avow_events_free(other);
	avow_emitter_free(e);
}

FX_TEST(an_error_event_stands_among_the_others)
{
	avow_emitter *const e = open_emitter();
	avow_events *const it = avow_events_new(e, "data");

	emit_numbers(e, 1, 1);
	avow_emitter_emit(e, "error", avow_error(EIO, "bad"));
	emit_numbers(e, 2, 2);
	ask(it, 4, "n");
	avow_emitter_emit(e, "error", avow_error(EIO, "worse"));
	fx_run();

	fx_expect("n:1|n:!bad|n:2|n:!worse");
	avow_events_free(it);
	avow_emitter_free(e);
}

FX_TEST(an_error_that_no_request_came_to_is_unhandled)
{
	avow_emitter *const e = open_emitter();
	avow_events *const it = avow_events_new(e, "data", .limit = 1);

	avow_emitter_emit(e, "error", avow_error(EIO, "lost"));
	emit_numbers(e, 1, 1);
	avow_emitter_emit(e, "error", avow_error(EIO, "kept"));
	avow_events_free(it);
	fx_run();
	fx_expect_reports("unhandled:lost|unhandled:kept");

	avow_events *const again = avow_events_new(e, "data");
	avow_emitter_on(e, "error", hear, "on");
	avow_emitter_emit(e, "error", avow_error(EIO, "told"));
	avow_events_free(again);
	fx_run();
	fx_expect("on:!told");
	avow_emitter_free(e);
}

FX_TEST(an_iterator_of_errors_gives_them_as_data)
{
	avow_emitter *const e = open_emitter();
	avow_events *const it = avow_events_new(e, "error", .limit = 1);

	avow_then(avow_events_next(it), unwrap, "a");
	avow_emitter_emit(e, "error", avow_error(EIO, "bad"));
	avow_emitter_emit(e, "error", avow_error(EIO, "worse"));
	avow_emitter_emit(e, "error", avow_error(EIO, "worst"));
	avow_then(avow_events_next(it), unwrap, "b");
	fx_run();

	fx_expect("a:!bad|b:!worst");
	ck_assert_uint_eq(avow_emitter_count(e, "error"), 1);
	avow_events_free(it);
	avow_emitter_free(e);
}

FX_TEST(what_was_kept_outlives_the_emitter)
{
	avow_emitter *const e = open_emitter();
	avow_events *const it = avow_events_new(e, "data");

	emit_numbers(e, 1, 2);
	avow_emitter_free(e);
	avow_then(avow_events_next(it), fx_note, "n");
	avow_then(avow_events_next(it), fx_note, "n");
	avow_catch(avow_events_next(it), fx_note_code, "code");
	avow_catch(avow_events_next(it), fx_note_code, "code");
	fx_run();

	fx_expect("n:1|n:2|code:12|code:12");
	avow_events_free(it);
}

FX_TEST(freeing_the_emitter_rejects_the_requests)
{
	avow_emitter *const e = open_emitter();
	avow_events *const it = avow_events_new(e, "data");

	avow_catch(avow_events_next(it), fx_note_code, "a");
	avow_catch(avow_events_next(it), fx_note_code, "b");
	avow_emitter_free(e);
	fx_run();

	fx_expect("a:12|b:12");
	avow_events_free(it);
}

FX_TEST(a_signal_ends_an_iterator_with_its_reason)
{
	avow_emitter *const e = open_emitter();
	avow_abort *const stop = avow_abort_new(fx.loop);
	avow_signal *const signal = avow_abort_signal(stop);
	avow_events *const it = avow_events_new(e, "data", .signal = signal);
	avow_events *const full = avow_events_new(e, "data", .signal = signal);

	ask(it, 3, "n");
	emit_numbers(e, 1, 1);
	avow_abort_with(stop, avow_error(EIO, "enough"));
	ck_assert_uint_eq(avow_emitter_count(e, "data"), 0);
	ask(it, 1, "later");
	ask(full, 1, "full");
	avow_events *const born = avow_events_new(e, "data", .signal = signal);
	ask(born, 1, "born");
	fx_run();

	fx_expect("n:1|n:!enough|n:!enough|later:!enough|full:!enough|"
		  "born:!enough");
	avow_events_free(it);
	avow_events_free(full);
	avow_events_free(born);
	avow_abort_free(stop);
	avow_emitter_free(e);
}

static avow_value again(avow_value value, void *it)
{
	if (avow_int_get(value) == 1000)
		return avow_int(1000);
	return avow_await(avow_then(avow_events_next(it), again, it));
}

static void emit_more(void *emitter)
{
	static int n;
	for (int i = 0; i < 10; i++)
		avow_emitter_emit(emitter, "data", avow_int(++n));
	if (n < 1000)
		fx_later(0, emit_more, emitter);
}

FX_TEST(an_iterator_is_read_by_a_loop_of_promises)
{
	avow_emitter *const e = open_emitter();
	avow_events *const it = avow_events_new(e, "data");

	avow_then(avow_then(avow_events_next(it), again, it), fx_note, "end");
	fx_later(0, emit_more, e);
	fx_run();

	fx_expect("end:1000");
	ck_assert_uint_eq(avow_events_lost(it), 0);
	avow_events_free(it);
	avow_emitter_free(e);
}


/* ---------------------------------------------------------------- The end */

FX_TEST(the_end_of_the_loop_ends_all_listening)
{
	avow_emitter *const e = open_emitter();
	avow_events *const it = avow_events_new(e, "data", .limit = 4);
	avow_abort *const stop = avow_abort_new(fx.loop);

	avow_emitter_on(e, "data", hear, "a", .drop = fx_drop);
	avow_emitter_on(e, "other", hear, "b", .drop = fx_drop,
			.signal = avow_abort_signal(stop));
	avow_catch(avow_once(e, "data"), fx_note_code, "once");
	avow_emitter_emit(e, "data", fx_box_new(1));
	(void)fx_take_log();
	avow_catch(avow_once(e, "data"), fx_note_code, "once");
	avow_events *const asked = avow_events_new(e, "more");
	avow_catch(avow_events_next(asked), fx_note_code, "next");
	fx_free_loop();

	const char *const log = fx_take_log();
	ck_assert_ptr_nonnull(strstr(log, "drop:a"));
	ck_assert_ptr_nonnull(strstr(log, "drop:b"));
	ck_assert_ptr_nonnull(strstr(log, "once:3"));
	ck_assert_ptr_nonnull(strstr(log, "next:3"));
	ck_assert_uint_eq(strlen(log), strlen("drop:a|drop:b|once:3|next:3"));
	ck_assert_uint_eq(avow_emitter_emit(e, "data", fx_box_new(1)), 0);
	ck_assert_uint_eq(avow_emitter_count(e, "data"), 0);
	ck_assert(!avow_emitter_on(e, "data", hear, "c", .drop = fx_drop));
	ck_assert(!avow_emitter_off(e, "data", hear, "a"));
	fx_expect("drop:c");
	avow_events_free(it);
	avow_events_free(asked);
	avow_emitter_free(e);
	avow_abort_free(stop);
}

static void free_it(void *emitter)
{
	avow_emitter_free(emitter);
}

static void free_events(void *events)
{
	avow_events_free(events);
}

FX_TEST(a_drop_may_free_them_while_the_loop_ends)
{
	avow_emitter *const e = open_emitter();
	avow_events *const it = avow_events_new(e, "data");

	avow_emitter_on(e, "a", hear, e, .drop = free_it);
	avow_emitter_on(e, "b", hear, it, .drop = free_events);
	avow_catch(avow_once(e, "data"), fx_note_code, "once");
	avow_catch(avow_events_next(it), fx_note_code, "next");
	avow_emitter_emit(e, "x", avow_int(1));
	fx_free_loop();

	(void)fx_take_log();
}

static avow_value open_one(avow_value value, void *emitters)
{
	(void)value;
	((avow_emitter **)emitters)[1] = avow_emitter_new(fx.loop);
	((avow_emitter **)emitters)[0] = NULL;
	return avow_none();
}

FX_TEST(none_is_made_while_the_loop_ends)
{
	avow_emitter *made[2];
	avow_loop *const loop = fx.loop;

	made[0] = made[1] = open_emitter();
	avow_emitter_free(made[0]);
	avow_catch(avow_pending(fx.loop), open_one, made);
	avow_loop_free(loop);
	fx.loop = NULL;

	ck_assert_ptr_null(made[0]);
	ck_assert_ptr_null(made[1]);
}

static avow_emitter *asked_emitter;
static avow_events *asked_events;

static avow_value ask_again(avow_value value, void *arg)
{
	(void)value;
	(void)arg;
	avow_catch(avow_once(asked_emitter, "data"), fx_note_code, "once");
	avow_catch(avow_events_next(asked_events), fx_note_code, "next");
	ck_assert_ptr_null(avow_events_new(asked_emitter, "data"));
	return avow_none();
}

/* As loops of promises do that go on after a rejection. */
FX_TEST(handlers_may_ask_for_events_while_the_loop_ends)
{
	asked_emitter = open_emitter();
	asked_events = avow_events_new(asked_emitter, "data");
	avow_catch(avow_once(asked_emitter, "data"), ask_again, NULL);
	avow_catch(avow_pending(fx.loop), ask_again, NULL);
	fx_free_loop();

	fx_expect("once:3|next:3|once:3|next:3");
	avow_events_free(asked_events);
	avow_emitter_free(asked_emitter);
}

FX_TEST(emitters_may_be_freed_after_libevs_loop)
{
	avow_emitter *const e = open_emitter();

	avow_catch(avow_once(e, "data"), fx_note_code, "once");
	avow_emitter_on(e, "data", hear, "on", .first = true);
	fx_destroy_ev();
	avow_emitter_emit(e, "more", avow_int(1));
	avow_emitter_free(e);
	fx_free_loop();

	fx_expect("once:12");
}


/* ------------------------------------------------------------- Re-entrancy */

static avow_emitter *scene_emitter;
static avow_events *scene_events;

static void act(avow_value value, void *arg)
{
	const int number = fx_box_get(value)->number;
	(void)arg;
	scene_act();
	ck_assert_int_eq(fx_box_get(value)->number, number);
}

static void act_drop(void *arg)
{
	(void)arg;
	scene_act();
}

static int ignored;

static void count_drop(void *counter)
{
	++*(int *)counter;
}

static void count_event(avow_value value, void *counter)
{
	(void)value;
	++*(int *)counter;
}

static avow_value count_either(avow_value value, void *counter)
{
	(void)value;
	++*(int *)counter;
	return avow_none();
}

static void scene_waiters(avow_promise *p)
{
	avow_on(scene_self(p), .fulfilled = count_either,
		.rejected = count_either, .arg = &ignored);
}

static void prepare_listener(void)
{
	scene_emitter = avow_emitter_new(scene.loop);
	scene_events = avow_events_new(scene_emitter, "data", .limit = 1);
	avow_emitter_on(scene_emitter, "data", act, NULL);
	avow_emitter_on(scene_emitter, "data", count_event, &ignored);
	scene_waiters(avow_once(scene_emitter, "data"));
	avow_emitter_emit(scene_emitter, "data", fx_box_new(1));
	avow_emitter_free(scene_emitter);
	avow_events_free(scene_events);
}

FX_TEST(a_listener_may_do_anything)
{
	scene_try_all(prepare_listener, 1);
}

static void act_and_free(avow_value value, void *arg)
{
	act(value, arg);
	avow_emitter_free(scene_emitter);
	avow_events_free(scene_events);
}

static void prepare_listener_that_frees(void)
{
	scene_emitter = avow_emitter_new(scene.loop);
	scene_events = avow_events_new(scene_emitter, "data", .limit = 1);
	avow_emitter_once(scene_emitter, "data", act_and_free, NULL);
	avow_emitter_on(scene_emitter, "data", count_event, &ignored);
	scene_waiters(avow_once(scene_emitter, "data"));
	avow_emitter_emit(scene_emitter, "data", fx_box_new(1));
}

FX_TEST(a_listener_that_frees_the_emitter_may_do_anything)
{
	scene_try_all(prepare_listener_that_frees, 1);
}

static avow_value emit_box_in_handler(avow_value value, void *arg)
{
	(void)arg;
	avow_emitter_emit(scene_emitter, "data", avow_take(value));
	avow_emitter_free(scene_emitter);
	return avow_none();
}

static void prepare_listener_in_handler(void)
{
	scene_emitter = avow_emitter_new(scene.loop);
	avow_emitter_on(scene_emitter, "data", act, NULL);
	avow_emitter_on(scene_emitter, "data", count_event, &ignored);
	scene_self(avow_then(avow_resolved(scene.loop, fx_box_new(1)),
			     emit_box_in_handler, NULL));
}

FX_TEST(a_listener_called_from_a_handler_may_do_anything)
{
	scene_try_all(prepare_listener_in_handler, 1);
}

static void prepare_drop_by_off(void)
{
	scene_emitter = avow_emitter_new(scene.loop);
	scene_waiters(avow_once(scene_emitter, "data"));
	avow_emitter_on(scene_emitter, "data", count_event, &ignored,
			.drop = act_drop);
	avow_emitter_off(scene_emitter, "data", count_event, &ignored);
	avow_emitter_free(scene_emitter);
}

FX_TEST(a_drop_of_a_listener_taken_away_may_do_anything)
{
	scene_try_all(prepare_drop_by_off, 1);
}

static void prepare_drop_by_free(void)
{
	scene_emitter = avow_emitter_new(scene.loop);
	scene_waiters(avow_once(scene_emitter, "data"));
	avow_emitter_on(scene_emitter, "data", count_event, &ignored,
			.drop = act_drop);
	avow_emitter_on(scene_emitter, "more", count_event, &ignored,
			.drop = act_drop);
	avow_emitter_free(scene_emitter);
}

FX_TEST(a_drop_of_a_freed_emitter_may_do_anything)
{
	scene_try_all(prepare_drop_by_free, 2);
}

static void prepare_drop_by_once(void)
{
	scene_emitter = avow_emitter_new(scene.loop);
	avow_emitter_once(scene_emitter, "data", count_event, &ignored,
			  .drop = act_drop);
	scene_waiters(avow_once(scene_emitter, "data"));
	avow_emitter_emit(scene_emitter, "data", fx_box_new(1));
	avow_emitter_free(scene_emitter);
}

FX_TEST(a_drop_in_the_middle_of_an_emit_may_do_anything)
{
	scene_try_all(prepare_drop_by_once, 1);
}

static void prepare_drop_refused(void)
{
	avow_abort *const stop = avow_abort_new(scene.loop);
	scene_emitter = avow_emitter_new(scene.loop);
	scene_waiters(avow_once(scene_emitter, "data"));
	avow_abort_with(stop, avow_none());
	avow_emitter_on(scene_emitter, "data", count_event, &ignored,
			.drop = act_drop, .signal = avow_abort_signal(stop));
	avow_emitter_free(scene_emitter);
	avow_abort_free(stop);
}

FX_TEST(a_drop_of_what_could_not_be_added_may_do_anything)
{
	scene_try_all(prepare_drop_refused, 1);
}

static void prepare_drop_by_signal(void)
{
	avow_abort *const stop = avow_abort_new(scene.loop);
	scene_emitter = avow_emitter_new(scene.loop);
	scene_waiters(avow_once(scene_emitter, "data"));
	avow_emitter_on(scene_emitter, "data", count_event, &ignored,
			.drop = act_drop, .signal = avow_abort_signal(stop));
	avow_emitter_on(scene_emitter, "data", count_event, &ignored,
			.drop = act_drop, .signal = avow_abort_signal(stop));
	avow_abort_with(stop, avow_none());
	avow_emitter_free(scene_emitter);
	avow_abort_free(stop);
}

FX_TEST(a_drop_by_a_signal_may_do_anything)
{
	scene_try_all(prepare_drop_by_signal, 2);
}

/* Errors of the program's own, with a copy and a drop that do things. */
static int live_errors;

static void odd_drop(void *number)
{
	live_errors--;
	free(number);
	scene_act();
}

static avow_value odd_copy(avow_value value);

static const avow_type odd_type = {
	.name = "odd", .drop = odd_drop, .copy = odd_copy, .is_error = true
};

static avow_value odd_new(int number)
{
	int *const copy = malloc(sizeof(*copy));
	ck_assert_ptr_nonnull(copy);
	*copy = number;
	live_errors++;
	return avow_own(copy, &odd_type);
}

static avow_value odd_copy(avow_value value)
{
	scene_act();
	return odd_new(*(int *)value.as.ptr);
}

static void prepare_error_copy(bool is_promise_first)
{
	scene_emitter = avow_emitter_new(scene.loop);
	if (is_promise_first)
		scene_waiters(avow_once(scene_emitter, "error"));
	scene_events = avow_events_new(scene_emitter, "error", .limit = 1);
	if (!is_promise_first)
		scene_waiters(avow_once(scene_emitter, "error"));
	avow_emitter_emit(scene_emitter, "error", odd_new(1));
	avow_emitter_emit(scene_emitter, "error", odd_new(2));
	avow_emitter_free(scene_emitter);
	avow_events_free(scene_events);
}

/* Copies: two for the first event, one for the second; and each error and each
 * copy is dropped. */
FX_TEST(the_copy_and_the_drop_of_an_error_may_do_anything)
{
	for (int i = 0; i < 2 * ACTS; i++) {
		scene_open((enum act)(i / 2));
		prepare_error_copy(i % 2);
		fx_run();
		scene_look(scene.calls);
		ck_assert_int_gt(scene.calls, 3);
		ck_assert_int_eq(live_errors, 0);
	}
}


static avow_abort *copying_aborts;

static avow_value aborting_copy(avow_value value)
{
	avow_abort_with(copying_aborts, avow_none());
	return value;
}

static const avow_type aborting_type = { .name = "aborting",
					 .drop = count_drop,
					 .copy = aborting_copy,
					 .is_error = true };

FX_TEST(the_copy_of_an_error_may_end_the_iterator_it_is_for)
{
	avow_emitter *const e = open_emitter();
	int drops = 0;

	copying_aborts = avow_abort_new(fx.loop);
	avow_events *const it = avow_events_new(
		e, "error", .signal = avow_abort_signal(copying_aborts));
	avow_emitter_emit(e, "error", avow_own(&drops, &aborting_type));
	avow_catch(avow_events_next(it), fx_note, "next");
	fx_run();

	/* The error and its copy. */
	ck_assert_int_eq(drops, 2);
	fx_expect("next:!cancelled");
	avow_events_free(it);
	avow_abort_free(copying_aborts);
	avow_emitter_free(e);
}


/* --------------------------------------------------------- Out of memory */

struct tally {
	int settled, drops, added, refused, heard;
};

static struct tally tally;

static void quiet(avow_loop *loop, const avow_report *report, void *arg)
{
	(void)loop;
	(void)report;
	(void)arg;
}

static void add(avow_emitter *e, const char *name, avow_signal *signal)
{
	const bool is_added = avow_emitter_on(e, name, count_event,
					      &tally.heard, .drop = count_drop,
					      .signal = signal);
	tally.added += is_added;
	tally.refused += !is_added;
}

static void settle(avow_promise *p)
{
	avow_on(p, .fulfilled = count_either, .rejected = count_either,
		.arg = &tally.settled);
}

static void use_emitter(avow_loop *loop, avow_emitter *e)
{
	avow_abort *const stop = avow_abort_new(loop);
	avow_signal *const signal = stop ? avow_abort_signal(stop) : NULL;
	avow_events *const it =
		avow_events_new(e, "data", .limit = 2, .signal = signal);

	add(e, "data", NULL);
	add(e, "data", signal);
	settle(avow_once(e, "data"));
	settle(avow_once(e, "data", .signal = signal));
	settle(avow_once(e, "more"));
	settle(avow_once(e, "error"));
	for (int i = 0; i < 4; i++)
		avow_emitter_emit(e, "data", fx_twin_new(i));
	avow_emitter_emit(e, "error", avow_error(EIO, "bad"));
	for (int i = 0; it && i < 4; i++)
		settle(avow_events_next(it));
	for (int i = it ? 0 : -4; i < 0; i++)
		tally.settled++;
	ev_run(fx.ev, 0);
	if (stop)
		avow_abort_with(stop, avow_none());
	avow_events_free(it);
	avow_emitter_free(e);
	ev_run(fx.ev, 0);
	avow_abort_free(stop);
}

/* A counter that is `arg` of a listener is also that of its drop. */
static void run_all(void *arg)
{
	avow_loop *const loop = avow_loop_new(fx.ev);
	(void)arg;
	if (!loop)
		return;
	avow_loop_on_report(loop, quiet, NULL);
	avow_emitter *const e = avow_emitter_new(loop);
	tally = (struct tally){ 0 };
	if (e)
		use_emitter(loop, e);
	avow_loop_free(loop);
	if (!e)
		return;
	ck_assert_int_eq(tally.settled, 8);
	ck_assert_int_eq(tally.added + tally.refused, 2);
	/* Four events for each that was added, and one drop for each. */
	ck_assert_int_eq(tally.heard, 5 * tally.added + tally.refused);
}

FX_TEST_LIMIT(whatever_allocation_fails_each_promise_settles, 20)
{
	ck_assert_uint_gt(fx_sweep(run_all, NULL), 20);
}

static void run_names(void *arg)
{
	avow_loop *const loop = avow_loop_new(fx.ev);
	avow_emitter *const e = loop ? avow_emitter_new(loop) : NULL;
	char name[] = "a";
	int heard = 0, added = 0;
	(void)arg;
	for (int i = 0; e && i < 20; i++, name[0]++)
		added += avow_emitter_on(e, name, count_event, &heard);
	for (name[0] = 'a'; e && name[0] < 'a' + 20; name[0]++)
		avow_emitter_emit(e, name, avow_none());
	ck_assert_int_eq(heard, added);
	avow_emitter_free(e);
	avow_loop_free(loop);
}

FX_TEST_LIMIT(events_are_found_whatever_allocation_fails, 20)
{
	ck_assert_uint_gt(fx_sweep(run_names, NULL), 80);
}

/* No node is left, and the allocator gives none. */
static void spend_all(avow_promise **some, size_t count)
{
	fx_fail_from(0);
	for (size_t i = 0;; i++) {
		avow_promise *const p = avow_pending(fx.loop);
		if (avow_state_of(p) != AVOW_PENDING)
			return;
		if (i < count)
			some[i] = p;
	}
}

FX_TEST(listeners_hear_what_promises_have_no_memory_for)
{
	avow_emitter *const e = open_emitter();
	avow_events *const it = avow_events_new(e, "data");
	avow_promise *const p = avow_once(e, "data");

	avow_on(p, .fulfilled = fx_note, .rejected = fx_note, .arg = "once");
	avow_catch(avow_events_next(it), fx_note, "next");
	avow_emitter_on(e, "data", hear, "on");
	spend_all(NULL, 0);
	avow_emitter_emit(e, "data", fx_box_new(1));
	fx_fail_never();
	fx_run();

	/* The end of the request gives its nodes back. */
	fx_expect("on:box:1|next:!Cannot allocate memory|once:box:1");
	(void)fx_take_reports();
	avow_events_free(it);
	avow_emitter_free(e);
}

FX_TEST(an_error_that_needs_no_memory_is_told_without)
{
	avow_emitter *const e = open_emitter();

	avow_catch(avow_once(e, "data"), fx_note, "once");
	spend_all(NULL, 0);
	avow_emitter_emit(e, "error", avow_errno(EPERM));
	fx_fail_never();
	fx_run();

	fx_expect("once:!Operation not permitted");
	(void)fx_take_reports();
	avow_emitter_free(e);
}

/* One node more each time, until there are enough. */
FX_TEST(nobody_listens_half_tied_to_a_signal)
{
	avow_emitter *const e = open_emitter();
	avow_abort *const stop = avow_abort_new(fx.loop);
	avow_signal *const signal = avow_abort_signal(stop);
	avow_promise *some[64];
	int drops = 0, tries = 0;

	avow_emitter_on(e, "data", hear, "keeps the event");
	spend_all(some, 64);
	for (;; tries++) {
		ck_assert_int_lt(tries, 64);
		/* The listener itself is no node. */
		fx_fail_never();
		fx_fail_from(1);
		if (avow_emitter_on(e, "data", count_event, &drops,
				    .signal = signal, .drop = count_drop))
			break;
		ck_assert_uint_eq(avow_emitter_count(e, "data"), 1);
		avow_cancel(some[tries]);
		avow_tidy(fx.loop);
	}
	fx_fail_never();
	ck_assert_int_eq(drops, tries);
	avow_abort_with(stop, avow_none());
	ck_assert_int_eq(drops, tries + 1);
	ck_assert_uint_eq(avow_emitter_count(e, "data"), 1);
	(void)fx_take_reports();
	avow_abort_free(stop);
	avow_emitter_free(e);
}

/* The iterator's own memory is there; that of the request is not. */
FX_TEST(no_event_is_lost_by_a_request_without_memory)
{
	avow_emitter *const e = open_emitter();
	avow_events *const it = avow_events_new(e, "data");

	emit_numbers(e, 1, 1);
	spend_all(NULL, 0);
	ck_assert_int_eq(avow_state_of(avow_events_next(it)), AVOW_REJECTED);
	fx_fail_never();
	fx_free_loop();

	(void)fx_take_reports();
	avow_events_free(it);
	avow_emitter_free(e);
}


/* ------------------------------------------------------------------ Misuse */

FX_TEST(what_is_wrong_is_told)
{
	avow_emitter *const e = open_emitter();

	FX_ABORTS("avow_emitter_new() with a NULL loop",
		  (void)!avow_emitter_new(NULL));
	FX_ABORTS("avow_emitter_on() with a NULL emitter",
		  avow_emitter_on(NULL, "data", hear, NULL));
	FX_ABORTS("avow_emitter_on() with a NULL name",
		  avow_emitter_on(e, NULL, hear, NULL));
	FX_ABORTS("avow_emitter_on() with a NULL function",
		  avow_emitter_on(e, "data", NULL, NULL));
	FX_ABORTS("avow_emitter_emit() of avow_await()",
		  avow_emitter_emit(e, "data",
				    avow_await(avow_pending(fx.loop))));
	FX_ABORTS("avow_once() with a NULL name", avow_once(e, NULL));
	FX_ABORTS("avow_events_new() with a NULL name",
		  (void)!avow_events_new(e, NULL));
	FX_ABORTS("avow_events_new() with a .full of 3",
		  (void)!avow_events_new(e, "data", .full = 3));
	FX_ABORTS("avow_events_next() with a NULL iterator",
		  avow_events_next(NULL));
	FX_ABORTS("avow_events_lost() with a NULL iterator",
		  avow_events_lost(NULL));
	avow_emitter_free(e);
}

FX_TEST(what_needs_the_loop_is_told_once_it_is_gone)
{
	avow_emitter *const e = open_emitter();
	avow_events *const it = avow_events_new(e, "data");

	fx_free_loop();
	FX_ABORTS("after the loop was freed", avow_once(e, "data"));
	FX_ABORTS("after the loop was freed", avow_events_next(it));
	FX_ABORTS("after the loop was freed",
		  (void)!avow_events_new(e, "data"));
	avow_events_free(it);
	avow_emitter_free(e);
}

static void in_another_thread(void *emitter)
{
	/* The loop is handed over by the fixture, and back. */
	avow_emitter_emit(emitter, "data", avow_int(1));
}

static void emit_a_million(void *emitter)
{
	avow_emitter_emit(emitter, "data", avow_int(1));
}

FX_TEST(an_emitter_goes_with_its_loop_to_another_thread)
{
	avow_emitter *const e = open_emitter();

	avow_emitter_on(e, "data", hear, "a");
	fx_on_small_stack(in_another_thread, e);

	fx_expect("a:1");
	avow_emitter_free(e);
}

FX_TEST_LIMIT(any_number_can_listen_and_wait, 20)
{
	avow_emitter *const e = open_emitter();
	const size_t count = fx_scale(300000);
	int heard = 0, settled = 0;

	for (size_t i = 0; i < count; i++) {
		avow_emitter_on(e, "data", count_event, &heard);
		avow_then(avow_once(e, "data"), count_either, &settled);
	}
	fx_on_small_stack(emit_a_million, e);
	fx_run();

	ck_assert_uint_eq((size_t)heard, count);
	ck_assert_uint_eq((size_t)settled, count);
	avow_emitter_free(e);
}

FX_TEST_LIMIT(cancelling_any_number_takes_constant_time_each, 20)
{
	avow_emitter *const e = open_emitter();
	const size_t count = fx_scale(200000);
	avow_promise **const list = calloc(count, sizeof(avow_promise *));

	ck_assert_ptr_nonnull(list);
	for (size_t i = 0; i < count; i++)
		list[i] = avow_once(e, "data");
	for (size_t i = 0; i < count; i += 2)
		avow_cancel(list[i]);
	for (size_t i = count; i > 0; i--) {
		if (i % 2 == 0)
			avow_cancel(list[i - 1]);
	}

	ck_assert_uint_eq(avow_emitter_count(e, "data"), 0);
	free(list);
	avow_emitter_free(e);
}

FX_TEST(the_functions_behind_the_macros_can_be_pointed_to)
{
	bool (*const on)(avow_emitter *, const char *, avow_event_fn *,
			 void *) = avow_emitter_on;
	bool (*const once)(avow_emitter *, const char *, avow_event_fn *,
			   void *) = avow_emitter_once;
	size_t (*const emit)(avow_emitter *, const char *, avow_value) =
		avow_emitter_emit;
	avow_promise *(*const next)(avow_emitter *, const char *) = avow_once;
	avow_events *(*const iterate)(avow_emitter *, const char *) =
		avow_events_new;
	avow_promise *(*const step)(avow_events *) = avow_events_next;
	avow_emitter *const e = open_emitter();
	avow_events *const it = iterate(e, "data");

	on(e, "data", hear, "on");
	once(e, "data", hear, "once");
	avow_then(next(e, "data"), fx_note, "next");
	emit(e, "data", avow_int(1));
	emit(e, "data", avow_int(2));
	avow_then(step(it), fx_note, "step");
	fx_run();

	fx_expect("on:1|once:1|on:2|next:1|step:1");
	avow_events_free(it);
	avow_emitter_free(e);
}

int main(void)
{
	return fx_main("emitter");
}
