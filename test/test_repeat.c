/*
 * SPDX-License-Identifier: MIT
 *
 * Loops, one lap after the other: avow_repeat, avow_reduce, avow_done.
 */
#include "points.h"
#include "scene.h"

static avow_promise *noted(avow_promise *p)
{
	return avow_on(p, .fulfilled = fx_note, .rejected = fx_note);
}

static avow_stats stats_now(void)
{
	avow_stats stats;
	avow_loop_stats(fx.loop, &stats);
	return stats;
}


/* -------------------------------------------------------------------- Done */

FX_TEST(done_is_told_from_any_other_value)
{
	const avow_value done = avow_done(avow_int(1));
	ck_assert(avow_is_done(done));
	ck_assert(!avow_is_error(done));
	ck_assert_str_eq(avow_message(done), "done");
	avow_drop(done);
	ck_assert(avow_is_done(avow_done(avow_none())));
	ck_assert(!avow_is_done(avow_none()));
	ck_assert(!avow_is_done(avow_int(1)));
}

FX_TEST(done_takes_its_result)
{
	const avow_value done = avow_done(fx_box_new(1));
	ck_assert_int_eq(fx.boxes, 1);
	avow_drop(done);
	ck_assert_int_eq(fx.boxes, 0);
}

FX_TEST(done_with_an_error_is_that_error)
{
	const avow_value error = avow_done(avow_errno(EIO));
	ck_assert(!avow_is_done(error));
	ck_assert_int_eq(avow_code(error), EIO);
}

FX_TEST(done_without_memory_is_an_error)
{
	const avow_value result = fx_box_new(1);
	fx_fail_once(0);
	const avow_value error = avow_done(result);
	ck_assert_int_eq(avow_code(error), ENOMEM);
	ck_assert_int_eq(fx.boxes, 0);
	ck_assert(avow_is_done(avow_done(avow_none())));
}

FX_TEST(done_with_a_promise_is_misuse)
{
	FX_ABORTS("avow_done() of a promise",
		  avow_drop(avow_done(avow_await(avow_pending(fx.loop)))));
}


/* ------------------------------------------------------------------ Repeat */

/* Counts down, and is done with the name of it. */
static avow_value count_down(avow_value value, void *name)
{
	const int64_t left = avow_int_get(value);
	fx_log("%lld", (long long)left);
	return left ? avow_int(left - 1) : avow_done(avow_str(name));
}

FX_TEST(repeat_gives_each_lap_what_the_one_before_it_gave)
{
	noted(avow_repeat(fx.loop, count_down, "end", .initial = avow_int(3)));
	fx_expect("");
	fx_run();
	fx_expect("3|2|1|0|end");
}

static avow_value begin_from_none(avow_value value, void *arg)
{
	fx_pass(value, NULL);
	return avow_is_none(value) ? avow_int(1) : avow_done(avow_ptr(arg));
}

FX_TEST(repeat_begins_with_none_unless_told)
{
	noted(avow_repeat(fx.loop, begin_from_none, NULL));
	fx_run();
	fx_expect("none|1|pointer");
}

FX_TEST(repeat_by_function_begins_with_none)
{
	noted((avow_repeat)(fx.loop, begin_from_none, NULL));
	fx_run();
	fx_expect("none|1|pointer");
}

struct endings {
	avow_value (*make)(void);
	const char *text;
};

static avow_value end_with(avow_value value, void *arg)
{
	const struct endings *const ending = arg;
	(void)value;
	return avow_done(ending->make());
}

static avow_value a_none(void)
{
	return avow_none();
}

static avow_value an_int(void)
{
	return avow_int(4);
}

static avow_value a_box(void)
{
	return fx_box_new(5);
}

static avow_value a_string(void)
{
	return avow_str("text");
}

static avow_value a_list(void)
{
	return avow_list((avow_value[]){ fx_box_new(1), avow_none() }, 2);
}

static avow_value a_reified_error(void)
{
	return avow_reify(avow_errno(EIO));
}

static avow_value an_error(void)
{
	return avow_error(EIO, "bad");
}

FX_TEST(repeat_is_fulfilled_with_the_result_of_done)
{
	static struct endings endings[] = {
		{ a_none, "none" },	    { an_int, "4" },
		{ a_box, "box:5" },	    { a_string, "text" },
		{ a_list, "[box:1,none]" }, { an_error, "!bad" },
	};
	for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
		noted(avow_repeat(fx.loop, end_with, &endings[i]));
		fx_run();
		fx_expect(endings[i].text);
	}
}

FX_TEST(repeat_may_be_done_with_an_error_as_data)
{
	static struct endings ending = { a_reified_error, NULL };
	avow_promise *const p = avow_repeat(fx.loop, end_with, &ending);
	avow_then(p, fx_note, "then");
	fx_run();
	fx_expect("then:errno as data");
}

static avow_value fail_at_two(avow_value value, void *arg)
{
	fx_pass(value, arg);
	return avow_int_get(value) == 2 ? avow_errno(EIO)
					: avow_int(avow_int_get(value) + 1);
}

FX_TEST(an_error_ends_repeat)
{
	avow_promise *const p = avow_repeat(fx.loop, fail_at_two, "lap",
					    .initial = avow_int(0));
	avow_catch(p, fx_note, "catch");
	fx_run();
	fx_expect("lap:0|lap:1|lap:2|catch:!Input/output error");
}

FX_TEST(an_error_of_repeat_that_nobody_handles_is_told_once)
{
	avow_repeat(fx.loop, fail_at_two, "lap", .initial = avow_int(2));
	fx_run();
	fx_expect("lap:2");
	fx_expect_reports("unhandled:Input/output error");
}

/* The lap is a promise that waits for the loop. */
static avow_value lap_in_time(avow_value value, void *arg)
{
	avow_promise *const p = avow_immediate(fx.loop);
	(void)value;
	return avow_await(avow_then(p, arg ? end_with : begin_from_none, arg));
}

FX_TEST(repeat_waits_for_the_promise_of_a_lap)
{
	static struct endings ending = { a_box, NULL };
	noted(avow_repeat(fx.loop, lap_in_time, &ending));
	fx_run();
	fx_expect("box:5");
}

static avow_value await_held(avow_value value, void *p)
{
	(void)value;
	return avow_await(p);
}

/* Two may read the result then; a copy is made where its type can. */
FX_TEST(repeat_may_be_done_by_a_promise_that_others_hold)
{
	avow_promise *const p =
		avow_resolved(fx.loop, avow_done(fx_twin_new(3)));
	avow_hold(p);
	noted(avow_repeat(fx.loop, await_held, p));
	fx_run();
	fx_expect("twin:3");
	ck_assert_int_eq(fx.boxes, 1);
	avow_release(p);
}

FX_TEST(repeat_is_rejected_where_a_result_that_others_hold_has_no_copy)
{
	avow_promise *const p =
		avow_resolved(fx.loop, avow_done(fx_box_new(3)));
	avow_hold(p);
	noted(avow_repeat(fx.loop, await_held, p));
	fx_run();
	fx_expect("!a value of type fx_box cannot be copied");
	avow_release(p);
}

/* What a lap gave is the next one's own. */
static avow_value move_on(avow_value value, void *arg)
{
	struct fx_box *const box = fx_box_take(value);
	(void)arg;
	ck_assert_ptr_nonnull(box);
	box->number--;
	return box->number ? fx_box_value(box) : avow_done(fx_box_value(box));
}

FX_TEST(a_lap_may_take_what_the_one_before_it_gave)
{
	noted(avow_repeat(fx.loop, move_on, NULL, .initial = fx_box_new(5)));
	ck_assert_int_eq(fx.boxes, 1);
	fx_run();
	fx_expect("box:0");
	ck_assert_int_eq(fx.boxes, 0);
}

/* avow_wait() runs the laps in a loop nested below the call that began. */
FX_TEST(a_lap_may_take_what_it_is_given_while_its_loop_is_waited_for)
{
	avow_promise *const p =
		avow_repeat(fx.loop, move_on, NULL, .initial = fx_box_new(1));
	ck_assert_str_eq(fx_text(avow_wait(p)), "box:0");
}

static avow_value wait_for_repeat(avow_value value, void *arg)
{
	avow_promise *const p =
		avow_repeat(fx.loop, move_on, NULL, .initial = fx_box_new(2));
	(void)arg;
	ck_assert_str_eq(fx_text(avow_wait(p)), "box:0");
	return value;
}

FX_TEST(a_lap_may_take_what_it_is_given_in_a_nested_wait)
{
	noted(avow_then(avow_resolved(fx.loop, avow_int(1)), wait_for_repeat,
			NULL));
	fx_run();
	fx_expect("1");
}

FX_TEST(repeat_is_done_with_a_box_while_its_loop_is_waited_for)
{
	static struct endings ending = { a_box, NULL };
	avow_promise *const p = avow_repeat(fx.loop, end_with, &ending);
	ck_assert_str_eq(fx_text(avow_wait(p)), "box:5");
}

static avow_value pass_until(avow_value value, void *left)
{
	return --*(int *)left ? value : avow_done(avow_take(value));
}

FX_TEST(a_lap_may_pass_its_value_on)
{
	int laps = 10;
	noted(avow_repeat(fx.loop, pass_until, &laps,
			  .initial = fx_box_new(6)));
	fx_run();
	fx_expect("box:6");
}

FX_TEST(repeat_without_a_function_is_misuse)
{
	FX_ABORTS("avow_repeat() with a NULL function",
		  avow_repeat(fx.loop, NULL, NULL));
	ck_assert(fx_abort_names(__LINE__ - 1));
	FX_ABORTS("avow_repeat() with a NULL loop",
		  avow_repeat(NULL, count_down, NULL));
}


/* --------------------------------------------------- Laps without an end */

struct race {
	size_t left;
	size_t promises_most, bytes_most;
	int timers;
};

static avow_value lap(avow_value value, void *arg)
{
	struct race *const race = arg;
	if (race->left % 1000 == 0) {
		const avow_stats stats = stats_now();
		if (race->promises_most < stats.promise_count)
			race->promises_most = stats.promise_count;
		if (race->bytes_most < fx_bytes())
			race->bytes_most = fx_bytes();
	}
	return --race->left ? value : avow_done(avow_none());
}

static void count_timer(void *arg)
{
	struct race *const race = arg;
	race->timers++;
	if (race->left)
		fx_later(0.001, count_timer, race);
}

FX_TEST_LIMIT(a_million_laps_take_constant_memory, 20.)
{
	struct race race = { .left = fx_scale(1000000) };
	const size_t bytes = fx_bytes();
	noted(avow_repeat(fx.loop, lap, &race, .initial = fx_box_new(1)));
	fx_run();
	fx_expect("none");
	ck_assert_uint_lt(race.promises_most, 20 + FX_QUARANTINE);
	ck_assert_uint_le(race.bytes_most, bytes + 4096 + FX_QUARANTINE * 100);
}

static avow_value lap_by_promise(avow_value value, void *arg)
{
	avow_promise *const p = avow_resolved(fx.loop, avow_none());
	(void)value;
	return avow_await(avow_then(p, lap, arg));
}

FX_TEST_LIMIT(a_million_laps_by_promises_take_constant_memory, 20.)
{
	struct race race = { .left = fx_scale(1000000) };
	const size_t bytes = fx_bytes();
	noted(avow_repeat(fx.loop, lap_by_promise, &race));
	fx_run();
	fx_expect("none");
	ck_assert_uint_lt(race.promises_most, 20 + FX_QUARANTINE);
	ck_assert_uint_le(race.bytes_most, bytes + 4096 + FX_QUARANTINE * 100);
}

FX_TEST_LIMIT(timers_have_their_turn_beside_a_loop, 20.)
{
	struct race race = { .left = fx_scale(1000000) };
	count_timer(&race);
	noted(avow_repeat(fx.loop, lap, &race));
	fx_run();
	fx_expect("none");
	ck_assert_int_gt(race.timers, 2);
}

static avow_value cancel_at_ten(avow_value value, void *arg)
{
	const int64_t lap_now = avow_int_get(value);
	if (lap_now == 10)
		avow_cancel(*(avow_promise **)arg);
	fx_log("%lld", (long long)lap_now);
	return avow_int(lap_now + 1);
}

FX_TEST(a_loop_is_cancelled_in_the_middle)
{
	avow_promise *p =
		avow_repeat(fx.loop, cancel_at_ten, &p, .initial = avow_int(8));
	noted(p);
	fx_run();
	fx_expect("8|9|10|!cancelled");
}

static void drop_hook(void *name)
{
	fx_log("cancel:%s", (const char *)name);
}

static avow_value wait_for_ever(avow_value value, void *name)
{
	avow_promise *const p = avow_pending(fx.loop);
	(void)value;
	avow_on_cancel(avow_context(p), drop_hook, name);
	return avow_await(p);
}

FX_TEST(cancelling_a_loop_reaches_what_its_lap_waits_for)
{
	avow_promise *const p = avow_repeat(fx.loop, wait_for_ever, "lap");
	noted(p);
	fx_run();
	avow_cancel(p);
	fx_expect("cancel:lap");
	fx_run();
	fx_expect("!cancelled");
}

static void on_small_stack(void *arg)
{
	struct race race = { .left = fx_scale(100000) };
	(void)arg;
	noted(avow_repeat(fx.loop, lap, &race));
	fx_run();
}

FX_TEST(laps_need_no_stack)
{
	fx_on_small_stack(on_small_stack, NULL);
	fx_expect("none");
}


/* ------------------------------------------------------------------ Reduce */

static avow_value add(avow_value sum, avow_value item, void *arg)
{
	(void)arg;
	return avow_int(avow_int_get(sum) + avow_int_get(item));
}

static avow_value add_noted(avow_value sum, avow_value item, void *arg)
{
	fx_log("%s+%s", fx_text(sum), fx_text(item));
	return add(sum, item, arg);
}

FX_TEST(reduce_gives_each_lap_the_sum_so_far)
{
	noted(avow_reduce(fx.loop, 4, add_noted, NULL,
			  .initial = avow_int(10)));
	fx_expect("");
	fx_run();
	fx_expect("10+0|10+1|11+2|13+3|16");
}

static avow_value first_item(avow_value sum, avow_value item, void *arg)
{
	(void)arg;
	fx_log("%s,%s", fx_text(sum), fx_text(item));
	return avow_is_none(sum) ? item : sum;
}

FX_TEST(reduce_begins_with_none_unless_told)
{
	noted((avow_reduce)(fx.loop, 2, first_item, NULL));
	fx_run();
	fx_expect("none,0|0,1|0");
}

FX_TEST(reduce_of_nothing_gives_the_initial_value)
{
	noted(avow_reduce(fx.loop, 0, add, NULL, .initial = fx_box_new(3)));
	noted(avow_reduce(fx.loop, 0, add, NULL));
	fx_run();
	fx_expect("box:3|none");
}

static avow_value note_take(avow_value value, void *arg)
{
	struct fx_box *const box = fx_box_take(value);
	(void)arg;
	ck_assert_ptr_nonnull(box);
	avow_drop(fx_box_value(box));
	return avow_none();
}

FX_TEST(reduce_of_nothing_gives_an_initial_value_that_can_be_taken)
{
	avow_then(avow_reduce(fx.loop, 0, add, NULL, .initial = fx_box_new(3)),
		  note_take, NULL);
	fx_run();
	ck_assert_int_eq(fx.boxes, 0);
}

FX_TEST(reduce_waits_for_an_initial_promise)
{
	avow_promise *const initial = avow_pending(fx.loop);
	noted(avow_reduce(fx.loop, 3, add_noted, NULL,
			  .initial = avow_await(initial)));
	fx_run();
	fx_expect("");
	avow_resolve(initial, avow_int(5));
	fx_run();
	fx_expect("5+0|5+1|6+2|8");
}

FX_TEST(reduce_of_nothing_waits_for_an_initial_promise)
{
	avow_promise *const initial = avow_pending(fx.loop);
	avow_promise *const p = avow_reduce(fx.loop, 0, add, NULL,
					    .initial = avow_await(initial));
	ck_assert_int_eq(avow_state_of(p), AVOW_PENDING);
	noted(p);
	avow_resolve(initial, fx_box_new(5));
	fx_run();
	fx_expect("box:5");
}

FX_TEST(repeat_waits_for_an_initial_promise)
{
	avow_promise *const initial = avow_pending(fx.loop);
	noted(avow_repeat(fx.loop, count_down, "end",
			  .initial = avow_await(initial)));
	fx_run();
	avow_resolve(initial, avow_int(1));
	fx_run();
	fx_expect("1|0|end");
}

FX_TEST(cancelling_reduce_gives_up_its_initial_promise)
{
	avow_promise *const initial = avow_pending(fx.loop);
	avow_on_cancel(avow_context(initial), drop_hook, "initial");
	avow_promise *const p = avow_reduce(fx.loop, 3, add, NULL,
					    .initial = avow_await(initial));
	noted(p);
	avow_cancel(p);
	fx_run();
	fx_expect("cancel:initial|!cancelled");
}

static avow_value pull_none(avow_value index, void *name)
{
	fx_log("%s:%s", (const char *)name, fx_text(index));
	return avow_done(avow_none());
}

/* Told once, and only where nobody handles it. */
FX_TEST(an_initial_error_rejects_before_anything_is_pulled)
{
	noted(avow_reduce(fx.loop, 0, add, NULL, .initial = avow_errno(EIO)));
	noted(avow_reduce(fx.loop, 3, add, NULL, .pull = pull_none,
			  .from = "pull", .initial = avow_errno(EACCES)));
	noted(avow_repeat(fx.loop, count_down, "end",
			  .initial = avow_errno(EPERM)));
	fx_run();
	fx_expect("!Input/output error|!Permission denied|"
		  "!Operation not permitted");
	fx_expect_reports("");
	avow_reduce(fx.loop, 0, add, NULL, .initial = avow_errno(EIO));
	fx_run();
	fx_expect_reports("unhandled:Input/output error");
}

struct future {
	void *context;
};

static avow_value future_then(avow_value value, void *context)
{
	((struct future *)value.as.ptr)->context = context;
	return avow_none();
}

AVOW_TYPE_WITH(future, struct future *, 0, 0, future_then, false, 0);

FX_TEST(an_initial_thenable_is_waited_for)
{
	struct future future = { NULL };
	noted(avow_reduce(fx.loop, 0, add, NULL,
			  .initial = future_value(&future)));
	fx_run();
	ck_assert_ptr_nonnull(future.context);
	avow_settle(future.context, avow_int(8));
	fx_run();
	fx_expect("8");
}

FX_TEST(repeat_may_be_done_with_a_thenable)
{
	struct future future = { NULL };
	avow_promise *const done =
		avow_resolved(fx.loop, avow_done(future_value(&future)));
	avow_hold(done);
	noted(avow_repeat(fx.loop, await_held, done));
	fx_run();
	ck_assert_ptr_nonnull(future.context);
	fx_expect("");
	avow_settle(future.context, avow_int(8));
	fx_run();
	fx_expect("8");
	avow_release(done);
}

static avow_value add_to_box(avow_value sum, avow_value item, void *arg)
{
	struct fx_box *const box = fx_box_take(sum);
	(void)arg;
	ck_assert_ptr_nonnull(box);
	box->number += fx_box_get(item)->number;
	return fx_box_value(box);
}

static avow_value three_boxes(avow_value index, void *arg)
{
	const int number = (int)avow_int_get(index);
	(void)arg;
	ck_assert_int_le(fx.boxes, 2); /* the sum, and the item before */
	return number < 3 ? fx_box_new(10 + number) : avow_done(avow_none());
}

FX_TEST(the_sum_may_be_taken_and_the_items_are_dropped)
{
	noted(avow_reduce(fx.loop, AVOW_UNTIL_DONE, add_to_box, NULL,
			  .pull = three_boxes, .initial = fx_box_new(100)));
	fx_run();
	fx_expect("box:133");
	ck_assert_int_eq(fx.boxes, 0);
}

FX_TEST(the_sum_may_be_taken_while_its_loop_is_waited_for)
{
	avow_promise *const p =
		avow_reduce(fx.loop, AVOW_UNTIL_DONE, add_to_box, NULL,
			    .pull = three_boxes, .initial = fx_box_new(100));
	ck_assert_str_eq(fx_text(avow_wait(p)), "box:133");
}

static avow_value take_item(avow_value sum, avow_value item, void *arg)
{
	(void)sum;
	(void)arg;
	return avow_take(item);
}

FX_TEST(an_item_of_reduce_is_borrowed)
{
	noted(avow_reduce(fx.loop, AVOW_UNTIL_DONE, take_item, NULL,
			  .pull = three_boxes));
	fx_run();
	fx_expect("!a value of type fx_box cannot be copied");
}

FX_TEST(reduce_pulls_no_more_items_than_its_count)
{
	noted(avow_reduce(fx.loop, 2, add_to_box, NULL, .pull = three_boxes,
			  .initial = fx_box_new(0)));
	fx_run();
	fx_expect("box:21");
}

static avow_value pull_later(avow_value index, void *arg)
{
	const int64_t i = avow_int_get(index);
	fx_log("pull:%lld", (long long)i);
	return avow_await(avow_then(avow_immediate(fx.loop),
				    i < 2 ? fx_seven : pull_none, arg));
}

static avow_value add_noted_later(avow_value sum, avow_value item, void *arg)
{
	const avow_value next = add_noted(sum, item, NULL);
	(void)arg;
	return avow_await(avow_resolved(fx.loop, next));
}

FX_TEST(reduce_pulls_one_item_for_each_lap)
{
	noted(avow_reduce(fx.loop, AVOW_UNTIL_DONE, add_noted_later, NULL,
			  .pull = pull_later, .from = "from",
			  .initial = avow_int(1)));
	fx_run();
	fx_expect("pull:0|from:none|1+7|pull:1|from:none|8+7|pull:2|from:none|"
		  "15");
}

static avow_value add_until_two(avow_value sum, avow_value item, void *arg)
{
	fx_log("%s", fx_text(item));
	return avow_int_get(item) == 2 ? avow_errno(EIO) : add(sum, item, arg);
}

FX_TEST(an_error_ends_reduce)
{
	noted(avow_reduce(fx.loop, 10, add_until_two, NULL,
			  .initial = avow_int(0)));
	fx_run();
	fx_expect("0|1|2|!Input/output error");
}

static avow_value pull_error(avow_value index, void *arg)
{
	(void)arg;
	return avow_int_get(index) ? avow_error(EIO, "no more") : index;
}

FX_TEST(an_error_of_pull_ends_reduce)
{
	noted(avow_reduce(fx.loop, 10, add_noted, NULL, .pull = pull_error,
			  .initial = avow_int(0)));
	fx_run();
	fx_expect("0+0|!no more");
}

FX_TEST(reduce_without_a_function_is_misuse)
{
	FX_ABORTS("avow_reduce() with a NULL function",
		  avow_reduce(fx.loop, 1, NULL, NULL));
	ck_assert(fx_abort_names(__LINE__ - 1));
	FX_ABORTS("avow_reduce() with a NULL loop",
		  avow_reduce(NULL, 1, add, NULL));
}

FX_TEST_LIMIT(a_million_items_are_reduced, 20.)
{
	const size_t count = fx_scale(1000000);
	avow_promise *const p =
		avow_reduce(fx.loop, count, add, NULL, .initial = avow_int(0));
	avow_hold(p);
	fx_run();
	ck_assert_int_eq(avow_int_get(avow_value_of(p)),
			 (int64_t)count * ((int64_t)count - 1) / 2);
	avow_release(p);
}

/* The reducer runs the loop again, where somebody ends the laps: the item that
 * it is looking at stays. */
struct ender {
	avow_promise *p;
	bool is_ended;
};

static void end_the_laps(void *arg)
{
	struct ender *const ender = arg;
	avow_cancel(ender->p);
	ender->is_ended = true;
}

static avow_value end_in_nested_loop(avow_value sum, avow_value item, void *arg)
{
	struct ender *const ender = arg;
	(void)sum;
	if (fx_box_get(item)->number == 11 && ender->p) {
		fx_later(0., end_the_laps, ender);
		while (!ender->is_ended)
			ev_run(fx.ev, EVRUN_ONCE);
		ev_run(fx.ev, EVRUN_NOWAIT);
	}
	fx_log("item:%s", fx_text(item));
	return avow_none();
}

FX_TEST(an_item_stays_for_a_reducer_whose_laps_end_in_a_nested_loop)
{
	struct ender ender = { NULL, false };
	ender.p = avow_reduce(fx.loop, AVOW_UNTIL_DONE, end_in_nested_loop,
			      &ender, .pull = three_boxes);
	noted(ender.p);
	fx_run();
	fx_expect("item:box:10|!cancelled|item:box:11");
	ck_assert_int_eq(fx.boxes, 0);
}


/* -------------------------------------------------------------------- Ends */

FX_TEST(a_signal_that_has_aborted_begins_nothing)
{
	avow_abort *const stop = avow_abort_new(fx.loop);
	avow_abort_with(stop, avow_errno(EIO));
	noted(avow_repeat(fx.loop, count_down, "end", .initial = avow_int(1),
			  .signal = avow_abort_signal(stop)));
	noted(avow_reduce(fx.loop, 2, add_noted, NULL, .initial = fx_box_new(1),
			  .signal = avow_abort_signal(stop)));
	fx_run();
	fx_expect("!Input/output error|!Input/output error");
	avow_abort_free(stop);
}

FX_TEST(a_signal_ends_a_loop)
{
	avow_abort *const stop = avow_abort_new(fx.loop);
	noted(avow_repeat(fx.loop, wait_for_ever, "lap",
			  .signal = avow_abort_signal(stop)));
	fx_run();
	avow_abort_with(stop, avow_errno(EIO));
	fx_expect("cancel:lap");
	fx_run();
	fx_expect("!Input/output error");
	avow_abort_free(stop);
}

FX_TEST(a_signal_after_the_end_does_nothing)
{
	avow_abort *const stop = avow_abort_new(fx.loop);
	noted(avow_repeat(fx.loop, count_down, "end", .initial = avow_int(0),
			  .signal = avow_abort_signal(stop)));
	noted(avow_reduce(fx.loop, 1, add, NULL, .initial = avow_int(0),
			  .signal = avow_abort_signal(stop)));
	fx_run();
	avow_abort_with(stop, avow_none());
	fx_run();
	fx_expect("0|end|0");
	avow_abort_free(stop);
}

FX_TEST(what_a_lap_waits_for_is_abandoned_with_its_loop)
{
	noted(avow_repeat(fx.loop, wait_for_ever, "lap"));
	fx_run();
	fx_free_loop();
	fx_expect("cancel:lap|!abandoned: the loop was freed first");
	fx_expect_reports("abandoned:promise");
}

/* An initial value of a loop that is being freed is dropped. */
static avow_value begin_late(avow_value value, void *arg)
{
	avow_loop *const loop = avow_loop_current();
	(void)arg;
	fx_free_loop();
	noted(avow_repeat(loop, count_down, "end", .initial = fx_box_new(1)));
	noted(avow_reduce(loop, 3, add_noted, NULL, .initial = fx_box_new(1)));
	return value;
}

FX_TEST(a_loop_that_is_being_freed_begins_nothing)
{
	avow_then(avow_resolved(fx.loop, avow_none()), begin_late, NULL);
	fx_run();
	ck_assert_int_eq(fx.boxes, 0);
	fx_expect(
		"!abandoned: the loop was freed first|!abandoned: the loop was freed first");
}


/* -------------------------------------------------------------- Any point */

static avow_value point_lap(avow_value value, void *arg)
{
	struct fx_box *const box = fx_box_take(value);
	avow_loop *const loop = avow_loop_current();
	(void)arg;
	points_call();
	if (!box)
		return avow_errno(ENOMEM);
	if (!--box->number)
		return avow_done(fx_box_value(box));
	return avow_await(points_later(loop, box->number, fx_box_value(box)));
}

static avow_promise *make_repeat(avow_loop *loop)
{
	return avow_repeat(loop, point_lap, NULL, .initial = fx_box_new(4),
			   .signal = points_signal);
}

FX_TEST(repeat_may_end_at_any_point)
{
	points_try_all(make_repeat);
}

static avow_value point_reducer(avow_value sum, avow_value item, void *arg)
{
	avow_loop *const loop = avow_loop_current();
	const int number = avow_is(item, &avow_int_type)
				   ? (int)avow_int_get(item)
				   : fx_box_get(item)->number;
	(void)arg;
	points_call();
	struct fx_box *const box = fx_box_take(sum);
	if (!box)
		return avow_errno(ENOMEM);
	box->number += number;
	return avow_await(points_later(loop, number % 3, fx_box_value(box)));
}

static avow_value point_pull(avow_value index, void *arg)
{
	avow_loop *const loop = avow_loop_current();
	const int number = (int)avow_int_get(index);
	(void)arg;
	points_call();
	return number == 3 ? avow_done(fx_box_new(0))
			   : avow_await(points_later(loop, number,
						     fx_box_new(number)));
}

static avow_promise *make_reduce(avow_loop *loop)
{
	return avow_reduce(loop, 4, point_reducer, NULL,
			   .initial = fx_box_new(1), .signal = points_signal);
}

static avow_promise *make_reduce_pull(avow_loop *loop)
{
	avow_promise *const initial = points_later(loop, 2, fx_box_new(1));
	return avow_reduce(loop, AVOW_UNTIL_DONE, point_reducer, NULL,
			   .initial = avow_await(initial), .pull = point_pull,
			   .signal = points_signal);
}

FX_TEST(reduce_may_end_at_any_point)
{
	points_try_all(make_reduce);
}

FX_TEST(reduce_of_what_is_pulled_may_end_at_any_point)
{
	points_try_all(make_reduce_pull);
}

/* ------------------------------------------------------------ Re-entrancy */

static avow_value act_lap(avow_value value, void *arg)
{
	const int64_t n = avow_int_get(value);
	(void)arg;
	scene_act();
	return n ? avow_int(n - 1) : avow_done(fx_box_new(1));
}

static void prepare_lap(void)
{
	scene_self(
		avow_repeat(scene.loop, act_lap, NULL, .initial = avow_int(2)));
}

/* Some of the acts end it, and then the callback comes once. */
static void try_all(void (*prepare)(void), int calls)
{
	for (int act = 0; act < ACTS; act++) {
		scene_open((enum act)act);
		prepare();
		fx_run();
		scene_look(act == CANCEL_SELF || act == FREE ? 1 : calls);
	}
}

FX_TEST(a_lap_of_repeat_may_do_anything)
{
	try_all(prepare_lap, 3);
}

static avow_value act_reducer(avow_value sum, avow_value item, void *arg)
{
	const int number = fx_box_get(item)->number;
	(void)arg;
	scene_act();
	ck_assert_int_eq(fx_box_get(item)->number, number);
	ck_assert_int_ge(fx_box_get(sum)->number, 0);
	return sum;
}

static avow_value quiet_pull(avow_value index, void *arg)
{
	(void)arg;
	return avow_int_get(index) < 2 ? fx_box_new(1) : avow_done(avow_none());
}

static void prepare_reducer(void)
{
	scene_self(avow_reduce(scene.loop, AVOW_UNTIL_DONE, act_reducer, NULL,
			       .pull = quiet_pull, .initial = fx_box_new(3)));
}

FX_TEST(a_reducer_may_do_anything)
{
	try_all(prepare_reducer, 2);
}

static avow_value act_pull(avow_value index, void *arg)
{
	(void)arg;
	scene_act();
	return avow_int_get(index) < 2 ? fx_box_new(1) : avow_done(avow_none());
}

static avow_value count_items(avow_value sum, avow_value item, void *arg)
{
	(void)item;
	(void)arg;
	return avow_int(avow_int_get(sum) + 1);
}

static void prepare_pull(void)
{
	scene_self(avow_reduce(scene.loop, AVOW_UNTIL_DONE, count_items, NULL,
			       .pull = act_pull, .initial = avow_int(0)));
}

FX_TEST(the_source_of_reduce_may_do_anything)
{
	try_all(prepare_pull, 3);
}

static void odd_drop(void *ptr)
{
	scene_act();
	free(ptr);
}

static avow_value odd_copy(avow_value value);

AVOW_TYPE_WITH(dropped, void *, odd_drop, 0, 0, false, 0);
AVOW_TYPE_WITH(copied, void *, free, odd_copy, 0, false, 0);

static avow_value odd_copy(avow_value value)
{
	(void)value;
	scene_act();
	return copied_value(malloc(1));
}

static avow_value pull_dropped(avow_value index, void *arg)
{
	(void)arg;
	return avow_int_get(index) < 2 ? dropped_value(malloc(1))
				       : avow_done(avow_none());
}

static void prepare_item_drop(void)
{
	scene_self(avow_reduce(scene.loop, AVOW_UNTIL_DONE, count_items, NULL,
			       .pull = pull_dropped, .initial = avow_int(0)));
}

/* The pull of the second item has begun when the first is dropped. */
FX_TEST(the_drop_of_an_item_of_reduce_may_do_anything)
{
	try_all(prepare_item_drop, 2);
}

static avow_value drop_lap(avow_value value, void *arg)
{
	(void)arg;
	if (!avow_is(value, &avow_int_type))
		return avow_done(avow_none());
	return dropped_value(malloc(1));
}

static void prepare_sum_drop(void)
{
	scene_self(avow_repeat(scene.loop, drop_lap, NULL,
			       .initial = avow_int(1)));
}

FX_TEST(the_drop_of_what_a_lap_gave_may_do_anything)
{
	scene_try_all(prepare_sum_drop, 1);
}

static avow_value done_with_dropped(avow_value value, void *arg)
{
	(void)value;
	(void)arg;
	return avow_done(dropped_value(malloc(1)));
}

static void prepare_result_drop(void)
{
	scene_self(avow_repeat(scene.loop, done_with_dropped, NULL));
}

FX_TEST(the_drop_of_the_result_of_a_loop_may_do_anything)
{
	scene_try_all(prepare_result_drop, 1);
}

static avow_promise *kept_done;

static void prepare_result_copy(void)
{
	avow_slot(avow_resolved(scene.loop, avow_done(copied_value(malloc(1)))),
		  &kept_done);
	avow_hold(kept_done);
	scene_self(avow_repeat(scene.loop, await_held, kept_done));
}

FX_TEST(the_copy_of_a_result_that_others_hold_may_do_anything)
{
	scene_try_all(prepare_result_copy, 1);
}

/* A done that two have, and a copy during which both let it go. */
static struct {
	avow_value other;
	avow_promise *repeat;
} two_have;

static avow_value let_go(avow_value value, void *arg)
{
	(void)arg;
	avow_cancel(two_have.repeat);
	avow_drop(two_have.other);
	return value;
}

static avow_value copy_nested(avow_value value);
AVOW_TYPE_WITH(nested, int *, free, copy_nested, 0, false, 0);

static int *new_number(int number)
{
	int *const ptr = malloc(sizeof(*ptr));
	*ptr = number;
	return ptr;
}

static avow_value copy_nested(avow_value value)
{
	(void)!avow_wait(avow_then(avow_delay(fx.loop, 0), let_go, NULL)).type;
	(void)!avow_wait(avow_delay(fx.loop, 0)).type;
	fx_log("copied:%d", *nested_get(value));
	return nested_value(new_number(*nested_get(value)));
}

static avow_value done_for_two(avow_value value, void *arg)
{
	const avow_value done = avow_done(nested_value(new_number(7)));
	(void)value;
	(void)arg;
	two_have.other = avow_copy(done);
	return done;
}

FX_TEST(a_result_stays_while_its_copy_is_made)
{
	two_have.repeat = avow_repeat(fx.loop, done_for_two, NULL);
	fx_run();
	fx_expect("copied:7");
}

static void odd_hook(void *arg)
{
	(void)arg;
	scene_act();
}

static avow_value hooked_lap(avow_value value, void *arg)
{
	avow_promise *const p = avow_pending(scene.loop);
	(void)value;
	(void)arg;
	avow_on_cancel(avow_context(p), odd_hook, NULL);
	avow_then(avow_resolved(scene.loop, avow_none()),
		  (avow_handler_fn *)arg, NULL);
	return avow_await(p);
}

static avow_value cancel_it(avow_value value, void *arg)
{
	(void)arg;
	avow_cancel(scene.self);
	return value;
}

static void prepare_hook(void)
{
	scene_self(avow_repeat(scene.loop, hooked_lap, (void *)cancel_it));
}

FX_TEST(the_cancel_hook_of_a_lap_may_do_anything)
{
	scene_try_all(prepare_hook, 1);
}

static void prepare_initial_hook(void)
{
	avow_promise *const p = avow_pending(scene.loop);
	avow_on_cancel(avow_context(p), odd_hook, NULL);
	scene_self(avow_reduce(scene.loop, 3, count_items, NULL,
			       .initial = avow_await(p)));
	avow_cancel(scene.self);
}

FX_TEST(the_cancel_hook_of_an_initial_promise_may_do_anything)
{
	scene_try_all(prepare_initial_hook, 1);
}

/* Out of memory drops the initial value, and that frees the loop. */
static void prepare_initial_drop(void)
{
	fx_fail_from(0);
	while (avow_state_of(avow_pending(scene.loop)) == AVOW_PENDING)
		;
	(void)avow_repeat(scene.loop, drop_lap, NULL,
			  .initial = dropped_value(malloc(1)));
	fx_fail_never();
}

FX_TEST(the_drop_of_an_initial_value_without_memory_may_do_anything)
{
	static const enum act acts[] = { RELEASE, SETTLE, FREE };
	for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++) {
		scene_open(acts[i]);
		prepare_initial_drop();
		fx_run();
		scene_look(1);
	}
}

static void drop_running(void *ptr)
{
	free(ptr);
	ev_run(fx.ev, EVRUN_NOWAIT);
}

AVOW_TYPE(running, void *, drop_running);

FX_TEST(a_loop_without_memory_is_there_after_a_drop_has_run_the_event_loop)
{
	void *const ptr = malloc(1);
	fx_fail_once(0);
	avow_promise *const p = avow_repeat(fx.loop, drop_lap, NULL,
					    .initial = running_value(ptr));
	avow_catch(p, fx_note, "rejected");
	fx_run();
	fx_expect("rejected:!Cannot allocate memory");
}

int main(void)
{
	return fx_main("repeat");
}
