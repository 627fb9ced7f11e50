/*
 * SPDX-License-Identifier: MIT
 *
 * Whatever the library calls may do whatever it likes.
 *
 * Each test takes one kind of callback of the core and does six things from
 * inside it; scene.h says which.  Values and blocks are counted by the fixture;
 * ASan and valgrind see the rest.
 */
#include "scene.h"

static avow_value count_handler(avow_value value, void *counter)
{
	++*(int *)counter;
	return value;
}

static avow_value count_and_catch(avow_value value, void *counter)
{
	(void)value;
	++*(int *)counter;
	return avow_none();
}

static int uninteresting;


/* ---------------------------------------------------------------- Handlers */

static avow_value handler(avow_value value, void *arg)
{
	const int number = fx_box_get(value)->number;
	(void)arg;
	scene_act();
	ck_assert_int_eq(fx_box_get(value)->number, number);
	return value;
}

static void prepare_then(void)
{
	avow_promise *const p = avow_resolved(scene.loop, fx_box_new(7));
	avow_then(scene_self(avow_then(p, handler, NULL)), count_handler,
		  &uninteresting);
}

FX_TEST(a_then_may_do_anything)
{
	scene_try_all(prepare_then, 1);
}

static void prepare_branches(void)
{
	avow_promise *const p = avow_resolved(scene.loop, fx_box_new(7));
	scene_self(avow_then(p, handler, NULL));
	for (int i = 0; i < 3; i++)
		avow_then(p, handler, NULL);
}

FX_TEST(the_first_of_several_thens_may_do_anything)
{
	scene_try_all(prepare_branches, 4);
}

static avow_value error_handler(avow_value value, void *arg)
{
	(void)arg;
	scene_act();
	fx_text(value);
	return value;
}

static void prepare_catch(void)
{
	avow_promise *const p =
		avow_rejected(scene.loop, avow_error(EIO, "bad"));
	scene_self(avow_catch(p, error_handler, NULL));
}

FX_TEST(a_catch_may_do_anything)
{
	scene_try_all(prepare_catch, 1);
}

static void prepare_finally(void)
{
	avow_promise *const p = avow_resolved(scene.loop, fx_box_new(7));
	scene_self(avow_finally(p, handler, NULL));
}

FX_TEST(a_finally_may_do_anything)
{
	scene_try_all(prepare_finally, 1);
}

static avow_value handler_that_awaits(avow_value value, void *arg)
{
	avow_promise *const p = avow_then(
		avow_resolved(scene.loop, fx_box_new(3)), count_handler, arg);
	(void)value;
	scene_act();
	return avow_await(p);
}

static void prepare_await(void)
{
	avow_promise *const p = avow_resolved(scene.loop, fx_box_new(7));
	scene_self(avow_then(p, handler_that_awaits, &uninteresting));
}

FX_TEST(a_handler_that_awaits_may_do_anything)
{
	scene_try_all(prepare_await, 1);
}

static avow_value handler_that_takes(avow_value value, void *arg)
{
	const avow_value box = avow_take(value);
	(void)arg;
	scene_act();
	return box;
}

static void prepare_take(void)
{
	avow_promise *const p = avow_resolved(scene.loop, fx_box_new(7));
	scene_self(avow_then(p, handler_that_takes, NULL));
}

FX_TEST(a_handler_that_took_its_value_may_do_anything)
{
	scene_try_all(prepare_take, 1);
}


/* ---------------------------------------------- Drops, hooks, posted jobs */

static void callback_of_pointer(void *arg)
{
	(void)arg;
	scene_act();
}

static void prepare_drop(void)
{
	avow_promise *const p = avow_resolved(scene.loop, fx_box_new(7));
	scene_self(avow_attach(p, &scene, callback_of_pointer));
}

FX_TEST(the_drop_of_an_argument_may_do_anything)
{
	scene_try_all(prepare_drop, 1);
}

static void prepare_drop_by_cancel(void)
{
	scene_self(avow_attach(avow_pending(scene.loop), &scene,
			       callback_of_pointer));
	avow_cancel(scene.self);
}

FX_TEST(a_drop_by_cancellation_may_do_anything)
{
	scene_try_all(prepare_drop_by_cancel, 1);
}

static void prepare_drop_in_chain(void)
{
	avow_promise *const p = avow_pending(scene.loop);
	scene_self(avow_attach(p, &scene, callback_of_pointer));
	avow_promise *const end = avow_finally(avow_attach(scene.self, &scene,
							   callback_of_pointer),
					       error_handler, NULL);
	avow_cancel(end);
}

FX_TEST(a_drop_on_the_way_up_may_do_anything)
{
	scene_try_all(prepare_drop_in_chain, 3);
}

static void prepare_hook(void)
{
	const avow_call call = avow_begin(scene.loop, "call");
	avow_promise *const p = scene_self(avow_end(call, true, 0));
	avow_on_cancel(call.context, callback_of_pointer, NULL);
	avow_cancel(avow_then(p, count_handler, &uninteresting));
	avow_settle(call.context, fx_box_new(9));
}

FX_TEST(a_cancel_hook_may_do_anything)
{
	scene_try_all(prepare_hook, 1);
}

static void prepare_hook_at_end(void)
{
	const avow_call call = avow_begin(scene.loop, "call");
	scene_self(avow_end(call, true, 0));
	avow_on_cancel(call.context, callback_of_pointer, NULL);
	avow_loop_free(scene.loop);
	scene.loop = NULL;
}

/* The loop is being freed: what is made then is rejected, and nothing runs in
 * a nested loop. */
FX_TEST(a_cancel_hook_may_do_much_while_the_loop_is_freed)
{
	static const enum act acts[] = { CANCEL_SELF, RELEASE, SETTLE };
	for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++) {
		scene_open(acts[i]);
		prepare_hook_at_end();
		fx_run();
		scene_look(1);
	}
}

static void prepare_post(void)
{
	scene_self(avow_pending(scene.loop));
	ck_assert(avow_post(scene.loop, callback_of_pointer, NULL));
	ck_assert(avow_post(scene.loop, callback_of_pointer, NULL));
}

FX_TEST(a_posted_job_may_do_anything)
{
	scene_try_all(prepare_post, 2);
}


/* ----------------------------------------------------------------- Reports */

static void report(avow_loop *loop, const avow_report *report, void *arg)
{
	(void)loop;
	(void)arg;
	if (report->kind != AVOW_REPORT_UNHANDLED)
		return;
	scene_act();
	fx_text(report->error);
}

static void prepare_report(void)
{
	avow_loop_on_report(scene.loop, report, NULL);
	scene_self(avow_rejected(scene.loop, avow_error(EIO, "bad")));
}

FX_TEST(a_report_may_do_anything)
{
	scene_try_all(prepare_report, 1);
}


/* ------------------------------------------------------ Functions of a type */

static void odd_drop(void *ptr)
{
	scene_act();
	free(ptr);
}

static avow_value odd_copy(avow_value value);
static void odd_describe(avow_value value, char *text, size_t size);

AVOW_TYPE_WITH(dropped, void *, odd_drop, 0, 0, false, 0);
AVOW_TYPE_WITH(copied, void *, free, odd_copy, 0, false, 0);
AVOW_TYPE_WITH(described, void *, free, 0, 0, false, odd_describe);

static avow_value odd_copy(avow_value value)
{
	(void)value;
	scene_act();
	return copied_value(malloc(1));
}

static void odd_describe(avow_value value, char *text, size_t size)
{
	(void)value;
	scene_act();
	snprintf(text, size, "odd");
}

static void prepare_value_drop(void)
{
	scene_self(avow_resolved(scene.loop, dropped_value(malloc(1))));
}

FX_TEST(the_drop_of_a_reaped_value_may_do_anything)
{
	scene_try_all(prepare_value_drop, 1);
}

static void prepare_ignored_drop(void)
{
	avow_promise *const p = scene_self(avow_pending(scene.loop));
	avow_resolve(p, avow_int(1));
	avow_resolve(p, dropped_value(malloc(1)));
}

FX_TEST(the_drop_of_an_ignored_value_may_do_anything)
{
	scene_try_all(prepare_ignored_drop, 1);
}

static void prepare_late_drop(void)
{
	const avow_call call = avow_begin(scene.loop, "call");
	avow_promise *const p = scene_self(avow_end(call, true, 0));
	avow_cancel(p);
	avow_settle(call.context, dropped_value(malloc(1)));
}

FX_TEST(the_drop_of_a_late_value_may_do_anything)
{
	scene_try_all(prepare_late_drop, 1);
}

static avow_value give_dropped(avow_value value, void *arg)
{
	(void)value;
	(void)arg;
	return dropped_value(malloc(1));
}

static void prepare_discarded_drop(void)
{
	avow_promise *const p = avow_resolved(scene.loop, avow_none());
	scene_self(avow_finally(p, give_dropped, NULL));
}

FX_TEST(the_drop_of_what_finally_returned_may_do_anything)
{
	scene_try_all(prepare_discarded_drop, 1);
}

static avow_value take_copied(avow_value value, void *arg)
{
	(void)arg;
	return avow_take(value);
}

static void prepare_copy(void)
{
	avow_promise *const p =
		avow_resolved(scene.loop, copied_value(malloc(1)));
	scene_self(avow_then(p, take_copied, NULL));
	avow_then(p, count_handler, &uninteresting);
}

FX_TEST(the_copy_of_a_value_may_do_anything)
{
	scene_try_all(prepare_copy, 1);
}

static avow_value describe(avow_value value, void *arg)
{
	(void)arg;
	ck_assert_str_eq(avow_message(value), "odd");
	return value;
}

static void prepare_describe(void)
{
	avow_promise *const p =
		avow_resolved(scene.loop, described_value(malloc(1)));
	scene_self(avow_then(p, describe, NULL));
}

FX_TEST(the_text_of_a_value_may_do_anything)
{
	scene_try_all(prepare_describe, 1);
}


static avow_promise *spoiled;

/* Settles what is being rejected with it, and lets it be reaped. */
static void spoil_describe(avow_value value, char *text, size_t size)
{
	avow_promise *const p = spoiled;
	(void)value;
	snprintf(text, size, "spoiled");
	spoiled = NULL;
	if (!p)
		return;
	avow_resolve(p, avow_int(1));
	avow_tidy(fx.loop);
}

static const avow_type spoil_type = { .name = "spoil",
				      .describe = spoil_describe };

FX_TEST(the_text_of_a_reason_may_settle_the_promise_it_is_for)
{
	static int spoil;
	avow_promise *slot;
	spoiled = avow_pending(fx.loop);
	avow_slot(spoiled, &slot);
	avow_then(spoiled, fx_note, "then");
	avow_reject(spoiled, avow_own(&spoil, &spoil_type));
	fx_run();
	fx_expect("then:1");
	ck_assert_ptr_null(slot);

	/* Here nothing but the call itself keeps it. */
	spoiled = avow_pending(fx.loop);
	avow_reject(spoiled, avow_own(&spoil, &spoil_type));
	fx_run();
	ck_assert_ptr_null(spoiled);
}


/* --------------------------------------------------------------- Thenables */

static avow_value start(avow_value value, void *context)
{
	(void)value;
	scene_act();
	avow_settle(context, fx_box_new(5));
	scene_act();
	return avow_none();
}

AVOW_TYPE_WITH(startable, void *, free, 0, start, false, 0);

static void prepare_thenable(void)
{
	avow_promise *const p = scene_self(
		avow_resolved(scene.loop, startable_value(malloc(1))));
	avow_on(p, .fulfilled = count_and_catch, .rejected = count_and_catch,
		.arg = &uninteresting);
}

FX_TEST(the_start_of_a_thenable_may_do_anything)
{
	scene_try_all(prepare_thenable, 2);
}


/* ------------------------------------------------- Callbacks and steppers */

static void as_callback(avow_value error, avow_value value, void *context)
{
	(void)context;
	scene_act();
	fx_text(error);
	fx_text(value);
}

static void prepare_as_callback(void)
{
	avow_promise *const p =
		scene_self(avow_resolved(scene.loop, fx_box_new(7)));
	avow_as_callback(p, as_callback, NULL);
}

FX_TEST(a_callback_made_of_a_promise_may_do_anything)
{
	scene_try_all(prepare_as_callback, 1);
}

static avow_value step(avow_value events, void *arg)
{
	(void)arg;
	(void)events;
	scene_act();
	return scene.calls < 3 && scene.loop ? avow_until(-1, 0, 0.0001)
					     : fx_box_new(3);
}

static void prepare_drive(void)
{
	scene_self(avow_drive(scene.loop, step, NULL));
}

FX_TEST(a_step_may_do_anything)
{
	for (int act = 0; act < ACTS; act++) {
		scene_open((enum act)act);
		prepare_drive();
		fx_run();
		scene_look(act == CANCEL_SELF || act == FREE ? 1 : 3);
	}
}


/* --------------------------------------------------- Two at the same time */

static avow_value free_twice_nested(avow_value value, void *arg)
{
	avow_loop *const loop = scene.loop;
	(void)arg;
	(void)value;
	scene.calls++;
	scene.loop = NULL;
	avow_loop_free(loop);
	ev_run(fx.ev, EVRUN_NOWAIT);
	return avow_none();
}

FX_TEST(a_handler_may_free_the_loop_and_run_it_nested)
{
	scene_open(FREE);
	avow_promise *const p = avow_resolved(scene.loop, fx_box_new(1));
	scene_self(avow_then(p, free_twice_nested, NULL));
	avow_then(p, count_handler, &scene.held_handlers);
	fx_run();
	ck_assert_int_eq(scene.held_handlers, 1);
	scene_look(1);
}

static avow_value cancel_all(avow_value value, void *arg)
{
	avow_promise **const all = arg;
	(void)value;
	for (int i = 0; i < 10; i++)
		avow_cancel(all[i]);
	return avow_none();
}

FX_TEST(a_handler_may_cancel_all_that_is_queued_behind_it)
{
	avow_promise *all[10];
	int ran = 0;
	avow_promise *const p = avow_resolved(fx.loop, fx_box_new(1));
	avow_then(p, cancel_all, all);
	for (int i = 0; i < 10; i++)
		all[i] = avow_then(p, count_handler, &ran);
	fx_run();
	ck_assert_int_eq(ran, 0);
	ck_assert_int_eq(fx.boxes, 0);
}

static avow_value nest_and_cancel(avow_value value, void *arg)
{
	(void)arg;
	fx_later(0., callback_of_pointer, NULL);
	ev_run(fx.ev, EVRUN_ONCE);
	return value;
}

FX_TEST(a_loop_nested_in_a_handler_may_cancel_the_handlers_promise)
{
	for (int act = 0; act < ACTS; act++) {
		scene_open((enum act)act);
		avow_promise *const p =
			avow_resolved(scene.loop, fx_box_new(7));
		scene_self(avow_then(p, nest_and_cancel, NULL));
		fx_run();
		scene_look(1);
	}
}

static void run_nested(void *arg)
{
	(void)arg;
	ev_run(fx.ev, EVRUN_NOWAIT);
	fx_log("drop");
}

FX_TEST(a_loop_nested_in_a_drop_runs_the_jobs_of_what_has_just_settled)
{
	avow_promise *const p = avow_on(avow_resolved(fx.loop, avow_int(1)),
					.fulfilled = fx_pass, .arg = "then",
					.drop = run_nested);
	avow_then(p, fx_note, "next");

	fx_run();

	fx_expect("then:1|next:1|drop");
}

int main(void)
{
	return fx_main("reentrancy");
}
