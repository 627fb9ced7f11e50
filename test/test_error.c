/*
 * SPDX-License-Identifier: MIT
 *
 * Errors, rule 20: codes that mean something in their domain only, messages
 * that are never NULL, causes, the place, errors carried as plain data, and
 * error types of the program's own.
 */
#include "fixture.h"

#include <limits.h>

#include "types.h"

/* The same number as ENOENT, on purpose. */
enum { LIBRARY_NO_ROUTE = ENOENT };

static const char *library_explain(int code)
{
	return code == LIBRARY_NO_ROUTE ? "no route" : NULL;
}

AVOW_DOMAIN(library, library_explain);

typedef enum colour { COLOURLESS = -1, RED = 1, GREEN } colour;

static const char *colour_name(colour code)
{
	return code == RED ? "red" : "green";
}

AVOW_DOMAIN(colour, colour_name);

static avow_value caught;	/* a copy of what a handler was given */

static avow_value catch_copy(avow_value error, void *arg)
{
	(void)arg;
	caught = avow_take(error);
	return avow_none();
}

static void reject_with(avow_value reason)
{
	avow_catch(avow_rejected(fx.loop, reason), catch_copy, NULL);
	fx_run();
}


/* ------------------------------------------------------------ Plain codes */

FX_TEST(an_errno_is_an_error_that_needs_no_memory)
{
	const size_t before = fx_allocations();
	const avow_value error = avow_errno(ECONNREFUSED);

	ck_assert(avow_is_error(error));
	ck_assert_int_eq(avow_code(error), ECONNREFUSED);
	ck_assert_ptr_eq(avow_domain_of(error), &avow_errno_domain);
	ck_assert_str_eq(avow_message(error), strerror(ECONNREFUSED));
	ck_assert(avow_is_none(avow_cause(error)));
	ck_assert_str_eq(avow_error_place(error), "");
	avow_drop(error);
	ck_assert_uint_eq(fx_allocations(), before);
}

FX_TEST(a_negative_errno_is_made_positive)
{
	ck_assert_int_eq(avow_code(avow_errno(-ENOENT)), ENOENT);
	ck_assert(avow_error_is(avow_errno(-ENOENT), &avow_errno_domain,
				ENOENT));
}

FX_TEST(a_negative_errno_with_a_message_is_made_positive_too)
{
	const avow_value error = avow_error(-EIO, "no page");

	ck_assert_int_eq(avow_code(error), EIO);
	ck_assert(avow_error_is(error, &avow_errno_domain, EIO));
	avow_drop(error);
}

FX_TEST(the_least_of_all_codes_has_no_opposite_and_stays)
{
	const avow_value error = avow_error(INT_MIN, "odd");

	ck_assert_int_eq(avow_code(avow_errno(INT_MIN)), INT_MIN);
	ck_assert_int_eq(avow_code(error), INT_MIN);
	ck_assert_str_ne(avow_message(avow_errno(INT_MIN)), "");
	avow_drop(error);
}

FX_TEST(a_code_of_a_domain_needs_no_memory_and_may_be_negative)
{
	const size_t before = fx_allocations();
	const avow_value error = avow_domain_error(&library_domain, -101);

	ck_assert(avow_is_error(error));
	ck_assert_int_eq(avow_code(error), -101);
	ck_assert_ptr_eq(avow_domain_of(error), &library_domain);
	ck_assert_uint_eq(fx_allocations(), before);
}

FX_TEST(a_domain_explains_its_codes)
{
	ck_assert_str_eq(avow_message(avow_domain_error(&library_domain,
							LIBRARY_NO_ROUTE)),
			 "no route");
	ck_assert_str_eq(avow_message(avow_domain_error(&colour_domain, GREEN)),
			 "green");
	ck_assert_str_eq(avow_message(studio_error_elsewhere(7)),
			 "out of film");
}

FX_TEST(a_code_that_its_domain_cannot_explain_still_has_a_message)
{
	const char *const text =
		avow_message(avow_domain_error(&library_domain, 77));

	ck_assert_ptr_nonnull(text);
	ck_assert_ptr_nonnull(strstr(text, "77"));
	ck_assert_ptr_nonnull(strstr(text, "library"));
}

FX_TEST(an_errno_that_does_not_exist_still_has_a_message)
{
	ck_assert_ptr_nonnull(strstr(avow_message(avow_errno(98765)), "98765"));
}

FX_TEST(a_code_means_something_only_in_its_domain)
{
	const avow_value ours = avow_domain_error(&library_domain,
						  LIBRARY_NO_ROUTE);
	const avow_value theirs = avow_errno(ENOENT);

	ck_assert_int_eq(avow_code(ours), avow_code(theirs));
	ck_assert(avow_error_is(ours, &library_domain, LIBRARY_NO_ROUTE));
	ck_assert(!avow_error_is(ours, &avow_errno_domain, ENOENT));
	ck_assert(!avow_error_is(theirs, &library_domain, LIBRARY_NO_ROUTE));
	ck_assert(!avow_error_is(ours, &library_domain, 3));
}

FX_TEST(a_catch_for_a_code_looks_at_the_domain)
{
	avow_promise *p = avow_rejected(fx.loop, avow_errno(ENOENT));

	p = avow_catch_code(p, &library_domain, LIBRARY_NO_ROUTE, fx_note, "a");
	p = avow_catch_code(p, &avow_errno_domain, EACCES, fx_note, "b");
	p = avow_catch_code(p, &avow_errno_domain, ENOENT, fx_seven, "c");
	avow_then(p, fx_note, "d");
	fx_run();

	char expected[64];
	snprintf(expected, sizeof(expected), "c:!%s|d:7", strerror(ENOENT));
	fx_expect(expected);
}

FX_TEST(what_is_no_error_has_no_code)
{
	const avow_value text = avow_str("ENOENT");

	ck_assert(!avow_is_error(text));
	ck_assert_int_eq(avow_code(text), 0);
	ck_assert_int_eq(avow_code(avow_none()), 0);
	ck_assert_ptr_null(avow_domain_of(avow_int(2)));
	ck_assert(!avow_error_is(avow_int(2), &avow_errno_domain, 2));
	ck_assert(!avow_error_is(avow_none(), &avow_errno_domain, 0));
	ck_assert(avow_is_none(avow_cause(text)));
	ck_assert_str_eq(avow_error_place(text), "");
	ck_assert(!avow_is_cancelled(avow_int(AVOW_ECANCELLED)));
	ck_assert(!avow_is_timeout(avow_none()));
	avow_drop(text);
}

FX_TEST(the_codes_of_the_library_are_told_apart)
{
	const avow_value cancelled = avow_domain_error(&avow_core_domain,
						       AVOW_ECANCELLED);
	const avow_value timeout = avow_domain_error(&avow_core_domain,
						     AVOW_ETIMEOUT);

	ck_assert(avow_is_cancelled(cancelled) && !avow_is_timeout(cancelled));
	ck_assert(avow_is_timeout(timeout) && !avow_is_cancelled(timeout));
	ck_assert(!avow_is_cancelled(avow_errno(AVOW_ECANCELLED)));
	ck_assert(!avow_is_timeout(avow_errno(ETIMEDOUT)));
}

FX_TEST(each_code_of_the_library_has_a_text_of_its_own)
{
	char texts[AVOW_EINVALID + 1][256];

	for (int i = AVOW_ECANCELLED; i <= AVOW_EINVALID; i++) {
		const avow_value e = avow_domain_error(&avow_core_domain, i);
		snprintf(texts[i], sizeof(texts[i]), "%s", avow_message(e));
		ck_assert_str_ne(texts[i], "");
		for (int k = AVOW_ECANCELLED; k < i; k++)
			ck_assert_str_ne(texts[i], texts[k]);
	}
}


/* --------------------------------------------------------------- Messages */

FX_TEST(an_error_has_the_message_it_was_given)
{
	const avow_value error = avow_error(EACCES, "user %d is %s", 7,
					    "banned");

	ck_assert(avow_is_error(error));
	ck_assert(avow_error_is(error, &avow_errno_domain, EACCES));
	ck_assert_ptr_nonnull(strstr(avow_message(error), "user 7 is banned"));
	avow_drop(error);
}

FX_TEST(an_error_of_a_domain_has_its_own_message)
{
	const avow_value error = avow_error_in(&library_domain, 5, "%s: slow",
					       "link");

	ck_assert(avow_error_is(error, &library_domain, 5));
	ck_assert(!avow_error_is(error, &avow_errno_domain, 5));
	ck_assert_ptr_nonnull(strstr(avow_message(error), "link: slow"));
	avow_drop(error);
}

FX_TEST(a_long_message_is_kept_or_cut_but_never_overruns)
{
	char text[3000];
	memset(text, 'm', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	const avow_value error = avow_error(EIO, "%s", text);

	ck_assert_uint_ge(strspn(avow_message(error), "m"), 100);
	avow_drop(error);
}

FX_TEST(eight_messages_can_be_read_at_a_time)
{
	const char *texts[8];

	for (int i = 0; i < 8; i++)
		texts[i] = avow_message(avow_domain_error(&library_domain,
							  1000 + i));
	for (int i = 0; i < 8; i++) {
		char number[8];
		snprintf(number, sizeof(number), "%d", 1000 + i);
		ck_assert_ptr_nonnull(strstr(texts[i], number));
	}
}

FX_TEST(an_error_knows_where_it_was_made)
{
	char expected[256];
	const avow_value error = avow_error(EIO, "here");
	snprintf(expected, sizeof(expected), "%s:%d", __FILE__, __LINE__ - 1);

	ck_assert_str_eq(avow_error_place(error), expected);
	avow_drop(error);
}

FX_TEST(a_wrapper_can_pass_the_place_of_its_caller_on)
{
	const avow_value error = avow_error_at("caller.c:1", &library_domain, 1,
					       "text");
	const avow_value wrapped = avow_wrap_at("caller.c:2", error, "more");

	ck_assert_str_eq(avow_error_place(wrapped), "caller.c:2");
	ck_assert_str_eq(avow_error_place(avow_cause(wrapped)), "caller.c:1");
	avow_drop(wrapped);
}

FX_TEST(the_functions_behind_the_macros_know_no_place)
{
	avow_value (*const make)(int, const char *, ...) = avow_error;
	avow_value (*const wrap)(avow_value, const char *, ...) = avow_wrap;
	const avow_value error = wrap(make(EIO, "%s", "inner"), "outer");
	const avow_value strange = wrap(avow_int(1), "number %d", 1);

	ck_assert(avow_error_is(error, &avow_errno_domain, EIO));
	ck_assert_str_eq(avow_error_place(error), "");
	ck_assert_ptr_nonnull(strstr(avow_message(avow_cause(error)), "inner"));
	ck_assert(avow_is_error(strange));
	ck_assert_str_eq(fx_text(avow_cause(strange)), "1");
	avow_drop(error);
	avow_drop(strange);
}

FX_TEST(an_error_stays_the_same_on_its_way_through_a_chain)
{
	avow_promise *p = avow_rejected(fx.loop, avow_error(EIO, "disk"));

	p = avow_then(p, fx_note, NULL);
	p = avow_finally(p, fx_note, "finally");
	p = avow_tap_catch(p, fx_note, "tap");
	avow_catch(p, catch_copy, NULL);
	fx_run();

	fx_expect("finally:!disk|tap:!disk");
	ck_assert(avow_error_is(caught, &avow_errno_domain, EIO));
	ck_assert_str_ne(avow_error_place(caught), "");
	avow_drop(caught);
}


/* ----------------------------------------------------------------- Causes */

FX_TEST(a_wrapped_error_keeps_code_and_domain_and_gives_its_cause)
{
	const avow_value cause = avow_error_in(&library_domain, 9, "inner");
	const avow_value error = avow_wrap(cause, "outer %d", 1);

	ck_assert(avow_is_error(error));
	ck_assert(avow_error_is(error, &library_domain, 9));
	ck_assert_ptr_nonnull(strstr(avow_message(error), "outer 1"));
	ck_assert(avow_error_is(avow_cause(error), &library_domain, 9));
	ck_assert_ptr_nonnull(strstr(avow_message(avow_cause(error)), "inner"));
	ck_assert(avow_is_none(avow_cause(avow_cause(error))));
	avow_drop(error);
}

FX_TEST(a_plain_code_can_be_a_cause)
{
	const avow_value error = avow_wrap(avow_errno(ENOSPC), "saving");

	ck_assert(avow_error_is(error, &avow_errno_domain, ENOSPC));
	ck_assert_str_eq(avow_message(avow_cause(error)), strerror(ENOSPC));
	avow_drop(error);
}

FX_TEST(a_wrapped_cancellation_is_still_a_cancellation)
{
	const avow_value error = avow_wrap(
		avow_domain_error(&avow_core_domain, AVOW_ECANCELLED), "shop");

	ck_assert(avow_is_cancelled(error));
	avow_drop(error);
}

FX_TEST(a_cause_that_is_no_error_is_kept_and_dropped)
{
	const avow_value error = avow_wrap(fx_box_new(3), "strange");

	ck_assert(avow_is_error(error));
	ck_assert_int_eq(fx_box_get(avow_cause(error))->number, 3);
	ck_assert_int_eq(fx.boxes, 1);
	avow_drop(error);
	ck_assert_int_eq(fx.boxes, 0);
}

FX_TEST(an_error_can_be_copied_with_its_causes)
{
	const avow_value first = avow_wrap(avow_error(EIO, "inner"), "outer");
	const avow_value second = avow_copy(first);

	avow_drop(first);

	ck_assert(avow_error_is(second, &avow_errno_domain, EIO));
	ck_assert_ptr_nonnull(strstr(avow_message(second), "outer"));
	ck_assert_ptr_nonnull(strstr(avow_message(avow_cause(second)),
				     "inner"));
	avow_drop(second);
}

static void drop_value(void *value)
{
	avow_drop(*(avow_value *)value);
}

FX_TEST_LIMIT(a_million_causes_are_dropped_on_a_small_stack, 20)
{
	const size_t depth = fx_scale(1000 * 1000);
	avow_value error = avow_wrap(fx_box_new(1), "first");

	for (size_t i = 1; i < depth; i++)
		error = avow_wrap(error, "%zu", i);
	size_t count = 0;
	for (avow_value e = error; avow_is_error(e); e = avow_cause(e))
		count++;
	ck_assert_uint_eq(count, depth);
	fx_on_small_stack(drop_value, &error);

	ck_assert_int_eq(fx.boxes, 0);
}

FX_TEST_LIMIT(causes_and_lists_in_turns_are_dropped_on_a_small_stack, 20)
{
	const size_t depth = fx_scale(500 * 1000);
	avow_value value = fx_box_new(1);

	for (size_t i = 0; i < depth; i++) {
		value = avow_wrap(value, "layer");
		value = avow_list(&value, 1);
		value = avow_reify(avow_wrap(value, "carried"));
	}
	fx_on_small_stack(drop_value, &value);

	ck_assert_int_eq(fx.boxes, 0);
}

static void ask_message(void *value)
{
	ck_assert_str_ne(avow_message(*(avow_value *)value), "");
}

FX_TEST_LIMIT(the_message_of_a_million_causes_needs_no_deep_stack, 20)
{
	const size_t depth = fx_scale(1000 * 1000);
	avow_value error = avow_errno(EIO);

	for (size_t i = 0; i < depth; i++)
		error = avow_wrap(error, "layer");
	fx_on_small_stack(ask_message, &error);

	ck_assert(avow_error_is(error, &avow_errno_domain, EIO));
	avow_drop(error);
}


/* --------------------------------------------------------- As plain data */

FX_TEST(a_reified_error_fulfils_and_comes_back_as_it_was)
{
	const avow_value data = avow_reify(avow_error(EIO, "carried"));

	ck_assert(!avow_is_error(data));
	avow_then(avow_resolved(fx.loop, data), fx_pass, NULL);
	avow_catch(avow_resolved(fx.loop, avow_reify(avow_errno(EIO))),
		   fx_note, "never");
	fx_run();
	ck_assert_ptr_null(strstr(fx_take_log(), "!"));

	const avow_value back =
		avow_unreify(avow_reify(avow_error(EIO, "carried")));
	ck_assert(avow_error_is(back, &avow_errno_domain, EIO));
	ck_assert_ptr_nonnull(strstr(avow_message(back), "carried"));
	avow_drop(back);
}

static avow_value unreify(avow_value value, void *arg)
{
	(void)arg;
	return avow_unreify(avow_take(value));
}

FX_TEST(a_handler_can_turn_carried_data_back_into_a_rejection)
{
	avow_promise *p = avow_resolved(fx.loop,
					avow_reify(avow_error(EIO, "again")));

	p = avow_then(p, unreify, NULL);
	avow_catch(p, fx_note, "caught");
	fx_run();

	fx_expect("caught:!again");
}

FX_TEST(data_that_two_handlers_read_becomes_two_rejections)
{
	avow_promise *const p = avow_resolved(fx.loop,
		avow_reify(avow_wrap(avow_errno(EIO), "again")));

	avow_catch(avow_then(p, unreify, NULL), fx_note, "one");
	avow_catch(avow_then(p, unreify, NULL), fx_note, "other");
	fx_run();

	const char *const log = fx_take_log();
	ck_assert_int_eq(strncmp(log, "one:!again", 10), 0);
	ck_assert_ptr_nonnull(strstr(log, "|other:!again"));
}

FX_TEST(carried_data_has_a_text)
{
	const avow_value data = avow_reify(avow_error(EIO, "inside"));

	ck_assert_ptr_nonnull(strstr(avow_message(data), "inside"));
	avow_drop(data);
}

FX_TEST(other_values_are_given_back_as_they_are)
{
	const avow_value plain = avow_reify(avow_int(4));

	ck_assert_int_eq((int)avow_int_get(plain), 4);
	ck_assert_int_eq((int)avow_int_get(avow_unreify(avow_int(5))), 5);
	ck_assert(avow_error_is(avow_unreify(avow_errno(EIO)),
				&avow_errno_domain, EIO));
	ck_assert(avow_is_none(avow_reify(avow_none())));
}

FX_TEST(an_error_reified_twice_comes_back_in_two_steps)
{
	avow_value data = avow_reify(avow_errno(EIO));

	data = avow_reify(data);
	data = avow_unreify(data);

	/* The second reify was given no error, so there is one step. */
	ck_assert(avow_error_is(data, &avow_errno_domain, EIO));
	avow_drop(data);
}


/* ------------------------------------------------- Types of the program's */

static void failure_describe(avow_value value, char *text, size_t size)
{
	snprintf(text, size, "failure of box %d",
		 ((struct fx_box *)value.as.ptr)->number);
}

static void failure_free(void *ptr)
{
	avow_drop(fx_box_value(ptr));
}

static const avow_type failure_type = {
	.name = "failure", .drop = failure_free, .is_error = true,
	.describe = failure_describe
};

static avow_value failure_new(int number)
{
	const avow_value box = fx_box_new(number);

	return avow_own(box.as.ptr, &failure_type);
}

FX_TEST(a_value_of_an_own_error_type_rejects)
{
	avow_promise *const p = avow_resolved(fx.loop, failure_new(3));

	ck_assert_int_eq(avow_state_of(p), AVOW_REJECTED);
	avow_catch(avow_then(p, fx_note, "never"), fx_note, "caught");
	fx_run();

	fx_expect("caught:!failure of box 3");
}

FX_TEST(an_own_error_has_a_message_and_no_domain)
{
	const avow_value error = failure_new(3);

	ck_assert(avow_is_error(error));
	ck_assert_str_eq(avow_message(error), "failure of box 3");
	ck_assert_int_eq(avow_code(error), 0);
	ck_assert_ptr_null(avow_domain_of(error));
	ck_assert(!avow_error_is(error, &avow_errno_domain, 0));
	ck_assert(avow_is_none(avow_cause(error)));
	avow_drop(error);
}

FX_TEST(an_own_error_can_be_wrapped_and_reified)
{
	const avow_value error = avow_wrap(failure_new(1), "above");
	const avow_value data = avow_reify(failure_new(2));

	ck_assert(avow_is_error(error));
	ck_assert(avow_is(avow_cause(error), &failure_type));
	ck_assert(!avow_is_error(data));
	avow_drop(error);
	avow_drop(avow_unreify(data));
	ck_assert_int_eq(fx.boxes, 0);
}

static avow_value never_started(avow_value value, void *context)
{
	(void)value;
	(void)context;
	fx_log("then was called");
	return avow_none();
}

static const avow_type two_faced_type = {
	.name = "two_faced", .then = never_started, .is_error = true
};

FX_TEST(an_error_that_is_a_thenable_too_is_an_error)
{
	static int payload;
	avow_promise *const p =
		avow_resolved(fx.loop, avow_own(&payload, &two_faced_type));

	ck_assert_int_eq(avow_state_of(p), AVOW_REJECTED);
	avow_catch(p, fx_note, "caught");
	fx_run();

	ck_assert_int_eq(strncmp(fx_take_log(), "caught:!", 8), 0);
}

FX_TEST(rejecting_with_a_value_that_is_no_error_wraps_it)
{
	reject_with(fx_box_new(5));

	ck_assert(avow_error_is(caught, &avow_core_domain, AVOW_EREASON));
	ck_assert_int_eq(fx_box_get(avow_cause(caught))->number, 5);
	avow_drop(caught);
	ck_assert_int_eq(fx.boxes, 0);
}

FX_TEST(rejecting_with_nothing_is_an_error_too)
{
	avow_promise *const p = avow_pending(fx.loop);

	avow_catch(p, catch_copy, NULL);
	avow_reject(p, avow_none());
	fx_run();

	ck_assert(avow_error_is(caught, &avow_core_domain, AVOW_EREASON));
	ck_assert(avow_is_none(avow_cause(caught)));
	ck_assert_str_ne(avow_message(caught), "");
	avow_drop(caught);
}

FX_TEST(rejecting_with_an_error_wraps_nothing)
{
	reject_with(avow_errno(EIO));

	ck_assert(avow_error_is(caught, &avow_errno_domain, EIO));
	avow_drop(caught);
}

FX_TEST(a_reified_error_given_to_reject_is_wrapped_as_any_data)
{
	reject_with(avow_reify(avow_errno(EIO)));

	ck_assert(avow_is_error(caught));
	ck_assert(avow_error_is(caught, &avow_core_domain, AVOW_EREASON));
	avow_drop(caught);
}

static avow_value return_error(avow_value value, void *arg)
{
	(void)value;
	(void)arg;
	return avow_domain_error(&library_domain, LIBRARY_NO_ROUTE);
}

FX_TEST(an_error_returned_by_a_handler_rejects)
{
	avow_promise *p = avow_resolved(fx.loop, avow_int(1));

	p = avow_then(p, return_error, NULL);
	p = avow_then(p, fx_note, "never");
	avow_catch(p, fx_note, "caught");
	fx_run();

	fx_expect("caught:!no route");
}

FX_TEST(an_error_that_nobody_handles_is_reported_with_its_message)
{
	avow_rejected(fx.loop, avow_wrap(avow_errno(ENOENT), "loading %s",
					 "page"));
	fx_run();

	ck_assert_ptr_nonnull(strstr(fx_take_reports(),
				     "unhandled:loading page"));
}

int main(void)
{
	return fx_main("error");
}
