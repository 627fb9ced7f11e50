/*
 * SPDX-License-Identifier: MIT
 *
 * Promisify, section 5 of the design: each role of a callback's parameter,
 * each way of judging a start, callbacks that come at once, twice, late or
 * never, what a context still does when the call is over, and the way back.
 *
 * A callback that AVOW_CALLBACK wrote is a function like any other, so the
 * roles are tried by calling it as if it were the library: the call given to
 * AVOW_PROMISIFY_VOID is the callback itself.
 */
#include "fixture.h"

#include <stdarg.h>

/* What only a build with AVOW_DEBUG tells. */
#ifdef AVOW_DEBUG
#define expect_late(text) fx_expect_reports(text)
#else
#define expect_late(text) fx_expect_reports("")
#endif

static const char *explain(int code)
{
	return code == 5 ? "five" : code == -5 ? "minus five" : NULL;
}

AVOW_DOMAIN(shared, explain);

/* Logs "name:value", or "name:!domain code text" for an error. */
static avow_value tell(avow_value value, void *name)
{
	const avow_domain *const domain = avow_domain_of(value);

	if (domain)
		fx_log("%s:!%s %d %s", (const char *)name, domain->type.name,
		       avow_code(value), avow_message(value));
	else
		fx_log("%s:%s", (const char *)name, fx_text(value));
	return avow_none();
}

static void tell_of(avow_promise *p, const char *name)
{
	char *const text = (char *)(uintptr_t)name;

	avow_on(p, .fulfilled = tell, .rejected = tell, .arg = text);
}

/* Run the loop until `p` is settled; what it became must be `expected`. */
#define becomes(p, expected)                                               \
	do {                                                               \
		tell_of((p), "");                                          \
		fx_run();                                                  \
		fx_expect(":" expected);                                   \
	} while (0)

static uint64_t late_count(void)
{
	avow_stats stats;

	avow_loop_stats(fx.loop, &stats);
	return stats.late;
}

static size_t call_count(void)
{
	avow_stats stats;

	avow_loop_stats(fx.loop, &stats);
	return stats.call_count;
}

static struct fx_box *box(int number)
{
	return fx_box_get(fx_box_new(number));
}

static struct fx_box *twin(int number)
{
	return fx_twin_get(fx_twin_new(number));
}

static void box_free(struct fx_box *x)
{
	avow_drop(fx_box_value(x));
}

/* The legacy library of most tests: it keeps its callback and context, and
 * gives the code it was told to give. */
typedef void legacy_fn(int err, struct fx_box *result, void *context);

static struct legacy {
	int starts;
	legacy_fn *fn;
	void *context;
} legacy;

static int legacy_start(int code, legacy_fn *fn, void *context)
{
	legacy.starts++;
	legacy.fn = fn;
	legacy.context = context;
	return code;
}

static void legacy_end(int err, struct fx_box *result)
{
	legacy.fn(err, result, legacy.context);
}

static void legacy_end_well(void *number)
{
	legacy_end(0, box(*(int *)number));
}

AVOW_CALLBACK(on_box, AVOW_ERR(int, explain), AVOW_OWN(fx_box),
	      AVOW_CTX(void *));

static avow_promise *legacy_call(void)
{
	return AVOW_PROMISIFY(fx.loop, legacy_start(0, on_box, AVOW_CONTEXT));
}

#define AS_CALL(...) AVOW_PROMISIFY_VOID(fx.loop, __VA_ARGS__)


/* ------------------------------------------------------------------ Roles */

AVOW_CALLBACK(on_context, AVOW_CTX(void *));

FX_TEST(a_callback_of_nothing_but_a_context_gives_none)
{
	becomes(AS_CALL(on_context(AVOW_CONTEXT)), "none");
}

AVOW_CALLBACK(on_code, AVOW_ERR(int, explain), AVOW_CTX(void *));

FX_TEST(a_code_of_zero_fulfils_and_any_other_rejects_in_the_callbacks_domain)
{
	becomes(AS_CALL(on_code(0, AVOW_CONTEXT)), "none");
	becomes(AS_CALL(on_code(5, AVOW_CONTEXT)), "!on_code 5 five");
	becomes(AS_CALL(on_code(-5, AVOW_CONTEXT)), "!on_code -5 minus five");

	ck_assert(avow_error_is(avow_domain_error(&on_code_domain, 5),
				&on_code_domain, 5));
}

AVOW_CALLBACK(on_negative, AVOW_NEGERR(int, explain), AVOW_NUM(int),
	      AVOW_CTX(void *));

FX_TEST(a_code_that_is_an_error_below_zero_fulfils_from_zero_up)
{
	becomes(AS_CALL(on_negative(0, 70, AVOW_CONTEXT)), "70");
	becomes(AS_CALL(on_negative(5, 70, AVOW_CONTEXT)), "70");
	becomes(AS_CALL(on_negative(-5, 70, AVOW_CONTEXT)),
		"!on_negative -5 minus five");
}

AVOW_CALLBACK(on_shared, AVOW_ERR_IN(int, shared_domain), AVOW_CTX(void *));
AVOW_CALLBACK(on_shared_negative, AVOW_CTX(void *),
	      AVOW_NEGERR_IN(long, shared_domain));

FX_TEST(codes_can_go_into_a_domain_that_exists)
{
	becomes(AS_CALL(on_shared(0, AVOW_CONTEXT)), "none");
	becomes(AS_CALL(on_shared(5, AVOW_CONTEXT)), "!shared 5 five");
	becomes(AS_CALL(on_shared_negative(AVOW_CONTEXT, 5)), "none");
	becomes(AS_CALL(on_shared_negative(AVOW_CONTEXT, -5L)),
		"!shared -5 minus five");
}

AVOW_CALLBACK(on_errno, AVOW_ERR_IN(int, avow_errno_domain), AVOW_CTX(void *));

FX_TEST(codes_can_be_those_of_errno)
{
	avow_promise *const p = AS_CALL(on_errno(EACCES, AVOW_CONTEXT));

	ck_assert(avow_error_is(avow_value_of(p), &avow_errno_domain, EACCES));
	avow_catch(p, fx_note, NULL);
}

typedef enum shade { DARK = -1, LIGHT, SHADY } shade;

static const char *shade_name(shade s)
{
	return s == SHADY ? "shady" : "?";
}

AVOW_CALLBACK(on_shade, AVOW_ERR(shade, shade_name), AVOW_CTX(void *));

FX_TEST(a_code_may_be_an_enum)
{
	becomes(AS_CALL(on_shade(LIGHT, AVOW_CONTEXT)), "none");
	becomes(AS_CALL(on_shade(SHADY, AVOW_CONTEXT)), "!on_shade 1 shady");
}

FX_TEST(an_owned_result_becomes_the_promises)
{
	becomes(AS_CALL(on_box(0, box(7), AVOW_CONTEXT)), "box:7");
	ck_assert_int_eq(fx.boxes, 0);
}

FX_TEST(an_owned_result_that_comes_with_an_error_is_dropped)
{
	becomes(AS_CALL(on_box(5, box(7), AVOW_CONTEXT)), "!on_box 5 five");
	becomes(AS_CALL(on_box(5, NULL, AVOW_CONTEXT)), "!on_box 5 five");
	ck_assert_int_eq(fx.boxes, 0);
}

AVOW_CALLBACK(on_untyped, AVOW_CTX(void *), AVOW_OWN(fx_box, void *));

FX_TEST(an_owned_result_may_come_as_a_void_pointer)
{
	becomes(AS_CALL(on_untyped(AVOW_CONTEXT, box(7))), "box:7");
	ck_assert_int_eq(fx.boxes, 0);
}

AVOW_CALLBACK(on_lent, AVOW_ERR(int, explain), AVOW_COPY(fx_twin),
	      AVOW_CTX(void *));

FX_TEST(a_borrowed_result_is_copied)
{
	struct fx_box *const theirs = twin(7);
	avow_promise *const p = AS_CALL(on_lent(0, theirs, AVOW_CONTEXT));

	ck_assert_int_eq(fx.boxes, 2);
	theirs->number = 8;
	becomes(p, "twin:7");
	ck_assert_int_eq(fx.boxes, 1);
	avow_drop(fx_twin_value(theirs));
}

FX_TEST(a_borrowed_result_that_comes_with_an_error_is_left_alone)
{
	struct fx_box *const theirs = twin(7);

	becomes(AS_CALL(on_lent(5, theirs, AVOW_CONTEXT)), "!on_lent 5 five");
	ck_assert_int_eq(fx.boxes, 1);
	avow_drop(fx_twin_value(theirs));
}

AVOW_CALLBACK(on_lent_untyped, AVOW_COPY(fx_twin, void *), AVOW_CTX(void *));
AVOW_CALLBACK(on_lent_box, AVOW_COPY(fx_box), AVOW_CTX(void *));

FX_TEST(a_borrowed_result_may_come_as_a_void_pointer)
{
	struct fx_box *const theirs = twin(7);

	becomes(AS_CALL(on_lent_untyped(theirs, AVOW_CONTEXT)), "twin:7");
	avow_drop(fx_twin_value(theirs));
}

FX_TEST(a_borrowed_result_that_cannot_be_copied_rejects)
{
	struct fx_box *const theirs = box(7);
	avow_promise *const p = AS_CALL(on_lent_box(theirs, AVOW_CONTEXT));

	ck_assert(avow_error_is(avow_value_of(p), &avow_core_domain,
				AVOW_ENOTCOPYABLE));
	avow_catch(p, fx_note, NULL);
	box_free(theirs);
}

AVOW_CALLBACK(on_bytes, AVOW_BYTES(const char *, size_t), AVOW_CTX(void *));
AVOW_CALLBACK(on_data, AVOW_ERR(int, explain), AVOW_CTX(void *),
	      AVOW_BYTES(void *, int));

FX_TEST(a_pointer_and_a_length_are_copied_into_a_string)
{
	char text[4] = { 'a', '\0', 'b', 'c' };
	avow_promise *const p = AS_CALL(on_bytes(text, 3, AVOW_CONTEXT));

	memset(text, '#', sizeof(text));

	ck_assert_uint_eq(avow_str_size(avow_value_of(p)), 3);
	ck_assert_mem_eq(avow_str_get(avow_value_of(p)), "a\0b\0", 4);
	becomes(AS_CALL(on_data(0, AVOW_CONTEXT, (char[]){ "xyz" }, 3)), "xyz");
	becomes(AS_CALL(on_data(5, AVOW_CONTEXT, NULL, -1)), "!on_data 5 five");
}

AVOW_CALLBACK(on_int, AVOW_NUM(int), AVOW_CTX(void *));
AVOW_CALLBACK(on_size, AVOW_NUM(size_t), AVOW_CTX(void *));
AVOW_CALLBACK(on_int64, AVOW_NUM(int64_t), AVOW_CTX(void *));
AVOW_CALLBACK(on_double, AVOW_NUM(double), AVOW_CTX(void *));
AVOW_CALLBACK(on_float, AVOW_NUM(float), AVOW_CTX(void *));

FX_TEST(a_number_is_an_int_or_a_double_by_its_type)
{
	becomes(AS_CALL(on_int(-7, AVOW_CONTEXT)), "-7");
	becomes(AS_CALL(on_size(1u << 31, AVOW_CONTEXT)), "2147483648");
	becomes(AS_CALL(on_int64(INT64_MIN, AVOW_CONTEXT)),
		"-9223372036854775808");
	becomes(AS_CALL(on_double(2.5, AVOW_CONTEXT)), "2.5");
	becomes(AS_CALL(on_float(.5f, AVOW_CONTEXT)), "0.5");
}

AVOW_CALLBACK(on_skipped, AVOW_SKIP(void *), AVOW_NUM(int), AVOW_SKIP(double),
	      AVOW_CTX(void *));

FX_TEST(what_is_of_no_interest_is_skipped)
{
	becomes(AS_CALL(on_skipped(&fx, 4, .5, AVOW_CONTEXT)), "4");
}

AVOW_CALLBACK(on_first, AVOW_CTX(void *), AVOW_ERR(int, explain),
	      AVOW_NUM(int));
AVOW_CALLBACK(on_constant, AVOW_ERR(int, explain), AVOW_CTX(const void *));

FX_TEST(the_context_may_stand_first)
{
	becomes(AS_CALL(on_first(AVOW_CONTEXT, 0, 4)), "4");
	becomes(AS_CALL(on_first(AVOW_CONTEXT, 5, 4)), "!on_first 5 five");
}

FX_TEST(the_context_may_be_a_pointer_to_const)
{
	void (*const as_declared)(int, const void *) = on_constant;

	becomes(AS_CALL(as_declared(0, AVOW_CONTEXT)), "none");
	becomes(AS_CALL(as_declared(5, AVOW_CONTEXT)), "!on_constant 5 five");
}


/* ---------------------------------------------------- More than one result */

AVOW_CALLBACK(on_all, AVOW_ERR(int, explain), AVOW_OWN(fx_box),
	      AVOW_COPY(fx_twin), AVOW_BYTES(const void *, size_t),
	      AVOW_NUM(double), AVOW_NUM(unsigned), AVOW_SKIP(int),
	      AVOW_CTX(void *));

FX_TEST(several_results_make_a_struct_with_a_member_for_each)
{
	struct fx_box *const theirs = twin(3);
	avow_promise *const p = AS_CALL(on_all(0, box(2), theirs, "abc", 2,
					       .5, 6u, 7, AVOW_CONTEXT));
	const on_all_results *const r = on_all_results_get(avow_value_of(p));

	theirs->number = 33;

	ck_assert_int_eq(r->p2->number, 2);
	ck_assert_int_eq(r->p3->number, 3);
	ck_assert_str_eq(avow_str_get(r->p4), "ab");
	ck_assert_double_eq(r->p5, .5);
	ck_assert_uint_eq(r->p6, 6);
	ck_assert_str_eq(on_all_results_type.name, "on_all_results");
	fx_run();
	ck_assert_int_eq(fx.boxes, 1);
	avow_drop(fx_twin_value(theirs));
}

FX_TEST(several_results_with_an_error_are_dropped_if_they_were_owned)
{
	struct fx_box *const theirs = twin(3);

	becomes(AS_CALL(on_all(5, box(2), theirs, NULL, 0, .5, 6u, 7,
			       AVOW_CONTEXT)), "!on_all 5 five");
	ck_assert_int_eq(fx.boxes, 1);
	avow_drop(fx_twin_value(theirs));
}

AVOW_CALLBACK(on_half, AVOW_OWN(fx_box), AVOW_COPY(fx_twin),
	      AVOW_COPY(fx_box), AVOW_CTX(void *));

FX_TEST(several_results_of_which_one_cannot_be_copied_reject_and_are_dropped)
{
	struct fx_box *const lent = twin(2), *const solid = box(3);
	avow_promise *const p = AS_CALL(on_half(box(1), lent, solid,
						AVOW_CONTEXT));

	ck_assert(avow_error_is(avow_value_of(p), &avow_core_domain,
				AVOW_ENOTCOPYABLE));
	avow_catch(p, fx_note, NULL);
	ck_assert_int_eq(fx.boxes, 2);
	avow_drop(fx_twin_value(lent));
	box_free(solid);
}

AVOW_CALLBACK(on_two, AVOW_OWN(fx_box), AVOW_OWN(fx_box), AVOW_CTX(void *));

static avow_value take_first_of_two(avow_value value, void *arg)
{
	on_two_results *const r = on_two_results_get(value);
	const avow_value first = fx_box_value(r->p1);

	(void)arg;
	r->p1 = NULL;	/* moved out, as from a struct of one's own */
	return first;
}

FX_TEST(a_member_of_several_results_can_be_moved_out)
{
	avow_promise *const p = AS_CALL(on_two(box(1), box(2), AVOW_CONTEXT));

	becomes(avow_then(p, take_first_of_two, NULL), "box:1");
	ck_assert_int_eq(fx.boxes, 0);
}


/* ------------------------------------------------------- Ways to start */

static int starts;

static int gives_int(int code, legacy_fn *fn, void *context)
{
	starts++;
	legacy.fn = fn;
	legacy.context = context;
	return code;
}

static bool gives_bool(bool is_started, legacy_fn *fn, void *context)
{
	return gives_int(is_started, fn, context);
}

static void *gives_pointer(void *p, legacy_fn *fn, void *context)
{
	(void)gives_int(0, fn, context);
	return p;
}

static void gives_nothing(legacy_fn *fn, void *context)
{
	(void)gives_int(0, fn, context);
}

/* Started: pending until the callback comes. */
#define is_started(p)                                                      \
	do {                                                               \
		avow_promise *const p_ = (p);                              \
		ck_assert_int_eq(avow_state_of(p_), AVOW_PENDING);         \
		legacy_end(0, box(1));                                     \
		becomes(p_, "box:1");                                      \
	} while (0)

/* Not started: rejected with the code at once. */
#define is_refused(p, code)                                                \
	do {                                                               \
		avow_promise *const p_ = (p);                              \
		ck_assert_int_eq(avow_state_of(p_), AVOW_REJECTED);        \
		ck_assert(avow_error_is(avow_value_of(p_),                 \
					&avow_start_domain, (code)));      \
		avow_catch(p_, fx_note, NULL);                             \
		fx_run();                                                  \
		ck_assert_str_ne(fx_take_log(), "");                       \
		ck_assert_uint_eq(call_count(), 0);                        \
	} while (0)

FX_TEST(zero_is_started)
{
	is_started(AVOW_PROMISIFY(fx.loop, gives_int(0, on_box, AVOW_CONTEXT)));
	is_refused(AVOW_PROMISIFY(fx.loop, gives_int(5, on_box, AVOW_CONTEXT)),
		   5);
	is_refused(AVOW_PROMISIFY(fx.loop, gives_int(-1, on_box,
						     AVOW_CONTEXT)), -1);
}

FX_TEST(true_or_not_zero_is_started)
{
	is_started(AVOW_PROMISIFY_TRUE(fx.loop, gives_bool(true, on_box,
							   AVOW_CONTEXT)));
	is_started(AVOW_PROMISIFY_TRUE(fx.loop, gives_int(-3, on_box,
							  AVOW_CONTEXT)));
	is_refused(AVOW_PROMISIFY_TRUE(fx.loop, gives_bool(false, on_box,
							   AVOW_CONTEXT)), 0);
	is_refused(AVOW_PROMISIFY_TRUE(fx.loop, gives_int(0, on_box,
							  AVOW_CONTEXT)), 0);
}

FX_TEST(a_number_from_zero_up_is_started)
{
	is_started(AVOW_PROMISIFY_ID(fx.loop, gives_int(0, on_box,
							AVOW_CONTEXT)));
	is_started(AVOW_PROMISIFY_ID(fx.loop, gives_int(12, on_box,
							AVOW_CONTEXT)));
	is_refused(AVOW_PROMISIFY_ID(fx.loop, gives_int(-9, on_box,
							AVOW_CONTEXT)), -9);
}

FX_TEST(a_pointer_is_started)
{
	is_started(AVOW_PROMISIFY_PTR(fx.loop, gives_pointer(&fx, on_box,
							     AVOW_CONTEXT)));
	is_refused(AVOW_PROMISIFY_PTR(fx.loop, gives_pointer(NULL, on_box,
							     AVOW_CONTEXT)),
		   0);
}

FX_TEST(what_gives_nothing_is_always_started)
{
	is_started(AVOW_PROMISIFY_VOID(fx.loop, gives_nothing(on_box,
							      AVOW_CONTEXT)));
}

FX_TEST(a_start_that_fails_is_a_rejection_that_nobody_has_to_expect)
{
	avow_promise *const p =
		AVOW_PROMISIFY(fx.loop, gives_int(5, on_box, AVOW_CONTEXT));

	avow_then(p, fx_note, "never");
	fx_run();

	fx_expect("");
	ck_assert_int_eq(strncmp(fx_take_reports(), "unhandled:", 10), 0);
}

FX_TEST(the_call_is_evaluated_once)
{
	starts = 0;

	is_started(AVOW_PROMISIFY(fx.loop, gives_int(0, on_box, AVOW_CONTEXT)));
	ck_assert_int_eq(starts, 1);
}

typedef struct options {
	int number;
	const char *text;
} options;

static int with_options(options o, const options *p, const char *text,
			legacy_fn *fn, void *context)
{
	fx_log("%d %s %d %s %s", o.number, o.text, p->number, p->text, text);
	return legacy_start(0, fn, context);
}

FX_TEST(a_call_may_hold_commas_and_compound_literals)
{
	avow_promise *const p = AVOW_PROMISIFY(fx.loop,
		with_options((options){ 1, "a, b" },
			     &(options){ .number = 2, .text = "c" }, "(d,",
			     on_box, AVOW_CONTEXT));

	fx_expect("1 a, b 2 c (d,");
	legacy_end(0, box(7));
	becomes(p, "box:7");
}

static int formatted(legacy_fn *fn, void *context, const char *format, ...)
{
	char text[64];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	fx_log("%s", text);
	return legacy_start(0, fn, context);
}

FX_TEST(a_call_may_have_a_variable_number_of_arguments)
{
	avow_promise *const p = AVOW_PROMISIFY(fx.loop,
		formatted(on_box, AVOW_CONTEXT, "SET %s %d", "key", 12));

	fx_expect("SET key 12");
	legacy_end(0, box(7));
	becomes(p, "box:7");
}

FX_TEST(a_call_may_stand_anywhere_an_expression_can)
{
	avow_promise *const both[] = {
		AVOW_PROMISIFY(fx.loop, legacy_start(0, on_box, AVOW_CONTEXT)),
		avow_then(AVOW_PROMISIFY(fx.loop,
					 legacy_start(5, on_box, AVOW_CONTEXT)),
			  fx_note, "never")
	};

	avow_catch(both[1], fx_note, "refused");
	avow_cancel(both[0]);
	fx_run();
	ck_assert_int_eq(strncmp(fx_take_log(), "refused:!", 9), 0);
}


/* ------------------------------------- When the callback comes, or does not */

FX_TEST(a_callback_that_comes_later_settles)
{
	int number = 7;
	avow_promise *const p = legacy_call();

	ck_assert_uint_eq(call_count(), 1);
	fx_later(.001, legacy_end_well, &number);
	becomes(p, "box:7");
	ck_assert_uint_eq(call_count(), 0);
}

static int at_once(legacy_fn *fn, void *context)
{
	fx_log("callback");
	fn(0, box(7), context);
	fx_log("return");
	return 0;
}

FX_TEST(a_callback_that_comes_at_once_still_runs_handlers_afterwards)
{
	avow_promise *const p =
		AVOW_PROMISIFY(fx.loop, at_once(on_box, AVOW_CONTEXT));

	ck_assert_int_eq(avow_state_of(p), AVOW_FULFILLED);
	avow_then(p, fx_note, "then");
	fx_log("attached");
	fx_run();

	fx_expect("callback|return|attached|then:box:7");
}

static int at_once_and_refused(legacy_fn *fn, void *context)
{
	fn(0, box(7), context);
	return 5;
}

FX_TEST(a_callback_that_came_at_once_counts_even_if_the_start_fails_then)
{
	becomes(AVOW_PROMISIFY(fx.loop, at_once_and_refused(on_box,
							    AVOW_CONTEXT)),
		"box:7");
	ck_assert_int_eq(fx.boxes, 0);
}

FX_TEST(an_error_of_the_callback_rejects)
{
	avow_promise *const p = legacy_call();

	legacy_end(5, NULL);
	becomes(p, "!on_box 5 five");
}

FX_TEST(a_second_callback_is_counted_and_its_result_dropped)
{
	avow_promise *const p = legacy_call();

	legacy_end(0, box(1));
	legacy_end(0, box(2));
	ck_assert_int_eq(fx.boxes, 1);
	legacy_end(5, NULL);
	becomes(p, "box:1");

	ck_assert(late_count() == 2);
	ck_assert_int_eq(fx.boxes, 0);
	expect_late("late:legacy_start(0, on_box, AVOW_CONTEXT)|"
		    "late:legacy_start(0, on_box, AVOW_CONTEXT)");
}

FX_TEST(a_callback_after_its_promise_is_gone_is_harmless)
{
	avow_promise *const p = legacy_call();

	legacy_end(0, box(1));
	becomes(p, "box:1");
	legacy_end(0, box(2));

	ck_assert_int_eq(fx.boxes, 0);
	ck_assert(late_count() == 1);
	(void)fx_take_reports();
}

FX_TEST(a_callback_after_a_failed_start_is_harmless)
{
	avow_promise *const p =
		AVOW_PROMISIFY(fx.loop, legacy_start(5, on_box, AVOW_CONTEXT));

	legacy_end(0, box(2));
	ck_assert_int_eq(fx.boxes, 0);
	ck_assert(late_count() == 1);
	avow_catch(p, fx_note, NULL);
	fx_run();
	(void)fx_take_reports();
}

FX_TEST(a_callback_after_cancellation_is_harmless)
{
	avow_promise *const p = legacy_call();

	avow_cancel(p);
	ck_assert(avow_is_cancelled(avow_value_of(p)));
	fx_run();
	legacy_end(0, box(2));

	ck_assert_int_eq(fx.boxes, 0);
	ck_assert(late_count() == 1);
	(void)fx_take_reports();
}

FX_TEST(a_callback_after_the_end_of_the_loop_is_harmless)
{
	avow_promise *const p = legacy_call();

	avow_catch(p, fx_note, "caught");
	fx_free_loop();
	legacy_end(0, box(2));
	legacy_end(5, box(3));
	legacy_end(0, NULL);

	ck_assert_int_eq(fx.boxes, 0);
	ck_assert_int_eq(strncmp(fx_take_log(), "caught:!", 8), 0);
	fx_expect_reports("abandoned:legacy_start(0, on_box, AVOW_CONTEXT)");
}

FX_TEST(a_callback_of_an_old_loop_does_not_reach_the_next_loop)
{
	avow_promise *const p = legacy_call();
	avow_catch(p, fx_note, NULL);
	fx_free_loop();
	(void)fx_take_reports();
	void *const stale = legacy.context;

	/* It most likely gets the number of the one that is gone. */
	fx.loop = avow_loop_new(fx.ev);
	ck_assert_ptr_nonnull(fx.loop);
	avow_loop_on_report(fx.loop, fx_report, NULL);
	avow_promise *const q = legacy_call();
	on_box(0, box(2), stale);
	ck_assert_int_eq(avow_state_of(q), AVOW_PENDING);
	ck_assert_int_eq(fx.boxes, 0);
	legacy_end(0, box(3));

	(void)fx_take_log();
	becomes(q, "box:3");
	(void)fx_take_reports();
}

FX_TEST(a_callback_that_never_comes_is_listed_by_its_call_at_the_end)
{
	const int line = __LINE__ + 2;
	avow_promise *const p =
		AVOW_PROMISIFY(fx.loop, legacy_start(0, on_box, AVOW_CONTEXT));
	avow_catch(p, tell, (char[]){ "caught" });
	fx_run();
	fx_expect("");

	fx_free_loop();

	fx_expect_reports("abandoned:legacy_start(0, on_box, AVOW_CONTEXT)");
	ck_assert_int_ge(fx_report_line(0), line - 1);
	ck_assert_int_le(fx_report_line(0), line + 1);
	ck_assert_ptr_nonnull(strstr(fx_take_log(), "caught:!"));
}

FX_TEST(each_call_that_never_came_back_is_listed)
{
	avow_promise *const a = AVOW_PROMISIFY(fx.loop,
		formatted(on_box, AVOW_CONTEXT, "a"));
	avow_promise *const b = AVOW_PROMISIFY_VOID(fx.loop,
		gives_nothing(on_box, AVOW_CONTEXT));
	avow_promise *const c = legacy_call();

	legacy_end(0, box(1));
	avow_catch(a, fx_note, NULL);
	avow_catch(b, fx_note, NULL);
	avow_then(c, fx_note, NULL);
	fx_free_loop();

	fx_expect_reports("abandoned:formatted(on_box, AVOW_CONTEXT, \"a\")|"
			  "abandoned:gives_nothing(on_box, AVOW_CONTEXT)");
}

FX_TEST(a_cancelled_call_is_not_listed_as_abandoned)
{
	avow_cancel(legacy_call());
	fx_run();
	fx_free_loop();

	fx_expect_reports("");
}


/* -------------------------------------------------- By hand, and contexts */

FX_TEST(a_call_can_be_begun_and_ended_by_hand)
{
	const avow_call c = avow_begin(fx.loop, "connect");

	ck_assert(c.is_open);
	ck_assert_ptr_nonnull(c.context);
	const int code = legacy_start(0, on_box, c.context);
	avow_promise *const p = avow_end(c, code == 0, code);
	ck_assert_ptr_eq(p, c.promise);
	legacy_end(0, box(7));

	becomes(p, "box:7");
}

FX_TEST(a_call_by_hand_that_does_not_start_is_rejected_with_its_code)
{
	const avow_call c = avow_begin(fx.loop, "connect");

	is_refused(avow_end(c, false, 12), 12);
}

FX_TEST(a_call_by_hand_is_listed_by_its_name)
{
	const avow_call c = avow_begin(fx.loop, "connect");

	avow_catch(avow_end(c, true, 0), fx_note, NULL);
	fx_free_loop();

	fx_expect_reports("abandoned:connect");
}

FX_TEST(a_call_can_be_begun_through_a_pointer)
{
	avow_call (*const begin)(avow_loop *, const char *) = avow_begin;
	const avow_call c = begin(fx.loop, "call");

	avow_settle(c.context, avow_int(7));
	becomes(avow_end(c, true, 0), "7");
}

FX_TEST(a_call_by_hand_can_be_resolved_by_its_promise)
{
	const avow_call c = avow_begin(fx.loop, "connect");
	avow_promise *const p = avow_end(c, true, 0);

	avow_resolve(p, avow_int(3));
	avow_settle(c.context, fx_box_new(1));
	becomes(p, "3");
	ck_assert_int_eq(fx.boxes, 0);
	(void)fx_take_reports();
}

FX_TEST(a_context_can_follow_another_promise)
{
	const avow_call c = avow_begin(fx.loop, "connect");
	avow_promise *const p = avow_end(c, true, 0);
	avow_promise *const q = avow_pending(fx.loop);

	avow_settle(c.context, avow_await(q));
	avow_settle(c.context, fx_box_new(1));
	avow_resolve(q, avow_int(3));

	becomes(p, "3");
	ck_assert_int_eq(fx.boxes, 0);
	(void)fx_take_reports();
}

FX_TEST(a_pending_promise_has_one_context)
{
	avow_promise *const p = avow_pending(fx.loop);
	avow_promise *const q = avow_pending(fx.loop);
	void *const context = avow_context(p);

	ck_assert_ptr_nonnull(context);
	ck_assert_ptr_eq(avow_context(p), context);
	ck_assert_ptr_ne(avow_context(q), context);
	ck_assert_ptr_ne(context, (void *)p);
	avow_resolve(q, avow_none());
	avow_settle(context, avow_int(4));

	becomes(p, "4");
}

FX_TEST(the_context_of_a_promise_resolved_by_hand_is_harmless)
{
	avow_promise *const p = avow_pending(fx.loop);
	void *const context = avow_context(p);

	avow_resolve(p, avow_int(1));
	avow_settle(context, fx_box_new(2));
	becomes(p, "1");
	avow_settle(context, fx_box_new(3));

	ck_assert_int_eq(fx.boxes, 0);
	(void)fx_take_reports();
}

FX_TEST(a_pending_promise_with_a_context_can_be_cancelled)
{
	avow_promise *const p = avow_pending(fx.loop);
	void *const context = avow_context(p);

	avow_on_cancel(context, fx_job, "hook");
	avow_cancel(p);
	fx_expect("hook");
	avow_settle(context, fx_box_new(2));

	ck_assert_int_eq(fx.boxes, 0);
	(void)fx_take_reports();
}

FX_TEST(settling_a_context_with_an_error_rejects)
{
	avow_promise *const p = avow_pending(fx.loop);

	avow_settle(avow_context(p), avow_domain_error(&shared_domain, 5));
	becomes(p, "!shared 5 five");
}


/* ---------------------------------------------- Memory that lives as long */

/* Let the loop have what it gets with the first promise that ends. */
static void warm_up(void)
{
	avow_resolved(fx.loop, avow_none());
	fx_run();
}

FX_TEST(memory_of_a_call_is_zeroed_and_ends_with_it)
{
	warm_up();
	const avow_call c = avow_begin(fx.loop, "call");
	const size_t before = fx_blocks();
	static const char zeros[5000];
	char *const a = avow_alloc(c.context, 1);
	char *const b = avow_alloc(c.context, sizeof(zeros));

	ck_assert_ptr_nonnull(a);
	ck_assert_ptr_nonnull(b);
	ck_assert_mem_eq(a, zeros, 1);
	ck_assert_mem_eq(b, zeros, sizeof(zeros));
	ck_assert_uint_eq((uintptr_t)a % sizeof(void *), 0);
	memset(a, 1, 1);
	memset(b, 2, sizeof(zeros));
	avow_settle(c.context, avow_none());
	fx_run();

	ck_assert_uint_le(fx_blocks(), before);
}

FX_TEST(a_result_in_the_memory_of_its_call_can_be_read_while_the_promise_is)
{
	const avow_call c = avow_begin(fx.loop, "call");
	int *const result = avow_alloc(c.context, sizeof(*result));

	ck_assert_ptr_nonnull(result);
	*result = 7;
	avow_hold(c.promise);
	avow_settle(c.context, avow_ptr(result));
	fx_run();

	ck_assert_int_eq(*(int *)avow_ptr_get(avow_value_of(c.promise)), 7);
	avow_release(c.promise);
}

static avow_value read_result(avow_value value, void *arg)
{
	(void)arg;
	return avow_int(*(int *)avow_ptr_get(value));
}

FX_TEST(memory_of_a_call_resolved_by_its_promise_is_there_for_both)
{
	avow_promise *const p = avow_pending(fx.loop);
	avow_promise *const q = avow_pending(fx.loop);
	void *const first = avow_context(p);
	void *const second = avow_context(q);
	char *const a = avow_alloc(first, 16);
	char *const b = avow_alloc(second, 16);

	/* AVOW_DEBUG has a block of its own from the first end on. */
	avow_resolved(fx.loop, avow_none());
	fx_run();
	const size_t blocks = fx_blocks();

	/* Here the callback comes first, and the value is still read. */
	avow_hold(p);
	avow_resolve(p, avow_ptr(strcpy(a, "hello")));
	avow_settle(first, avow_none());
	ck_assert_str_eq(avow_ptr_get(avow_value_of(p)), "hello");
	ck_assert_uint_eq(fx_blocks(), blocks);
	avow_release(p);
	fx_run();
	ck_assert_uint_eq(fx_blocks(), blocks - 1);

	/* Here the value goes first, and the work still writes. */
	avow_resolve(q, avow_ptr(b));
	fx_run();
	strcpy(b, "world");
	ck_assert_uint_eq(fx_blocks(), blocks - 1);
	avow_settle(second, avow_none());
	ck_assert_uint_eq(fx_blocks(), blocks - 2);
	(void)fx_take_reports();
}

FX_TEST(a_handler_can_read_a_result_in_the_memory_of_the_call)
{
	const avow_call c = avow_begin(fx.loop, "call");
	int *const result = avow_alloc(c.context, sizeof(*result));
	avow_promise *const p = avow_end(c, true, 0);

	*result = 7;
	avow_settle(c.context, avow_ptr(result));
	becomes(avow_then(p, read_result, NULL), "7");
}

FX_TEST(memory_of_a_cancelled_call_lives_until_its_callback)
{
	warm_up();
	const avow_call c = avow_begin(fx.loop, "call");
	const size_t before = fx_blocks();
	char *const memory = avow_alloc(c.context, 4000);

	ck_assert_ptr_nonnull(memory);
	const size_t after = fx_blocks();
	avow_cancel(avow_end(c, true, 0));
	fx_run();
	ck_assert_uint_eq(fx_blocks(), after);
	memset(memory, 1, 4000);	/* the library still writes there */
	avow_settle(c.context, avow_none());
	fx_run();

	ck_assert_uint_le(fx_blocks(), before);
	(void)fx_take_reports();
}

static void settle_none(void *context)
{
	fx_log("hook");
	avow_settle(context, avow_none());
}

FX_TEST(a_cancel_hook_can_say_that_no_callback_will_come)
{
	warm_up();
	const avow_call c = avow_begin(fx.loop, "call");
	const size_t before = fx_blocks();

	ck_assert_ptr_nonnull(avow_alloc(c.context, 4000));
	avow_on_cancel(c.context, settle_none, c.context);
	avow_cancel(avow_end(c, true, 0));
	fx_run();

	fx_expect("hook");
	ck_assert_uint_le(fx_blocks(), before);
	(void)fx_take_reports();
}

FX_TEST(memory_of_a_cancelled_call_ends_at_the_latest_with_the_loop)
{
	const avow_call c = avow_begin(fx.loop, "call");

	ck_assert_ptr_nonnull(avow_alloc(c.context, 4000));
	avow_cancel(avow_end(c, true, 0));
	fx_run();
	fx_free_loop();

	(void)fx_take_reports();
}

FX_TEST(a_call_that_is_over_has_no_memory)
{
	const avow_call c = avow_begin(fx.loop, "call");

	avow_settle(c.context, avow_none());
	fx_run();

	ck_assert_ptr_null(avow_alloc(c.context, 16));
	fx_free_loop();
	ck_assert_ptr_null(avow_alloc(c.context, 16));
}

FX_TEST(memory_of_a_call_that_did_not_start_is_freed)
{
	warm_up();
	const avow_call c = avow_begin(fx.loop, "call");
	const size_t before = fx_blocks();

	ck_assert_ptr_nonnull(avow_alloc(c.context, 4000));
	avow_catch(avow_end(c, false, 1), fx_note, NULL);
	fx_run();

	ck_assert_uint_le(fx_blocks(), before);
	(void)fx_take_log();
}


/* ----------------------------------------------------------- Cancel hooks */

FX_TEST(cancelling_calls_the_hook_before_it_returns)
{
	const avow_call c = avow_begin(fx.loop, "call");

	avow_on_cancel(c.context, fx_job, "hook");
	avow_promise *const p = avow_end(c, true, 0);
	fx_log("cancel");
	avow_cancel(p);
	fx_log("return");
	avow_cancel(p);
	fx_run();

	fx_expect("cancel|hook|return");
}

FX_TEST(a_second_hook_replaces_the_first)
{
	const avow_call c = avow_begin(fx.loop, "call");

	avow_on_cancel(c.context, fx_job, "first");
	avow_on_cancel(c.context, fx_job, "second");
	avow_cancel(avow_end(c, true, 0));

	fx_expect("second");
}

FX_TEST(the_hook_is_not_called_once_the_call_is_settled)
{
	const avow_call c = avow_begin(fx.loop, "call");

	avow_on_cancel(c.context, fx_job, "never");
	avow_settle(c.context, avow_int(1));
	avow_cancel(c.promise);
	becomes(c.promise, "1");
}

FX_TEST(the_hook_is_not_called_when_the_call_did_not_start)
{
	const avow_call c = avow_begin(fx.loop, "call");

	avow_on_cancel(c.context, fx_job, "never");
	avow_promise *const p = avow_end(c, false, 1);
	avow_cancel(p);
	avow_catch(p, fx_note, NULL);
	fx_run();

	ck_assert_ptr_null(strstr(fx_take_log(), "never"));
}

FX_TEST(a_hook_given_to_a_call_that_is_over_is_ignored)
{
	const avow_call c = avow_begin(fx.loop, "call");

	avow_settle(c.context, avow_int(1));
	avow_on_cancel(c.context, fx_job, "never");
	avow_cancel(c.promise);
	fx_run();
	avow_on_cancel(c.context, fx_job, "never");
	fx_free_loop();
	avow_on_cancel(c.context, fx_job, "never");

	fx_expect("");
}

FX_TEST(the_hook_is_called_when_the_loop_is_freed)
{
	const avow_call c = avow_begin(fx.loop, "call");

	avow_on_cancel(c.context, fx_job, "hook");
	avow_catch(avow_end(c, true, 0), fx_note, "caught");
	fx_free_loop();

	ck_assert_int_eq(strncmp(fx_take_log(), "hook|caught:!", 13), 0);
	fx_expect_reports("abandoned:call");
}

FX_TEST(cancelling_the_end_of_a_chain_calls_the_hook_of_the_call)
{
	const avow_call c = avow_begin(fx.loop, "call");
	avow_promise *p = avow_end(c, true, 0);

	avow_on_cancel(c.context, fx_job, "hook");
	p = avow_then(p, fx_note, "never");
	p = avow_then(p, fx_note, "never");
	avow_cancel(p);
	fx_run();

	fx_expect("hook");
}

FX_TEST(a_call_with_another_consumer_is_not_cancelled)
{
	const avow_call c = avow_begin(fx.loop, "call");
	avow_promise *const p = avow_end(c, true, 0);

	avow_on_cancel(c.context, fx_job, "never");
	avow_promise *const one = avow_then(p, fx_note, "one");
	avow_then(p, fx_note, "other");
	avow_cancel(one);
	avow_settle(c.context, avow_int(4));
	fx_run();

	fx_expect("other:4");
}

static avow_call self;

static void hook_settles_itself(void *arg)
{
	(void)arg;
	fx_log("hook");
	avow_settle(self.context, fx_box_new(1));
	avow_settle(self.context, fx_box_new(2));
}

FX_TEST(a_hook_may_bring_the_callback_about)
{
	self = avow_begin(fx.loop, "call");
	avow_on_cancel(self.context, hook_settles_itself, NULL);
	avow_promise *const p = avow_end(self, true, 0);

	avow_cancel(p);

	fx_expect("hook");
	ck_assert(avow_is_cancelled(avow_value_of(p)));
	ck_assert_int_eq(fx.boxes, 0);
	(void)fx_take_reports();
}

static void hook_cancels_itself(void *arg)
{
	(void)arg;
	fx_log("hook");
	avow_cancel(self.promise);
	avow_on_cancel(self.context, fx_job, "never");
	avow_cancel(self.promise);
}

FX_TEST(a_hook_may_cancel_its_own_promise_again)
{
	self = avow_begin(fx.loop, "call");
	avow_on_cancel(self.context, hook_cancels_itself, NULL);

	avow_cancel(avow_end(self, true, 0));

	fx_expect("hook");
	(void)fx_take_reports();
}

static void hook_starts_another(void *arg)
{
	avow_promise **const next = arg;

	fx_log("hook");
	*next = legacy_call();
	avow_cancel(*next);
	*next = legacy_call();
}

FX_TEST(a_hook_may_begin_and_cancel_other_calls)
{
	avow_promise *next = NULL;
	const avow_call c = avow_begin(fx.loop, "call");

	avow_on_cancel(c.context, hook_starts_another, &next);
	avow_cancel(avow_end(c, true, 0));
	legacy_end(0, box(7));

	fx_expect("hook");
	becomes(next, "box:7");
}

static void hook_frees_the_loop(void *arg)
{
	(void)arg;
	fx_log("hook");
	fx_free_loop();
}

static void cancel_self(void *arg)
{
	(void)arg;
	avow_cancel(self.promise);
	fx_log("cancelled");
}

FX_TEST(a_hook_may_free_the_loop)
{
	self = avow_begin(fx.loop, "call");
	avow_on_cancel(self.context, hook_frees_the_loop, NULL);
	avow_tap_catch(avow_end(self, true, 0), fx_note, NULL);

	fx_in_callback(cancel_self, NULL);

	/* At the latest now: the loop was freed when the hook had returned. */
	const char *const log = fx_take_log();
	ck_assert_int_eq(strncmp(log, "hook|", 5), 0);
	ck_assert_ptr_nonnull(strstr(log, "cancelled"));
	avow_settle(self.context, fx_box_new(1));
	ck_assert_int_eq(fx.boxes, 0);
	(void)fx_take_reports();
}


/* ------------------------------------------------------ Contexts, reused */

FX_TEST_LIMIT(stale_contexts_stay_harmless_through_many_thousand_calls, 20)
{
	enum { KEPT = 64 };
	const int rounds = (int)fx_scale(200 * 1000);
	void *stale[KEPT] = { NULL };
	int settled = 0;

	for (int i = 0; i < rounds; i++) {
		const avow_call c = avow_begin(fx.loop, "call");
		avow_promise *const p = avow_end(c, true, 0);
		void *const old = stale[i % KEPT];

		/* An old context must not settle a call that is open now. */
		if (old)
			avow_settle(old, fx_box_new(i));
		ck_assert_int_eq(avow_state_of(p), AVOW_PENDING);
		ck_assert_int_eq(fx.boxes, 0);
		for (int k = 0; k < KEPT; k++)
			if (stale[k] == c.context)
				ck_abort_msg("call %d got the context of an "
					     "old one", i);
		avow_settle(c.context, avow_int(i));
		settled += avow_state_of(p) == AVOW_FULFILLED;
		stale[i % KEPT] = c.context;
		if (i % 100 == 0) {
			fx_run();
			(void)fx_take_reports();
		}
	}

	ck_assert_int_eq(settled, rounds);
	ck_assert_uint_eq(call_count(), 0);
	(void)fx_take_reports();
}

static void be_silent(avow_loop *loop, const avow_report *report, void *arg)
{
	(void)loop;
	(void)report;
	(void)arg;
}

/*
 * Loops are numbered, and a number comes back after all the others: here once
 * for a loop that has no call, and once for one that has.
 */
FX_TEST_LIMIT(a_context_of_an_earlier_loop_never_fits_a_later_one, 20)
{
	enum { NUMBERS = 4095 };
	avow_loop *loop = avow_loop_new(fx.ev);
	void *const old = avow_context(avow_pending(loop));

	avow_loop_on_report(loop, be_silent, NULL);
	avow_loop_free(loop);
	for (int i = 0; i < NUMBERS; i++) {
		loop = avow_loop_new(fx.ev);
		ck_assert_ptr_nonnull(loop);
		avow_loop_free(loop);
	}
	for (int i = 0; i < NUMBERS; i++) {
		loop = avow_loop_new(fx.ev);
		ck_assert_ptr_nonnull(loop);
		avow_loop_on_report(loop, be_silent, NULL);
		avow_promise *const p = avow_pending(loop);
		ck_assert_ptr_ne(avow_context(p), old);
		avow_settle(old, fx_box_new(1));
		ck_assert_int_eq(avow_state_of(p), AVOW_PENDING);
		ck_assert_int_eq(fx.boxes, 0);
		avow_loop_free(loop);
	}
}

/* In no loop whatever its number, and no other call is called late. */
FX_TEST_LIMIT(the_context_of_a_settled_promise_does_nothing_in_any_loop, 20)
{
	enum { NUMBERS = 4095 };
	avow_stats stats;

	for (int i = 0; i < NUMBERS; i++) {
		avow_loop *const loop = avow_loop_new(fx.ev);
		ck_assert_ptr_nonnull(loop);
		avow_loop_on_report(loop, be_silent, NULL);
		(void)avow_end(avow_begin(loop, "other"), true, 0);
		avow_settle(avow_context(avow_resolved(loop, avow_none())),
			    fx_box_new(1));
		ck_assert_int_eq(fx.boxes, 0);
		avow_loop_stats(loop, &stats);
		ck_assert_uint_eq(stats.late, 0);
		avow_loop_free(loop);
	}
}

FX_TEST_LIMIT(thousands_of_calls_can_be_open_at_once, 20)
{
	const size_t count = fx_scale_calls(20 * 1000);
	avow_call *const calls = calloc(count, sizeof(*calls));
	int64_t sum = 0;

	ck_assert_ptr_nonnull(calls);
	for (size_t i = 0; i < count; i++)
		calls[i] = avow_begin(fx.loop, "call");
	ck_assert_uint_eq(call_count(), count);
	for (size_t left = count; left > 0; left--)
		avow_settle(calls[left - 1].context,
			    avow_int((int64_t)left - 1));
	for (size_t i = 0; i < count; i++)
		sum += avow_int_get(avow_value_of(calls[i].promise));

	ck_assert(sum == (int64_t)(count * (count - 1) / 2));
	ck_assert_uint_eq(call_count(), 0);
	free(calls);
}

FX_TEST(a_context_that_never_was_one_is_harmless)
{
	static int nothing;
	avow_promise *const p = legacy_call();

	avow_settle((void *)(uintptr_t)0x7fffffffffff0001u, fx_box_new(1));
	ck_assert_int_eq(fx.boxes, 0);
	ck_assert_int_eq(avow_state_of(p), AVOW_PENDING);
	ck_assert_int_eq(nothing, 0);
	legacy_end(0, box(1));
	becomes(p, "box:1");
}


/* ------------------------------------------------------------- And back */

static void error_first(avow_value error, avow_value value, void *name)
{
	fx_log("%s:%s,%s", (const char *)name, fx_text(error), fx_text(value));
}

FX_TEST(an_error_first_callback_gets_a_value_or_an_error)
{
	avow_promise *const p = avow_pending(fx.loop);

	avow_as_callback(avow_resolved(fx.loop, avow_int(7)), error_first, "a");
	avow_as_callback(avow_rejected(fx.loop,
				       avow_domain_error(&shared_domain, 5)),
			 error_first, "b");
	avow_as_callback(p, error_first, "c");
	fx_log("attached");
	avow_resolve(p, fx_box_new(3));
	fx_run();

	fx_expect("attached|a:none,7|b:!five,none|c:none,box:3");
}

FX_TEST(an_error_first_callback_is_told_of_cancellation)
{
	avow_promise *const p = avow_pending(fx.loop);

	avow_as_callback(p, error_first, "a");
	avow_cancel(p);
	fx_run();

	ck_assert_int_eq(strncmp(fx_take_log(), "a:!", 3), 0);
}

FX_TEST(an_error_first_callback_is_told_of_the_end_of_the_loop)
{
	avow_as_callback(avow_pending(fx.loop), error_first, "a");
	fx_free_loop();

	ck_assert_int_eq(strncmp(fx_take_log(), "a:!", 3), 0);
}

FX_TEST(an_error_first_callback_beside_a_chain_borrows_the_value)
{
	avow_promise *const p = avow_resolved(fx.loop, fx_box_new(3));

	avow_as_callback(p, error_first, "a");
	avow_then(p, fx_note, "b");
	fx_run();

	fx_expect("a:none,box:3|b:box:3");
}

FX_TEST(an_error_first_callback_can_be_attached_through_a_pointer)
{
	void (*const attach)(avow_promise *, avow_callback_fn *, void *) =
		avow_as_callback;

	attach(avow_resolved(fx.loop, avow_int(7)), error_first, "a");
	fx_run();

	fx_expect("a:none,7");
}

AVOW_CALLBACKIFY(box_done, AVOW_ERR(int, explain), AVOW_OWN(fx_box),
		 AVOW_CTX(void *));

static void box_consumer(int err, struct fx_box *result, void *name)
{
	fx_log("%s:%d,%d", (const char *)name, err,
	       result ? result->number : 0);
	if (result)
		box_free(result);
}

FX_TEST(a_legacy_consumer_gets_the_result_and_owns_it)
{
	box_done(avow_resolved(fx.loop, fx_box_new(7)), box_consumer, "a");
	fx_log("attached");
	fx_run();

	fx_expect("attached|a:0,7");
	ck_assert_int_eq(fx.boxes, 0);
}

FX_TEST(a_legacy_consumer_gets_the_code_of_an_error)
{
	box_done(avow_rejected(fx.loop, avow_errno(EIO)), box_consumer, "a");
	box_done(avow_rejected(fx.loop, avow_domain_error(&shared_domain, 0)),
		 box_consumer, "b");
	fx_run();

	char expected[32];
	snprintf(expected, sizeof(expected), "a:%d,0|b:-1,0", EIO);
	fx_expect(expected);
}

FX_TEST(a_legacy_consumer_is_called_on_cancellation_and_at_the_end)
{
	avow_promise *const p = avow_pending(fx.loop);

	box_done(p, box_consumer, "cancelled");
	box_done(avow_pending(fx.loop), box_consumer, "abandoned");
	avow_cancel(p);
	fx_run();
	fx_free_loop();

	char expected[64];
	snprintf(expected, sizeof(expected), "cancelled:%d,0|abandoned:%d,0",
		 AVOW_ECANCELLED, AVOW_EABANDONED);
	fx_expect(expected);
}

FX_TEST(a_call_promisified_and_handed_back_is_as_it_was)
{
	box_done(legacy_call(), box_consumer, "good");
	legacy_end(0, box(7));
	box_done(legacy_call(), box_consumer, "bad");
	legacy_end(5, NULL);
	fx_run();

	fx_expect("good:0,7|bad:5,0");
	ck_assert_int_eq(fx.boxes, 0);
}

static avow_value make_box(avow_value value, void *arg)
{
	(void)value;
	(void)arg;
	return fx_box_new(9);
}

/* The other way round: a function that gives a promise, used as a legacy one,
 * and promisified again. */
static int delayed_box(legacy_fn *fn, void *context)
{
	box_done(avow_then(avow_delay(fx.loop, .001), make_box, NULL), fn,
		 context);
	return 0;
}

FX_TEST(a_promise_handed_to_legacy_code_and_promisified_is_as_it_was)
{
	becomes(AVOW_PROMISIFY(fx.loop, delayed_box(on_box, AVOW_CONTEXT)),
		"box:9");
	ck_assert_int_eq(fx.boxes, 0);
}

AVOW_CALLBACKIFY(negative_done, AVOW_CTX(const void *),
		 AVOW_NEGERR(int, explain), AVOW_NUM(double));
AVOW_CALLBACKIFY(text_done, AVOW_BYTES(const char *, int), AVOW_SKIP(int),
		 AVOW_ERR(long, explain), AVOW_CTX(void *));
AVOW_CALLBACKIFY(lent_done, AVOW_ERR(int, explain), AVOW_COPY(fx_twin, void *),
		 AVOW_CTX(void *));
AVOW_CALLBACKIFY(count_done, AVOW_NUM(int), AVOW_CTX(void *));

static void negative_consumer(const void *name, int err, double number)
{
	fx_log("%s:%d,%g", (const char *)name, err, number);
}

static void text_consumer(const char *text, int size, int skipped, long err,
			  void *name)
{
	fx_log("%s:%.*s,%d,%d,%ld", (const char *)name, size, text ? text : "",
	       size, skipped, err);
}

static void lent_consumer(int err, void *twin_of_promise, void *name)
{
	const struct fx_box *const x = twin_of_promise;

	fx_log("%s:%d,%d", (const char *)name, err, x ? x->number : 0);
}

static void count_consumer(int count, void *name)
{
	fx_log("%s:%d", (const char *)name, count);
}

FX_TEST(the_way_back_knows_the_same_roles)
{
	const avow_value five = avow_domain_error(&shared_domain, 5);
	const avow_value minus = avow_domain_error(&shared_domain, -5);

	negative_done(avow_resolved(fx.loop, avow_double(.5)),
		      negative_consumer, "a");
	negative_done(avow_rejected(fx.loop, five), negative_consumer, "b");
	negative_done(avow_rejected(fx.loop, minus), negative_consumer, "c");
	text_done(avow_resolved(fx.loop, avow_bytes("ab", 2)), text_consumer,
		  "d");
	text_done(avow_rejected(fx.loop, five), text_consumer, "e");
	lent_done(avow_resolved(fx.loop, fx_twin_new(3)), lent_consumer, "f");
	lent_done(avow_rejected(fx.loop, five), lent_consumer, "g");
	count_done(avow_resolved(fx.loop, avow_int(4)), count_consumer, "h");
	fx_run();

	fx_expect("a:0,0.5|b:-5,0|c:-5,0|d:ab,2,0,0|e:,0,0,5|f:0,3|g:5,0|h:4");
	ck_assert_int_eq(fx.boxes, 0);
}


/* ---------------------------------------------------------- Out of memory */

/* Begin calls with no memory left until one is refused. */
static avow_call begin_without_memory(void)
{
	avow_call c;

	fx_fail_from(0);
	do {
		c = avow_begin(fx.loop, "call");
		if (c.is_open)
			avow_catch(avow_end(c, true, 0), fx_note, NULL);
	} while (c.is_open);
	return c;
}

FX_TEST_LIMIT(a_call_without_memory_is_not_started_and_is_rejected, 10)
{
	const avow_call c = begin_without_memory();

	ck_assert_ptr_nonnull(c.context);
	ck_assert_ptr_nonnull(c.promise);
	avow_settle(c.context, fx_box_new(1));
	ck_assert_int_eq(fx.boxes, 0);
	ck_assert_ptr_null(avow_alloc(c.context, 1));
	avow_on_cancel(c.context, fx_job, "never");
	avow_promise *const p = avow_end(c, true, 0);
	ck_assert_int_eq(avow_state_of(p), AVOW_REJECTED);
	ck_assert(avow_error_is(avow_value_of(p), &avow_errno_domain, ENOMEM));
	fx_fail_never();
	fx_free_loop();

	ck_assert_ptr_null(strstr(fx_take_log(), "never"));
	(void)fx_take_reports();
}

FX_TEST_LIMIT(a_promisified_call_without_memory_is_not_evaluated, 10)
{
	(void)begin_without_memory();
	legacy.starts = 0;

	avow_promise *const p = legacy_call();

	ck_assert_int_eq(legacy.starts, 0);
	ck_assert(avow_error_is(avow_value_of(p), &avow_errno_domain, ENOMEM));
	fx_fail_never();
	fx_free_loop();
	(void)fx_take_log();
	(void)fx_take_reports();
}


/* ------------------------------------------------------- Borrowed strings */

static void name_now(const char *name, int err,
		     void (*cb)(int, const char *, void *), void *ctx)
{
	char borrowed[16] = "";

	snprintf(borrowed, sizeof(borrowed), "%s", name ? name : "");
	cb(err, name ? borrowed : NULL, ctx);
	memset(borrowed, 'x', sizeof(borrowed) - 1);
}

AVOW_CALLBACK(on_name, AVOW_ERR_IN(int, avow_errno_domain),
	      AVOW_STR(const char *), AVOW_CTX(void *));

FX_TEST(a_borrowed_string_is_copied)
{
	avow_then(AVOW_PROMISIFY_VOID(fx.loop, name_now("Ada", 0, on_name,
							AVOW_CONTEXT)),
		  fx_note, "name");
	avow_then(AVOW_PROMISIFY_VOID(fx.loop, name_now(NULL, 0, on_name,
							AVOW_CONTEXT)),
		  fx_note, "nobody");
	avow_catch(AVOW_PROMISIFY_VOID(fx.loop, name_now("Bob", EIO, on_name,
							 AVOW_CONTEXT)),
		   fx_note, "error");
	fx_run();
	const char *const text = fx_take_log();
	ck_assert_msg(strstr(text, "name:Ada|nobody:none|error:!") == text,
		      "%s", text);
}

static void pair_now(void (*cb)(void *, const char *, const char *), void *ctx)
{
	char key[] = "key", value[] = "value";

	cb(ctx, key, value);
}

AVOW_CALLBACK(on_pair, AVOW_CTX(void *), AVOW_STR(const char *),
	      AVOW_STR(const char *));

static avow_value note_pair(avow_value value, void *arg)
{
	const on_pair_results *const pair = on_pair_results_get(value);

	(void)arg;
	fx_log("%s=%s", avow_str_get(pair->p2), avow_str_get(pair->p3));
	return avow_none();
}

FX_TEST(two_borrowed_strings_are_members_of_the_results)
{
	avow_then(AVOW_PROMISIFY_VOID(fx.loop, pair_now(on_pair, AVOW_CONTEXT)),
		  note_pair, NULL);
	fx_run();
	fx_expect("key=value");
}

AVOW_CALLBACKIFY(name_done, AVOW_ERR_IN(int, avow_errno_domain),
		 AVOW_STR(const char *), AVOW_CTX(void *));

static void take_name(int err, const char *name, void *ctx)
{
	fx_log("%s:%d:%s", (const char *)ctx, err, name ? name : "none");
}

FX_TEST(a_string_is_lent_to_a_legacy_consumer)
{
	name_done(avow_resolved(fx.loop, avow_str("Ada")), take_name, "a");
	name_done(avow_resolved(fx.loop, avow_none()), take_name, "b");
	name_done(avow_rejected(fx.loop, avow_errno(EIO)), take_name, "c");
	fx_run();
	fx_expect("a:0:Ada|b:0:none|c:5:none");
}

int main(void)
{
	return fx_main("promisify");
}
