/*
 * SPDX-License-Identifier: MIT
 *
 * Promises in the large: loops of promises in constant memory, chains and
 * follow paths of ten million on a stack of 64 KiB.
 *
 * fx_scale() makes the numbers less under valgrind and sanitizers.
 */
#include "fixture.h"

static size_t slab_bytes(void)
{
	avow_stats stats;
	avow_loop_stats(fx.loop, &stats);
	return stats.slab_bytes;
}


/* --------------------------------------------------- Collapse, in the large */

enum { LAPS_BYTES_MAX = 512 * 1024 + 80 * FX_QUARANTINE };

struct laps {
	size_t left;
	size_t bytes_max;	/* of slabs, seen on the way */
	avow_promise *last;
	const void *context;
};

/* Looks at the memory now and then. */
static bool laps_are_over(struct laps *laps)
{
	if (laps->left % 4096 == 0 && slab_bytes() > laps->bytes_max)
		laps->bytes_max = slab_bytes();
	if (!laps->left)
		return true;
	laps->left--;
	return false;
}

static avow_value lap(avow_value value, void *arg)
{
	struct laps *const laps = arg;
	if (laps_are_over(laps))
		return value;
	return avow_await(avow_then(avow_resolved(fx.loop, avow_int(1)), lap,
				    laps));
}

FX_TEST_LIMIT(a_loop_of_handlers_runs_in_constant_memory, 20.)
{
	struct laps laps = { .left = fx_scale(3000000) };
	avow_promise *const p = avow_resolved(fx.loop, avow_int(0));
	avow_then(avow_then(p, lap, &laps), fx_note, "end");
	fx_run();
	fx_expect("end:1");
	ck_assert_uint_le(laps.bytes_max, LAPS_BYTES_MAX);
}

static avow_value lap_after_a_turn(avow_value value, void *arg)
{
	struct laps *const laps = arg;
	if (laps_are_over(laps))
		return value;
	return avow_await(avow_then(avow_immediate(fx.loop), lap_after_a_turn,
				    laps));
}

FX_TEST_LIMIT(a_loop_that_waits_each_lap_runs_in_constant_memory, 20.)
{
	struct laps laps = { .left = fx_scale(300000) };
	avow_promise *const p = avow_resolved(fx.loop, avow_int(0));
	avow_then(avow_then(p, lap_after_a_turn, &laps), fx_note, "end");
	fx_run();
	fx_expect("end:none");
	ck_assert_uint_le(laps.bytes_max, LAPS_BYTES_MAX);
}

static void resolve_lap(void *arg)
{
	struct laps *const laps = arg;
	if (laps_are_over(laps)) {
		avow_resolve(laps->last, avow_int(1));
		return;
	}
	avow_promise *const next = avow_pending(fx.loop);
	avow_resolve(laps->last, avow_await(next));
	laps->last = next;
	fx_check(avow_post(fx.loop, resolve_lap, laps));
}

FX_TEST_LIMIT(a_loop_of_avow_resolve_runs_in_constant_memory, 20.)
{
	struct laps laps = {
		.left = fx_scale(3000000), .last = avow_pending(fx.loop)
	};
	avow_then(laps.last, fx_note, "end");
	fx_check(avow_post(fx.loop, resolve_lap, &laps));
	fx_run();
	fx_expect("end:1");
	ck_assert_uint_le(laps.bytes_max, LAPS_BYTES_MAX);
}

static void settle_lap(void *arg)
{
	struct laps *const laps = arg;
	const void *const context = laps->context;
	if (laps_are_over(laps)) {
		avow_settle(context, avow_int(1));
		return;
	}
	const avow_call next = avow_begin(fx.loop, "lap");
	laps->context = next.context;
	avow_settle(context, avow_await(avow_end(next, true, 0)));
	fx_check(avow_post(fx.loop, settle_lap, laps));
}

FX_TEST_LIMIT(a_loop_of_avow_settle_runs_in_constant_memory, 20.)
{
	const avow_call first = avow_begin(fx.loop, "lap");
	struct laps laps = {
		.left = fx_scale(2000000), .context = first.context
	};
	const size_t bytes = fx_bytes();
	avow_then(avow_end(first, true, 0), fx_note, "end");
	fx_check(avow_post(fx.loop, settle_lap, &laps));
	fx_run();
	fx_expect("end:1");
	ck_assert_uint_le(laps.bytes_max, LAPS_BYTES_MAX);
	ck_assert_uint_le(fx_bytes(), bytes + 2 * LAPS_BYTES_MAX);
}

/* Two promises of one callback follow: both go once they are in the middle. */
static avow_value lap_of_two(avow_value value, void *arg)
{
	struct laps *const laps = arg;
	if (laps_are_over(laps))
		return value;
	avow_promise *const p = avow_pending(fx.loop);
	avow_resolve(p, avow_await(avow_then(avow_immediate(fx.loop),
					     lap_of_two, laps)));
	return avow_await(p);
}

FX_TEST_LIMIT(two_follows_in_one_callback_run_in_constant_memory, 20.)
{
	struct laps laps = { .left = fx_scale(300000) };
	avow_promise *const p = avow_resolved(fx.loop, avow_int(0));
	avow_then(avow_then(p, lap_of_two, &laps), fx_note, "end");
	fx_run();
	fx_expect("end:none");
	ck_assert_uint_le(laps.bytes_max, LAPS_BYTES_MAX);
}

static avow_value lap_start(avow_value value, void *context);

AVOW_TYPE_WITH(lap_future, struct laps *, 0, 0, lap_start, false, 0);

static avow_value lap_of_thenables(avow_value value, void *arg)
{
	struct laps *const laps = arg;
	if (laps_are_over(laps))
		return value;
	return lap_future_value(laps);
}

static avow_value lap_start(avow_value value, void *context)
{
	struct laps *const laps = lap_future_get(value);
	avow_settle(context, avow_await(avow_then(avow_immediate(fx.loop),
						  lap_of_thenables, laps)));
	return avow_none();
}

FX_TEST_LIMIT(a_loop_of_thenables_runs_in_constant_memory, 20.)
{
	struct laps laps = { .left = fx_scale(300000) };
	avow_promise *const p = avow_resolved(fx.loop, avow_int(0));
	avow_then(avow_then(p, lap_of_thenables, &laps), fx_note, "end");
	fx_run();
	fx_expect("end:none");
	ck_assert_uint_le(laps.bytes_max, LAPS_BYTES_MAX);
}

/* One libev callback for each lap, so that what is freed is freed for good. */
static void resolve_in_callback(struct ev_loop *ev, ev_idle *idle, int events)
{
	struct laps *const laps = idle->data;
	(void)events;
	if (laps_are_over(laps)) {
		ev_idle_stop(ev, idle);
		avow_resolve(laps->last, avow_int(1));
		return;
	}
	avow_promise *const next = avow_pending(fx.loop);
	avow_resolve(laps->last, avow_await(next));
	laps->last = next;
}

FX_TEST_LIMIT(a_loop_over_callbacks_runs_in_constant_memory, 20.)
{
	ev_idle idle;
	struct laps laps = {
		.left = fx_scale(500000), .last = avow_pending(fx.loop)
	};
	avow_then(laps.last, fx_note, "end");
	ev_idle_init(&idle, resolve_in_callback);
	idle.data = &laps;
	ev_idle_start(fx.ev, &idle);
	fx_run();
	fx_expect("end:1");
	ck_assert_uint_le(laps.bytes_max, LAPS_BYTES_MAX);
}


/* ------------------------------------------------------ Depth, in the large */

static size_t steps;

static avow_value count_step(avow_value value, void *arg)
{
	(void)arg;
	steps++;
	return value;
}

static avow_promise *chain_of(avow_promise *p, size_t count)
{
	for (size_t i = 0; i < count; i++)
		p = avow_then(p, count_step, NULL);
	return p;
}

static void run_long_chain(void *arg)
{
	const size_t count = fx_scale(10000000);
	avow_promise *const first = avow_pending(fx.loop);
	(void)arg;
	steps = 0;
	avow_then(chain_of(first, count), fx_note, "end");
	avow_resolve(first, avow_int(1));
	fx_run();
	ck_assert_uint_eq(steps, count);
	fx_expect("end:1");
}

/* Fresh memory is slow on some machines: these touch more than a gigabyte. */
FX_TEST_LIMIT(a_chain_of_ten_million_runs_on_a_small_stack, 120.)
{
	fx_on_small_stack(run_long_chain, NULL);
}

static void reject_long_chain(void *arg)
{
	const size_t count = fx_scale(1000000);
	avow_promise *const first = avow_pending(fx.loop);
	(void)arg;
	steps = 0;
	avow_catch(chain_of(first, count), fx_note, "end");
	avow_reject(first, avow_error(EIO, "bad"));
	fx_run();
	ck_assert_uint_eq(steps, 0);
	fx_expect("end:!bad");
}

FX_TEST_LIMIT(a_rejection_passes_a_million_thens_on_a_small_stack, 20.)
{
	fx_on_small_stack(reject_long_chain, NULL);
}

static void free_long_chain(void *arg)
{
	(void)arg;
	avow_catch(chain_of(avow_pending(fx.loop), fx_scale(1000000)),
		   fx_note_code, "end");
	fx_free_loop();
	(void)fx_take_reports();
	fx_expect("end:3");
}

FX_TEST_LIMIT(a_loop_is_freed_under_a_long_chain_on_a_small_stack, 20.)
{
	fx_on_small_stack(free_long_chain, NULL);
}

/* Each promise is held, so that no follower is taken out of the path. */
static void run_long_path(void *arg)
{
	const size_t count = fx_scale(10000000);
	avow_promise **const all = malloc(count * sizeof(avow_promise *));
	(void)arg;
	all[0] = avow_pending(fx.loop);
	avow_hold(all[0]);
	for (size_t i = 1; i < count; i++) {
		all[i] = avow_pending(fx.loop);
		avow_hold(all[i]);
		avow_resolve(all[i], avow_await(all[i - 1]));
	}
	avow_then(all[count - 1], fx_note, "end");
	avow_resolve(all[0], avow_int(1));
	fx_run();
	fx_expect("end:1");
	for (size_t i = 0; i < count; i++)
		avow_release(all[i]);
	free(all);
}

FX_TEST_LIMIT(a_follow_path_of_ten_million_runs_on_a_small_stack, 120.)
{
	fx_on_small_stack(run_long_path, NULL);
}

static void run_long_path_unheld(void *arg)
{
	const size_t count = fx_scale(1000000);
	avow_promise *const first = avow_pending(fx.loop);
	avow_promise *last = first;
	(void)arg;
	for (size_t i = 0; i < count; i++) {
		avow_promise *const next = avow_pending(fx.loop);
		avow_resolve(next, avow_await(last));
		last = next;
	}
	avow_then(last, fx_note, "end");
	avow_resolve(first, avow_int(1));
	fx_run();
	fx_expect("end:1");
}

FX_TEST_LIMIT(a_follow_path_that_nobody_holds_runs_on_a_small_stack, 20.)
{
	fx_on_small_stack(run_long_path_unheld, NULL);
}

static void run_many_reactions(void *arg)
{
	const size_t count = fx_scale(1000000);
	avow_promise *const p = avow_pending(fx.loop);
	(void)arg;
	steps = 0;
	for (size_t i = 0; i < count; i++)
		avow_then(p, count_step, NULL);
	avow_resolve(p, fx_box_new(1));
	fx_run();
	ck_assert_uint_eq(steps, count);
	ck_assert_int_eq(fx.boxes, 0);
}

FX_TEST_LIMIT(a_million_reactions_on_one_promise_run_on_a_small_stack, 20.)
{
	fx_on_small_stack(run_many_reactions, NULL);
}

static void drop_nested_lists(void *arg)
{
	avow_value list = avow_int(1);
	(void)arg;
	for (size_t i = 0; i < fx_scale(1000000); i++)
		list = avow_list(&list, 1);
	avow_then(avow_resolved(fx.loop, list), count_step, NULL);
	fx_run();
}

FX_TEST_LIMIT(a_list_a_million_deep_is_dropped_on_a_small_stack, 20.)
{
	fx_on_small_stack(drop_nested_lists, NULL);
}


int main(void)
{
	return fx_main("large");
}
