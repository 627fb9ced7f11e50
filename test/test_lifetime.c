/*
 * SPDX-License-Identifier: MIT
 *
 * How long handles and memory live: until the callback returns in which the
 * handle was got, at the loop depth where it was got, while pending, while
 * held; slots; stale handles; and what goes back after a burst.
 */
#include "fixture.h"

static avow_stats stats_now(void)
{
	avow_stats stats;
	avow_loop_stats(fx.loop, &stats);
	return stats;
}

static avow_value count(avow_value value, void *counter)
{
	++*(size_t *)counter;
	return value;
}


/* ---------------------------------------- Until the callback has returned */

FX_TEST(a_settled_promise_is_good_until_the_callback_returns)
{
	avow_promise *const p = avow_resolved(fx.loop, avow_int(1));
	for (int i = 0; i < 1000; i++)
		avow_then(avow_resolved(fx.loop, avow_none()), fx_pass, NULL);
	ck_assert_int_eq(avow_int_get(avow_value_of(p)), 1);
	avow_then(p, fx_note, "then");
	fx_run();
	const char *const text = fx_take_log();
	ck_assert_msg(strstr(text, "none|then:1"), "%.100s", text);
}

static void keep_in_slot(void *where)
{
	avow_slot(avow_resolved(fx.loop, avow_none()), where);
	fx_log("%s", *(avow_promise **)where ? "alive" : "gone");
}

FX_TEST(a_settled_promise_is_gone_when_the_callback_has_returned)
{
	avow_promise *slot = NULL;
	fx_in_callback(keep_in_slot, &slot);
	fx_expect("alive");
	ck_assert_ptr_null(slot);
}

static avow_value keep_in_slot_handler(avow_value value, void *where)
{
	keep_in_slot(where);
	return value;
}

FX_TEST(a_handle_got_in_a_handler_is_good_until_the_handler_returns)
{
	avow_promise *slot = NULL;
	avow_promise *const p = avow_resolved(fx.loop, avow_none());
	avow_then(p, keep_in_slot_handler, &slot);
	fx_run();
	fx_expect("alive");
	ck_assert_ptr_null(slot);
}

static void note_state(void *p)
{
	fx_log("%d", avow_state_of(p));
}

FX_TEST(a_pending_promise_is_good_in_later_callbacks)
{
	avow_promise *const p = avow_pending(fx.loop);
	fx_in_callback(note_state, p);
	fx_in_callback(note_state, p);
	avow_then(p, fx_note, "then");
	avow_resolve(p, avow_int(1));
	fx_run();
	fx_expect("0|0|then:1");
}

FX_TEST(a_chain_needs_no_free)
{
	const size_t before = stats_now().promise_count;
	avow_promise *p = avow_pending(fx.loop);
	avow_promise *const first = p;
	size_t steps = 0;
	for (int i = 0; i < 100; i++)
		p = avow_then(p, count, &steps);
	ck_assert_uint_eq(stats_now().promise_count, before + 101);
	avow_resolve(first, fx_box_new(1));
	fx_run();
	ck_assert_uint_eq(steps, 100);
	ck_assert_uint_le(stats_now().promise_count, before + FX_QUARANTINE);
	ck_assert_int_eq(fx.boxes, 0);
}

FX_TEST(a_value_lives_as_long_as_someone_can_read_it)
{
	avow_promise *const p = avow_resolved(fx.loop, fx_box_new(1));
	avow_then(p, fx_note, "a");
	avow_promise *const late = avow_pending(fx.loop);
	avow_then(avow_then(p, fx_pass, "b"), fx_note, "c");
	ck_assert_int_eq(fx.boxes, 1);
	fx_run();
	fx_expect("a:box:1|b:box:1|c:box:1");
	ck_assert_int_eq(fx.boxes, 0);
	avow_resolve(late, avow_none());
}

FX_TEST(a_program_that_stays_in_one_callback_can_tidy)
{
	avow_promise *slot = NULL;
	avow_slot(avow_resolved(fx.loop, fx_box_new(1)), &slot);
	ck_assert_ptr_nonnull(slot);
	avow_tidy(fx.loop);
	ck_assert_ptr_null(slot);
	ck_assert_int_eq(fx.boxes, 0);
}


/* ------------------------------------------------------------ Nested loops */

struct nested {
	avow_promise *p, *slot;
	size_t count;
};

static void settle_nested(void *arg)
{
	struct nested *const nested = arg;
	avow_resolve(nested->p, fx_box_new(1));
	fx_log("settled");
}

/*
 * What broke an earlier design: the handle is got in a handler, the promise
 * settles in a loop nested in that handler, and is used after it.
 */
static avow_value use_after_nested_loop(avow_value value, void *arg)
{
	struct nested *const nested = arg;
	(void)value;
	nested->p = avow_pending(fx.loop);
	fx_later(0., settle_nested, nested);
	ev_run(fx.ev, EVRUN_ONCE);
	ev_run(fx.ev, EVRUN_NOWAIT);
	fx_log("%d:%s", avow_state_of(nested->p),
	       fx_text(avow_value_of(nested->p)));
	avow_then(nested->p, fx_note, "then");
	return avow_none();
}

FX_TEST(a_handle_survives_a_loop_nested_in_its_callback)
{
	struct nested nested = { NULL, NULL, 0 };
	avow_promise *const p = avow_resolved(fx.loop, avow_none());
	avow_then(p, use_after_nested_loop, &nested);
	fx_run();
	fx_expect("settled|1:box:1|then:box:1");
	ck_assert_int_eq(fx.boxes, 0);
}

static void use_after_nested_loop_job(void *arg)
{
	(void)use_after_nested_loop(avow_none(), arg);
}

FX_TEST(a_handle_got_in_a_watcher_survives_a_loop_nested_there)
{
	struct nested nested = { NULL, NULL, 0 };
	fx_in_callback(use_after_nested_loop_job, &nested);
	fx_expect("settled|1:box:1|then:box:1");
}

static avow_value wait_and_use(avow_value value, void *arg)
{
	avow_promise *const p = avow_resolved(fx.loop, fx_box_new(2));
	avow_promise *const q = avow_then(p, fx_pass, "q");
	(void)arg;
	(void)value;
	const avow_value got = avow_wait(avow_delay(fx.loop, 0.001));
	fx_log("%s", fx_text(got));
	fx_log("%s", fx_text(avow_value_of(p)));
	fx_log("%s", fx_text(avow_value_of(q)));
	return avow_none();
}

FX_TEST(handles_survive_a_wait_in_their_callback)
{
	avow_then(avow_resolved(fx.loop, avow_none()), wait_and_use, NULL);
	fx_run();
	fx_expect("q:box:2|none|box:2|box:2");
	ck_assert_int_eq(fx.boxes, 0);
}

FX_TEST(handles_got_outside_survive_a_wait)
{
	avow_promise *const p = avow_resolved(fx.loop, fx_box_new(1));
	avow_promise *const q = avow_delay(fx.loop, 0.001);
	ck_assert(avow_is_none(avow_wait(q)));
	ck_assert_int_eq(fx_box_get(avow_value_of(p))->number, 1);
	ck_assert_int_eq(avow_state_of(q), AVOW_FULFILLED);
	fx_run();
	ck_assert_int_eq(fx.boxes, 0);
}

FX_TEST(the_argument_of_a_handler_survives_a_loop_nested_in_it)
{
	struct nested nested = { NULL, NULL, 0 };
	avow_promise *const p = avow_resolved(fx.loop, fx_box_new(7));
	avow_then(avow_then(p, wait_and_use, &nested), fx_note, "then");
	fx_run();
	fx_expect("q:box:2|none|box:2|box:2|then:none");
	ck_assert_int_eq(fx.boxes, 0);
}

/* Once the nested loop has drained it knows its depth; what its very first
 * callback got may live longer than it must. */
static avow_value nest_and_look(avow_value value, void *arg)
{
	struct nested *const nested = arg;
	avow_then(avow_resolved(fx.loop, avow_none()), count, &nested->count);
	ev_run(fx.ev, EVRUN_NOWAIT);
	fx_later(0., keep_in_slot, &nested->slot);
	ev_run(fx.ev, EVRUN_ONCE);
	fx_log("%s", nested->slot ? "alive" : "gone");
	fx_log("%s", fx_text(value));
	return avow_none();
}

FX_TEST(what_is_got_in_a_nested_callback_goes_with_it)
{
	struct nested nested = { NULL, NULL, 0 };
	avow_promise *const p = avow_resolved(fx.loop, fx_box_new(7));
	avow_then(p, nest_and_look, &nested);
	fx_run();
	fx_expect("alive|gone|box:7");
}

static void make_and_drop(void *left)
{
	size_t *const laps = left;
	avow_resolved(fx.loop, fx_box_new(1));
	if (--*laps)
		fx_later(0., make_and_drop, laps);
}

static avow_value nest_for_long(avow_value value, void *arg)
{
	size_t laps = 1000;
	(void)arg;
	fx_later(0., make_and_drop, &laps);
	while (laps)
		ev_run(fx.ev, EVRUN_ONCE);
	fx_log("%s", fx.boxes < 10 ? "few" : "many");
	return value;
}

FX_TEST(a_long_nested_loop_collects_no_garbage)
{
	avow_then(avow_resolved(fx.loop, avow_none()), nest_for_long, NULL);
	fx_run();
	fx_expect("few");
}

static void nest_for_long_job(void *arg)
{
	(void)nest_for_long(avow_none(), arg);
}

FX_TEST(a_long_loop_nested_in_a_watcher_collects_no_garbage)
{
	fx_in_callback(nest_for_long_job, NULL);
	fx_expect("few");
}

static avow_value deep_use(avow_value value, void *levels)
{
	const intptr_t left = (intptr_t)levels;
	avow_promise *const p = avow_resolved(fx.loop, fx_box_new((int)left));
	(void)value;
	if (left > 0) {
		avow_then(avow_resolved(fx.loop, avow_none()), deep_use,
			  (void *)(left - 1));
		ev_run(fx.ev, EVRUN_NOWAIT);
	}
	fx_log("%s", fx_text(avow_value_of(p)));
	return avow_none();
}

FX_TEST(handles_of_every_depth_survive_what_is_nested_in_it)
{
	avow_promise *const p = avow_resolved(fx.loop, avow_none());
	avow_then(p, deep_use, (void *)5);
	fx_run();
	fx_expect("box:0|box:1|box:2|box:3|box:4|box:5");
	ck_assert_int_eq(fx.boxes, 0);
}

FX_TEST(handles_survive_seventy_nested_loops)
{
	avow_promise *const p = avow_resolved(fx.loop, avow_none());
	avow_then(p, deep_use, (void *)70);
	fx_run();
	const char *const text = fx_take_log();
	ck_assert_msg(!strncmp(text, "box:0|box:1|", 12), "%s", text);
	ck_assert_msg(strstr(text, "|box:69|box:70"), "%s", text);
	ck_assert_int_eq(fx.boxes, 0);
}

/* Settles it `left` loops further in. */
struct deep {
	avow_promise *p;
	int left;
};

static void settle_deep(void *arg)
{
	struct deep *const deep = arg;
	if (deep->left-- > 0)
		fx_in_callback(settle_deep, deep);
	else
		avow_resolve(deep->p, fx_box_new(1));
}

static void use_after_deep_loops(void *arg)
{
	struct deep *const deep = arg;
	deep->p = avow_pending(fx.loop);
	avow_then(deep->p, fx_note, "then");
	fx_in_callback(settle_deep, deep);
	fx_log("%s", fx_text(avow_value_of(deep->p)));
}

/* A handle has six bits for its depth: 64 must not be taken for 0. */
FX_TEST(a_handle_survives_what_is_settled_dozens_of_loops_further_in)
{
	for (int levels = 60; levels < 70; levels++) {
		struct deep deep = { NULL, levels };
		fx_in_callback(use_after_deep_loops, &deep);
		fx_expect("then:box:1|box:1");
	}
}


/* -------------------------------------------------------------- Following
 *
 * A follower in the middle of a path is taken out of it once nobody can use
 * its handle any more; not before.
 */

struct path {
	avow_promise *first, *middle, *next, *last;
};

static void path_begin(struct path *path)
{
	path->first = avow_pending(fx.loop);
	path->middle = avow_pending(fx.loop);
	path->next = avow_pending(fx.loop);
	path->last = avow_pending(fx.loop);
}

/* The path grows at its end; `middle` could go, but for its handle. */
static void path_use_middle(struct path *path)
{
	avow_resolve(path->next, avow_await(path->last));
	fx_log("%d", avow_state_of(path->middle));
	avow_then(path->middle, fx_note, "middle");
	avow_then(path->first, fx_note, "first");
	avow_resolve(path->last, avow_int(7));
}

static void await_and_use(void *arg)
{
	struct path *const path = arg;
	avow_resolve(path->first, avow_await(path->middle));
	path_use_middle(path);
}

static void follow_then_await(void *arg)
{
	struct path *const path = arg;
	avow_resolve(path->middle, avow_await(path->next));
	ck_assert(avow_post(fx.loop, await_and_use, path));
}

FX_TEST(a_promise_awaited_in_this_callback_is_not_collapsed_away)
{
	struct path path;
	path_begin(&path);
	ck_assert(avow_post(fx.loop, follow_then_await, &path));
	fx_run();
	fx_expect("0|first:7|middle:7");
}

static void use_after_nesting(void *arg)
{
	struct path path;
	(void)arg;
	path_begin(&path);
	avow_resolve(path.first, avow_await(path.middle));
	avow_resolve(path.middle, avow_await(path.next));
	ck_assert(avow_post(fx.loop, fx_job, "nested"));
	ev_run(fx.ev, EVRUN_NOWAIT);
	path_use_middle(&path);
}

FX_TEST(a_promise_awaited_before_a_nested_loop_is_not_collapsed_away)
{
	ck_assert(avow_post(fx.loop, use_after_nesting, NULL));
	fx_run();
	fx_expect("nested|0|first:7|middle:7");
}

FX_TEST(a_promise_awaited_in_a_watcher_is_not_collapsed_away_by_a_nested_loop)
{
	fx_in_callback(use_after_nesting, NULL);
	fx_expect("nested|0|first:7|middle:7");
}


/* ------------------------------------------------------- Holding, releasing */

FX_TEST(a_held_promise_outlives_its_callback)
{
	avow_promise *const p = avow_resolved(fx.loop, fx_box_new(1));
	avow_hold(p);
	fx_run();
	fx_run();
	ck_assert_int_eq(avow_state_of(p), AVOW_FULFILLED);
	avow_then(p, fx_note, "late");
	fx_run();
	fx_expect("late:box:1");
	ck_assert_int_eq(fx.boxes, 1);
	avow_release(p);
	fx_run();
	ck_assert_int_eq(fx.boxes, 0);
}

FX_TEST(a_promise_held_twice_needs_two_releases)
{
	avow_promise *slot = NULL;
	avow_promise *const p = avow_resolved(fx.loop, avow_none());
	avow_slot(p, &slot);
	avow_hold(p);
	avow_hold(p);
	fx_run();
	avow_release(p);
	fx_run();
	ck_assert_ptr_nonnull(slot);
	avow_release(p);
	fx_run();
	ck_assert_ptr_null(slot);
}

static void hold_in_callback(void *where)
{
	avow_promise *const p = avow_resolved(fx.loop, avow_int(1));
	avow_hold(p);
	avow_slot(p, where);
}

static void release_in_callback(void *p)
{
	avow_release(p);
}

FX_TEST(a_promise_may_be_released_in_another_callback)
{
	avow_promise *slot = NULL;
	fx_in_callback(hold_in_callback, &slot);
	ck_assert_ptr_nonnull(slot);
	fx_in_callback(release_in_callback, slot);
	ck_assert_ptr_null(slot);
}

/* Got two loops deep, and released one loop deep. */
static void hold_in_nested_loop(void *where)
{
	avow_promise **const slot = where;
	/* Once the nested loop has drained it knows its depth. */
	avow_then(avow_resolved(fx.loop, avow_none()), fx_note, "nested");
	ev_run(fx.ev, EVRUN_NOWAIT);
	fx_later(0., hold_in_callback, slot);
	while (!*slot)
		ev_run(fx.ev, EVRUN_ONCE);
}

static void release_and_nest(void *where)
{
	avow_promise **const slot = where;
	avow_release(*slot);
	avow_then(avow_resolved(fx.loop, avow_none()), fx_note, "nested");
	ev_run(fx.ev, EVRUN_NOWAIT);
	fx_log("%s", *slot ? fx_text(avow_value_of(*slot)) : "gone");
}

FX_TEST(a_promise_released_further_out_than_it_was_got_survives_what_is_nested)
{
	avow_promise *slot = NULL;
	fx_in_callback(hold_in_nested_loop, &slot);
	fx_expect("nested:none");
	fx_in_callback(release_and_nest, &slot);
	fx_expect("nested:none|1");
	fx_run();
	ck_assert_ptr_null(slot);
}

FX_TEST(releasing_a_pending_promise_does_not_end_it)
{
	avow_promise *const p = avow_pending(fx.loop);
	avow_then(p, fx_note, "then");
	avow_hold(p);
	avow_release(p);
	fx_run();
	avow_resolve(p, avow_int(1));
	fx_run();
	fx_expect("then:1");
}

FX_TEST(releasing_nothing_does_nothing)
{
	avow_release(NULL);
}

FX_TEST(a_latch_that_is_held_can_be_attached_to_for_ever)
{
	avow_promise *const ready = avow_pending(fx.loop);
	avow_hold(ready);
	avow_then(ready, fx_note, "early");
	fx_run();
	avow_resolve(ready, avow_int(1));
	for (int i = 0; i < 3; i++) {
		fx_run();
		avow_then(ready, fx_note, "later");
	}
	fx_run();
	avow_release(ready);
	fx_expect("early:1|later:1|later:1|later:1");
}


/* A value that holds a promise for as long as it lives. */
typedef struct page {
	avow_promise *ready;
} page;

static void page_free(page *it)
{
	avow_release(it->ready);
	fx_log("released");
	free(it);
}

AVOW_TYPE(page, page *, page_free);

static avow_promise *hold_settled(avow_value value)
{
	avow_promise *const p = avow_resolved(fx.loop, value);
	avow_hold(p);
	return p;
}

FX_TEST(a_drop_may_release_what_it_holds_while_the_loop_is_freed)
{
	page *const early = calloc(1, sizeof(*early));
	page *const late = calloc(1, sizeof(*late));
	early->ready = hold_settled(fx_box_new(1));
	hold_settled(page_value(early));
	hold_settled(page_value(late));
	late->ready = hold_settled(fx_box_new(2));
	fx_run();
	fx_free_loop();
	fx_expect("released|released");
	ck_assert_int_eq(fx.boxes, 0);
}

static avow_loop *ending;

static void drop_attaching(void *left)
{
	int *const rest = left;
	if (!*rest) {
		free(rest);
		return;
	}
	--*rest;
	fx_log("attach");
	avow_attach(avow_resolved(ending, avow_none()), rest, drop_attaching);
}

AVOW_TYPE(attaching, int *, drop_attaching);

/* When no handler runs any more, and what is held is dropped last. */
FX_TEST(what_a_drop_attaches_while_the_loop_is_freed_is_dropped_too)
{
	int *const rest = malloc(sizeof(*rest));
	*rest = 3;
	ending = fx.loop;
	hold_settled(attaching_value(rest));
	fx_run();
	fx_free_loop();
	fx_expect("attach|attach|attach");
}

static void drop_making(void *box)
{
	(void)avow_resolved(ending, fx_box_new(1));
	(void)avow_timeout(avow_pending(ending), -1);
	avow_drop(fx_box_value(box));
}

AVOW_TYPE(making, struct fx_box *, drop_making);

FX_TEST(what_a_drop_makes_while_the_loop_is_freed_is_dropped_too)
{
	ending = fx.loop;
	hold_settled(making_value(fx_box_get(fx_box_new(2))));
	fx_run();
	fx_free_loop();
	ck_assert_int_eq(fx.boxes, 0);
	fx_expect_reports("unhandled:a timeout of -1 seconds");
}


/* ------------------------------------------------------------------- Slots */

FX_TEST(a_slot_becomes_null_when_its_promise_is_gone)
{
	avow_promise *slot = NULL;
	avow_promise *const p = avow_pending(fx.loop);
	avow_slot(p, &slot);
	ck_assert_ptr_eq(slot, p);
	fx_run();
	ck_assert_ptr_eq(slot, p);
	avow_resolve(p, avow_none());
	ck_assert_ptr_eq(slot, p);
	fx_run();
	ck_assert_ptr_null(slot);
}

FX_TEST(a_promise_may_have_several_slots)
{
	avow_promise *slots[3] = { NULL, NULL, NULL };
	avow_promise *const p = avow_pending(fx.loop);
	for (int i = 0; i < 3; i++)
		avow_slot(p, &slots[i]);
	avow_unslot(&slots[1]);
	ck_assert_ptr_null(slots[1]);
	slots[1] = (avow_promise *)(void *)slots;
	avow_resolve(p, avow_none());
	fx_run();
	ck_assert_ptr_null(slots[0]);
	ck_assert_ptr_eq(slots[1], (avow_promise *)(void *)slots);
	ck_assert_ptr_null(slots[2]);
}

FX_TEST(a_slot_that_is_empty_may_be_unslotted)
{
	avow_promise *slot = NULL;
	avow_unslot(&slot);
	avow_slot(avow_resolved(fx.loop, avow_none()), &slot);
	fx_run();
	ck_assert_ptr_null(slot);
	avow_unslot(&slot);
	ck_assert_ptr_null(slot);
}

FX_TEST(a_slot_keeps_nothing_alive)
{
	avow_promise *slot = NULL;
	avow_slot(avow_resolved(fx.loop, fx_box_new(1)), &slot);
	fx_run();
	ck_assert_ptr_null(slot);
	ck_assert_int_eq(fx.boxes, 0);
}

FX_TEST(slots_become_null_when_the_loop_is_freed)
{
	avow_promise *pending = NULL;
	avow_promise *held = NULL;
	avow_slot(avow_pending(fx.loop), &pending);
	avow_slot(avow_resolved(fx.loop, avow_none()), &held);
	avow_hold(held);
	fx_run();
	ck_assert_ptr_nonnull(pending);
	ck_assert_ptr_nonnull(held);
	fx_free_loop();
	ck_assert_ptr_null(pending);
	ck_assert_ptr_null(held);
}

FX_TEST(a_reaction_may_have_a_slot)
{
	avow_promise *slot = NULL;
	avow_promise *const p = avow_pending(fx.loop);
	avow_slot(avow_then(p, fx_note, "then"), &slot);
	fx_run();
	ck_assert_ptr_nonnull(slot);
	avow_resolve(p, avow_int(1));
	fx_run();
	fx_expect("then:1");
	ck_assert_ptr_null(slot);
}

FX_TEST(a_slot_of_a_cancelled_promise_becomes_null)
{
	avow_promise *slot = NULL;
	avow_slot(avow_delay(fx.loop, 3600.), &slot);
	avow_cancel(slot);
	fx_run();
	ck_assert_ptr_null(slot);
	avow_cancel(slot);
}


FX_TEST(a_slot_on_a_delay_becomes_null_when_it_has_fired)
{
	avow_promise *slots[2] = { NULL, NULL };
	avow_promise *const p = avow_delay(fx.loop, 0.001);
	avow_slot(p, &slots[0]);
	avow_slot(p, &slots[1]);
	avow_then(p, fx_note, "then");
	ev_run(fx.ev, EVRUN_NOWAIT);
	fx_run();
	fx_expect("then:none");
	ck_assert_ptr_null(slots[0]);
	ck_assert_ptr_null(slots[1]);
}

FX_TEST(a_slot_on_what_can_be_read_becomes_null_when_it_was)
{
	avow_promise *slot = NULL;
	int ends[2];
	ck_assert_int_eq(pipe(ends), 0);
	avow_slot(avow_writable(fx.loop, ends[1]), &slot);
	avow_then(slot, fx_note, "then");
	fx_run();
	fx_expect("then:2");
	ck_assert_ptr_null(slot);
	close(ends[0]);
	close(ends[1]);
}


/* ----------------------------------------------------------- Stale handles */

FX_TEST(a_stale_handle_is_told_with_the_place_it_was_made)
{
	avow_promise *const p = avow_resolved(fx.loop, avow_none());
	const int line = __LINE__ - 1;
	fx_run();
	FX_ABORTS("test_lifetime.c", avow_then(p, fx_note, NULL));
	ck_assert_msg(fx_abort_names(line), "%s", fx_abort_text());
}

FX_TEST(a_stale_handle_is_told_by_every_function)
{
	avow_promise *const p = avow_resolved(fx.loop, avow_none());
	avow_promise *slot;
	fx_run();
	FX_ABORTS("stale", avow_catch(p, fx_note, NULL));
	FX_ABORTS("stale", avow_finally(p, fx_note, NULL));
	FX_ABORTS("stale", avow_hold(p));
	FX_ABORTS("stale", avow_release(p));
	FX_ABORTS("stale", avow_cancel(p));
	FX_ABORTS("stale", avow_resolve(p, avow_none()));
	FX_ABORTS("stale", avow_reject(p, avow_none()));
	FX_ABORTS("stale", avow_slot(p, &slot));
	FX_ABORTS("stale", fx_log("%d", avow_state_of(p)));
	FX_ABORTS("stale", fx_text(avow_value_of(p)));
	FX_ABORTS("stale", fx_text(avow_wait(p)));
	FX_ABORTS("stale", avow_attach(p, NULL, fx_drop));
	FX_ABORTS("stale", avow_shield(p));
	FX_ABORTS("stale", fx_text(avow_await(p)));
	FX_ABORTS("stale", avow_context(p));
}

/* The node of the promise is used again by then. */
static void use_after_many_others(avow_promise *p)
{
	for (int i = 0; i < 1000; i++)
		avow_hold(avow_pending(fx.loop));
	avow_then(p, fx_note, NULL);
}

FX_TEST(debug_tells_a_stale_handle_whose_memory_was_wanted_again)
{
#ifdef AVOW_DEBUG
	avow_promise *const p = avow_resolved(fx.loop, avow_none());
	fx_run();
	FX_ABORTS("test_lifetime.c", use_after_many_others(p));
#else
	(void)use_after_many_others;
#endif
}

static void use_kept(void *where)
{
	avow_then(*(avow_promise **)where, fx_note, NULL);
}

static void keep(void *where)
{
	*(avow_promise **)where = avow_resolved(fx.loop, avow_none());
}

FX_TEST(a_handle_kept_for_the_next_callback_is_stale)
{
	avow_promise *kept = NULL;
	FX_ABORTS("stale",
		fx_in_callback(keep, &kept);
		fx_in_callback(use_kept, &kept));
}


/* What a timer kept there must not be taken for the place of a promise. */
FX_TEST(a_stale_handle_whose_memory_a_timer_had_is_told)
{
	enum { STALE = 4, TIMERS = 120 };
	avow_promise *stale[STALE];
	avow_promise *delays[TIMERS];
	for (int i = 0; i < STALE; i++)
		stale[i] = avow_resolved(fx.loop, avow_none());
	avow_tidy(fx.loop);
	for (int i = 0; i < TIMERS; i++)
		delays[i] = avow_delay(fx.loop, 3600.);
	for (int i = 0; i < TIMERS; i++)
		avow_cancel(delays[i]);
	avow_tidy(fx.loop);
	for (int i = 0; i < STALE; i++) {
		FX_ABORTS("stale", fx_log("%d", avow_state_of(stale[i])));
		FX_ABORTS("stale", avow_then(stale[i], fx_note, NULL));
	}
}

/* It is in use as something else, which is no promise either. */
FX_TEST(a_stale_handle_whose_memory_a_timer_has_is_told)
{
	enum { STALE = 4, TIMERS = 120 };
	avow_promise *stale[STALE];
	avow_promise *delays[TIMERS];
	size_t live = 0;
	for (int i = 0; i < STALE; i++)
		stale[i] = avow_resolved(fx.loop, avow_none());
	avow_tidy(fx.loop);
	for (int i = 0; i < TIMERS; i++)
		delays[i] = avow_delay(fx.loop, 3600.);
	for (int i = 0; i < STALE; i++) {
		bool is_promise = false;
		for (int k = 0; k < TIMERS; k++)
			is_promise |= delays[k] == stale[i];
		live += is_promise;
		if (!is_promise)
			FX_ABORTS("stale",
				  fx_log("%d", avow_state_of(stale[i])));
	}
	ck_assert_uint_lt(live, STALE);
	for (int i = 0; i < TIMERS; i++)
		avow_cancel(delays[i]);
}


/* ------------------------------------------------------------------ Memory */

FX_TEST(a_promise_has_sixty_four_bytes)
{
	const size_t many = fx_scale(1000000);
	avow_promise *const first = avow_pending(fx.loop);
	avow_promise *p = first;
	size_t steps = 0;
	ck_assert_uint_eq(stats_now().promise_size, 64);
	const size_t before = stats_now().slab_bytes;
	for (size_t i = 0; i < many; i++)
		p = avow_then(p, count, &steps);
	ck_assert_uint_le(stats_now().slab_bytes - before,
			  many * 65 + 128 * 1024);
	avow_resolve(first, avow_none());
	fx_run();
	ck_assert_uint_eq(steps, many);
}

/* 4 MiB are kept for the next burst, and an aligned block may cost the C
 * library nearly twice its size. */
enum { KEPT_MAX = 9 * 1024 * 1024 + 160 * FX_QUARANTINE };

static void burst(size_t many)
{
	avow_promise *const first = avow_pending(fx.loop);
	size_t steps = 0;
	for (size_t i = 0; i < many; i++)
		avow_then(first, count, &steps);
	avow_resolve(first, avow_none());
	fx_run();
	ck_assert_uint_eq(steps, many);
}

FX_TEST_LIMIT(memory_falls_back_after_a_burst_of_ten_million, 120)
{
	const size_t bytes = fx_bytes();
	burst(fx_scale(10000000));
	ck_assert_uint_le(fx_bytes(), bytes + KEPT_MAX);
	ck_assert_uint_le(stats_now().slab_bytes,
			  4 * 1024 * 1024 + 512 * 1024 + 80 * FX_QUARANTINE);
	ck_assert_uint_le(stats_now().promise_count, 64 + FX_QUARANTINE);
}

FX_TEST(no_memory_is_kept_where_none_may_be)
{
	avow_loop_spare_max(fx.loop, 0);
	burst(100);
	const size_t bytes = fx_bytes();
	burst(100000);
	ck_assert_uint_le(fx_bytes(), bytes + 128 * 1024 +
			  160 * FX_QUARANTINE);
}

FX_TEST(memory_kept_for_the_next_burst_is_used_by_it)
{
	avow_loop_spare_max(fx.loop, 64 * 1024 * 1024);
	burst(200000);
	const size_t allocations = fx_allocations();
	burst(200000);
	if (!FX_QUARANTINE)
		ck_assert_uint_eq(fx_allocations(), allocations);
}

FX_TEST(lowering_the_bound_gives_memory_back)
{
	avow_loop_spare_max(fx.loop, 64 * 1024 * 1024);
	burst(200000);
	const size_t bytes = fx_bytes();
	avow_loop_spare_max(fx.loop, 0);
	burst(1);
	ck_assert_uint_lt(fx_bytes(), bytes);
	ck_assert_uint_le(stats_now().slab_bytes,
			  512 * 1024 + 80 * FX_QUARANTINE);
}

FX_TEST(a_warm_loop_allocates_nothing)
{
	size_t steps = 0;
	burst(1000);
	const size_t allocations = fx_allocations();
	for (int lap = 0; lap < 1000; lap++) {
		avow_promise *p = avow_pending(fx.loop);
		avow_promise *const first = p;
		for (int i = 0; i < 10; i++)
			p = avow_then(p, count, &steps);
		avow_resolve(first, avow_int(1));
		fx_run();
	}
	ck_assert_uint_eq(steps, 10000);
	if (!FX_QUARANTINE)
		ck_assert_uint_eq(fx_allocations(), allocations);
}

static uint32_t random_state = 1;

static uint32_t random_next(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 17;
	random_state ^= random_state << 5;
	return random_state;
}

FX_TEST(promises_freed_in_random_order_leave_no_memory)
{
	enum { MANY = 50000 };
	static avow_promise *all[MANY];
	const size_t bytes = fx_bytes();
	for (int i = 0; i < MANY; i++)
		all[i] = avow_pending(fx.loop);
	for (int i = MANY - 1; i > 0; i--) {
		const uint32_t j = random_next() % (uint32_t)(i + 1);
		avow_promise *const p = all[i];
		all[i] = all[j];
		all[j] = p;
	}
	for (int i = 0; i < MANY; i++) {
		avow_resolve(all[i], avow_none());
		if (i % 100 == 0)
			fx_run();
	}
	fx_run();
	ck_assert_uint_le(stats_now().promise_count, 64 + FX_QUARANTINE);
	ck_assert_uint_le(fx_bytes(), bytes + KEPT_MAX);
}

int main(void)
{
	return fx_main("lifetime");
}
