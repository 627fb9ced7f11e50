/*
 * SPDX-License-Identifier: MIT
 *
 * Values, rules 15 to 17: what they weigh, how they are made and read, that
 * each is dropped exactly once however it travels, and that a value read as
 * what it is not ends the program with both names.
 */
#include "fixture.h"

#include <math.h>

#include "types.h"


/* ------------------------------------------------------- Making and reading */

/* With pointers of 32 bits the second half is smaller, or padded. */
FX_TEST(a_value_weighs_sixteen_bytes)
{
	if (sizeof(void *) == 8)
		ck_assert_uint_eq(sizeof(avow_value), 16);
	ck_assert_uint_le(sizeof(avow_value), 16);
	ck_assert_uint_eq(sizeof(avow_none().as), 8);
}

FX_TEST(a_promise_weighs_sixty_four_bytes)
{
	avow_stats stats;

	avow_loop_stats(fx.loop, &stats);

	ck_assert_uint_eq(stats.promise_size, 64);
}

FX_TEST(none_is_no_value_of_any_type)
{
	const avow_value none = avow_none();

	ck_assert(avow_is_none(none));
	ck_assert_ptr_null(none.type);
	ck_assert(!avow_is_error(none));
	ck_assert(!avow_is(none, &avow_int_type));
	ck_assert(!avow_is_none(avow_int(0)));
	ck_assert(!avow_is_none(avow_ptr(NULL)));
}

FX_TEST(plain_values_are_read_back_as_they_were_given)
{
	int here;

	ck_assert(avow_bool_get(avow_bool(true)));
	ck_assert(!avow_bool_get(avow_bool(false)));
	ck_assert(avow_int_get(avow_int(INT64_MIN)) == INT64_MIN);
	ck_assert(avow_int_get(avow_int(INT64_MAX)) == INT64_MAX);
	ck_assert_double_eq(avow_double_get(avow_double(-2.5)), -2.5);
	ck_assert(isnan(avow_double_get(avow_double(NAN))));
	ck_assert_ptr_eq(avow_ptr_get(avow_ptr(&here)), &here);
	ck_assert_ptr_null(avow_ptr_get(avow_ptr(NULL)));
}

FX_TEST(each_kind_of_value_has_its_own_type)
{
	const avow_value values[] = {
		avow_bool(true), avow_int(1), avow_double(1), avow_ptr(NULL)
	};
	const avow_type *const types[] = {
		&avow_bool_type, &avow_int_type, &avow_double_type,
		&avow_ptr_type
	};

	for (size_t i = 0; i < 4; i++)
		for (size_t k = 0; k < 4; k++)
			ck_assert_int_eq(avow_is(values[i], types[k]), i == k);
}

FX_TEST(plain_values_need_no_memory_and_no_drop)
{
	const size_t before = fx_allocations();

	avow_drop(avow_none());
	avow_drop(avow_bool(true));
	avow_drop(avow_int(1));
	avow_drop(avow_double(1));
	avow_drop(avow_ptr(&fx));

	ck_assert_uint_eq(fx_allocations(), before);
}

FX_TEST(a_string_value_is_a_copy_of_the_text)
{
	char text[] = "first";
	const avow_value value = avow_str(text);

	strcpy(text, "other");

	ck_assert(avow_is(value, &avow_str_type));
	ck_assert_str_eq(avow_str_get(value), "first");
	ck_assert_uint_eq(avow_str_size(value), 5);
	avow_drop(value);
}

FX_TEST(an_empty_string_is_a_string_and_no_string_is_none)
{
	const avow_value empty = avow_str("");

	ck_assert(avow_is(empty, &avow_str_type));
	ck_assert_str_eq(avow_str_get(empty), "");
	ck_assert_uint_eq(avow_str_size(empty), 0);
	ck_assert(avow_is_none(avow_str(NULL)));
	avow_drop(empty);
}

FX_TEST(bytes_may_hold_a_nul_and_are_followed_by_one)
{
	const avow_value value = avow_bytes("ab\0cd", 5);

	ck_assert(avow_is(value, &avow_str_type));
	ck_assert_uint_eq(avow_str_size(value), 5);
	ck_assert_mem_eq(avow_str_get(value), "ab\0cd\0", 6);
	avow_drop(value);
}

FX_TEST(a_large_string_keeps_every_byte)
{
	const size_t size = 1000 * 1000;
	char *const text = malloc(size);

	ck_assert_ptr_nonnull(text);
	for (size_t i = 0; i < size; i++)
		text[i] = (char)(i * 7);
	const avow_value value = avow_bytes(text, size);

	ck_assert_uint_eq(avow_str_size(value), size);
	ck_assert_mem_eq(avow_str_get(value), text, size);
	avow_drop(value);
	free(text);
}


/* -------------------------------------------------- Types of the program's */

struct pair {
	int32_t left, right;
};

AVOW_TYPE(descriptor, int);
AVOW_TYPE(angle, float);
AVOW_TYPE(pair, struct pair);
AVOW_TYPE(note, char *, free);

FX_TEST(a_type_of_two_arguments_carries_any_payload_of_up_to_eight_bytes)
{
	const avow_value value = pair_value((struct pair){ 3, -4 });

	ck_assert_int_eq(descriptor_get(descriptor_value(5)), 5);
	ck_assert_float_eq(angle_get(angle_value(.5f)), .5f);
	ck_assert_int_eq(pair_get(value).left, 3);
	ck_assert_int_eq(pair_get(value).right, -4);
	ck_assert_int_eq(pair_take(value).right, -4);
	ck_assert_str_eq(pair_type.name, "pair");
	ck_assert_ptr_null((void *)pair_type.drop);
	ck_assert(!pair_type.is_error);
	avow_drop(value);
}

FX_TEST(a_type_of_three_arguments_frees_its_payload)
{
	avow_drop(note_value(strdup("freed by its type")));
	avow_resolved(fx.loop, note_value(strdup("freed by its promise")));
	fx_run();

	/* Nothing is left for the sanitizer and valgrind to name. */
	ck_assert_ptr_nonnull((void *)note_type.drop);
	ck_assert_ptr_null((void *)note_type.copy);
}

FX_TEST(a_type_of_four_arguments_can_have_a_second_owner)
{
	const avow_value first = picture_from_elsewhere(8);
	const avow_value second = avow_copy(first);

	ck_assert_int_eq(picture_get(first)->refs, 2);
	ck_assert_ptr_eq(picture_get(second), picture_get(first));
	avow_drop(first);
	ck_assert_int_eq(picture_live, 1);
	avow_drop(second);
	ck_assert_int_eq(picture_live, 0);
}

static picture *picture_no_memory(picture *x)
{
	(void)x;
	return NULL;
}

AVOW_TYPE(stubborn, picture *, picture_free, picture_no_memory);

FX_TEST(a_copy_function_that_gives_nothing_means_out_of_memory)
{
	const avow_value value = stubborn_value(picture_new(1));
	const avow_value copy = avow_copy(value);

	ck_assert(avow_error_is(copy, &avow_errno_domain, ENOMEM));
	avow_drop(value);
	ck_assert_int_eq(picture_live, 0);
}

FX_TEST(a_type_declared_in_a_header_is_one_type_in_two_files)
{
	const avow_value theirs = picture_from_elsewhere(640);
	const avow_value ours = picture_value(picture_new(480));

	ck_assert_int_eq(picture_get(theirs)->size, 640);
	ck_assert_int_eq(picture_size_elsewhere(ours), 480);
	ck_assert_ptr_eq(theirs.type, ours.type);
	avow_drop(theirs);
	avow_drop(ours);
	ck_assert_int_eq(picture_live, 0);
}

FX_TEST(a_struct_and_a_domain_declared_in_a_header_are_one_in_two_files)
{
	const avow_value theirs = spot_from_elsewhere(1, 2);
	const avow_value ours = spot_value((spot){ 10, 20 });

	ck_assert_double_eq(spot_get(theirs)->y, 2);
	ck_assert_double_eq(spot_sum_elsewhere(ours), 30);
	ck_assert(avow_error_is(studio_error_elsewhere(7), &studio_domain, 7));
	avow_drop(theirs);
	avow_drop(ours);
}

FX_TEST(own_gives_a_pointer_to_the_drop_of_the_type_named)
{
	avow_drop(avow_own(picture_new(1), &picture_type));

	ck_assert_int_eq(picture_live, 0);
}

FX_TEST(drop_is_never_called_with_nothing)
{
	/* picture_free() would crash. */
	avow_drop(avow_own(NULL, &picture_type));
	avow_drop(picture_value(NULL));
	avow_resolved(fx.loop, picture_value(NULL));
	fx_run();

	ck_assert_int_eq(picture_live, 0);
}


/* ------------------------------------------------------ Structs by value */

struct one {
	char x;
};
struct fits {
	char x[64];
};
struct too_large {
	char x[65];
};
struct huge {
	char x[5000];
};

AVOW_STRUCT(one, struct one);
AVOW_STRUCT(fits, struct fits);
AVOW_STRUCT(too_large, struct too_large);
AVOW_STRUCT(huge, struct huge);

#define CARRIES(name)                                                      \
	do {                                                               \
		struct name x, *y;                                         \
		memset(&x, 0x5a, sizeof(x));                               \
		const avow_value value = name##_value(x);                  \
		y = name##_get(value);                                     \
		ck_assert_mem_eq(y, &x, sizeof(x));                        \
		memset(y, 0xa5, sizeof(*y));                               \
		ck_assert_int_eq(((unsigned char *)name##_get(value))      \
				 [sizeof(x) - 1], 0xa5);                   \
		avow_drop(value);                                          \
	} while (0)

FX_TEST(a_struct_of_any_size_travels_by_value)
{
	for (int i = 0; i < 3; i++) {
		CARRIES(one);
		CARRIES(fits);
		CARRIES(too_large);
		CARRIES(huge);
	}
}

static avow_value make_fits(avow_value value, void *count)
{
	struct fits x;

	(void)value;
	memset(&x, ++*(int *)count, sizeof(x));
	return fits_value(x);
}

static avow_value read_fits(avow_value value, void *sum)
{
	*(int *)sum += fits_get(value)->x[63];
	return avow_none();
}

static void one_struct_travels(int *count, int *sum)
{
	avow_promise *p = avow_resolved(fx.loop, avow_none());

	p = avow_then(p, make_fits, count);
	avow_then(p, read_fits, sum);
	fx_run();
}

/* Where a use after free shall be seen, each struct has a block of its own. */
#if defined(AVOW_DEBUG) || defined(__SANITIZE_ADDRESS__)
#define HAS_BLOCK_CACHE 0
#elif defined(__has_feature)
#define HAS_BLOCK_CACHE (!__has_feature(address_sanitizer))
#else
#define HAS_BLOCK_CACHE 1
#endif

FX_TEST(a_struct_of_64_bytes_needs_no_malloc_once_the_loop_is_warm)
{
	int count = 0, sum = 0;

	for (int i = 0; i < 10; i++)
		one_struct_travels(&count, &sum);
	const size_t before = fx_allocations();
	for (int i = 0; i < 100; i++)
		one_struct_travels(&count, &sum);

	ck_assert_int_eq(count, 110);
	ck_assert_int_eq(sum, 110 * 111 / 2);
	ck_assert_uint_eq(fx_allocations(),
			  HAS_BLOCK_CACHE ? before : before + 100);
}

static int cleared;

static void gauge_clear(struct pair *x)
{
	cleared += x->left;
}

AVOW_STRUCT(gauge, struct pair, gauge_clear);

FX_TEST(what_a_struct_owns_is_cleared_once)
{
	cleared = 0;
	avow_drop(gauge_value((struct pair){ 1, 0 }));
	ck_assert_int_eq(cleared, 1);

	avow_then(avow_resolved(fx.loop, gauge_value((struct pair){ 10, 0 })),
		  fx_pass, NULL);
	fx_run();

	ck_assert_int_eq(cleared, 11);
	fx_expect("gauge");
}

FX_TEST(structs_made_before_and_dropped_after_their_loop_are_freed)
{
	const avow_value value = spot_value((spot){ 1, 2 });

	fx_free_loop();

	ck_assert_double_eq(spot_get(value)->x, 1);
	avow_drop(value);
	avow_drop(spot_from_elsewhere(1, 1));
}


/* ------------------------------------------------------------------ Lists */

FX_TEST(a_list_holds_its_items_in_order)
{
	const avow_value items[] = {
		avow_int(1), avow_str("two"), avow_none(), avow_double(4)
	};
	const avow_value list = avow_list(items, 4);

	ck_assert(avow_is(list, &avow_list_type));
	ck_assert_uint_eq(avow_list_count(list), 4);
	ck_assert_str_eq(fx_text(list), "[1,two,none,4]");
	avow_drop(list);
}

FX_TEST(a_list_of_nothing_is_a_list)
{
	const avow_value list = avow_list(NULL, 0);

	ck_assert(avow_is(list, &avow_list_type));
	ck_assert_uint_eq(avow_list_count(list), 0);
	avow_drop(list);
}

FX_TEST(a_list_drops_each_of_its_items_once)
{
	avow_value items[100], inner[2];

	for (int i = 0; i < 100; i++) {
		inner[0] = fx_box_new(i);
		inner[1] = fx_box_new(-i);
		items[i] = i % 2 ? avow_list(inner, 2) : inner[0];
		if (i % 2 == 0)
			avow_drop(inner[1]);
	}
	const avow_value list = avow_list(items, 100);

	ck_assert_int_eq(fx.boxes, 150);
	avow_drop(list);
	ck_assert_int_eq(fx.boxes, 0);
}

FX_TEST(an_error_in_a_list_is_an_item_and_does_not_reject)
{
	const avow_value item = avow_errno(EIO);

	avow_then(avow_resolved(fx.loop, avow_list(&item, 1)), fx_pass, NULL);
	fx_run();

	char expected[64];
	snprintf(expected, sizeof(expected), "[!%s]", strerror(EIO));
	fx_expect(expected);
}

static void drop_value(void *value)
{
	avow_drop(*(avow_value *)value);
}

FX_TEST_LIMIT(a_list_nested_a_million_deep_is_dropped_on_a_small_stack, 20)
{
	const size_t depth = fx_scale(1000 * 1000);
	avow_value list = fx_box_new(1);

	for (size_t i = 0; i < depth; i++) {
		const avow_value items[] = { list, avow_int(1) };
		list = avow_list(items, i % 2 ? 2 : 1);
	}
	ck_assert(avow_is(list, &avow_list_type));
	fx_on_small_stack(drop_value, &list);

	ck_assert_int_eq(fx.boxes, 0);
}

FX_TEST(a_list_with_lists_at_both_ends_is_dropped_whole)
{
	avow_value list = fx_box_new(0);

	for (int i = 1; i <= 100; i++) {
		const avow_value pair[] = { fx_box_new(i), fx_box_new(i) };
		const avow_value items[] = {
			avow_list(pair, 2), list, avow_list(pair, 0)
		};
		list = avow_list(items, 3);
	}
	ck_assert_int_eq(fx.boxes, 201);
	avow_drop(list);

	ck_assert_int_eq(fx.boxes, 0);
}


/* ------------------------------------------------------ Take, copy, drop */

static avow_value kept;		/* what a handler took */

static avow_value take_it(avow_value value, void *name)
{
	kept = avow_take(value);
	fx_log("%s:%s boxes:%d", (const char *)name, fx_text(kept), fx.boxes);
	return avow_none();
}

FX_TEST(take_moves_the_argument_out_of_the_only_handler)
{
	avow_then(avow_resolved(fx.loop, fx_box_new(1)), take_it, "a");
	fx_run();

	fx_expect("a:box:1 boxes:1");
	ck_assert_int_eq(fx.boxes, 1);
	avow_drop(kept);
	ck_assert_int_eq(fx.boxes, 0);
}

FX_TEST(what_was_taken_outlives_its_loop)
{
	avow_then(avow_resolved(fx.loop, fx_box_new(1)), take_it, "a");
	fx_run();
	fx_free_loop();

	ck_assert_int_eq(fx_box_get(kept)->number, 1);
	avow_drop(kept);
	fx_expect("a:box:1 boxes:1");
}

FX_TEST(take_copies_while_another_handler_can_still_read)
{
	avow_promise *const p = avow_resolved(fx.loop, fx_twin_new(1));

	avow_then(p, take_it, "first");
	avow_then(p, fx_note, "second");
	fx_run();

	fx_expect("first:twin:1 boxes:2|second:twin:1");
	ck_assert_int_eq(fx.boxes, 1);
	avow_drop(kept);
}

FX_TEST(the_last_of_several_handlers_moves_the_value_out)
{
	avow_promise *const p = avow_pending(fx.loop);

	avow_then(p, fx_note, "first");
	avow_then(p, take_it, "last");
	avow_resolve(p, fx_box_new(1));
	fx_run();

	fx_expect("first:box:1|last:box:1 boxes:1");
	avow_drop(kept);
}

FX_TEST(take_of_what_cannot_be_copied_is_an_error_while_others_read)
{
	avow_promise *const p = avow_resolved(fx.loop, fx_box_new(1));

	avow_then(p, take_it, "first");
	avow_then(p, fx_note, "second");
	fx_run();

	ck_assert(avow_error_is(kept, &avow_core_domain, AVOW_ENOTCOPYABLE));
	ck_assert_int_eq(fx.boxes, 0);
	avow_drop(kept);
	ck_assert_ptr_nonnull(strstr(fx_take_log(), "|second:box:1"));
}

FX_TEST(take_copies_while_the_promise_is_held)
{
	avow_promise *const p = avow_resolved(fx.loop, fx_twin_new(1));

	avow_hold(p);
	avow_then(p, take_it, "held");
	fx_run();

	fx_expect("held:twin:1 boxes:2");
	ck_assert_int_eq(fx_twin_get(avow_value_of(p))->number, 1);
	avow_drop(kept);
	avow_release(p);
}

FX_TEST(take_of_the_value_of_a_promise_copies_it)
{
	avow_promise *const p = avow_resolved(fx.loop, fx_twin_new(1));
	const avow_value copy = avow_take(avow_value_of(p));

	ck_assert_int_eq(fx.boxes, 2);
	avow_drop(copy);
	ck_assert_int_eq(fx_twin_get(avow_value_of(p))->number, 1);
}

FX_TEST(take_gives_back_what_needs_no_drop)
{
	ck_assert_int_eq((int)avow_int_get(avow_take(avow_int(5))), 5);
	ck_assert(avow_is_none(avow_take(avow_none())));
	ck_assert(avow_error_is(avow_take(avow_errno(EIO)), &avow_errno_domain,
				EIO));
}

static avow_value take_picture(avow_value value, void *arg)
{
	*(picture **)arg = picture_take(value);
	return avow_none();
}

FX_TEST(the_typed_take_gives_the_payload)
{
	picture *got = NULL;

	avow_then(avow_resolved(fx.loop, picture_from_elsewhere(9)),
		  take_picture, &got);
	fx_run();

	ck_assert_ptr_nonnull(got);
	ck_assert_int_eq(got->refs, 1);
	picture_free(got);
	ck_assert_int_eq(picture_live, 0);
}

static avow_value take_box(avow_value value, void *arg)
{
	*(struct fx_box **)arg = fx_box_take(value);
	return avow_none();
}

FX_TEST(the_typed_take_gives_zero_where_it_cannot)
{
	static struct fx_box other;
	struct fx_box *got = &other;
	avow_promise *const p = avow_resolved(fx.loop, fx_box_new(1));

	avow_hold(p);
	avow_then(p, take_box, &got);
	fx_run();

	ck_assert_ptr_null(got);
	ck_assert_int_eq(fx_box_get(avow_value_of(p))->number, 1);
	avow_release(p);
}

static avow_value return_taken(avow_value value, void *arg)
{
	(void)arg;
	return avow_take(value);
}

FX_TEST(what_is_taken_and_returned_is_the_next_value)
{
	avow_promise *p = avow_resolved(fx.loop, fx_box_new(1));

	p = avow_then(p, return_taken, NULL);
	p = avow_then(p, fx_pass, "passed");
	p = avow_finally(p, fx_note, "finally");
	avow_then(p, take_it, "end");
	fx_run();

	fx_expect("passed:box:1|finally:box:1|end:box:1 boxes:1");
	avow_drop(kept);
}

FX_TEST(a_value_that_nobody_takes_is_dropped_once)
{
	avow_promise *p = avow_resolved(fx.loop, fx_box_new(1));

	p = avow_then(p, fx_pass, "a");
	avow_then(p, fx_pass, "b");
	avow_then(p, fx_pass, "c");
	avow_tap(p, fx_fail, "d");
	fx_run();

	fx_expect("a:box:1|b:box:1|c:box:1|d:box:1");
	fx_expect_reports("unhandled:failed");
	ck_assert_int_eq(fx.boxes, 0);
}

static avow_value take_items(avow_value list, void *arg)
{
	avow_value *const into = arg;

	for (size_t i = 0; i < avow_list_count(list); i++)
		into[i] = avow_take(avow_list_at(list, i));
	return avow_none();
}

static avow_promise *list_of(avow_value a, avow_value b)
{
	const avow_value items[] = { a, b };

	return avow_resolved(fx.loop, avow_list(items, 2));
}

FX_TEST(an_item_is_moved_out_of_a_list_that_nobody_else_reads)
{
	avow_value got[2];

	avow_then(list_of(fx_box_new(1), fx_box_new(2)), take_items, got);
	fx_run();

	ck_assert_int_eq(fx.boxes, 2);
	ck_assert_int_eq(fx_box_get(got[0])->number, 1);
	ck_assert_int_eq(fx_box_get(got[1])->number, 2);
	avow_drop(got[0]);
	avow_drop(got[1]);
}

FX_TEST(an_item_is_copied_out_of_a_list_that_others_read)
{
	avow_value got[2];
	avow_promise *const p = list_of(fx_twin_new(1), fx_box_new(2));

	avow_then(p, take_items, got);
	avow_then(p, fx_note, "later");
	fx_run();

	fx_expect("later:[twin:1,box:2]");
	ck_assert_int_eq(fx_twin_get(got[0])->number, 1);
	ck_assert(avow_error_is(got[1], &avow_core_domain, AVOW_ENOTCOPYABLE));
	ck_assert_int_eq(fx.boxes, 1);
	avow_drop(got[0]);
	avow_drop(got[1]);
}

static avow_value take_the_first_late(avow_value list, void *arg)
{
	avow_value *const into = arg;
	const avow_value first = avow_list_at(list, 0);
	const avow_value second = avow_list_at(list, 1);

	into[0] = avow_take(first);
	into[1] = avow_take(second);
	fx_log("boxes:%d", fx.boxes);
	return avow_none();
}

FX_TEST(only_the_item_last_got_is_moved_out_of_a_list)
{
	avow_value got[2];

	avow_then(list_of(fx_twin_new(1), fx_twin_new(2)), take_the_first_late,
		  got);
	fx_run();

	/* Either copied or moved, each of the two is ours once. */
	ck_assert_int_eq(fx.boxes, 2);
	ck_assert_int_eq(fx_twin_get(got[0])->number, 1);
	ck_assert_int_eq(fx_twin_get(got[1])->number, 2);
	fx_expect("boxes:3");
	avow_drop(got[0]);
	avow_drop(got[1]);
}

static avow_value return_second_item(avow_value list, void *arg)
{
	(void)arg;
	return avow_take(avow_list_at(list, 1));
}

FX_TEST(an_item_taken_and_returned_is_the_next_value)
{
	avow_promise *p = list_of(fx_box_new(1), fx_box_new(2));

	p = avow_then(p, return_second_item, NULL);
	avow_then(p, take_it, "end");
	fx_run();

	fx_expect("end:box:2 boxes:1");
	avow_drop(kept);
}

static avow_value take_the_item_of_an_item(avow_value list, void *arg)
{
	*(avow_value *)arg = avow_take(avow_list_at(avow_list_at(list, 0), 0));
	return avow_none();
}

FX_TEST(an_item_of_an_item_is_ours_once_when_taken)
{
	const avow_value twin = fx_twin_new(7);
	avow_value got = avow_none();

	avow_then(list_of(avow_list(&twin, 1), avow_int(0)),
		  take_the_item_of_an_item, &got);
	fx_run();

	ck_assert_int_eq(fx_twin_get(got)->number, 7);
	ck_assert_int_eq(fx.boxes, 1);
	avow_drop(got);
}

FX_TEST(a_copied_string_has_the_same_text_and_its_own_end)
{
	const avow_value first = avow_bytes("a\0b", 3);
	const avow_value second = avow_copy(first);

	avow_drop(first);

	ck_assert_uint_eq(avow_str_size(second), 3);
	ck_assert_mem_eq(avow_str_get(second), "a\0b\0", 4);
	avow_drop(second);
}

FX_TEST(a_copied_list_does_not_need_the_first)
{
	const avow_value items[] = { avow_str("text"), fx_box_new(2) };
	const avow_value first = avow_list(items, 2);
	const avow_value second = avow_copy(first);

	ck_assert_str_eq(fx_text(second), "[text,box:2]");
	avow_drop(first);
	ck_assert_str_eq(fx_text(second), "[text,box:2]");
	avow_drop(second);
	ck_assert_int_eq(fx.boxes, 0);
}

static avow_value copy_then_take_items(avow_value list, void *arg)
{
	avow_value *const into = arg;

	into[2] = avow_copy(list);
	return take_items(list, into);
}

FX_TEST(an_item_is_not_moved_out_of_a_list_that_was_copied)
{
	avow_value got[3];

	avow_then(list_of(fx_twin_new(1), fx_box_new(2)), copy_then_take_items,
		  got);
	fx_run();

	ck_assert_str_eq(fx_text(got[2]), "[twin:1,box:2]");
	ck_assert_int_eq(fx_twin_get(got[0])->number, 1);
	ck_assert(avow_error_is(got[1], &avow_core_domain, AVOW_ENOTCOPYABLE));
	ck_assert_int_eq(fx.boxes, 3);
	for (int i = 0; i < 3; i++)
		avow_drop(got[i]);
}

static avow_value copy_first_item(avow_value list, void *arg)
{
	(void)arg;
	return avow_copy(avow_list_at(list, 0));
}

FX_TEST(a_counted_item_of_a_list_can_be_copied_and_returned)
{
	avow_promise *p = list_of(avow_str("text"), avow_int(2));

	avow_then(avow_then(p, copy_first_item, NULL), fx_note, "text");
	const avow_value inner = fx_box_new(1);
	p = list_of(avow_list(&inner, 1), avow_int(2));
	avow_then(avow_then(p, copy_first_item, NULL), fx_note, "list");
	fx_run();

	fx_expect("text:text|list:[box:1]");
}

FX_TEST(what_has_no_copy_function_cannot_be_copied)
{
	const avow_value box = fx_box_new(1);
	const avow_value copy = avow_copy(box);

	ck_assert(avow_error_is(copy, &avow_core_domain, AVOW_ENOTCOPYABLE));
	ck_assert_ptr_nonnull(strstr(avow_message(copy), "fx_box"));
	avow_drop(copy);
	avow_drop(box);
}


/* ------------------------------------------------------- Text and misuse */

static void gadget_describe(avow_value value, char *text, size_t size)
{
	snprintf(text, size, "gadget number %d", *(int *)value.as.ptr);
}

static const avow_type gadget_type = {
	.name = "gadget", .describe = gadget_describe
};

FX_TEST(a_type_describes_its_values)
{
	int number = 12;

	ck_assert_str_eq(avow_message(avow_own(&number, &gadget_type)),
			 "gadget number 12");
}

static void chatterbox_describe(avow_value value, char *text, size_t size)
{
	(void)value;
	ck_assert_uint_gt(size, 0);
	memset(text, 'x', size - 1);
	text[size - 1] = '\0';
}

static const avow_type chatterbox_type = {
	.name = "chatterbox", .describe = chatterbox_describe
};

FX_TEST(a_description_fills_the_room_it_is_given_and_no_more)
{
	const char *const text = avow_message(avow_own(&fx, &chatterbox_type));

	ck_assert_uint_gt(strlen(text), 8);
	ck_assert_uint_eq(strspn(text, "x"), strlen(text));
}

FX_TEST(any_value_has_a_text)
{
	const avow_value box = fx_box_new(1);
	const avow_value text = avow_str("some text");
	const avow_value list = avow_list(NULL, 0);

	ck_assert_str_ne(avow_message(avow_none()), "");
	ck_assert_ptr_nonnull(strstr(avow_message(avow_int(-12)), "-12"));
	ck_assert_ptr_nonnull(strstr(avow_message(avow_bool(true)), "true"));
	ck_assert_ptr_nonnull(strstr(avow_message(avow_double(2.5)), "2.5"));
	ck_assert_ptr_nonnull(strstr(avow_message(text), "some text"));
	ck_assert_ptr_nonnull(strstr(avow_message(box), "fx_box"));
	ck_assert_str_ne(avow_message(list), "");
	ck_assert_str_ne(avow_message(avow_ptr(NULL)), "");
	avow_drop(box);
	avow_drop(text);
	avow_drop(list);
}

static void ignore(avow_value value)
{
	(void)value;
}

static void expect_names(const char *one, const char *other)
{
	ck_assert_msg(strstr(fx_abort_text(), one) &&
		      strstr(fx_abort_text(), other),
		      "\"%s\" does not name %s and %s", fx_abort_text(), one,
		      other);
	ck_assert_uint_eq(strcspn(fx_abort_text(), "\n") + 1,
			  strlen(fx_abort_text()));
}

FX_TEST(reading_a_value_as_another_type_names_both_and_aborts)
{
	const avow_value box = fx_box_new(1);

	FX_ABORTS("fx_box", (void)avow_int_get(box));
	expect_names("fx_box", avow_int_type.name);
	FX_ABORTS("fx_box", (void)avow_str_get(box));
	expect_names("fx_box", avow_str_type.name);
	FX_ABORTS("fx_box", (void)fx_twin_get(box));
	expect_names("fx_box", "fx_twin");
	FX_ABORTS("fx_box", (void)spot_get(box));
	expect_names("fx_box", "spot");
	FX_ABORTS("fx_box", picture_free(picture_take(box)));
	expect_names("fx_box", "picture");
	FX_ABORTS("fx_box", (void)avow_get(box, &picture_type));
	expect_names("fx_box", "picture");
	avow_drop(box);
}

FX_TEST(each_getter_of_a_plain_value_insists_on_its_type)
{
	const avow_value i = avow_int(1);

	FX_ABORTS(avow_bool_type.name, (void)avow_bool_get(i));
	FX_ABORTS(avow_double_type.name, (void)avow_double_get(i));
	FX_ABORTS(avow_ptr_type.name, (void)avow_ptr_get(i));
	FX_ABORTS(avow_str_type.name, (void)avow_str_size(i));
	FX_ABORTS(avow_list_type.name, (void)avow_list_count(i));
	FX_ABORTS(avow_list_type.name, ignore(avow_list_at(i, 0)));
	FX_ABORTS(avow_int_type.name, (void)avow_int_get(avow_bool(true)));
}

FX_TEST(reading_none_as_a_type_aborts)
{
	FX_ABORTS(avow_int_type.name, (void)avow_int_get(avow_none()));
	FX_ABORTS("picture", (void)picture_get(avow_none()));
}

static avow_value read_wrongly(avow_value value, void *arg)
{
	(void)arg;
	return avow_int(avow_int_get(value));
}

FX_TEST(a_wrong_read_in_a_handler_names_where_it_was_attached)
{
	avow_promise *const p = avow_resolved(fx.loop, avow_bool(true));
	const int line = __LINE__ + 1;
	avow_promise *const q = avow_then(p, read_wrongly, NULL);

	FX_ABORTS(avow_bool_type.name, fx_run());

	ck_assert_msg(fx_abort_names(line), "no line %d in \"%s\"", line,
		      fx_abort_text());
	avow_cancel(q);
}

FX_TEST(an_item_beyond_the_end_of_a_list_aborts)
{
	const avow_value items[] = { avow_int(1), avow_int(2) };
	const avow_value list = avow_list(items, 2);

	FX_ABORTS("2", ignore(avow_list_at(list, 2)));
	FX_ABORTS("avow", ignore(avow_list_at(list, SIZE_MAX)));
	avow_drop(list);
}

int main(void)
{
	return fx_main("value");
}
