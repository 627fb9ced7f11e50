/*
 * SPDX-License-Identifier: MIT
 *
 * The core without any event loop: a driver of a few lines stands in for
 * libev, and a test drains by hand.  What a driver is asked for, and when, is
 * seen here; everything else about promises is tested on libev.
 */
#include "fixture.h"

#include "../src/lifecycle.h"

static struct bare {
	avow_loop loop;
	int wakes, turns;
	bool is_closed;
} *bare;

static void bare_wake(avow_loop *loop)
{
	(void)loop;
	bare->wakes++;
}

static void bare_turn(avow_loop *loop)
{
	(void)loop;
	bare->turns++;
}

static void bare_ignore(avow_loop *loop)
{
	(void)loop;
}

static unsigned bare_depth(const avow_loop *loop)
{
	(void)loop;
	return DEPTH_BASE;
}

static void bare_keep_alive(avow_loop *loop, bool on)
{
	(void)loop;
	(void)on;
}

static void bare_close(avow_loop *loop)
{
	(void)loop;
	bare->is_closed = true;
}

static const struct avow__driver bare_driver = {
	.wake = bare_wake,
	.turn = bare_turn,
	.look_again = bare_ignore,
	.depth = bare_depth,
	.ring = bare_ignore,
	.listen = bare_ignore,
	.keep_alive = bare_keep_alive,
	.close = bare_close,
	.free = bare_ignore,
};

static avow_loop *bare_open(void)
{
	bare = calloc(1, sizeof(*bare));
	ck_assert_ptr_nonnull(bare);
	ck_assert(avow__loop_open(&bare->loop, &bare_driver));
	avow_loop_on_report(&bare->loop, fx_report, NULL);
	return &bare->loop;
}

static void bare_end(void)
{
	avow_loop_free(&bare->loop);
	ck_assert(bare->is_closed);
	free(bare);
}

FX_TEST(a_driver_is_woken_once_until_it_drains)
{
	avow_loop *const loop = bare_open();
	avow_promise *const p = avow_resolved(loop, avow_int(1));
	ck_assert_int_eq(bare->wakes, 1);
	avow_then(p, fx_note, "a");
	avow_then(p, fx_note, "b");
	ck_assert_int_eq(bare->wakes, 1);
	fx_expect("");
	avow__drain(loop, DEPTH_BASE);
	fx_expect("a:1|b:1");
	avow_then(avow_resolved(loop, avow_int(2)), fx_note, "c");
	ck_assert_int_eq(bare->wakes, 2);
	avow__drain(loop, DEPTH_BASE);
	fx_expect("c:2");
	bare_end();
}

FX_TEST(a_pending_promise_wakes_nobody)
{
	avow_loop *const loop = bare_open();
	avow_promise *const p = avow_pending(loop);
	avow_then(avow_then(p, fx_seven, "a"), fx_note, "b");
	ck_assert_int_eq(bare->wakes, 0);
	avow_resolve(p, avow_none());
	ck_assert_int_eq(bare->wakes, 1);
	avow__drain(loop, DEPTH_BASE);
	fx_expect("a:none|b:7");
	bare_end();
}

FX_TEST(what_is_left_of_a_budget_waits_for_its_turn)
{
	avow_loop *const loop = bare_open();
	avow_promise *const p = avow_pending(loop);
	avow_loop_budget(loop, 2, 0);
	for (int i = 0; i < 5; i++)
		avow_then(p, fx_note, "job");
	avow_resolve(p, avow_int(1));
	avow__drain(loop, DEPTH_BASE);
	fx_expect("job:1|job:1");
	ck_assert_int_eq(bare->turns, 1);
	/* A feed that comes all the same must not go on with the rest. */
	avow__drain(loop, DEPTH_BASE);
	fx_expect("");
	avow__turn(loop, DEPTH_BASE);
	fx_expect("job:1|job:1");
	avow__turn(loop, DEPTH_BASE);
	fx_expect("job:1");
	ck_assert_int_eq(bare->turns, 2);
	bare_end();
}

FX_TEST(a_loop_without_an_event_loop_ends_cleanly_with_work_pending)
{
	avow_loop *const loop = bare_open();
	const avow_call call = avow_begin(loop, "never");
	avow_on(avow_end(call, true, 0), .fulfilled = fx_note,
		.rejected = fx_note, .arg = "end", .drop = fx_drop);
	avow_attach(avow_resolved(loop, fx_box_new(1)), "box", fx_drop);
	bare_end();
	fx_expect("drop:box|end:!abandoned: the loop was freed first|drop:end");
	fx_expect_reports("abandoned:never");
	ck_assert_int_eq(fx.boxes, 0);
}

int main(void)
{
	return fx_main("bare");
}
