/*
 * SPDX-License-Identifier: MIT
 *
 * A function run for many items, some at a time: avow_map, avow_filter,
 * avow_each.
 *
 * Most functions here wait for a promise that the test settles by hand, in an
 * order of its own.  They are counted, so that what runs at a time is known.
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


/* ---------------------------------------------------- Work, settled by hand */

enum { WORKS = 200 };

static struct work {
	avow_promise *p[WORKS]; /* slots */
	size_t begun;
	size_t running, most;
} work;

static void work_cancelled(void *where)
{
	fx_log("cancel:%td", (avow_promise **)where - work.p);
}

static void work_ended(void *arg)
{
	(void)arg;
	work.running--;
}

/* Waits until work_settle() of the same number. */
static avow_value work_begin(avow_value item, void *arg)
{
	const int64_t i = avow_int_get(item);
	avow_promise *const p = avow_pending(fx.loop);
	(void)arg;
	ck_assert_int_lt(i, WORKS);
	work.begun++;
	if (++work.running > work.most)
		work.most = work.running;
	avow_on_cancel(avow_context(p), work_cancelled, &work.p[i]);
	avow_slot(p, &work.p[i]);
	return avow_await(avow_attach(p, NULL, work_ended));
}

static avow_value work_begin_noted(avow_value item, void *arg)
{
	fx_log("begin:%s", fx_text(item));
	return work_begin(item, arg);
}

static void work_settle(size_t i, avow_value value)
{
	avow_resolve(work.p[i], value);
	fx_run();
}

/* Settle all that is running, in an odd order, until nothing is. */
static void work_settle_all(void)
{
	uint32_t random = 1;
	while (work.running) {
		random = random * 1664525u + 1013904223u;
		const size_t i = random >> 16;
		if (work.p[i % WORKS])
			work_settle(i % WORKS,
				    avow_int((int64_t)(i % WORKS) * 10));
	}
}


/* --------------------------------------------------------------------- Map */

FX_TEST(a_map_gives_results_in_the_order_of_the_items)
{
	noted(avow_map(fx.loop, 4, work_begin, NULL, .limit = 3));
	fx_run();
	work_settle(2, avow_int(20));
	work_settle(1, fx_box_new(10));
	work_settle(3, avow_none());
	fx_expect("");
	work_settle(0, avow_str("zero"));
	fx_expect("[zero,box:10,20,none]");
	ck_assert_int_eq(fx.boxes, 0);
}

FX_TEST(a_map_calls_its_function_from_the_loop)
{
	noted(avow_map(fx.loop, 2, fx_pass, "fn"));
	fx_log("returned");
	fx_run();
	fx_expect("returned|fn:0|fn:1|[0,1]");
}

FX_TEST(maps_by_function_have_defaults)
{
	noted((avow_map)(fx.loop, 2, fx_seven, NULL));
	noted((avow_each)(fx.loop, 2, fx_seven, NULL));
	fx_run();
	fx_expect("0|1|0|1|[7,7]|2");
}

FX_TEST(a_map_keeps_to_its_limit)
{
	for (ptrdiff_t limit = 1; limit < 30; limit = limit * 3 / 2 + 1) {
		work = (struct work){ .begun = 0 };
		avow_promise *const p =
			avow_map(fx.loop, 60, work_begin, NULL, .limit = limit);
		avow_hold(p);
		fx_run();
		ck_assert_uint_eq(work.running, (size_t)limit);
		work_settle_all();
		ck_assert_uint_eq(work.most, (size_t)limit);
		ck_assert_uint_eq(work.begun, 60);
		for (size_t i = 0; i < 60; i++) {
			const avow_value item =
				avow_list_at(avow_value_of(p), i);
			ck_assert_int_eq(avow_int_get(item), (int64_t)i * 10);
		}
		avow_release(p);
	}
}

FX_TEST(a_limit_of_one_runs_one_after_the_other)
{
	noted(avow_each(fx.loop, 3, work_begin_noted, NULL, .limit = 1));
	fx_run();
	fx_expect("begin:0");
	work_settle(0, avow_none());
	fx_expect("begin:1");
	work_settle(1, avow_none());
	work_settle(2, avow_none());
	fx_expect("begin:2|3");
}

FX_TEST(the_limit_is_sixteen_unless_told)
{
	noted(avow_each(fx.loop, 40, work_begin, NULL));
	fx_run();
	ck_assert_uint_eq(work.running, 16);
	work_settle_all();
	fx_expect("40");
	work = (struct work){ .begun = 0 };
	noted(avow_filter(fx.loop, 40, work_begin, NULL, .limit = 0));
	fx_run();
	ck_assert_uint_eq(work.running, 16);
	fx_free_loop();
	(void)fx_take_log();
	(void)fx_take_reports();
}

FX_TEST(a_limit_beyond_the_items_is_fine)
{
	noted(avow_each(fx.loop, 100, work_begin, NULL, .limit = PTRDIFF_MAX));
	fx_run();
	ck_assert_uint_eq(work.running, 100);
	work_settle_all();
	fx_expect("100");
}

static avow_value is_invalid(avow_value error, void *arg)
{
	(void)arg;
	ck_assert(avow_error_is(error, &avow_core_domain, AVOW_EINVALID));
	fx_log("%s", avow_message(error));
	return avow_none();
}

FX_TEST(a_negative_limit_is_rejected)
{
	avow_catch(avow_map(fx.loop, 3, fx_note, NULL, .limit = -1), is_invalid,
		   NULL);
	avow_catch(avow_filter(fx.loop, 0, fx_note, NULL, .limit = -2),
		   is_invalid, NULL);
	avow_catch(avow_each(fx.loop, 3, fx_note, NULL, .limit = PTRDIFF_MIN),
		   is_invalid, NULL);
	fx_run();
	const char *const text = fx_take_log();
	ck_assert_ptr_nonnull(strstr(text, "avow_map() with a limit of -1|"
					   "avow_filter() with a limit of -2|"
					   "avow_each() with a limit of -"));
}

FX_TEST(nothing_to_do_is_done)
{
	noted(avow_map(fx.loop, 0, fx_note, "fn"));
	noted(avow_filter(fx.loop, 0, fx_note, "fn"));
	noted(avow_each(fx.loop, 0, fx_note, "fn"));
	noted(avow_map(fx.loop, 0, fx_note, "fn", .pull = fx_note));
	fx_run();
	fx_expect("[]|[]|0|[]");
}

FX_TEST(an_unordered_map_gives_results_as_they_come)
{
	noted(avow_map(fx.loop, 4, work_begin, NULL, .limit = 3,
		       .unordered = true));
	fx_run();
	work_settle(2, avow_int(20));
	work_settle(1, fx_box_new(10));
	work_settle(3, avow_none());
	work_settle(0, avow_int(0));
	fx_expect("[20,box:10,none,0]");
}

FX_TEST(a_map_that_is_given_something_to_begin_with_is_misuse)
{
	FX_ABORTS("avow_map() has no .initial",
		  avow_map(fx.loop, 1, fx_note, NULL, .initial = avow_int(1)));
}

FX_TEST(a_map_without_a_function_is_misuse)
{
	FX_ABORTS("avow_map() with a NULL function",
		  avow_map(fx.loop, 1, NULL, NULL));
	ck_assert(fx_abort_names(__LINE__ - 1));
	FX_ABORTS("avow_filter() with a NULL function",
		  avow_filter(fx.loop, 1, NULL, NULL));
	FX_ABORTS("avow_each() with a NULL function",
		  avow_each(fx.loop, 1, NULL, NULL));
	FX_ABORTS("avow_map() with a NULL loop",
		  avow_map(NULL, 1, fx_note, NULL));
}

FX_TEST(a_map_is_settled_by_nobody_else)
{
	FX_ABORTS("settles itself",
		  avow_resolve(avow_map(fx.loop, 1, fx_note, NULL),
			       avow_none()));
}


/* ------------------------------------------------------------------ Errors */

static avow_value fail_at_two(avow_value item, void *name)
{
	fx_pass(item, name);
	return avow_int_get(item) == 2 ? avow_error(EIO, "bad") : item;
}

FX_TEST(the_first_error_stops_a_map)
{
	noted(avow_map(fx.loop, 10, fail_at_two, "fn", .limit = 1));
	fx_run();
	fx_expect("fn:0|fn:1|fn:2|!bad");
}

FX_TEST(the_first_error_cancels_what_runs)
{
	noted(avow_map(fx.loop, 10, work_begin, NULL, .limit = 4));
	fx_run();
	work_settle(2, fx_box_new(1));
	avow_hold(work.p[0]);
	work_settle(1, avow_error(EIO, "bad"));
	ck_assert_uint_eq(work.begun, 5);
	/* Newest first; the one that is held by somebody else goes on. */
	fx_expect("cancel:4|cancel:3|!bad");
	ck_assert_uint_eq(work.running, 0);
	ck_assert_ptr_nonnull(work.p[0]);
	ck_assert_int_eq(avow_state_of(work.p[0]), AVOW_PENDING);
	avow_promise *const held = work.p[0];
	work_settle(0, fx_box_new(2));
	ck_assert_int_eq(fx.boxes, 1);
	avow_release(held);
}

FX_TEST(a_second_error_is_nobodys)
{
	noted(avow_each(fx.loop, 10, work_begin, NULL, .limit = 2));
	fx_run();
	avow_resolve(work.p[0], avow_error(EIO, "first"));
	avow_resolve(work.p[1], avow_error(EIO, "second"));
	fx_run();
	fx_expect("!first");
	fx_expect_reports("");
}

FX_TEST(an_error_of_a_map_that_nobody_handles_is_told_once)
{
	avow_each(fx.loop, 4, fail_at_two, NULL);
	fx_run();
	fx_expect("0|1|2|3");
	fx_expect_reports("unhandled:bad");
}

FX_TEST(a_map_that_collects_has_errors_among_its_items)
{
	noted(avow_map(fx.loop, 4, fail_at_two, NULL, .collect = true));
	fx_run();
	fx_expect("0|1|2|3|[0,1,!bad,3]");
	fx_expect_reports("");
}

FX_TEST(a_map_that_collects_unordered_has_errors_as_they_come)
{
	noted(avow_map(fx.loop, 3, work_begin, NULL, .collect = true,
		       .unordered = true));
	fx_run();
	work_settle(2, avow_error(EIO, "bad"));
	avow_cancel(work.p[1]);
	fx_run();
	work_settle(0, avow_int(0));
	fx_expect("cancel:1|[!bad,!cancelled,0]");
}

FX_TEST(only_a_map_collects)
{
	noted(avow_filter(fx.loop, 4, fail_at_two, NULL, .limit = 1,
			  .collect = true, .pull = fx_fail));
	noted(avow_each(fx.loop, 4, fail_at_two, NULL, .limit = 4,
			.collect = true));
	fx_run();
	fx_expect("0|0|1|2|3|!failed|!bad");
}


/* ------------------------------------------------------------------ Filter */

static avow_value is_even(avow_value item, void *arg)
{
	(void)arg;
	return avow_bool(avow_int_get(item) % 2 == 0);
}

FX_TEST(a_filter_gives_the_items_that_passed)
{
	noted(avow_filter(fx.loop, 7, is_even, NULL));
	noted((avow_filter)(fx.loop, 2, is_even, NULL));
	fx_run();
	fx_expect("[0,2,4,6]|[0]");
}

FX_TEST(a_filter_keeps_the_order_of_the_items)
{
	noted(avow_filter(fx.loop, 4, work_begin, NULL));
	noted(avow_filter(fx.loop, 0, work_begin, NULL));
	fx_run();
	work_settle(3, avow_bool(true));
	work_settle(1, avow_bool(true));
	work_settle(0, avow_bool(true));
	work_settle(2, avow_bool(false));
	fx_expect("[]|[0,1,3]");
}

FX_TEST(an_unordered_filter_gives_items_as_they_passed)
{
	noted(avow_filter(fx.loop, 4, work_begin, NULL, .unordered = true));
	fx_run();
	work_settle(3, avow_bool(true));
	work_settle(1, avow_bool(true));
	work_settle(2, avow_bool(false));
	work_settle(0, avow_bool(true));
	fx_expect("[3,1,0]");
}

static avow_value three_boxes(avow_value index, void *arg)
{
	const int number = (int)avow_int_get(index);
	(void)arg;
	return number < 3 ? fx_box_new(number) : avow_done(avow_none());
}

static avow_value is_not_one(avow_value item, void *arg)
{
	(void)arg;
	return avow_bool(fx_box_get(item)->number != 1);
}

FX_TEST(a_filter_gives_back_the_very_items_and_drops_the_others)
{
	noted(avow_filter(fx.loop, AVOW_UNTIL_DONE, is_not_one, NULL,
			  .pull = three_boxes));
	fx_run();
	fx_expect("[box:0,box:2]");
	ck_assert_int_eq(fx.boxes, 0);
}

static avow_value take_boxes(avow_value list, void *arg)
{
	(void)arg;
	for (size_t i = 0; i < avow_list_count(list); i++) {
		struct fx_box *const box = fx_box_take(avow_list_at(list, i));
		ck_assert_ptr_nonnull(box);
		fx_log("%d", box->number);
		avow_drop(fx_box_value(box));
	}
	return avow_none();
}

FX_TEST(the_items_of_a_filter_may_be_taken_from_its_list)
{
	avow_then(avow_filter(fx.loop, AVOW_UNTIL_DONE, is_not_one, NULL,
			      .pull = three_boxes, .unordered = true),
		  take_boxes, NULL);
	fx_run();
	fx_expect("0|2");
}

/* An item of none is an item. */
static avow_value pull_none(avow_value index, void *arg)
{
	(void)arg;
	return avow_int_get(index) < 2 ? avow_none() : avow_done(avow_none());
}

static avow_value let_pass(avow_value item, void *arg)
{
	(void)item;
	(void)arg;
	return avow_bool(true);
}

FX_TEST(a_filter_may_give_back_none)
{
	noted(avow_filter(fx.loop, AVOW_UNTIL_DONE, let_pass, NULL,
			  .pull = pull_none));
	fx_run();
	fx_expect("[none,none]");
}

static avow_value take_twin(avow_value item, void *arg)
{
	struct fx_box *const copy = fx_twin_take(item);
	(void)arg;
	ck_assert_ptr_nonnull(copy);
	ck_assert_ptr_ne(copy, fx_twin_get(item));
	avow_drop(fx_twin_value(copy));
	return avow_bool(true);
}

static avow_value pull_twin(avow_value index, void *arg)
{
	(void)arg;
	return avow_int_get(index) ? avow_done(avow_none()) : fx_twin_new(4);
}

FX_TEST(the_function_of_a_filter_only_borrows_the_item)
{
	noted(avow_filter(fx.loop, AVOW_UNTIL_DONE, take_twin, NULL,
			  .pull = pull_twin));
	fx_run();
	fx_expect("[twin:4]");
}

FX_TEST(a_filter_needs_a_bool)
{
	FX_ABORTS("the function of avow_filter() gave int, not a bool",
		  avow_filter(fx.loop, 1, fx_seven, NULL), fx_run());
	ck_assert(fx_abort_names(__LINE__ - 1));
	FX_ABORTS("the function of avow_filter() gave none, not a bool",
		  avow_filter(fx.loop, 1, fx_note, NULL), fx_run());
}


/* -------------------------------------------------------------------- Each */

static avow_value give_box(avow_value item, void *arg)
{
	(void)arg;
	ck_assert_int_le(fx.boxes, 4);
	return fx_box_new((int)avow_int_get(item));
}

FX_TEST(each_counts_and_drops)
{
	noted(avow_each(fx.loop, 100, give_box, NULL, .limit = 3));
	fx_run();
	fx_expect("100");
}

static avow_value box_number(avow_value box, void *arg)
{
	(void)arg;
	return avow_int(fx_box_get(box)->number);
}

/* It is a bound, and no number of items to make room for. */
FX_TEST(a_count_of_what_is_pulled_may_be_large)
{
	const size_t count = SIZE_MAX / 64;

	noted(avow_map(fx.loop, count, box_number, NULL, .pull = three_boxes));
	noted(avow_map(fx.loop, count, box_number, NULL, .pull = three_boxes,
		       .unordered = true));
	noted(avow_filter(fx.loop, count, let_pass, NULL, .pull = three_boxes));
	fx_run();

	fx_expect("[0,1,2]|[0,1,2]|[box:0,box:1,box:2]");
}

FX_TEST(each_counts_what_was_pulled)
{
	noted(avow_each(fx.loop, AVOW_UNTIL_DONE, fx_note, NULL,
			.pull = three_boxes));
	fx_run();
	fx_expect("box:0|box:1|box:2|3");
}

static avow_value nothing(avow_value item, void *arg)
{
	(void)item;
	(void)arg;
	return avow_none();
}

struct memory {
	size_t promises_most, bytes_most;
};

static avow_value look_at_memory(avow_value item, void *arg)
{
	struct memory *const memory = arg;
	if (avow_int_get(item) % 1000 == 0) {
		const avow_stats stats = stats_now();
		if (memory->promises_most < stats.promise_count)
			memory->promises_most = stats.promise_count;
		if (memory->bytes_most < fx_bytes())
			memory->bytes_most = fx_bytes();
	}
	return avow_none();
}

static avow_value pull_many(avow_value index, void *count)
{
	return (size_t)avow_int_get(index) < *(size_t *)count
		       ? index
		       : avow_done(avow_none());
}

FX_TEST_LIMIT(each_takes_constant_memory, 20.)
{
	size_t count = fx_scale(1000000);
	struct memory memory = { 0, 0 };
	const size_t bytes = fx_bytes();
	avow_promise *const p =
		avow_each(fx.loop, count, look_at_memory, &memory);
	avow_promise *const q = avow_each(fx.loop, AVOW_UNTIL_DONE,
					  look_at_memory, &memory,
					  .pull = pull_many, .from = &count);
	avow_hold(p);
	avow_hold(q);
	fx_run();
	ck_assert_uint_eq((size_t)avow_int_get(avow_value_of(p)), count);
	ck_assert_uint_eq((size_t)avow_int_get(avow_value_of(q)), count);
	ck_assert_uint_lt(memory.promises_most, 200 + FX_QUARANTINE);
	ck_assert_uint_le(memory.bytes_most,
			  bytes + 4096 + FX_QUARANTINE * 100);
	avow_release(p);
	avow_release(q);
}

FX_TEST_LIMIT(a_million_items_give_a_list_of_a_million, 20.)
{
	size_t count = fx_scale(1000000);
	avow_promise *const p = avow_map(fx.loop, count, fx_pass, NULL);
	avow_cancel(p);
	avow_promise *const ordered =
		avow_map(fx.loop, count, pull_many, &count);
	avow_promise *const pulled =
		avow_map(fx.loop, AVOW_UNTIL_DONE, pull_many, &count,
			 .pull = pull_many, .from = &count);
	avow_promise *const passed =
		avow_filter(fx.loop, count, is_even, NULL, .unordered = true);
	avow_hold(ordered);
	avow_hold(pulled);
	avow_hold(passed);
	fx_run();
	ck_assert_uint_eq(avow_list_count(avow_value_of(ordered)), count);
	ck_assert_uint_eq(avow_list_count(avow_value_of(pulled)), count);
	ck_assert_uint_eq(avow_list_count(avow_value_of(passed)),
			  (count + 1) / 2);
	for (size_t i = 0; i < count; i += 999) {
		ck_assert_int_eq(
			avow_int_get(avow_list_at(avow_value_of(ordered), i)),
			(int64_t)i);
		ck_assert_int_eq(
			avow_int_get(avow_list_at(avow_value_of(pulled), i)),
			(int64_t)i);
	}
	avow_release(ordered);
	avow_release(pulled);
	avow_release(passed);
}

static avow_value give_a_box(avow_value item, void *arg)
{
	(void)arg;
	return fx_box_new((int)avow_int_get(item));
}

static void map_on_small_stack(void *arg)
{
	const size_t count = fx_scale(100000);
	(void)arg;
	noted(avow_map(fx.loop, count, give_a_box, NULL,
		       .limit = (ptrdiff_t)count));
	avow_cancel(avow_map(fx.loop, count, give_a_box, NULL,
			     .limit = (ptrdiff_t)count));
	fx_run();
}

FX_TEST(many_items_need_no_stack)
{
	fx_on_small_stack(map_on_small_stack, NULL);
	ck_assert_int_eq(fx.boxes, 0);
	(void)fx_take_log();
}

/* Maps in maps, as deep as `depth`. */
static avow_value map_in_map(avow_value item, void *depth)
{
	const intptr_t left = (intptr_t)depth;
	(void)item;
	if (!left)
		return avow_await(avow_pending(fx.loop));
	return avow_await(avow_map(fx.loop, 1, map_in_map, (void *)(left - 1)));
}

static void maps_in_maps(void *arg)
{
	const intptr_t depth = (intptr_t)fx_scale(100000);
	avow_promise *const p = avow_map(fx.loop, 1, map_in_map, (void *)depth);
	noted(p);
	fx_run();
	(void)arg;
	avow_cancel(p);
	fx_run();
	noted(avow_map(fx.loop, 1, map_in_map, (void *)depth));
	fx_run();
	fx_free_loop();
}

FX_TEST_LIMIT(maps_in_maps_need_no_stack, 20.)
{
	fx_on_small_stack(maps_in_maps, NULL);
	fx_expect("!cancelled|!abandoned: the loop was freed first");
}


/* ---------------------------------------------------------------- Overflow */

/* A list of so many items cannot be had. */
FX_TEST(a_number_of_items_beyond_all_memory_is_rejected)
{
	static const size_t counts[] = { SIZE_MAX - 1, SIZE_MAX / 2,
					 SIZE_MAX / sizeof(avow_value),
					 PTRDIFF_MAX / sizeof(avow_value) };
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		noted(avow_map(fx.loop, counts[i], fx_note, "fn"));
		fx_run();
		fx_expect("!Cannot allocate memory");
	}
}

static avow_value stop_at_hundred(avow_value item, void *arg)
{
	(void)arg;
	return avow_int_get(item) < 100 ? avow_int(1)
					: avow_error(EIO, "enough");
}

FX_TEST(without_a_source_until_done_has_no_end)
{
	noted(avow_each(fx.loop, AVOW_UNTIL_DONE, stop_at_hundred, NULL));
	noted(avow_map(fx.loop, AVOW_UNTIL_DONE, stop_at_hundred, NULL));
	noted(avow_filter(fx.loop, SIZE_MAX - 1, is_even, NULL,
			  .unordered = true, .limit = 1));
	fx_run();
	fx_expect("!Cannot allocate memory|!enough|!enough");
}

FX_TEST_LIMIT(no_limit_and_no_end_are_out_of_memory, 20.)
{
	fx_fail_above(fx_bytes() + 1024 * 1024);
	noted(avow_each(fx.loop, AVOW_UNTIL_DONE, nothing, NULL,
			.limit = PTRDIFF_MAX));
	fx_fail_never();
	fx_run();
	fx_expect("!Cannot allocate memory");
	(void)fx_take_reports();
}


/* ------------------------------------------------------------------ Source */

static struct source {
	avow_promise *asked; /* slot: the item that is waited for */
	size_t pulls;
} source;

static avow_value pull_by_hand(avow_value index, void *arg)
{
	(void)arg;
	ck_assert_ptr_null(source.asked);
	ck_assert_uint_eq((size_t)avow_int_get(index), source.pulls);
	source.pulls++;
	avow_slot(avow_pending(fx.loop), &source.asked);
	avow_on_cancel(avow_context(source.asked), fx_job, "cancel:pull");
	return avow_await(source.asked);
}

static void source_give(avow_value value)
{
	avow_resolve(source.asked, value);
	fx_run();
}

static avow_promise *map_by_hand(ptrdiff_t limit)
{
	avow_promise *const p = avow_map(fx.loop, AVOW_UNTIL_DONE, work_begin,
					 NULL, .pull = pull_by_hand,
					 .limit = limit);
	fx_run();
	return p;
}

FX_TEST(items_are_pulled_one_at_a_time_and_only_when_there_is_room)
{
	noted(map_by_hand(2));
	ck_assert_uint_eq(source.pulls, 1);
	source_give(avow_int(0));
	ck_assert_uint_eq(work.running, 1);
	ck_assert_uint_eq(source.pulls, 2);
	source_give(avow_int(1));
	/* Two are at work: there is no room. */
	ck_assert_uint_eq(work.running, 2);
	ck_assert_uint_eq(source.pulls, 2);
	ck_assert_ptr_null(source.asked);
	work_settle(1, avow_int(10));
	ck_assert_uint_eq(source.pulls, 3);
	work_settle(0, avow_int(0));
	ck_assert_uint_eq(source.pulls, 3);
	source_give(avow_int(2));
	source_give(avow_done(avow_none()));
	work_settle(2, avow_int(20));
	fx_expect("[0,10,20]");
	ck_assert_uint_eq(work.most, 2);
}

FX_TEST(a_source_that_is_done_lets_what_runs_end)
{
	noted(map_by_hand(5));
	source_give(avow_int(3));
	source_give(avow_done(fx_box_new(1)));
	ck_assert_int_eq(fx.boxes, 0);
	fx_expect("");
	work_settle(3, avow_int(30));
	fx_expect("[30]");
	ck_assert_uint_eq(source.pulls, 2);
}

FX_TEST(a_source_that_is_done_at_once_gives_an_empty_list)
{
	noted(map_by_hand(5));
	source_give(avow_done(avow_none()));
	fx_expect("[]");
	noted(avow_filter(fx.loop, AVOW_UNTIL_DONE, let_pass, NULL,
			  .pull = three_boxes, .limit = 1));
	fx_run();
	fx_expect("[box:0,box:1,box:2]");
}

FX_TEST(a_source_that_fails_stops_a_map)
{
	noted(map_by_hand(5));
	source_give(avow_int(3));
	source_give(avow_error(EIO, "no more"));
	fx_expect("cancel:3|!no more");
}

FX_TEST(an_error_cancels_the_item_that_is_waited_for)
{
	noted(map_by_hand(5));
	source_give(avow_int(3));
	work_settle(3, avow_error(EIO, "bad"));
	fx_expect("cancel:pull|!bad");
}

FX_TEST(a_count_bounds_what_is_pulled)
{
	noted(avow_map(fx.loop, 2, fx_pass, NULL, .pull = three_boxes));
	fx_run();
	fx_expect("box:0|box:1|[box:0,box:1]");
}

/* Takes the item, so that it can go before the map ends. */
static avow_value take_box(avow_value item, void *arg)
{
	struct fx_box *const box = fx_box_take(item);
	(void)arg;
	ck_assert_ptr_nonnull(box);
	const int number = box->number;
	avow_drop(fx_box_value(box));
	return avow_int(number);
}

FX_TEST(a_function_may_take_the_item_that_was_pulled)
{
	noted(avow_map(fx.loop, AVOW_UNTIL_DONE, take_box, NULL,
		       .pull = three_boxes));
	noted(avow_each(fx.loop, AVOW_UNTIL_DONE, take_box, NULL,
			.pull = three_boxes, .limit = 1));
	fx_run();
	fx_expect("[0,1,2]|3");
}

/* avow_wait() runs the laps in a loop nested below the call that began. */
FX_TEST(a_function_may_take_the_item_while_the_map_is_waited_for)
{
	avow_promise *const p = avow_map(fx.loop, AVOW_UNTIL_DONE, take_box,
					 NULL, .pull = three_boxes);
	ck_assert_str_eq(fx_text(avow_wait(p)), "[0,1,2]");
}

static avow_value wait_for_map(avow_value value, void *arg)
{
	avow_promise *const p = avow_map(fx.loop, AVOW_UNTIL_DONE, take_box,
					 NULL, .pull = three_boxes);
	(void)arg;
	ck_assert_str_eq(fx_text(avow_wait(p)), "[0,1,2]");
	return value;
}

FX_TEST(a_function_may_take_the_item_in_a_nested_wait)
{
	noted(avow_then(avow_resolved(fx.loop, avow_int(1)), wait_for_map,
			NULL));
	fx_run();
	fx_expect("1");
}

FX_TEST(an_item_that_nobody_took_is_dropped_when_its_function_has_ended)
{
	noted(avow_each(fx.loop, AVOW_UNTIL_DONE, nothing, NULL,
			.pull = three_boxes, .limit = 1));
	fx_run();
	fx_expect("3");
	ck_assert_int_eq(fx.boxes, 0);
}

static avow_value pull_held(avow_value index, void *p)
{
	return avow_int_get(index) ? avow_done(avow_none()) : avow_await(p);
}

static avow_value await_held(avow_value item, void *p)
{
	(void)item;
	return avow_await(p);
}

/* Both have the box then. */
FX_TEST(values_that_others_hold_are_shared)
{
	avow_promise *const held = avow_resolved(fx.loop, fx_box_new(1));
	avow_hold(held);
	noted(avow_map(fx.loop, 3, await_held, held));
	noted(avow_filter(fx.loop, AVOW_UNTIL_DONE, let_pass, NULL,
			  .pull = pull_held, .from = held));
	noted(avow_filter(fx.loop, AVOW_UNTIL_DONE, let_pass, NULL,
			  .pull = pull_held, .from = held, .unordered = true));
	fx_run();
	fx_expect("[box:1,box:1,box:1]|[box:1]|[box:1]");
	ck_assert_int_eq(fx.boxes, 1);
	ck_assert_str_eq(fx_text(avow_value_of(held)), "box:1");
	avow_release(held);
	fx_run();
	ck_assert_int_eq(fx.boxes, 0);
}

FX_TEST(a_list_outlives_the_promise_that_shared_with_it)
{
	avow_promise *const held = avow_resolved(fx.loop, fx_box_new(1));
	avow_hold(held);
	avow_promise *const p = avow_map(fx.loop, 2, await_held, held);
	avow_hold(p);
	fx_run();
	avow_release(held);
	fx_run();
	ck_assert_str_eq(fx_text(avow_value_of(p)), "[box:1,box:1]");
	avow_release(p);
	fx_run();
	ck_assert_int_eq(fx.boxes, 0);
}

/* Out of memory for the box that is shared. */
FX_TEST(a_map_without_memory_for_what_is_shared_is_rejected)
{
	avow_promise *const held = avow_resolved(fx.loop, fx_box_new(1));
	avow_hold(held);
	/* With AVOW_DEBUG the first promise that goes allocates. */
	noted(avow_map(fx.loop, 1, nothing, NULL));
	fx_run();
	fx_expect("[none]");
	noted(avow_map(fx.loop, 1, await_held, held));
	fx_fail_once(0);
	fx_run();
	fx_expect("!Cannot allocate memory");
	noted(avow_map(fx.loop, 1, await_held, held, .unordered = true));
	fx_fail_once(1);
	fx_run();
	fx_fail_never();
	fx_expect("!Cannot allocate memory");
	avow_release(held);
}


/* -------------------------------------------------------------------- Ends */

FX_TEST(cancelling_a_map_reaches_the_work)
{
	avow_promise *const p = map_by_hand(4);
	noted(p);
	source_give(avow_int(0));
	source_give(avow_int(1));
	avow_cancel(p);
	fx_expect("cancel:pull|cancel:1|cancel:0");
	fx_run();
	fx_expect("!cancelled");
	ck_assert_uint_eq(work.running, 0);
}

FX_TEST(a_map_that_nobody_wants_any_more_is_cancelled)
{
	avow_promise *const p = map_by_hand(4);
	avow_promise *const then = avow_then(p, fx_note, "then");
	source_give(avow_int(0));
	avow_cancel(then);
	fx_expect("cancel:pull|cancel:0");
	fx_run();
}

FX_TEST(a_map_that_is_cancelled_before_it_ran_calls_nothing)
{
	avow_promise *const p = avow_map(fx.loop, 5, fx_note, "fn");
	avow_promise *const q =
		avow_map(fx.loop, 5, fx_note, "fn", .pull = three_boxes);
	noted(p);
	noted(q);
	avow_cancel(p);
	avow_cancel(q);
	fx_run();
	fx_expect("!cancelled|!cancelled");
}

FX_TEST(a_signal_that_has_aborted_begins_nothing)
{
	avow_abort *const stop = avow_abort_new(fx.loop);
	avow_abort_with(stop, avow_error(EIO, "stop"));
	noted(avow_map(fx.loop, 3, fx_note, "fn",
		       .signal = avow_abort_signal(stop)));
	noted(avow_filter(fx.loop, 3, fx_note, "fn", .pull = three_boxes,
			  .signal = avow_abort_signal(stop)));
	noted(avow_each(fx.loop, 3, fx_note, "fn",
			.signal = avow_abort_signal(stop)));
	fx_run();
	fx_expect("!stop|!stop|!stop");
	avow_abort_free(stop);
}

FX_TEST(a_signal_ends_a_map)
{
	avow_abort *const stop = avow_abort_new(fx.loop);
	noted(avow_map(fx.loop, 3, work_begin, NULL, .limit = 2,
		       .signal = avow_abort_signal(stop)));
	fx_run();
	work_settle(0, fx_box_new(1));
	avow_abort_with(stop, avow_error(EIO, "stop"));
	fx_expect("cancel:2|cancel:1");
	fx_run();
	fx_expect("!stop");
	ck_assert_int_eq(fx.boxes, 0);
	avow_abort_free(stop);
}

FX_TEST(a_signal_after_the_end_does_nothing)
{
	avow_abort *const stop = avow_abort_new(fx.loop);
	noted(avow_map(fx.loop, 2, fx_pass, NULL,
		       .signal = avow_abort_signal(stop)));
	noted(avow_map(fx.loop, 0, fx_pass, NULL,
		       .signal = avow_abort_signal(stop)));
	fx_run();
	avow_abort_with(stop, avow_none());
	fx_run();
	fx_expect("0|1|[]|[0,1]");
	avow_abort_free(stop);
}

FX_TEST(what_runs_is_abandoned_with_its_loop)
{
	noted(map_by_hand(4));
	source_give(avow_int(0));
	fx_free_loop();
	fx_expect("cancel:0|cancel:pull|!abandoned: the loop was freed first");
	fx_expect_reports("abandoned:promise|abandoned:promise");
}

static avow_value begin_late(avow_value value, void *arg)
{
	avow_loop *const loop = avow_loop_current();
	(void)arg;
	fx_free_loop();
	noted(avow_map(loop, 3, fx_note, "fn"));
	noted(avow_each(loop, 0, fx_note, "fn"));
	return value;
}

FX_TEST(a_loop_that_is_being_freed_begins_no_map)
{
	avow_then(avow_resolved(fx.loop, avow_none()), begin_late, NULL);
	fx_run();
	fx_expect("!abandoned: the loop was freed first|"
		  "!abandoned: the loop was freed first");
}

/* Waits for itself: nobody else can settle it. */
static avow_value await_own_map(avow_value item, void *p)
{
	(void)item;
	return avow_await(*(avow_promise **)p);
}

FX_TEST(a_map_that_waits_for_itself_can_be_cancelled)
{
	avow_promise *p = avow_map(fx.loop, 3, await_own_map, &p);
	noted(p);
	fx_run();
	avow_cancel(p);
	fx_run();
	fx_expect("!cancelled");
}

FX_TEST(a_map_that_waits_for_itself_ends_with_its_loop)
{
	avow_promise *p = avow_map(fx.loop, 3, await_own_map, &p);
	noted(p);
	fx_run();
	fx_free_loop();
	fx_expect("!abandoned: the loop was freed first");
}


/* -------------------------------------------------------------- Any point */

static avow_value point_fn(avow_value item, void *arg)
{
	const int64_t i = avow_int_get(item);
	avow_loop *const loop = avow_loop_current();
	(void)arg;
	points_call();
	return avow_await(
		points_later(loop, (int)(i * 7 % 4), fx_box_new((int)i)));
}

static avow_value point_take(avow_value item, void *arg)
{
	avow_loop *const loop = avow_loop_current();
	struct fx_box *const box = fx_box_take(item);
	(void)arg;
	points_call();
	ck_assert_ptr_nonnull(box);
	return avow_await(
		points_later(loop, box->number * 5 % 4, fx_box_value(box)));
}

static avow_value point_passes(avow_value item, void *arg)
{
	avow_loop *const loop = avow_loop_current();
	const int number = fx_box_get(item)->number;
	(void)arg;
	points_call();
	return avow_await(
		points_later(loop, number * 5 % 4, avow_bool(number % 3)));
}

static avow_value point_pull(avow_value index, void *arg)
{
	avow_loop *const loop = avow_loop_current();
	const int number = (int)avow_int_get(index);
	(void)arg;
	points_call();
	return number == 5 ? avow_done(fx_box_new(0))
			   : avow_await(points_later(loop, number % 2,
						     fx_box_new(number)));
}

static avow_promise *make_map(avow_loop *loop)
{
	return avow_map(loop, 6, point_fn, NULL, .limit = 3,
			.signal = points_signal);
}

static avow_promise *make_unordered(avow_loop *loop)
{
	return avow_map(loop, AVOW_UNTIL_DONE, point_take, NULL, .limit = 2,
			.pull = point_pull, .unordered = true,
			.signal = points_signal);
}

static avow_promise *make_filter(avow_loop *loop)
{
	return avow_filter(loop, AVOW_UNTIL_DONE, point_passes, NULL,
			   .limit = 3, .pull = point_pull,
			   .signal = points_signal);
}

static avow_promise *make_unordered_filter(avow_loop *loop)
{
	return avow_filter(loop, AVOW_UNTIL_DONE, point_passes, NULL,
			   .limit = 3, .pull = point_pull, .unordered = true,
			   .signal = points_signal);
}

static avow_promise *make_each(avow_loop *loop)
{
	return avow_each(loop, AVOW_UNTIL_DONE, point_take, NULL, .limit = 2,
			 .pull = point_pull, .signal = points_signal);
}

static avow_value point_fails(avow_value item, void *arg)
{
	const avow_value value = point_fn(item, arg);
	if (avow_int_get(item) % 2 == 0)
		return value;
	return avow_await(
		points_later(avow_loop_current(), 1, avow_errno(EIO)));
}

static avow_promise *make_collect(avow_loop *loop)
{
	return avow_map(loop, 6, point_fails, NULL, .limit = 3, .collect = true,
			.signal = points_signal);
}

FX_TEST(a_map_may_end_at_any_point)
{
	points_try_all(make_map);
}

FX_TEST(an_unordered_map_of_what_is_pulled_may_end_at_any_point)
{
	points_try_all(make_unordered);
}

FX_TEST(a_filter_may_end_at_any_point)
{
	points_try_all(make_filter);
}

FX_TEST(an_unordered_filter_may_end_at_any_point)
{
	points_try_all(make_unordered_filter);
}

FX_TEST(each_may_end_at_any_point)
{
	points_try_all(make_each);
}

FX_TEST(a_map_that_collects_may_end_at_any_point)
{
	points_try_all(make_collect);
}

/* A list that outgrows its first memory. */
static avow_promise *make_long(avow_loop *loop)
{
	static size_t count = 40;
	return avow_map(loop, AVOW_UNTIL_DONE, point_fn, NULL, .limit = 2,
			.pull = pull_many, .from = &count,
			.signal = points_signal);
}

FX_TEST(a_list_that_grows_may_end_at_any_point)
{
	ck_assert_uint_gt(points_cancel(make_long), 40);
	ck_assert_uint_gt(points_sweep(make_long), 4);
}


/* ------------------------------------------------------------ Re-entrancy */

/* Some of the acts end the map, and then less comes. */
static void try_all(void (*prepare)(void), int calls, int ended)
{
	for (int act = 0; act < ACTS; act++) {
		scene_open((enum act)act);
		prepare();
		fx_run();
		scene_look(act == CANCEL_SELF || act == FREE ? ended : calls);
	}
}

/* Each of what is dropped calls back, however much that is. */
static void try_drops(void (*prepare)(void), int least)
{
	for (int act = 0; act < ACTS; act++) {
		scene_open((enum act)act);
		prepare();
		fx_run();
		ck_assert_int_ge(scene.calls, least);
		scene_look(scene.calls);
	}
}

static avow_value act_fn(avow_value item, void *arg)
{
	char before[16];
	(void)arg;
	snprintf(before, sizeof(before), "%s", fx_text(item));
	scene_act();
	ck_assert_str_eq(fx_text(item), before);
	return fx_box_new(1);
}

static void prepare_map(void)
{
	scene_self(avow_map(scene.loop, 5, act_fn, NULL, .limit = 3));
}

static avow_value quiet_pull(avow_value index, void *arg)
{
	(void)arg;
	return avow_int_get(index) < 3 ? fx_box_new(1) : avow_done(avow_none());
}

static void prepare_map_of_items(void)
{
	scene_self(avow_map(scene.loop, AVOW_UNTIL_DONE, act_fn, NULL,
			    .pull = quiet_pull, .limit = 2));
}

static void prepare_each_of_items(void)
{
	scene_self(avow_each(scene.loop, AVOW_UNTIL_DONE, act_fn, NULL,
			     .pull = quiet_pull, .limit = 2));
}

FX_TEST(the_function_of_a_map_may_do_anything)
{
	try_all(prepare_map, 5, 1);
	try_all(prepare_map_of_items, 3, 1);
	try_all(prepare_each_of_items, 3, 1);
}

static avow_value act_passes(avow_value item, void *arg)
{
	(void)arg;
	scene_act();
	ck_assert_int_eq(fx_box_get(item)->number, 1);
	return avow_bool(true);
}

static void prepare_filter(void)
{
	scene_self(avow_filter(scene.loop, AVOW_UNTIL_DONE, act_passes, NULL,
			       .pull = quiet_pull, .limit = 2));
}

FX_TEST(the_function_of_a_filter_may_do_anything)
{
	try_all(prepare_filter, 3, 1);
}

static avow_value act_pull(avow_value index, void *arg)
{
	(void)arg;
	scene_act();
	return avow_int_get(index) < 3 ? fx_box_new(1)
				       : avow_done(fx_box_new(2));
}

static void prepare_pull(void)
{
	scene_self(avow_map(scene.loop, AVOW_UNTIL_DONE, nothing, NULL,
			    .pull = act_pull, .limit = 2));
}

FX_TEST(the_source_of_a_map_may_do_anything)
{
	try_all(prepare_pull, 4, 1);
}

static void odd_drop(void *ptr)
{
	scene_act();
	free(ptr);
}

AVOW_TYPE_WITH(dropped, void *, odd_drop, 0, 0, false, 0);

static avow_value pull_dropped(avow_value index, void *arg)
{
	(void)arg;
	return avow_int_get(index) < 3 ? dropped_value(malloc(1))
				       : avow_done(dropped_value(malloc(1)));
}

static void prepare_item_drop(void)
{
	scene_self(avow_each(scene.loop, AVOW_UNTIL_DONE, nothing, NULL,
			     .pull = pull_dropped, .limit = 1));
}

FX_TEST(the_drop_of_an_item_may_do_anything)
{
	try_drops(prepare_item_drop, 1);
}

static avow_value refuse(avow_value item, void *arg)
{
	(void)item;
	(void)arg;
	return avow_bool(false);
}

static void prepare_filtered_drop(void)
{
	scene_self(avow_filter(scene.loop, AVOW_UNTIL_DONE, refuse, NULL,
			       .pull = pull_dropped, .limit = 2));
}

FX_TEST(the_drop_of_an_item_that_did_not_pass_may_do_anything)
{
	try_drops(prepare_filtered_drop, 1);
}

static avow_value give_dropped(avow_value item, void *arg)
{
	(void)item;
	(void)arg;
	return dropped_value(malloc(1));
}

static void prepare_each_drop(void)
{
	scene_self(avow_each(scene.loop, 4, give_dropped, NULL, .limit = 2));
}

static void prepare_list_drop(void)
{
	scene_self(avow_map(scene.loop, 4, give_dropped, NULL, .limit = 2));
}

FX_TEST(the_drop_of_a_result_may_do_anything)
{
	try_drops(prepare_each_drop, 2);
	scene_try_all(prepare_list_drop, 4);
}

static avow_value drop_then_fail(avow_value item, void *arg)
{
	return avow_int_get(item) == 3 ? avow_errno(EIO)
				       : give_dropped(item, arg);
}

static void prepare_drop_on_error(void)
{
	scene_self(avow_map(scene.loop, 9, drop_then_fail, NULL, .limit = 1));
}

FX_TEST(the_drop_of_a_result_that_is_not_wanted_may_do_anything)
{
	scene_try_all(prepare_drop_on_error, 3);
}

static void odd_hook(void *arg)
{
	(void)arg;
	scene_act();
}

/* The third fails, and two are running then. */
static avow_value hooked(avow_value item, void *arg)
{
	avow_promise *const p = avow_pending(scene.loop);
	(void)arg;
	if (avow_int_get(item) == 2) {
		avow_resolve(p, avow_errno(EIO));
		return avow_await(p);
	}
	avow_on_cancel(avow_context(p), odd_hook, NULL);
	return avow_await(p);
}

static void prepare_hook(void)
{
	scene_self(avow_map(scene.loop, 3, hooked, NULL));
}

FX_TEST(the_cancel_hook_of_what_runs_may_do_anything)
{
	scene_try_all(prepare_hook, 2);
}

static avow_value cancel_scene(avow_value value, void *arg)
{
	(void)arg;
	avow_cancel(scene.self);
	return value;
}

static void prepare_hook_by_cancel(void)
{
	scene_self(avow_each(scene.loop, 2, hooked, NULL));
	avow_then(points_later(scene.loop, 4, avow_none()), cancel_scene, NULL);
}

FX_TEST(the_cancel_hook_of_a_cancelled_map_may_do_anything)
{
	scene_try_all(prepare_hook_by_cancel, 2);
}

static avow_value pull_hooked(avow_value index, void *arg)
{
	avow_promise *const p = avow_pending(scene.loop);
	(void)arg;
	(void)index;
	avow_on_cancel(avow_context(p), odd_hook, NULL);
	avow_then(points_later(scene.loop, 4, avow_none()), cancel_scene, NULL);
	return avow_await(p);
}

static void prepare_pull_hook(void)
{
	scene_self(
		avow_each(scene.loop, 2, nothing, NULL, .pull = pull_hooked));
}

FX_TEST(the_cancel_hook_of_the_source_may_do_anything)
{
	scene_try_all(prepare_pull_hook, 1);
}

/* What is given after that is dropped, and what is waited for cancelled. */
static avow_value cancel_and_await(avow_value item, void *p)
{
	avow_promise *const q = avow_pending(fx.loop);
	avow_on_cancel(avow_context(q), fx_job, "cancel:q");
	avow_cancel(*(avow_promise **)p);
	fx_log("fn:%s", fx_text(item));
	return avow_await(q);
}

FX_TEST(a_function_that_cancels_its_map_is_not_waited_for)
{
	avow_promise *p =
		avow_map(fx.loop, 5, cancel_and_await, &p, .limit = 2);
	noted(p);
	fx_run();
	fx_expect("fn:0|cancel:q|!cancelled");
}

/* The function runs the loop until the map has ended without it. */
static avow_value nest_until_error(avow_value item, void *arg)
{
	if (avow_int_get(item) == 1)
		return avow_errno(EIO);
	if (avow_int_get(item) == 0)
		ev_run(fx.ev, EVRUN_NOWAIT);
	fx_log("fn:%s", fx_text(item));
	return fx_box_new(1 + (arg != NULL));
}

FX_TEST(a_map_may_end_in_a_loop_nested_in_its_function)
{
	noted(avow_map(fx.loop, 5, nest_until_error, NULL, .limit = 3));
	fx_run();
	fx_expect("fn:2|!Input/output error|fn:0");
	ck_assert_int_eq(fx.boxes, 0);
}


/* ------------------------------------------------------------------ Random */

/*
 * Maps of random kinds whose functions give values, errors, promises and maps
 * of their own, cancel and settle each other at random, and run the loop
 * nested.  Nothing is compared but what is left: nothing.
 */
enum { CHAOS = 16 };

static struct chaos {
	uint32_t seed;
	size_t budget; /* calls until all is quiet */
	int nested;
	avow_promise *maps[CHAOS], *pending[CHAOS]; /* slots */
} chaos;

static uint32_t roll(uint32_t sides)
{
	chaos.seed = chaos.seed * 1664525u + 1013904223u;
	return (chaos.seed >> 16) % sides;
}

static avow_promise *chaos_begin(void);

static avow_promise *chaos_pending(void)
{
	avow_promise **const slot = &chaos.pending[roll(CHAOS)];
	if (*slot)
		avow_resolve(*slot, fx_twin_new(1));
	if (*slot)
		avow_unslot(slot);
	avow_promise *const p = avow_pending(fx.loop);
	avow_slot(p, slot);
	return p;
}

static void chaos_disturb(void)
{
	switch (roll(12)) {
	case 0:
		avow_cancel(chaos.maps[roll(CHAOS)]);
		break;
	case 1:
		avow_cancel(chaos.pending[roll(CHAOS)]);
		break;
	case 2:
	case 3:
	case 4:
		if (chaos.pending[0])
			avow_resolve(chaos.pending[0], fx_box_new(1));
		break;
	case 5:
		if (chaos.nested++ < 3)
			ev_run(fx.ev, EVRUN_NOWAIT);
		chaos.nested--;
		break;
	case 6:
		if (chaos.nested++ < 3 && chaos.maps[0])
			fx_text(avow_wait(chaos.maps[0]));
		chaos.nested--;
		break;
	default:
		break;
	}
}

static avow_value chaos_value(avow_value item, bool is_bool)
{
	if (!chaos.budget)
		return is_bool ? avow_bool(true) : avow_none();
	chaos.budget--;
	chaos_disturb();
	if (is_bool)
		return avow_bool(roll(2));
	switch (roll(10)) {
	case 0:
		return avow_errno(EIO);
	case 1:
	case 2:
		return avow_await(chaos_pending());
	case 3:
		return avow_await(chaos_begin());
	case 4:
		return avow_take(item);
	case 5:
		return item;
	case 6:
		return avow_await(
			points_later(fx.loop, (int)roll(4), fx_box_new(1)));
	default:
		return fx_twin_new(1);
	}
}

static avow_value chaos_fn(avow_value item, void *arg)
{
	(void)arg;
	return chaos_value(item, false);
}

static avow_value chaos_passes(avow_value item, void *arg)
{
	(void)arg;
	return chaos_value(item, true);
}

static avow_value chaos_reducer(avow_value sum, avow_value item, void *arg)
{
	(void)arg;
	return roll(3) ? chaos_value(sum, false) : avow_take(item);
}

static avow_value chaos_lap(avow_value value, void *arg)
{
	(void)arg;
	if (!chaos.budget || !roll(5))
		return avow_done(avow_take(value));
	return chaos_value(value, false);
}

static avow_value chaos_pull(avow_value index, void *arg)
{
	(void)arg;
	return avow_int_get(index) > 5 ? avow_done(fx_box_new(1))
				       : chaos_value(index, false);
}

static avow_promise *chaos_make(const avow_walk *walk)
{
	const size_t count = walk->pull ? AVOW_UNTIL_DONE : roll(9);
	switch (roll(6)) {
	case 0:
		return avow_filter_at(AVOW_HERE, fx.loop, count, chaos_passes,
				      walk);
	case 1:
		return avow_each_at(AVOW_HERE, fx.loop, count, chaos_fn, walk);
	case 2:
		return avow_reduce(
			fx.loop, count, chaos_reducer, NULL, .pull = walk->pull,
			.initial = roll(2) ? fx_box_new(1)
					   : avow_await(chaos_pending()));
	case 3:
		return avow_repeat(fx.loop, chaos_lap, NULL,
				   .initial = fx_twin_new(1));
	default:
		return avow_map_at(AVOW_HERE, fx.loop, count, chaos_fn, walk);
	}
}

static avow_promise *chaos_begin(void)
{
	const avow_walk walk = { .limit = (ptrdiff_t)roll(4),
				 .pull = roll(2) ? chaos_pull : NULL,
				 .unordered = roll(2),
				 .collect = roll(2) };
	avow_promise **const slot = &chaos.maps[roll(CHAOS)];
	avow_promise *const p = chaos_make(&walk);
	avow_catch(p, nothing, NULL);
	if (*slot)
		avow_unslot(slot);
	avow_slot(p, slot);
	return p;
}

static void chaos_once(uint32_t seed)
{
	chaos = (struct chaos){ .seed = seed, .budget = 200 };
	for (int i = 0; i < 4; i++)
		chaos_begin();
	fx_run();
	for (size_t i = 0; i < CHAOS; i++) {
		if (chaos.pending[i])
			avow_resolve(chaos.pending[i], fx_box_new(1));
	}
	chaos.budget = 0;
	fx_run();
	avow_loop_free(fx.loop);
	ck_assert_msg(fx.boxes == 0, "seed %u: %d boxes left", seed, fx.boxes);
	fx.loop = avow_loop_new(fx.ev);
	ck_assert_ptr_nonnull(fx.loop);
}

static void ignore_report(avow_loop *loop, const avow_report *report, void *arg)
{
	(void)loop;
	(void)report;
	(void)arg;
}

FX_TEST_LIMIT(random_maps_leave_nothing, 20.)
{
	const uint32_t rounds = (uint32_t)fx_scale(1000);
	for (uint32_t seed = 1; seed <= rounds; seed++) {
		avow_loop_on_report(fx.loop, ignore_report, NULL);
		chaos_once(seed);
	}
}

int main(void)
{
	return fx_main("map");
}
