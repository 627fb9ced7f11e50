/*
 * SPDX-License-Identifier: MIT
 *
 * The scene of the tests of re-entrancy; scene.h says what it offers.
 */
#include "scene.h"

const char *const scene_act_names[ACTS] = { "cancel self", "release another",
					    "attach more", "settle another",
					    "run nested",  "free the loop" };

struct scene scene;

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

static void count_job(void *counter)
{
	++*(int *)counter;
}

void scene_act(void)
{
	if (scene.calls++)
		return;
	switch (scene.act) {
	case CANCEL_SELF:
		avow_cancel(scene.self);
		break;
	case RELEASE:
		avow_release(scene.held);
		break;
	case ATTACH:
		avow_then(scene.held, count_handler, &scene.held_handlers);
		break;
	case SETTLE:
		avow_resolve(scene.other, fx_box_new(1));
		break;
	case NEST:
		ck_assert(avow_post(scene.loop, count_job, &scene.nested_jobs));
		ev_run(fx.ev, EVRUN_NOWAIT);
		ck_assert_int_eq(scene.nested_jobs, 1);
		break;
	case FREE:
		avow_loop_free(scene.loop);
		scene.loop = NULL;
		break;
	case ACTS:
		break;
	}
}

static void ignore_report(avow_loop *loop, const avow_report *report, void *arg)
{
	(void)loop;
	(void)report;
	(void)arg;
}

void scene_open(enum act act)
{
	scene = (struct scene){ .act = act, .loop = avow_loop_new(fx.ev) };
	ck_assert_ptr_nonnull(scene.loop);
	avow_loop_on_report(scene.loop, ignore_report, NULL);
	avow_slot(avow_resolved(scene.loop, fx_box_new(2)), &scene.held);
	avow_hold(scene.held);
	avow_slot(avow_pending(scene.loop), &scene.other);
	avow_on(scene.other, .fulfilled = count_and_catch,
		.rejected = count_and_catch, .arg = &scene.other_handlers);
}

void scene_look(int calls)
{
	const char *const name = scene_act_names[scene.act];
	const enum act act = scene.act;
	ck_assert_msg(scene.calls == calls, "%s: called %d times", name,
		      scene.calls);
	if (act == RELEASE)
		ck_assert_msg(!scene.held, "%s: still there", name);
	if (act == ATTACH)
		ck_assert_msg(scene.held_handlers == 1, "%s: %d handlers ran",
			      name, scene.held_handlers);
	if (act == SETTLE)
		ck_assert_msg(scene.other_handlers == 1 && !scene.other,
			      "%s: %d handlers ran", name,
			      scene.other_handlers);
	avow_loop_free(scene.loop);
	ck_assert_msg(!scene.self && !scene.held && !scene.other,
		      "%s: slots left", name);
	ck_assert_msg(scene.other_handlers == 1, "%s: %d handlers ran", name,
		      scene.other_handlers);
	ck_assert_msg(fx.boxes == 0, "%s: %d boxes left", name, fx.boxes);
}

void scene_try_all(void (*prepare)(void), int calls)
{
	for (int act = 0; act < ACTS; act++) {
		scene_open((enum act)act);
		prepare();
		fx_run();
		scene_look(calls);
	}
}

avow_promise *scene_self(avow_promise *p)
{
	avow_slot(p, &scene.self);
	return p;
}
