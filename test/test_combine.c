/*
 * SPDX-License-Identifier: MIT
 *
 * One promise out of many: all, all_settled, any, race, some.  Each sentence of
 * avow/combine.h, and what must hold of everything that waits for many: who is
 * cancelled with whom and in which order, who owns the values, what is left
 * when memory or the loop goes away in between.
 *
 * Work is a call whose cancel hook logs; what is settled by hand stands in an
 * array of pending promises, so that a test reads as the order of events.
 */
#include "scene.h"

#include <pthread.h>


static avow_value note_kind(avow_value value, void *name)
{
	fx_log("%s:%s", (const char *)name, avow_is_cancelled(value) ?
	       "cancelled" : fx_text(value));
	return avow_none();
}

/* What becomes of `p`, whatever it is: "name:value". */
static avow_promise *note_end(avow_promise *p, const char *name)
{
	return avow_on(p, .fulfilled = note_kind, .rejected = note_kind,
		       .arg = (void *)(uintptr_t)name);
}

/* A call that is never called back, whose hook logs "hook:name". */
static void note_hook(void *name)
{
	fx_log("hook:%s", (const char *)name);
}

static avow_promise *work(const char *name)
{
	const avow_call call = avow_begin(fx.loop, name);
	avow_on_cancel(call.context, note_hook, (void *)(uintptr_t)name);
	return avow_end(call, true, 0);
}


/* ------------------------------------------------------ The order of the end */

/* What was attached to the promise may be what the work uses: a buffer that
 * both reads fill.  The work stops first. */
FX_TEST(the_work_stops_before_what_hangs_on_all_of_it_is_dropped)
{
	avow_promise *const both[] = { work("a"), work("b") };
	avow_promise *const p = avow_attach(avow_all(fx.loop, both, 2),
					    "buffer", fx_drop);
	avow_cancel(p);
	fx_expect("hook:a|hook:b|drop:buffer");
}

FX_TEST(nested_work_stops_before_any_drop_further_down)
{
	avow_promise *const a[] = { avow_attach(work("a"), "a", fx_drop),
				    work("b") };
	avow_promise *const inner =
		avow_attach(avow_all(fx.loop, a, 2), "inner", fx_drop);
	avow_promise *const outer =
		avow_attach(avow_race(fx.loop, &inner, 1), "outer", fx_drop);
	avow_cancel(outer);
	fx_expect("hook:a|hook:b|drop:a|drop:inner|drop:outer");
}

/* The same once avow_loop_free() was called and has not begun. */
static void cancel_while_closing(void *p)
{
	avow_loop_free(fx.loop);
	avow_cancel(p);
	fx_log("return");
}

FX_TEST(cancelling_in_a_closing_loop_stops_the_work_first)
{
	avow_promise *const both[] = { work("a"), work("b") };
	avow_promise *const p = avow_attach(avow_all(fx.loop, both, 2),
					    "buffer", fx_drop);
	ck_assert(avow_post(fx.loop, cancel_while_closing, p));
	fx_run();
	fx.loop = NULL;
	fx_expect("hook:a|hook:b|drop:buffer|return");
}

static void cancel_and_note(void *p)
{
	avow_cancel(p);
	fx_log("return");
}

/* And in the midst of it, from the hook of a call that ends first. */
FX_TEST(cancelling_in_a_loop_that_ends_stops_the_work_first)
{
	const avow_call first = avow_begin(fx.loop, "first");
	avow_promise *const both[] = { work("a"), work("b") };
	avow_promise *const p = avow_attach(avow_all(fx.loop, both, 2),
					    "buffer", fx_drop);
	avow_on_cancel(first.context, cancel_and_note, p);
	(void)avow_end(first, true, 0);
	fx_free_loop();
	fx_expect("hook:a|hook:b|drop:buffer|return");
	fx_expect_reports("abandoned:first");
}

/* Nested in a cancellation, a loop still does at once what it has to. */
static void race_in_a_nested_loop(void *arg)
{
	avow_promise *const two[] = { avow_resolved(fx.loop, avow_int(1)),
				      work("loser") };
	(void)arg;
	note_end(avow_race(fx.loop, two, 2, .cancel_losers = true), "race");
	ev_run(fx.ev, EVRUN_NOWAIT);
	fx_log("return");
}

FX_TEST(losers_are_cancelled_in_a_loop_nested_in_a_hook)
{
	const avow_call call = avow_begin(fx.loop, "outer");
	avow_on_cancel(call.context, race_in_a_nested_loop, NULL);
	avow_cancel(avow_end(call, true, 0));
	fx_expect("hook:loser|race:1|return");
}


/* ------------------------------------------------------------- Values, moved */

/* The text that item 0 points to; where memory is gone ASan and valgrind see it. */
static avow_value see_memory(avow_value list, void *arg)
{
	const char *const text = avow_ptr_get(avow_list_at(list, 0));
	(void)arg;
	fx_log("%s", text);
	return avow_none();
}

/* A result in memory of avow_alloc() is good as long as it can be read. */
FX_TEST(a_result_in_memory_of_its_call_lives_as_long_as_the_list)
{
	const avow_call call = avow_begin(fx.loop, "call");
	char *const text = avow_alloc(call.context, 16);
	avow_promise *const p = avow_end(call, true, 0);
	strcpy(text, "text");
	avow_then(avow_all(fx.loop, &p, 1), see_memory, NULL);
	avow_settle(call.context, avow_ptr(text));
	fx_run();
	fx_expect("text");
}

FX_TEST(so_does_one_that_came_by_another_promise)
{
	const avow_call outer = avow_begin(fx.loop, "outer");
	const avow_call inner = avow_begin(fx.loop, "inner");
	char *const text = avow_alloc(outer.context, 16);
	ck_assert_ptr_nonnull(avow_alloc(inner.context, 16));
	avow_promise *const p = avow_end(outer, true, 0);
	avow_settle(outer.context, avow_await(avow_end(inner, true, 0)));
	strcpy(text, "text");
	avow_then(avow_all_settled(fx.loop, &p, 1), see_memory, NULL);
	avow_settle(inner.context, avow_ptr(text));
	fx_run();
	fx_expect("text");
}

/* A struct whose payload cannot be moved away from that memory either. */
static avow_value take_with_memory(avow_value list, void *arg)
{
	(void)arg;
	ck_assert_int_eq(fx_box_get(avow_list_at(list, 0))->number, 3);
	const avow_value taken = avow_take(avow_list_at(list, 0));
	ck_assert(avow_error_is(taken, &avow_core_domain, AVOW_ENOTCOPYABLE));
	fx_log("taken");
	return taken;
}

FX_TEST(a_result_that_may_point_into_memory_is_not_moved_away_from_it)
{
	const avow_call call = avow_begin(fx.loop, "call");
	ck_assert_ptr_nonnull(avow_alloc(call.context, 16));
	avow_promise *const p = avow_end(call, true, 0);
	note_end(avow_then(avow_all(fx.loop, &p, 1), take_with_memory, NULL),
		 "end");
	avow_settle(call.context, fx_box_new(3));
	fx_run();
	fx_expect("taken|end:!a value of type fx_box cannot be copied");
	ck_assert_int_eq(fx.boxes, 0);
}

static avow_value take_list(avow_value list, void *where)
{
	*(avow_value *)where = avow_take(list);
	return avow_none();
}

static void *drop_in_thread(void *value)
{
	avow_drop(*(avow_value *)value);
	return NULL;
}

/* Dropped in another thread while the loop's own lets go of it too. */
FX_TEST(memory_of_a_call_may_end_with_a_list_in_another_thread)
{
	avow_value list;
	pthread_t thread;
	const avow_call call = avow_begin(fx.loop, "call");
	char *const text = avow_alloc(call.context, 16);
	avow_promise *const p = avow_end(call, true, 0);
	avow_hold(p);
	avow_then(avow_all(fx.loop, &p, 1), take_list, &list);
	avow_settle(call.context, avow_ptr(strcpy(text, "text")));
	fx_run();
	ck_assert_str_eq(avow_ptr_get(avow_list_at(list, 0)), "text");
	pthread_create(&thread, NULL, drop_in_thread, &list);
	avow_release(p);
	fx_free_loop();
	pthread_join(thread, NULL);
}


/* ------------------------------------------------------------------- Nothing */

FX_TEST(some_of_which_none_are_wanted_handles_rejections_all_the_same)
{
	avow_promise *const p = avow_rejected(fx.loop, avow_errno(EIO));
	note_end(avow_some(fx.loop, 0, &p, 1), "some");
	fx_run();
	fx_expect("some:[]");
}

FX_TEST(some_of_which_none_are_wanted_cancels_losers_if_asked)
{
	avow_promise *const p = work("w");
	note_end(avow_some(fx.loop, 0, &p, 1, .cancel_losers = true), "some");
	fx_run();
	fx_expect("hook:w|some:[]");
}

/* The hook of a loser, right inside of the function that makes the promise. */
static void run_the_loop(void *arg)
{
	(void)arg;
	ev_run(fx.ev, EVRUN_NOWAIT);
	fx_log("hook");
}

static void free_the_loop(void *arg)
{
	(void)arg;
	avow_loop_free(fx.loop);
	fx_log("hook");
}

static avow_promise *some_of_nothing(avow_job_fn *hook)
{
	const avow_call call = avow_begin(fx.loop, "call");
	avow_promise *const p = avow_end(call, true, 0);
	avow_on_cancel(call.context, hook, NULL);
	return avow_some(fx.loop, 0, &p, 1, .cancel_losers = true);
}

FX_TEST(the_promise_made_is_there_after_a_hook_has_run_the_loop)
{
	note_end(some_of_nothing(run_the_loop), "some");
	fx_run();
	fx_expect("hook|some:[]");
}

FX_TEST(a_hook_may_free_the_loop_while_the_promise_is_made)
{
	(void)some_of_nothing(free_the_loop);
	fx.loop = NULL;
	fx_expect("hook");
}

FX_TEST(a_signal_that_has_aborted_rejects_even_all_of_nothing)
{
	avow_abort *const stop = avow_abort_new(fx.loop);
	avow_abort_with(stop, avow_errno(EINTR));
	note_end(avow_all(fx.loop, NULL, 0, .signal = avow_abort_signal(stop)),
		 "all");
	fx_run();
	fx_expect("all:!Interrupted system call");
	avow_abort_free(stop);
}


/* ------------------------------------------------------------- Out of memory */

static avow_value look_at_settled(avow_value list, void *arg)
{
	(void)arg;
	fx_log("%s", avow_is_error(avow_list_at(list, 0)) ? "error" : "value");
	return avow_none();
}

static void settle_without_memory(void *arg)
{
	avow_loop *const loop = avow_loop_new(fx.ev);
	(void)arg;
	if (!loop)
		return;
	avow_promise *const p = avow_resolved(loop, fx_box_new(1));
	avow_hold(p);
	avow_on(avow_all_settled(loop, &p, 1), .fulfilled = look_at_settled,
		.rejected = fx_note_code, .arg = "code");
	ev_run(fx.ev, 0);
	avow_release(p);
	avow_loop_free(loop);
	const char *const log = fx_take_log();
	ck_assert_msg(!strcmp(log, "value") || !strcmp(log, "code:0"), "%s",
		      log);
}

FX_TEST(all_settled_never_says_that_what_was_fulfilled_has_failed)
{
	fx_sweep(settle_without_memory, NULL);
}

int main(void)
{
	return fx_main("combine");
}
