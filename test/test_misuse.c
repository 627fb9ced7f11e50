/*
 * SPDX-License-Identifier: MIT
 *
 * Misuse: what the programmer did wrong is told in one line, with the place
 * where it can be, and ends the process.  Stale handles: test_lifetime.c.
 */
#include "fixture.h"

#include <pthread.h>

static avow_value give_promise(avow_value value, void *p)
{
	(void)value;
	return avow_await(p);
}

/* One line on stderr, no more. */
static void one_line(void)
{
	const char *const text = fx_abort_text();
	const char *const end = strchr(text, '\n');
	ck_assert_msg(end && !end[1], "%s", text);
}


/* ------------------------------------------------------------------- Types */

FX_TEST(a_wrong_type_is_told_with_both_names)
{
	const avow_value text = avow_str("text");
	FX_ABORTS("int", fx_log("%d", (int)avow_int_get(text)));
	ck_assert_msg(strstr(fx_abort_text(), avow_str_type.name), "%s",
		      fx_abort_text());
	one_line();
	FX_ABORTS("fx_box", fx_box_get(text));
	ck_assert_msg(strstr(fx_abort_text(), avow_str_type.name), "%s",
		      fx_abort_text());
	avow_drop(text);
}

FX_TEST(every_getter_looks_at_the_type)
{
	const avow_value none = avow_none();
	FX_ABORTS("misuse", fx_log("%d", avow_bool_get(none)));
	FX_ABORTS("misuse", fx_log("%d", (int)avow_int_get(none)));
	FX_ABORTS("misuse", fx_log("%g", avow_double_get(none)));
	FX_ABORTS("misuse", fx_log("%s", avow_str_get(none)));
	FX_ABORTS("misuse", fx_log("%zu", avow_str_size(none)));
	FX_ABORTS("misuse", fx_log("%p", avow_ptr_get(none)));
	FX_ABORTS("misuse", fx_log("%p", avow_get(none, &fx_box_type)));
	FX_ABORTS("misuse", fx_log("%zu", avow_list_count(none)));
	FX_ABORTS("misuse", fx_text(avow_list_at(none, 0)));
	FX_ABORTS("misuse", fx_box_get(avow_int(1)));
	FX_ABORTS("misuse", fx_log("%p", (void *)fx_box_take(none)));
}

static avow_value read_as_box(avow_value value, void *arg)
{
	(void)arg;
	fx_log("%d", fx_box_get(value)->number);
	return avow_none();
}

FX_TEST(a_wrong_type_in_a_handler_is_told_with_its_place)
{
	avow_promise *const p = avow_resolved(fx.loop, avow_int(1));
	FX_ABORTS("fx_box",
		avow_then(p, read_as_box, NULL);
		fx_run());
	const int line = __LINE__ - 1;
	ck_assert_msg(fx_abort_names(line) || fx_abort_names(line - 1) ||
		      fx_abort_names(line - 2), "%s", fx_abort_text());
}

FX_TEST(an_item_out_of_range_is_told)
{
	const avow_value item = avow_int(1);
	const avow_value list = avow_list(&item, 1);
	FX_ABORTS("misuse", fx_text(avow_list_at(list, 1)));
	avow_drop(list);
}


/* ------------------------------------------------------------------ States */

FX_TEST(the_value_of_a_pending_promise_is_told_with_its_place)
{
	avow_promise *const p = avow_pending(fx.loop);
	const int line = __LINE__ - 1;
	FX_ABORTS("pending", fx_text(avow_value_of(p)));
	ck_assert_msg(fx_abort_names(line), "%s", fx_abort_text());
	one_line();
}

FX_TEST(settling_what_a_then_made_is_told_with_its_place)
{
	avow_promise *const p = avow_pending(fx.loop);
	avow_promise *const q = avow_then(p, fx_note, NULL);
	const int line = __LINE__ - 1;
	FX_ABORTS("settl", avow_resolve(q, avow_none()));
	ck_assert_msg(fx_abort_names(line), "%s", fx_abort_text());
	FX_ABORTS("settl", avow_reject(q, avow_errno(EIO)));
	FX_ABORTS("settl", avow_resolve(avow_catch(p, fx_note, NULL),
					avow_none()));
	FX_ABORTS("settl", avow_resolve(avow_finally(p, fx_note, NULL),
					avow_none()));
	FX_ABORTS("settl", avow_resolve(avow_shield(p), avow_none()));
	avow_resolve(p, avow_none());
	fx_run();
	(void)fx_take_log();
}

FX_TEST(settling_a_follower_that_a_then_made_is_told)
{
	avow_promise *const work = avow_pending(fx.loop);
	avow_promise *const p = avow_then(avow_resolved(fx.loop, avow_none()),
					  give_promise, work);
	avow_hold(p);
	fx_run();
	FX_ABORTS("settl", avow_resolve(p, avow_none()));
	avow_release(p);
	avow_resolve(work, avow_none());
}

FX_TEST(settling_a_delay_is_told)
{
	avow_promise *const p = avow_delay(fx.loop, 0.001);
	FX_ABORTS("settl", avow_resolve(p, avow_none()));
	FX_ABORTS("misuse", avow_context(p));
	fx_run();
}

FX_TEST(a_context_of_what_a_then_made_is_told)
{
	avow_promise *const p = avow_then(avow_resolved(fx.loop, avow_none()),
					  fx_note, NULL);
	FX_ABORTS("misuse", avow_context(p));
	fx_run();
	(void)fx_take_log();
}

FX_TEST(rejecting_with_a_promise_is_told)
{
	avow_promise *const p = avow_pending(fx.loop);
	avow_promise *const q = avow_pending(fx.loop);
	FX_ABORTS("misuse", avow_reject(p, avow_await(q)));
}

FX_TEST(releasing_more_often_than_holding_is_told)
{
	avow_promise *const p = avow_pending(fx.loop);
	avow_hold(p);
	avow_release(p);
	FX_ABORTS("misuse", avow_release(p));
}

FX_TEST(finally_beside_other_handlers_is_told)
{
	avow_promise *const p = avow_pending(fx.loop);
	FX_ABORTS("finally", avow_on(p, .fulfilled = fx_note,
				     .finally = fx_note));
	FX_ABORTS("finally", avow_on(p, .rejected = fx_note,
				     .finally = fx_note));
}


/* ------------------------------------------------------------ NULL handles */

FX_TEST(null_handles_are_told)
{
	avow_promise *slot;
	avow_promise *const p = avow_pending(fx.loop);
	FX_ABORTS("misuse", avow_then(NULL, fx_note, NULL));
	one_line();
	FX_ABORTS("misuse", avow_catch(NULL, fx_note, NULL));
	FX_ABORTS("misuse", avow_finally(NULL, fx_note, NULL));
	FX_ABORTS("misuse", avow_tap(NULL, fx_note, NULL));
	FX_ABORTS("misuse", avow_attach(NULL, NULL, fx_drop));
	FX_ABORTS("misuse", avow_shield(NULL));
	FX_ABORTS("misuse", avow_on(NULL, .fulfilled = fx_note));
	FX_ABORTS("misuse", avow_resolve(NULL, avow_none()));
	FX_ABORTS("misuse", avow_reject(NULL, avow_errno(EIO)));
	FX_ABORTS("misuse", avow_resolve(p, avow_await(NULL)));
	FX_ABORTS("misuse", avow_hold(NULL));
	FX_ABORTS("misuse", avow_slot(NULL, &slot));
	FX_ABORTS("misuse", fx_log("%d", avow_state_of(NULL)));
	FX_ABORTS("misuse", fx_text(avow_value_of(NULL)));
	FX_ABORTS("misuse", fx_text(avow_wait(NULL)));
	FX_ABORTS("misuse", avow_context(NULL));
	FX_ABORTS("misuse", fx_log("%p", (void *)avow_loop_of(NULL)));
}

FX_TEST(null_loops_are_told)
{
	FX_ABORTS("misuse", avow_pending(NULL));
	FX_ABORTS("misuse", avow_resolved(NULL, avow_none()));
	FX_ABORTS("misuse", avow_rejected(NULL, avow_errno(EIO)));
	FX_ABORTS("misuse", avow_cancel(avow_delay(NULL, 1.)));
	FX_ABORTS("misuse", avow_cancel(avow_immediate(NULL)));
	FX_ABORTS("misuse", (void)!avow_post(NULL, fx_job, NULL));
	FX_ABORTS("misuse", (void)!avow_begin(NULL, "call").is_open);
}


FX_TEST(what_is_asked_of_no_loop_is_told)
{
	avow_stats stats;
	FX_ABORTS("misuse", avow_tidy(NULL));
	FX_ABORTS("misuse", fx_log("%p", (void *)avow_loop_ev(NULL)));
	FX_ABORTS("misuse", avow_loop_budget(NULL, 1, 1.));
	FX_ABORTS("misuse", avow_loop_ecmascript_order(NULL, true));
	FX_ABORTS("misuse", avow_loop_stats(NULL, &stats));
	FX_ABORTS("misuse", avow_loop_on_report(NULL, NULL, NULL));
	FX_ABORTS("misuse", avow_loop_adopt(NULL));
	FX_ABORTS("misuse", avow_loop_nesting_max(NULL, 1));
	FX_ABORTS("misuse", avow_loop_spare_max(NULL, 1));
}

FX_TEST(a_missing_slot_or_function_is_told)
{
	avow_promise *const p = avow_pending(fx.loop);
	FX_ABORTS("misuse", avow_slot(p, NULL));
	FX_ABORTS("misuse", avow_unslot(NULL));
	FX_ABORTS("misuse", (void)!avow_post(fx.loop, NULL, NULL); fx_run());
}


/* ------------------------------------------------ Other loops and threads */

FX_TEST(a_promise_of_another_loop_is_told)
{
	avow_loop *const loop = avow_loop_new(fx.ev);
	avow_promise *const foreign = avow_pending(loop);
	avow_promise *const p = avow_pending(fx.loop);
	FX_ABORTS("loop", avow_resolve(p, avow_await(foreign)));
	one_line();
	FX_ABORTS("loop", avow_resolved(fx.loop, avow_await(foreign)));
	FX_ABORTS("loop",
		avow_then(avow_resolved(fx.loop, avow_none()), give_promise,
			  foreign);
		fx_run());
	avow_loop_free(loop);
}

struct elsewhere {
	void (*misuse)(void *);
	void *arg;
};

static void *run_elsewhere(void *arg)
{
	const struct elsewhere *const elsewhere = arg;
	elsewhere->misuse(elsewhere->arg);
	return NULL;
}

static void in_another_thread(void (*misuse)(void *), void *arg)
{
	struct elsewhere elsewhere = { misuse, arg };
	pthread_t thread;
	ck_assert_int_eq(pthread_create(&thread, NULL, run_elsewhere,
					&elsewhere), 0);
	pthread_join(thread, NULL);
}

static void attach_to(void *p)
{
	avow_then(p, fx_note, NULL);
}

static void resolve(void *p)
{
	avow_resolve(p, avow_none());
}

static void make(void *loop)
{
	avow_pending(loop);
}

static void post(void *loop)
{
	(void)!avow_post(loop, fx_job, NULL);
}

static void cancel(void *p)
{
	avow_cancel(p);
}

static void hold(void *p)
{
	avow_hold(p);
}

static void wait_for(void *p)
{
	fx_text(avow_wait(p));
}

static void begin(void *loop)
{
	(void)!avow_begin(loop, "call").is_open;
}

static void run(void *loop)
{
	ev_run(avow_loop_ev(loop), 0);
}

static void free_loop(void *loop)
{
	avow_loop_free(loop);
}

FX_TEST(another_thread_is_told)
{
	avow_promise *const p = avow_pending(fx.loop);
	FX_ABORTS("thread", in_another_thread(attach_to, p));
	one_line();
	FX_ABORTS("thread", in_another_thread(resolve, p));
	FX_ABORTS("thread", in_another_thread(cancel, p));
	FX_ABORTS("thread", in_another_thread(hold, p));
	FX_ABORTS("thread", in_another_thread(wait_for, p));
	FX_ABORTS("thread", in_another_thread(make, fx.loop));
	FX_ABORTS("thread", in_another_thread(post, fx.loop));
	FX_ABORTS("thread", in_another_thread(begin, fx.loop));
	FX_ABORTS("thread", in_another_thread(free_loop, fx.loop));
}

FX_TEST(running_the_loop_in_another_thread_is_told)
{
	avow_then(avow_resolved(fx.loop, avow_none()), fx_seven, NULL);
	FX_ABORTS("thread", in_another_thread(run, fx.loop));
	fx_run();
	(void)fx_take_log();
}

struct awaiting {
	const void *context;
	avow_value value;
};

static void settle_elsewhere(void *arg)
{
	const struct awaiting *const awaiting = arg;
	avow_settle(awaiting->context, awaiting->value);
}

FX_TEST(awaiting_from_another_thread_is_told)
{
	const avow_call call = avow_begin(fx.loop, "call");
	struct awaiting awaiting = {
		call.context, avow_await(avow_resolved(fx.loop, avow_none()))
	};
	avow_then(avow_end(call, true, 0), fx_seven, NULL);
	FX_ABORTS("thread", in_another_thread(settle_elsewhere, &awaiting));
	avow_settle(call.context, avow_none());
	fx_run();
	(void)fx_take_log();
}


/* ----------------------------------------------------- Borrowed, in debug */

static avow_value first_item(avow_value list, void *arg)
{
	(void)arg;
	return avow_list_at(list, 0);
}

#ifdef AVOW_DEBUG
static avow_value resolve_other(avow_value value, void *other)
{
	avow_resolve(other, value);
	return avow_none();
}

static avow_value put_in_list(avow_value value, void *arg)
{
	(void)arg;
	return avow_list(&value, 1);
}

static avow_value drop_argument(avow_value value, void *arg)
{
	(void)arg;
	avow_drop(value);
	return avow_none();
}

static avow_value settle_with_argument(avow_value value, void *context)
{
	avow_settle(context, value);
	return avow_none();
}
#endif

static avow_value resolve_other_with_taken(avow_value value, void *other)
{
	avow_resolve(other, avow_take(value));
	return avow_none();
}

FX_TEST(debug_tells_a_handler_that_gives_its_argument_away)
{
	avow_promise *const p = avow_resolved(fx.loop, fx_box_new(1));
	avow_promise *const other = avow_pending(fx.loop);
#ifdef AVOW_DEBUG
	static avow_handler_fn *const careless[] = {
		resolve_other, put_in_list, drop_argument, settle_with_argument
	};
	void *const args[] = { other, NULL, NULL, avow_context(other) };
	for (size_t i = 0; i < 4; i++)
		FX_ABORTS("avow_take() it first",
			avow_then(p, careless[i], args[i]);
			fx_run());
#endif
	avow_then(p, resolve_other_with_taken, other);
	avow_then(other, fx_note, NULL);
	fx_run();
	fx_expect("box:1");
}

static avow_value drop_own_copy(avow_value value, void *copy)
{
	avow_drop(*(avow_value *)copy);
	return value;
}

/* A copy of a list or an error is the same list or error. */
FX_TEST(debug_lets_a_handler_drop_what_the_program_has_of_its_argument)
{
	const avow_value item = fx_box_new(1);
	const avow_value list = avow_list(&item, 1);
	avow_value copy = avow_copy(list);
	avow_promise *const p = avow_resolved(fx.loop, list);
	avow_then(avow_then(p, drop_own_copy, &copy), fx_note, NULL);
	fx_run();
	fx_expect("[box:1]");
}

FX_TEST(debug_tells_a_borrowed_item_that_is_returned)
{
	(void)first_item;
#ifdef AVOW_DEBUG
	const avow_value item = fx_box_new(1);
	FX_ABORTS("avow_take",
		avow_then(avow_resolved(fx.loop, avow_list(&item, 1)),
			  first_item, NULL);
		fx_run());
	avow_drop(item);
#endif
}

int main(void)
{
	return fx_main("misuse");
}
