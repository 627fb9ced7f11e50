/*
 * SPDX-License-Identifier: MIT
 *
 * One promise out of many: all, all_settled, any, race, some.  Each sentence of
 * avow/combine.h, and what must hold of everything that waits for many: who is
 * cancelled with whom and in which order, who owns the values, what is left
 * when memory or the loop goes away in between.
 *
 * Work is a call whose cancel hook logs; what is settled by hand stands in the
 * array `in` of pending promises, so that a test reads as the order of events.
 * What holds for all five functions is tried with each, by their numbers.
 */
#include "scene.h"

#include <pthread.h>

enum { MANY = 8 };

/* The pending promises of a test. */
static avow_promise *in[MANY];

static avow_promise *const *open_inputs(size_t count)
{
	for (size_t i = 0; i < count; i++)
		in[i] = avow_pending(fx.loop);
	return in;
}

static void resolve_with(size_t i, int64_t number)
{
	avow_resolve(in[i], avow_int(number));
	fx_run();
}

static void reject_with(size_t i, const char *text)
{
	avow_reject(in[i], avow_error(EIO, "%s", text));
	fx_run();
}

static avow_value note_kind(avow_value value, void *name)
{
	fx_log("%s:%s", (const char *)name,
	       avow_is_cancelled(value) ? "cancelled" : fx_text(value));
	return avow_none();
}

/* What becomes of `p`, whatever it is: "name:value". */
static avow_promise *note_end(avow_promise *p, const char *name)
{
	return avow_on(p, .fulfilled = note_kind, .rejected = note_kind,
		       .arg = (void *)(uintptr_t)name);
}

/* A call that is never called back, whose hook logs "hook:name". */
static void note_hook(void *name)
{
	fx_log("hook:%s", (const char *)name);
}

static avow_promise *work(const char *name)
{
	const avow_call call = avow_begin(fx.loop, name);
	avow_on_cancel(call.context, note_hook, (void *)(uintptr_t)name);
	return avow_end(call, true, 0);
}

/* All five; some of them wants one. */
enum kind { ALL, SETTLED, ANY, RACE, SOME, KINDS };
static const char *const names[KINDS] = { "all", "settled", "any", "race",
					  "some" };

static avow_promise *join(enum kind kind, avow_loop *loop,
			  avow_promise *const *list, const avow_join *options)
{
	switch (kind) {
	case ALL:
		return avow_all_at(AVOW_HERE, loop, list, options);
	case SETTLED:
		return avow_all_settled_at(AVOW_HERE, loop, list, options);
	case ANY:
		return avow_any_at(AVOW_HERE, loop, list, options);
	case RACE:
		return avow_race_at(AVOW_HERE, loop, list, options);
	default:
		return avow_some_at(AVOW_HERE, loop, 1, list, options);
	}
}

static avow_promise *join_of(enum kind kind, avow_promise *const *list,
			     size_t count)
{
	const avow_join options = { .count = count };
	return join(kind, fx.loop, list, &options);
}


/* --------------------------------------------------------------------- All */

FX_TEST(all_gives_the_values_in_the_order_of_the_array)
{
	note_end(avow_all(fx.loop, open_inputs(3), 3), "all");
	resolve_with(2, 3);
	resolve_with(0, 1);
	fx_expect("");
	resolve_with(1, 2);
	fx_expect("all:[1,2,3]");
}

FX_TEST(all_is_rejected_with_the_first_rejection)
{
	note_end(avow_all(fx.loop, open_inputs(3), 3), "all");
	resolve_with(0, 1);
	reject_with(2, "third");
	fx_expect("all:!third");
	reject_with(1, "second"); /* handled: no report */
	fx_expect("");
}

FX_TEST(all_of_nothing_is_fulfilled_at_once)
{
	avow_promise *const p = avow_all(fx.loop, NULL, 0);
	ck_assert_int_eq(avow_state_of(p), AVOW_FULFILLED);
	ck_assert_uint_eq(avow_list_count(avow_value_of(p)), 0);
}

FX_TEST(settled_and_pending_promises_may_be_mixed)
{
	avow_promise *const list[] = {
		avow_resolved(fx.loop, avow_int(1)), avow_pending(fx.loop),
		avow_then(avow_resolved(fx.loop, avow_none()), fx_seven,
			  "seven")
	};
	note_end(avow_all(fx.loop, list, 3), "all");
	fx_run();
	fx_expect("seven:none");
	avow_resolve(list[1], avow_str("two"));
	fx_run();
	fx_expect("all:[1,two,7]");
}

FX_TEST(one_promise_may_stand_in_the_list_twice)
{
	avow_promise *const list[] = { avow_pending(fx.loop), NULL, NULL };
	avow_promise *const twice[] = { list[0], list[0], list[0] };
	note_end(avow_all(fx.loop, twice, 3), "all");
	avow_resolve(list[0], fx_box_new(5));
	fx_run();
	fx_expect("all:[box:5,box:5,box:5]");
	ck_assert_int_eq(fx.boxes, 0);
}

FX_TEST(the_array_is_read_before_the_function_returns)
{
	avow_promise *list[] = { avow_resolved(fx.loop, avow_int(1)),
				 avow_resolved(fx.loop, avow_int(2)) };
	note_end(avow_all(fx.loop, list, 2), "all");
	list[0] = list[1] = NULL;
	fx_run();
	fx_expect("all:[1,2]");
}

FX_TEST(the_promises_in_the_array_are_not_consumed)
{
	avow_promise *const p = avow_pending(fx.loop);
	note_end(avow_all(fx.loop, &p, 1), "all");
	note_end(p, "before");
	note_end(avow_race(fx.loop, &p, 1), "race");
	fx_run();
	note_end(p, "later");
	avow_resolve(p, fx_box_new(1));
	fx_run();
	fx_expect("before:box:1|later:box:1|all:[box:1]|race:box:1");
	ck_assert_int_eq(fx.boxes, 0);
}

/* A thenable that settles its context at once. */
static avow_value settle_soon(avow_value value, void *context)
{
	(void)value;
	avow_settle(context, avow_int(9));
	return avow_none();
}

AVOW_TYPE_WITH(future, void *, 0, 0, settle_soon, false, 0);

FX_TEST(what_a_thenable_settles_counts_as_well)
{
	avow_promise *const list[] = { avow_resolved(fx.loop,
						     future_value(NULL)),
				       avow_resolved(fx.loop, avow_int(1)) };
	note_end(avow_all(fx.loop, list, 2), "all");
	fx_run();
	fx_expect("all:[9,1]");
}

FX_TEST(what_follows_another_promise_counts_as_well)
{
	open_inputs(2);
	note_end(avow_all(fx.loop, in, 1), "all");
	avow_resolve(in[0], avow_await(in[1]));
	fx_run();
	avow_resolve(in[1], fx_box_new(4));
	fx_run();
	fx_expect("all:[box:4]");
}

FX_TEST(functions_without_macros_are_there)
{
	avow_promise *const p = avow_resolved(fx.loop, avow_int(1));
	note_end((avow_all)(fx.loop, &p, 1), "all");
	note_end((avow_all_settled)(fx.loop, &p, 1), "settled");
	note_end((avow_any)(fx.loop, &p, 1), "any");
	note_end((avow_race)(fx.loop, &p, 1), "race");
	note_end((avow_some)(fx.loop, 1, &p, 1), "some");
	fx_run();
	fx_expect("all:[1]|settled:[1]|any:1|race:1|some:[1]");
}


/* ------------------------------------------------------------- All settled */

static avow_value count_errors(avow_value list, void *arg)
{
	(void)arg;
	for (size_t i = 0; i < avow_list_count(list); i++)
		fx_log("%s", avow_is_error(avow_list_at(list, i)) ? "error"
								  : "value");
	return list;
}

FX_TEST(all_settled_is_fulfilled_with_values_and_errors)
{
	avow_promise *const p = avow_all_settled(fx.loop, open_inputs(3), 3);
	note_end(avow_then(p, count_errors, NULL), "settled");
	reject_with(1, "second");
	resolve_with(2, 3);
	fx_expect("");
	resolve_with(0, 1);
	fx_expect("value|error|value|settled:[1,!second,3]");
}

FX_TEST(all_settled_of_nothing_is_fulfilled_at_once)
{
	avow_promise *const p = avow_all_settled(fx.loop, NULL, 0);
	ck_assert_int_eq(avow_state_of(p), AVOW_FULFILLED);
	ck_assert_uint_eq(avow_list_count(avow_value_of(p)), 0);
}

FX_TEST(all_settled_has_cancelled_promises_as_errors)
{
	avow_promise *const p = avow_all_settled(fx.loop, open_inputs(2), 2);
	note_end(avow_then(p, count_errors, NULL), "settled");
	avow_cancel(in[0]);
	resolve_with(1, 1);
	fx_expect("error|value|settled:[!cancelled,1]");
}


/* --------------------------------------------------------------------- Any */

FX_TEST(any_gives_the_first_value)
{
	note_end(avow_any(fx.loop, open_inputs(3), 3), "any");
	reject_with(0, "first");
	fx_expect("");
	resolve_with(2, 3);
	fx_expect("any:3");
	resolve_with(1, 2);
	fx_expect("");
}

static avow_value look_at_causes(avow_value error, void *arg)
{
	const avow_value causes = avow_cause(error);
	(void)arg;
	ck_assert(avow_error_is(error, &avow_core_domain, AVOW_EAGGREGATE));
	fx_log("%s:%s", avow_message(error), fx_text(causes));
	return avow_none();
}

FX_TEST(any_is_rejected_with_all_errors_in_the_order_of_the_array)
{
	avow_catch(avow_any(fx.loop, open_inputs(3), 3), look_at_causes, NULL);
	reject_with(2, "c");
	reject_with(0, "a");
	fx_expect("");
	reject_with(1, "b");
	fx_expect("3 of 3 promises were rejected:[!a,!b,!c]");
}

FX_TEST(any_of_nothing_is_rejected_at_once)
{
	avow_promise *const p = avow_any(fx.loop, NULL, 0);
	ck_assert_int_eq(avow_state_of(p), AVOW_REJECTED);
	avow_catch(p, look_at_causes, NULL);
	fx_run();
	fx_expect("0 of 0 promises were rejected:[]");
}

FX_TEST(one_error_may_stand_in_the_causes_twice)
{
	avow_promise *const p = avow_rejected(fx.loop, avow_error(EIO, "bad"));
	avow_promise *const twice[] = { p, p };
	avow_catch(avow_any(fx.loop, twice, 2), look_at_causes, NULL);
	fx_run();
	fx_expect("2 of 2 promises were rejected:[!bad,!bad]");
}


/* -------------------------------------------------------------------- Race */

FX_TEST(race_is_fulfilled_as_the_first)
{
	note_end(avow_race(fx.loop, open_inputs(3), 3), "race");
	resolve_with(1, 2);
	fx_expect("race:2");
	resolve_with(0, 1);
	reject_with(2, "third");
	fx_expect("");
}

FX_TEST(race_is_rejected_as_the_first)
{
	note_end(avow_race(fx.loop, open_inputs(2), 2), "race");
	reject_with(1, "second");
	fx_expect("race:!second");
	resolve_with(0, 1);
	fx_expect("");
}

FX_TEST(race_takes_the_first_of_the_array_where_several_are_settled)
{
	avow_promise *const two[] = { avow_resolved(fx.loop, avow_int(1)),
				      avow_resolved(fx.loop, avow_int(2)) };
	note_end(avow_race(fx.loop, two, 2), "race");
	fx_run();
	fx_expect("race:1");
}

/* Nothing was called, so nothing is reported. */
FX_TEST(race_of_nothing_is_pending_until_the_loop_ends)
{
	avow_promise *const p = avow_race(fx.loop, NULL, 0);
	note_end(p, "race");
	fx_run();
	ck_assert_int_eq(avow_state_of(p), AVOW_PENDING);
	fx_free_loop();
	fx_expect("race:!abandoned: the loop was freed first");
	fx_expect_reports("");
}


/* -------------------------------------------------------------------- Some */

FX_TEST(some_gives_values_in_the_order_in_which_they_came)
{
	note_end(avow_some(fx.loop, 2, open_inputs(4), 4), "some");
	resolve_with(3, 4);
	reject_with(0, "first");
	fx_expect("");
	resolve_with(1, 2);
	fx_expect("some:[4,2]");
	resolve_with(2, 3);
	fx_expect("");
}

FX_TEST(some_is_rejected_as_soon_as_so_many_can_no_longer_come)
{
	avow_catch(avow_some(fx.loop, 2, open_inputs(4), 4), look_at_causes,
		   NULL);
	resolve_with(0, 1);
	reject_with(3, "d");
	reject_with(1, "b");
	fx_expect("");
	reject_with(2, "c");
	fx_expect("3 of 4 promises were rejected:[!b,!c,!d]");
}

FX_TEST(some_does_not_wait_for_the_rest_once_it_is_impossible)
{
	avow_catch(avow_some(fx.loop, 3, open_inputs(4), 4), look_at_causes,
		   NULL);
	reject_with(2, "c");
	reject_with(0, "a");
	fx_expect("2 of 4 promises were rejected:[!a,!c]");
	resolve_with(1, 2);
	resolve_with(3, 4);
	fx_expect("");
}

FX_TEST(some_may_want_all_of_them)
{
	note_end(avow_some(fx.loop, 2, open_inputs(2), 2), "some");
	resolve_with(1, 2);
	resolve_with(0, 1);
	fx_expect("some:[2,1]");
}

FX_TEST(some_of_which_none_are_wanted_is_an_empty_list_at_once)
{
	avow_promise *const p = avow_some(fx.loop, 0, NULL, 0);
	ck_assert_int_eq(avow_state_of(p), AVOW_FULFILLED);
	ck_assert_uint_eq(avow_list_count(avow_value_of(p)), 0);
	ck_assert_int_eq(
		avow_state_of(avow_some(fx.loop, 0, open_inputs(1), 1)),
		AVOW_FULFILLED);
}

FX_TEST(more_than_there_are_is_rejected)
{
	avow_promise *const p = avow_some(fx.loop, 3, open_inputs(2), 2);
	ck_assert(avow_error_is(avow_value_of(p), &avow_core_domain,
				AVOW_EINVALID));
	note_end(p, "some");
	fx_run();
	fx_expect("some:!avow_some() of 2 promises: 3 are wanted");
}


/* ------------------------------------------------------ Nothing, bad input */

FX_TEST(some_of_which_none_are_wanted_handles_rejections_all_the_same)
{
	avow_promise *const p = avow_rejected(fx.loop, avow_errno(EIO));
	note_end(avow_some(fx.loop, 0, &p, 1), "some");
	fx_run();
	fx_expect("some:[]");
}

FX_TEST(some_of_which_none_are_wanted_cancels_losers_if_asked)
{
	avow_promise *const p = work("w");
	note_end(avow_some(fx.loop, 0, &p, 1, .cancel_losers = true), "some");
	fx_run();
	fx_expect("hook:w|some:[]");
}

/* The hook of a loser, right inside of the function that makes the promise. */
static void run_the_loop(void *arg)
{
	(void)arg;
	ev_run(fx.ev, EVRUN_NOWAIT);
	fx_log("hook");
}

static void free_the_loop(void *arg)
{
	(void)arg;
	avow_loop_free(fx.loop);
	fx_log("hook");
}

static avow_promise *some_of_nothing(avow_job_fn *hook)
{
	const avow_call call = avow_begin(fx.loop, "call");
	avow_promise *const p = avow_end(call, true, 0);
	avow_on_cancel(call.context, hook, NULL);
	return avow_some(fx.loop, 0, &p, 1, .cancel_losers = true);
}

FX_TEST(the_promise_made_is_there_after_a_hook_has_run_the_loop)
{
	note_end(some_of_nothing(run_the_loop), "some");
	fx_run();
	fx_expect("hook|some:[]");
}

/* So is the signal, which is good until this callback returns. */
FX_TEST(a_signal_is_looked_at_before_a_hook_runs_the_loop)
{
	const avow_call call = avow_begin(fx.loop, "call");
	avow_promise *const p = avow_end(call, true, 0);
	avow_on_cancel(call.context, run_the_loop, NULL);
	avow_signal *const signal = avow_signal_any(fx.loop, NULL, 0);
	note_end(avow_some(fx.loop, 0, &p, 1, .cancel_losers = true,
			   .signal = signal),
		 "some");
	fx_run();
	fx_expect("hook|some:[]");
}

FX_TEST(a_hook_may_free_the_loop_while_the_promise_is_made)
{
	(void)some_of_nothing(free_the_loop);
	fx.loop = NULL;
	fx_expect("hook");
}

FX_TEST(a_signal_that_has_aborted_rejects_even_all_of_nothing)
{
	avow_abort *const stop = avow_abort_new(fx.loop);
	avow_abort_with(stop, avow_errno(EINTR));
	note_end(avow_all(fx.loop, NULL, 0, .signal = avow_abort_signal(stop)),
		 "all");
	fx_run();
	fx_expect("all:!Interrupted system call");
	avow_abort_free(stop);
}


FX_TEST(no_list_with_a_count_is_rejected)
{
	for (int kind = 0; kind < KINDS; kind++) {
		avow_promise *const p = join_of((enum kind)kind, NULL, 2);
		ck_assert(avow_error_is(avow_value_of(p), &avow_core_domain,
					AVOW_EINVALID));
		ck_assert_str_ne(avow_error_place(avow_value_of(p)), "");
		avow_catch(p, fx_note, names[kind]);
	}
	fx_run();
	fx_expect("all:!avow_all() of a NULL list of 2|"
		  "settled:!avow_all_settled() of a NULL list of 2|"
		  "any:!avow_any() of a NULL list of 2|"
		  "race:!avow_race() of a NULL list of 2|"
		  "some:!avow_some() of a NULL list of 2");
}

FX_TEST(a_list_larger_than_memory_is_rejected)
{
	avow_promise *const p = avow_pending(fx.loop);
	for (int kind = 0; kind < KINDS; kind++) {
		avow_promise *const q = join_of((enum kind)kind, &p, SIZE_MAX);
		ck_assert(avow_error_is(avow_value_of(q), &avow_errno_domain,
					ENOMEM));
		avow_catch(q, fx_note_code, NULL);
		avow_catch(avow_some(fx.loop, SIZE_MAX / 16, &p, SIZE_MAX),
			   fx_note_code, NULL);
	}
	fx_run();
	(void)fx_take_log();
}


/* ------------------------------------------------------------------- Misuse */

static void *join_in_thread(void *p)
{
	(void)avow_all(fx.loop, (avow_promise *const *)p, 1);
	return NULL;
}

static void join_from_afar(avow_promise *p)
{
	pthread_t thread;
	pthread_create(&thread, NULL, join_in_thread, &p);
	pthread_join(thread, NULL);
}

FX_TEST(misuse_is_told)
{
	avow_loop *const other = avow_loop_new(fx.ev);
	avow_promise *const there = avow_pending(other);
	avow_promise *const list[] = { avow_pending(fx.loop), NULL };
	FX_ABORTS("a NULL promise to wait for",
		  (void)avow_all(fx.loop, list, 2));
	FX_ABORTS("a NULL promise to wait for",
		  (void)avow_some(fx.loop, 0, list, 2));
	FX_ABORTS("avow_race() with a NULL loop",
		  (void)avow_race(NULL, list, 1));
	FX_ABORTS("a promise of another loop",
		  (void)avow_any(fx.loop, &there, 1));
	FX_ABORTS("from another thread", join_from_afar(list[0]));
	FX_ABORTS("settles itself",
		  avow_resolve(avow_all(fx.loop, list, 1), avow_none()));
	avow_loop_free(other);
}

FX_TEST(a_stale_handle_is_told_with_its_place)
{
	const int line = __LINE__ + 1;
	avow_promise *const p = avow_resolved(fx.loop, avow_int(1));
	fx_run();
	FX_ABORTS("a stale handle: the promise is gone, hold it",
		  (void)avow_all(fx.loop, &p, 1));
	ck_assert_msg(fx_abort_names(line), "%s", fx_abort_text());
}


/* ------------------------------------------------------------------- Losers */

FX_TEST(losers_go_on_and_their_rejections_are_handled)
{
	avow_promise *const list[] = { avow_pending(fx.loop), work("w"),
				       avow_pending(fx.loop) };
	note_end(avow_race(fx.loop, list, 3), "race");
	avow_resolve(list[0], avow_int(1));
	fx_run();
	ck_assert_int_eq(avow_state_of(list[1]), AVOW_PENDING);
	avow_reject(list[2], avow_error(EIO, "late"));
	fx_run();
	fx_expect("race:1");
	fx_expect_reports("");
	fx_free_loop();
	fx_expect("hook:w");
	fx_expect_reports("abandoned:w");
}

/* The first value decides any, race and some; the first rejection all. */
static void decide(enum kind kind, const avow_join *options,
		   avow_promise *const *list)
{
	note_end(join(kind, fx.loop, list, options), names[kind]);
	if (kind == ALL)
		avow_reject(list[0], avow_error(EIO, "bad"));
	else
		avow_resolve(list[0], avow_int(1));
	fx_run();
}

FX_TEST(losers_are_cancelled_where_that_is_asked_for)
{
	const avow_join options = { .count = 3, .cancel_losers = true };
	for (int kind = 0; kind < KINDS; kind++) {
		avow_promise *const list[] = { avow_pending(fx.loop), work("a"),
					       avow_then(work("b"), fx_note,
							 "never") };
		if (kind != SETTLED) /* has no losers */
			decide((enum kind)kind, &options, list);
		else
			avow_cancel(join(SETTLED, fx.loop, list, &options));
	}
	fx_expect("hook:a|hook:b|all:!bad|hook:a|hook:b|hook:a|hook:b|any:1|"
		  "hook:a|hook:b|race:1|hook:a|hook:b|some:[1]");
}

FX_TEST(losers_that_somebody_else_waits_for_go_on)
{
	const avow_join options = { .count = 4, .cancel_losers = true };
	avow_promise *const list[] = { avow_pending(fx.loop), work("held"),
				       work("branched"), work("alone") };
	avow_hold(list[1]);
	avow_promise *const branch = avow_then(list[2], fx_note, "never");
	decide(RACE, &options, list);
	fx_expect("hook:alone|race:1");
	ck_assert_int_eq(avow_state_of(list[1]), AVOW_PENDING);
	ck_assert_int_eq(avow_state_of(list[2]), AVOW_PENDING);
	avow_cancel(branch);
	fx_expect("hook:branched");
	avow_release(list[1]);
	avow_cancel(list[1]);
	fx_expect("hook:held");
}

FX_TEST(a_loser_that_stands_in_the_list_twice_is_cancelled_once)
{
	const avow_join options = { .count = 3, .cancel_losers = true };
	avow_promise *const p = work("w");
	avow_promise *const list[] = { avow_pending(fx.loop), p, p };
	decide(RACE, &options, list);
	fx_expect("hook:w|race:1");
}

FX_TEST(a_loser_behind_a_shield_goes_on)
{
	const avow_join options = { .count = 2, .cancel_losers = true };
	avow_promise *const p = work("w");
	avow_promise *const list[] = { avow_pending(fx.loop), avow_shield(p) };
	decide(RACE, &options, list);
	fx_expect("race:1");
	avow_cancel(p);
	fx_expect("hook:w");
}

FX_TEST(losers_that_have_settled_meanwhile_are_left_alone)
{
	avow_promise *const list[] = { avow_pending(fx.loop),
				       avow_pending(fx.loop) };
	note_end(avow_race(fx.loop, list, 2, .cancel_losers = true), "race");
	avow_resolve(list[0], fx_box_new(1));
	avow_resolve(list[1], fx_box_new(2));
	fx_run();
	fx_expect("race:box:1");
	ck_assert_int_eq(fx.boxes, 0);
}


/* ------------------------------------------------------------- Cancelling it */

FX_TEST(cancelling_cancels_what_nobody_else_waits_for)
{
	for (int kind = 0; kind < KINDS; kind++) {
		avow_promise *const list[] = { work("a"), work("b"),
					       work("c") };
		avow_promise *const end = note_end(list[1], "b");
		avow_promise *const p = join_of((enum kind)kind, list, 3);
		note_end(p, names[kind]);
		avow_cancel(p);
		fx_log("return");
		fx_run();
		ck_assert_int_eq(avow_state_of(list[1]), AVOW_PENDING);
		avow_cancel(end);
		fx_run();
	}
	fx_expect("hook:a|hook:c|return|all:cancelled|hook:b|"
		  "hook:a|hook:c|return|settled:cancelled|hook:b|"
		  "hook:a|hook:c|return|any:cancelled|hook:b|"
		  "hook:a|hook:c|return|race:cancelled|hook:b|"
		  "hook:a|hook:c|return|some:cancelled|hook:b");
}

FX_TEST(cancelling_drops_the_values_that_have_come)
{
	for (int kind = 0; kind < 2; kind++) {
		avow_promise *const p =
			join_of((enum kind)kind, open_inputs(2), 2);
		avow_resolve(in[0], fx_box_new(1));
		fx_run();
		ck_assert_int_eq(fx.boxes, 1);
		avow_cancel(p);
		ck_assert_int_eq(fx.boxes, 0);
		fx_run();
	}
	avow_promise *const p = avow_some(fx.loop, 2, open_inputs(3), 3);
	avow_resolve(in[0], fx_box_new(1));
	avow_reject(in[1], avow_error(EIO, "bad"));
	fx_run();
	avow_cancel(p);
	ck_assert_int_eq(fx.boxes, 0);
}

FX_TEST(cancelling_between_settling_and_the_job_leaves_nothing)
{
	for (int kind = 0; kind < KINDS; kind++) {
		avow_promise *const p =
			join_of((enum kind)kind, open_inputs(2), 2);
		note_end(p, names[kind]);
		avow_resolve(in[0], fx_box_new(1));
		avow_cancel(p);
		fx_run();
		ck_assert_int_eq(fx.boxes, 0);
		ck_assert_int_eq(fx_blocks() > 0, true);
	}
	fx_expect("all:cancelled|settled:cancelled|any:cancelled|"
		  "race:cancelled|some:cancelled");
}

FX_TEST(cancelling_what_follows_all_cancels_them)
{
	avow_promise *const list[] = { work("a"), work("b") };
	avow_promise *const p = avow_pending(fx.loop);
	avow_resolve(p, avow_await(avow_all(fx.loop, list, 2)));
	note_end(p, "p");
	avow_cancel(p);
	fx_run();
	fx_expect("hook:a|hook:b|p:cancelled");
}

/* A deadlock the program made: `p` waits for all, which waits for `p`. */
FX_TEST(a_circle_through_all_can_be_cancelled)
{
	avow_promise *const p = avow_pending(fx.loop);
	avow_promise *const all = avow_all(fx.loop, &p, 1);
	avow_resolve(p, avow_await(all));
	fx_run();
	avow_cancel(all);
	fx_run();
	ck_assert_int_eq((int)fx.boxes, 0);
}

FX_TEST(a_circle_through_all_ends_with_the_loop)
{
	avow_promise *const p = avow_pending(fx.loop);
	note_end(avow_all(fx.loop, &p, 1), "all");
	avow_resolve(p, avow_await(avow_race(fx.loop, &p, 1)));
	fx_run();
	fx_free_loop();
	fx_expect("all:!abandoned: the loop was freed first");
}

FX_TEST(waiting_for_a_circle_is_a_deadlock)
{
	avow_promise *const p = avow_pending(fx.loop);
	avow_promise *const all = avow_all(fx.loop, &p, 1);
	avow_resolve(p, avow_await(all));
	ck_assert(avow_error_is(avow_wait(all), &avow_core_domain,
				AVOW_EDEADLOCK));
	avow_cancel(all);
}


/* ------------------------------------------------------- Order of the drops */

/* What was attached to the promise may be what the work uses: a buffer that
 * both reads fill.  The work stops first. */
FX_TEST(the_work_stops_before_what_hangs_on_all_of_it_is_dropped)
{
	avow_promise *const both[] = { work("a"), work("b") };
	avow_promise *const p =
		avow_attach(avow_all(fx.loop, both, 2), "buffer", fx_drop);
	avow_cancel(p);
	fx_expect("hook:a|hook:b|drop:buffer");
}

FX_TEST(nested_work_stops_before_any_drop_further_down)
{
	avow_promise *const a[] = { avow_attach(work("a"), "a", fx_drop),
				    work("b") };
	avow_promise *const inner =
		avow_attach(avow_all(fx.loop, a, 2), "inner", fx_drop);
	avow_promise *const outer =
		avow_attach(avow_race(fx.loop, &inner, 1), "outer", fx_drop);
	avow_cancel(outer);
	fx_expect("hook:a|hook:b|drop:a|drop:inner|drop:outer");
}

/* Both joins want it, and one cancellation takes both away; what hangs on the
 * longer way waits for the work at the end of the shorter one as well. */
FX_TEST(work_that_two_joins_share_stops_before_any_drop)
{
	avow_promise *const p = work("w");
	avow_promise *const a = avow_attach(p, "a", fx_drop);
	avow_promise *const two[] = { avow_all(fx.loop, &p, 1),
				      avow_race(fx.loop, &a, 1),
				      avow_attach(p, "b", fx_drop) };
	avow_cancel(avow_attach(avow_all(fx.loop, two, 3), "top", fx_drop));
	fx_expect("hook:w|drop:a|drop:b|drop:top");
}

/* The same once avow_loop_free() was called and has not begun. */
static void cancel_while_closing(void *p)
{
	avow_loop_free(fx.loop);
	avow_cancel(p);
	fx_log("return");
}

FX_TEST(cancelling_in_a_closing_loop_stops_the_work_first)
{
	avow_promise *const both[] = { work("a"), work("b") };
	avow_promise *const p =
		avow_attach(avow_all(fx.loop, both, 2), "buffer", fx_drop);
	ck_assert(avow_post(fx.loop, cancel_while_closing, p));
	fx_run();
	fx.loop = NULL;
	fx_expect("hook:a|hook:b|drop:buffer|return");
}

static void cancel_and_note(void *p)
{
	avow_cancel(p);
	fx_log("return");
}

/* And in the midst of it, from the hook of a call that ends first. */
FX_TEST(cancelling_in_a_loop_that_ends_stops_the_work_first)
{
	const avow_call first = avow_begin(fx.loop, "first");
	avow_promise *const both[] = { work("a"), work("b") };
	avow_promise *const p =
		avow_attach(avow_all(fx.loop, both, 2), "buffer", fx_drop);
	avow_on_cancel(first.context, cancel_and_note, p);
	(void)avow_end(first, true, 0);
	fx_free_loop();
	fx_expect("hook:a|hook:b|drop:buffer|return");
	fx_expect_reports("abandoned:first");
}

/* Nested in a cancellation, a loop still does at once what it has to. */
static void race_in_a_nested_loop(void *arg)
{
	avow_promise *const two[] = { avow_resolved(fx.loop, avow_int(1)),
				      work("loser") };
	(void)arg;
	note_end(avow_race(fx.loop, two, 2, .cancel_losers = true), "race");
	ev_run(fx.ev, EVRUN_NOWAIT);
	fx_log("return");
}

FX_TEST(losers_are_cancelled_in_a_loop_nested_in_a_hook)
{
	const avow_call call = avow_begin(fx.loop, "outer");
	avow_on_cancel(call.context, race_in_a_nested_loop, NULL);
	avow_cancel(avow_end(call, true, 0));
	fx_expect("hook:loser|race:1|return");
}


/* ------------------------------------------------------------------ Signals */

FX_TEST(a_signal_aborts_it_and_cancels_what_it_waits_for)
{
	for (int kind = 0; kind < KINDS; kind++) {
		avow_abort *const stop = avow_abort_new(fx.loop);
		avow_promise *const list[] = { work("a"), work("b") };
		const avow_join options = { .count = 2,
					    .signal = avow_abort_signal(stop) };
		note_end(join((enum kind)kind, fx.loop, list, &options),
			 names[kind]);
		avow_hold(list[1]);
		avow_abort_with(stop, avow_error(EINTR, "stop"));
		fx_log("return");
		fx_run();
		avow_release(list[1]);
		avow_cancel(list[1]);
		avow_abort_free(stop);
	}
	fx_expect("hook:a|return|all:!stop|hook:b|"
		  "hook:a|return|settled:!stop|hook:b|"
		  "hook:a|return|any:!stop|hook:b|"
		  "hook:a|return|race:!stop|hook:b|"
		  "hook:a|return|some:!stop|hook:b");
}

FX_TEST(a_signal_that_does_not_abort_changes_nothing)
{
	avow_abort *const stop = avow_abort_new(fx.loop);
	note_end(avow_all(fx.loop, open_inputs(2), 2,
			  .signal = avow_abort_signal(stop)),
		 "all");
	avow_resolve(in[0], avow_int(1));
	avow_resolve(in[1], avow_int(2));
	fx_run();
	avow_abort_with(stop, avow_errno(EIO));
	fx_run();
	fx_expect("all:[1,2]");
	avow_abort_free(stop);
}


/* ------------------------------------------------------------------- Values */

static avow_value take_list(avow_value list, void *where)
{
	*(avow_value *)where = avow_take(list);
	return avow_none();
}

static void *drop_in_thread(void *value)
{
	avow_drop(*(avow_value *)value);
	return NULL;
}

static avow_value take_item(avow_value list, void *arg)
{
	(void)arg;
	return avow_take(avow_list_at(list, 0));
}

FX_TEST(a_value_nobody_else_reads_moves_into_the_list_and_out_of_it)
{
	avow_promise *const p = avow_pending(fx.loop);
	note_end(avow_then(avow_all(fx.loop, &p, 1), take_item, NULL), "box");
	avow_resolve(p, fx_box_new(7));
	fx_run();
	fx_expect("box:box:7");
	ck_assert_int_eq(fx.boxes, 0);
}

FX_TEST(the_value_of_a_race_can_be_taken_as_of_any_chain)
{
	avow_promise *const p = avow_pending(fx.loop);
	avow_promise *const q = avow_pending(fx.loop);
	avow_promise *const list[] = { p, q };
	note_end(avow_then(avow_race(fx.loop, &p, 1), fx_pass, "race"), "box");
	note_end(avow_any(fx.loop, list, 2), "any");
	avow_resolve(p, fx_box_new(7));
	fx_run();
	fx_expect("race:box:7|any:box:7|box:box:7");
	ck_assert_int_eq(fx.boxes, 0);
}

static avow_value see_the_same(avow_value list, void *p)
{
	const struct fx_box *const box = fx_box_get(avow_list_at(list, 0));
	ck_assert_ptr_eq(box, fx_box_get(avow_value_of(p)));
	fx_log("same:%d", box->number);
	return list;
}

FX_TEST(where_somebody_else_reads_it_both_have_it_and_it_drops_once)
{
	avow_promise *const p = avow_resolved(fx.loop, fx_box_new(7));
	avow_hold(p);
	avow_then(avow_all(fx.loop, &p, 1), see_the_same, p);
	avow_then(avow_all_settled(fx.loop, &p, 1), see_the_same, p);
	avow_then(avow_some(fx.loop, 1, &p, 1), see_the_same, p);
	fx_run();
	fx_expect("same:7|same:7|same:7");
	ck_assert_int_eq(fx.boxes, 1);
	ck_assert_int_eq(fx_box_get(avow_value_of(p))->number, 7);
	avow_release(p);
	fx_run();
	ck_assert_int_eq(fx.boxes, 0);
}

FX_TEST(a_slot_is_a_reader_too)
{
	avow_promise *slot;
	avow_slot(avow_resolved(fx.loop, fx_box_new(7)), &slot);
	avow_hold(slot);
	note_end(avow_all(fx.loop, &slot, 1), "all");
	fx_run();
	ck_assert_int_eq(fx_box_get(avow_value_of(slot))->number, 7);
	avow_release(slot);
	fx_run();
	ck_assert_ptr_null(slot);
	fx_expect("all:[box:7]");
}

/* A handle that is good is a reader, without a hold: that of a frame further
 * out, which waits. */
FX_TEST(whoever_waits_for_the_list_can_read_the_promises_still)
{
	avow_promise *const p = avow_resolved(fx.loop, fx_box_new(7));
	const struct fx_box *const box = fx_box_get(avow_wait(p));
	avow_promise *const all = avow_all(fx.loop, &p, 1);
	ck_assert_ptr_eq(fx_box_get(avow_list_at(avow_wait(all), 0)), box);
	ck_assert_ptr_eq(fx_box_get(avow_value_of(p)), box);
}

static avow_value wait_for_all(avow_value value, void *arg)
{
	avow_promise *const p = avow_resolved(fx.loop, fx_box_new(8));
	const struct fx_box *const box = fx_box_get(avow_value_of(p));
	(void)value;
	(void)arg;
	const avow_value list = avow_wait(avow_all(fx.loop, &p, 1));
	ck_assert_ptr_eq(fx_box_get(avow_list_at(list, 0)), box);
	ck_assert_ptr_eq(fx_box_get(avow_value_of(p)), box);
	fx_log("waited");
	return avow_none();
}

FX_TEST(a_handler_that_waits_for_the_list_can_read_the_promises_still)
{
	avow_then(avow_resolved(fx.loop, avow_none()), wait_for_all, NULL);
	fx_run();
	fx_expect("waited");
	ck_assert_int_eq(fx.boxes, 0);
}

/* As the promise is freed first, or the list. */
FX_TEST(the_last_of_promise_and_list_drops_the_value)
{
	avow_value list;
	avow_promise *p = avow_resolved(fx.loop, fx_box_new(7));
	avow_hold(p);
	avow_then(avow_all(fx.loop, &p, 1), take_list, &list);
	fx_run();
	avow_release(p);
	fx_run();
	ck_assert_int_eq(fx_box_get(avow_list_at(list, 0))->number, 7);
	avow_drop(list);
	ck_assert_int_eq(fx.boxes, 0);

	p = avow_resolved(fx.loop, fx_box_new(8));
	avow_hold(p);
	avow_then(avow_all(fx.loop, &p, 1), take_list, &list);
	fx_run();
	avow_drop(list);
	ck_assert_int_eq(fx_box_get(avow_value_of(p))->number, 8);
	fx_free_loop();
	ck_assert_int_eq(fx.boxes, 0);
}

static avow_value make_box(int number)
{
	return fx_box_new(number);
}

static avow_value make_twin(int number)
{
	return fx_twin_new(number);
}

/* avow_take() of an item that `p`, held, reads as well. */
static const char *take_shared(avow_value (*make)(int), const char *text)
{
	avow_promise *const p = avow_resolved(fx.loop, make(7));
	avow_hold(p);
	note_end(avow_then(avow_all(fx.loop, &p, 1), take_item, NULL), "taken");
	fx_run();
	ck_assert_str_eq(fx_text(avow_value_of(p)), text);
	avow_release(p);
	fx_run();
	ck_assert_int_eq(fx.boxes, 0);
	return fx_take_log();
}

FX_TEST(an_item_with_another_reader_is_copied_through_its_type)
{
	ck_assert_str_eq(take_shared(make_twin, "twin:7"), "taken:twin:7");
	ck_assert_str_eq(take_shared(make_box, "box:7"),
			 "taken:!a value of type fx_box cannot be copied");
}

static avow_value release_and_take(avow_value list, void *p)
{
	avow_release(p);
	avow_tidy(fx.loop);
	return avow_take(avow_list_at(list, 0));
}

FX_TEST(an_item_moves_once_the_other_reader_is_gone)
{
	avow_promise *const p = avow_resolved(fx.loop, fx_box_new(7));
	avow_hold(p);
	note_end(avow_then(avow_all(fx.loop, &p, 1), release_and_take, p),
		 "taken");
	fx_run();
	fx_expect("taken:box:7");
	ck_assert_int_eq(fx.boxes, 0);
}

static avow_value take_every_item(avow_value list, void *arg)
{
	(void)arg;
	for (size_t i = 0; i < avow_list_count(list); i++) {
		const avow_value item = avow_take(avow_list_at(list, i));
		fx_log("%s", fx_text(item));
		avow_drop(item);
	}
	return avow_none();
}

FX_TEST(lists_strings_and_errors_are_shared_without_a_box)
{
	const avow_value two[] = { avow_int(1), fx_box_new(2) };
	avow_promise *const list[] = {
		avow_resolved(fx.loop, avow_list(two, 2)),
		avow_rejected(fx.loop, avow_error(EIO, "bad")),
		avow_resolved(fx.loop, avow_str("text")),
		avow_resolved(fx.loop, avow_none())
	};
	for (int i = 0; i < 4; i++)
		avow_hold(list[i]);
	avow_then(avow_all_settled(fx.loop, list, 4), take_every_item, NULL);
	fx_run();
	fx_expect("[1,box:2]|!bad|text|none");
	for (int i = 0; i < 4; i++)
		avow_release(list[i]);
	fx_run();
	ck_assert_int_eq(fx.boxes, 0);
}

/* An error of the program's that owns memory and cannot be copied. */
static void flaw_free(void *flaw)
{
	free(flaw);
	fx.boxes--;
}

static void flaw_describe(avow_value value, char *text, size_t size)
{
	snprintf(text, size, "flaw %d", *(int *)value.as.ptr);
}

AVOW_TYPE_WITH(flaw, int *, flaw_free, 0, 0, true, flaw_describe);

static avow_promise *flawed(int number)
{
	int *const flaw = malloc(sizeof(*flaw));
	*flaw = number;
	fx.boxes++;
	return avow_rejected(fx.loop, flaw_value(flaw));
}

FX_TEST(errors_that_cannot_be_copied_are_shared_too)
{
	avow_promise *const list[] = { flawed(1), flawed(2) };
	avow_hold(list[0]);
	avow_catch(avow_any(fx.loop, list, 2), look_at_causes, NULL);
	avow_then(avow_all_settled(fx.loop, list, 2), count_errors, NULL);
	avow_catch(avow_all(fx.loop, list, 2), fx_note, "all");
	fx_run();
	fx_expect("2 of 2 promises were rejected:[!flaw 1,!flaw 2]|"
		  "error|error|all:!flaw 1");
	ck_assert_int_eq(fx.boxes, 1);
	avow_release(list[0]);
	fx_run();
	ck_assert_int_eq(fx.boxes, 0);
}

FX_TEST(a_list_may_outlive_its_loop)
{
	avow_value list;
	avow_promise *const two[] = { avow_resolved(fx.loop, fx_box_new(1)),
				      avow_resolved(fx.loop, fx_twin_new(2)) };
	avow_hold(two[0]);
	avow_then(avow_all(fx.loop, two, 2), take_list, &list);
	fx_run();
	fx_free_loop();
	ck_assert_str_eq(fx_text(list), "[box:1,twin:2]");
	avow_drop(list);
	ck_assert_int_eq(fx.boxes, 0);
}

FX_TEST(a_list_may_be_dropped_in_another_thread)
{
	avow_value list;
	pthread_t thread;
	avow_promise *const two[] = { avow_resolved(fx.loop, fx_box_new(1)),
				      avow_resolved(fx.loop, fx_twin_new(2)) };
	avow_hold(two[0]);
	avow_then(avow_all(fx.loop, two, 2), take_list, &list);
	fx_run();
	pthread_create(&thread, NULL, drop_in_thread, &list);
	pthread_join(thread, NULL);
	ck_assert_int_eq(fx.boxes, 1);
	avow_release(two[0]);
	fx_run();
	ck_assert_int_eq(fx.boxes, 0);
}

/* The text that item 0 points to; where memory is gone ASan and valgrind see it. */
static avow_value see_memory(avow_value list, void *arg)
{
	const char *const text = avow_ptr_get(avow_list_at(list, 0));
	(void)arg;
	fx_log("%s", text);
	return avow_none();
}

/* A result in memory of avow_alloc() is good as long as it can be read. */
FX_TEST(a_result_in_memory_of_its_call_lives_as_long_as_the_list)
{
	const avow_call call = avow_begin(fx.loop, "call");
	char *const text = avow_alloc(call.context, 16);
	avow_promise *const p = avow_end(call, true, 0);
	strcpy(text, "text");
	avow_then(avow_all(fx.loop, &p, 1), see_memory, NULL);
	avow_settle(call.context, avow_ptr(text));
	fx_run();
	fx_expect("text");
}

FX_TEST(so_does_one_that_came_by_another_promise)
{
	const avow_call outer = avow_begin(fx.loop, "outer");
	const avow_call inner = avow_begin(fx.loop, "inner");
	char *const text = avow_alloc(outer.context, 16);
	ck_assert_ptr_nonnull(avow_alloc(inner.context, 16));
	avow_promise *const p = avow_end(outer, true, 0);
	avow_settle(outer.context, avow_await(avow_end(inner, true, 0)));
	strcpy(text, "text");
	avow_then(avow_all_settled(fx.loop, &p, 1), see_memory, NULL);
	avow_settle(inner.context, avow_ptr(text));
	fx_run();
	fx_expect("text");
}

/* A struct whose payload cannot be moved away from that memory either. */
static avow_value take_with_memory(avow_value list, void *arg)
{
	(void)arg;
	ck_assert_int_eq(fx_box_get(avow_list_at(list, 0))->number, 3);
	const avow_value taken = avow_take(avow_list_at(list, 0));
	ck_assert(avow_error_is(taken, &avow_core_domain, AVOW_ENOTCOPYABLE));
	fx_log("taken");
	return taken;
}

FX_TEST(a_result_that_may_point_into_memory_is_not_moved_away_from_it)
{
	const avow_call call = avow_begin(fx.loop, "call");
	ck_assert_ptr_nonnull(avow_alloc(call.context, 16));
	avow_promise *const p = avow_end(call, true, 0);
	note_end(avow_then(avow_all(fx.loop, &p, 1), take_with_memory, NULL),
		 "end");
	avow_settle(call.context, fx_box_new(3));
	fx_run();
	fx_expect("taken|end:!a value of type fx_box cannot be copied");
	ck_assert_int_eq(fx.boxes, 0);
}

/* Dropped in another thread while the loop's own lets go of it too. */
FX_TEST(memory_of_a_call_may_end_with_a_list_in_another_thread)
{
	avow_value list;
	pthread_t thread;
	const avow_call call = avow_begin(fx.loop, "call");
	char *const text = avow_alloc(call.context, 16);
	avow_promise *const p = avow_end(call, true, 0);
	avow_hold(p);
	avow_then(avow_all(fx.loop, &p, 1), take_list, &list);
	avow_settle(call.context, avow_ptr(strcpy(text, "text")));
	fx_run();
	ck_assert_str_eq(avow_ptr_get(avow_list_at(list, 0)), "text");
	pthread_create(&thread, NULL, drop_in_thread, &list);
	avow_release(p);
	fx_free_loop();
	pthread_join(thread, NULL);
}


/* --------------------------------------------------------- Hops, as in V8 */

static void ladder(void)
{
	static const char *const steps[] = { "1", "2", "3", "4", "5", "6" };
	avow_promise *p = avow_resolved(fx.loop, avow_none());
	for (int i = 0; i < 6; i++)
		p = avow_then(p, fx_note, (void *)(uintptr_t)steps[i]);
}

/* Everything in the log but ":none" of the ladder. */
static const char *hops(void)
{
	static char text[256];
	const char *from = fx_take_log();
	char *to = text;
	while (*from) {
		if (!strncmp(from, ":none", 5))
			from += 5;
		else
			*to++ = *from++;
	}
	*to = '\0';
	return text;
}

FX_TEST(settled_promises_take_two_hops)
{
	for (int kind = 0; kind < KINDS; kind++) {
		avow_promise *const p = avow_resolved(fx.loop, avow_int(0));
		char expected[64];
		ladder();
		note_end(join_of((enum kind)kind, &p, 1), names[kind]);
		fx_run();
		snprintf(expected, sizeof(expected), "1|2|%s:%s|3|4|5|6",
			 names[kind],
			 kind == ANY || kind == RACE ? "0" : "[0]");
		ck_assert_str_eq(hops(), expected);
	}
}

FX_TEST(all_and_any_of_nothing_take_one_hop)
{
	ladder();
	note_end(avow_all(fx.loop, NULL, 0), "all");
	note_end(avow_any(fx.loop, NULL, 0), "any");
	fx_run();
	ck_assert_str_eq(hops(), "1|all:[]|any:!0 of 0 promises were rejected|"
				 "2|3|4|5|6");
}

FX_TEST(all_of_all_take_three_hops)
{
	avow_promise *const p = avow_resolved(fx.loop, avow_int(1));
	ladder();
	avow_promise *const inner = avow_all(fx.loop, &p, 1);
	note_end(avow_all(fx.loop, &inner, 1), "all");
	fx_run();
	ck_assert_str_eq(hops(), "1|2|3|all:[[1]]|4|5|6");
}

FX_TEST(a_thenable_takes_three_hops)
{
	ladder();
	avow_promise *const p = avow_resolved(fx.loop, future_value(NULL));
	note_end(avow_race(fx.loop, &p, 1), "race");
	fx_run();
	ck_assert_str_eq(hops(), "1|2|3|race:9|4|5|6");
}

static avow_value pass_on(avow_value value, void *arg)
{
	(void)arg;
	return value;
}

FX_TEST(a_chain_of_three_takes_five_hops)
{
	ladder();
	avow_promise *p = avow_resolved(fx.loop, avow_int(1));
	for (int i = 0; i < 3; i++)
		p = avow_then(p, pass_on, NULL);
	note_end(avow_all(fx.loop, &p, 1), "all");
	fx_run();
	ck_assert_str_eq(hops(), "1|2|3|4|5|all:[1]|6");
}


/* ------------------------------------------------------------------- Places */

FX_TEST(an_unhandled_rejection_names_the_place_of_the_call)
{
	avow_promise *const p = avow_rejected(fx.loop, avow_errno(EIO));
	const int line = __LINE__ + 1;
	avow_all(fx.loop, &p, 1);
	fx_run();
	fx_expect_reports("unhandled:Input/output error");
	ck_assert_int_eq(fx_report_line(0), line);
	ck_assert_int_eq(fx_report_line(1), line - 2);
}

FX_TEST(an_aggregate_names_the_place_of_the_call)
{
	const int line = __LINE__ + 1;
	avow_promise *const p = avow_any(fx.loop, NULL, 0);
	const char *const place = avow_error_place(avow_value_of(p));
	ck_assert_ptr_nonnull(strrchr(place, ':'));
	ck_assert_int_eq(atoi(strrchr(place, ':') + 1), line);
	fx_run();
	fx_expect_reports("unhandled:0 of 0 promises were rejected");
	ck_assert_int_eq(fx_report_line(0), line);
}


/* ----------------------------------------------------- Great numbers, depth */

static avow_value swallow(avow_value error, void *arg)
{
	(void)error;
	(void)arg;
	return avow_none();
}

static size_t promises(void)
{
	avow_stats stats;
	avow_loop_stats(fx.loop, &stats);
	return stats.promise_count;
}

/* The classic leak: a race against something that lives long. */
FX_TEST_LIMIT(a_million_races_against_one_promise_leave_nothing, 20.)
{
	avow_stats before, after;
	avow_promise *const stop = avow_pending(fx.loop);
	avow_hold(stop);
	for (size_t i = fx_scale(1000000) / 100 + 1; i; i--) {
		for (int k = 0; k < 100; k++) {
			avow_promise *const two[] = {
				stop, avow_resolved(fx.loop, avow_none())
			};
			avow_race(fx.loop, two, 2);
		}
		fx_run();
		if (i == fx_scale(1000000) / 100 + 1)
			avow_loop_stats(fx.loop, &before);
	}
	avow_loop_stats(fx.loop, &after);
	if (!FX_QUARANTINE) {
		ck_assert_uint_eq(before.promise_count, 1);
		ck_assert_uint_eq(after.promise_count, 1);
		ck_assert_uint_eq(after.slab_bytes, before.slab_bytes);
	}
	avow_release(stop);
	avow_cancel(stop);
}

/* `count` promises, of which the last is settled first. */
static void join_many(enum kind kind, size_t count)
{
	avow_promise **const list = malloc(count * sizeof(*list));
	ck_assert_ptr_nonnull(list);
	for (size_t i = 0; i < count; i++)
		list[i] = avow_pending(fx.loop);
	avow_promise *const p = join_of(kind, list, count);
	avow_hold(p);
	for (size_t i = count; i; i--) {
		const avow_value value = kind == ANY ? avow_errno(EIO)
						     : avow_int((int)i);
		avow_resolve(list[i - 1], value);
	}
	free(list);
	fx_run();
	const avow_value value = avow_value_of(p);
	if (kind == ALL || kind == SETTLED)
		ck_assert_int_eq(avow_int_get(avow_list_at(value, count - 1)),
				 (int)count);
	if (kind == ANY)
		ck_assert_uint_eq(avow_list_count(avow_cause(value)), count);
	avow_catch(p, swallow, NULL);
	avow_release(p);
	fx_run();
}

FX_TEST_LIMIT(ten_thousand_promises_may_be_joined, 20.)
{
	for (int kind = 0; kind < KINDS; kind++)
		join_many((enum kind)kind, fx_scale(10000));
}

FX_TEST_LIMIT(a_million_promises_may_be_joined, 20.)
{
	join_many(ALL, fx_scale(1000000));
	join_many(ANY, fx_scale(1000000));
}

FX_TEST_LIMIT(a_million_promises_may_be_cancelled_by_their_join, 20.)
{
	const size_t count = fx_scale(1000000);
	avow_promise **const list = malloc(count * sizeof(*list));
	for (size_t i = 0; i < count; i++)
		list[i] = avow_then(avow_pending(fx.loop), pass_on, NULL);
	avow_cancel(avow_all(fx.loop, list, count));
	free(list);
	fx_run();
	if (!FX_QUARANTINE)
		ck_assert_uint_eq(promises(), 0);
}

/* Everything on everything, on a stack that has no room for recursion. */
static avow_promise *tower(avow_loop *loop, avow_promise *base)
{
	avow_promise *p = base;
	for (size_t i = 0; i < fx_scale(100000); i++) {
		const avow_join one = { .count = 1, .cancel_losers = i % 2 };
		p = join((enum kind)(i % KINDS), loop, &p, &one);
	}
	return p;
}

static void settle_tower(void *error)
{
	avow_promise *const base = avow_pending(fx.loop);
	avow_catch(tower(fx.loop, base), swallow, NULL);
	avow_resolve(base, error ? avow_errno(EIO) : fx_box_new(1));
	fx_run();
	ck_assert_int_eq(fx.boxes, 0);
}

/* Only lists in lists, or aggregates in aggregates: how deep they get. */
static void settle_deep(void *kind)
{
	avow_promise *const base = avow_pending(fx.loop);
	avow_promise *p = base;
	for (size_t i = 0; i < fx_scale(100000); i++)
		p = join_of(*(enum kind *)kind, &p, 1);
	avow_catch(p, swallow, NULL);
	avow_resolve(base, *(enum kind *)kind == ANY ? avow_errno(EIO)
						     : fx_box_new(1));
	fx_run();
	ck_assert_int_eq(fx.boxes, 0);
}

FX_TEST_LIMIT(nested_joins_settle_to_any_depth, 20.)
{
	enum kind kinds[] = { ALL, ANY };
	fx_on_small_stack(settle_tower, NULL);
	fx_on_small_stack(settle_tower, "error");
	fx_on_small_stack(settle_deep, &kinds[0]);
	fx_on_small_stack(settle_deep, &kinds[1]);
}

static void cancel_tower(void *arg)
{
	avow_promise *const base = avow_attach(work("w"), "base", fx_drop);
	(void)arg;
	avow_cancel(avow_attach(tower(fx.loop, base), "top", fx_drop));
	fx_run();
	fx_expect("hook:w|drop:base|drop:top");
}

FX_TEST_LIMIT(nested_joins_are_cancelled_to_any_depth, 20.)
{
	fx_on_small_stack(cancel_tower, NULL);
}

static void abandon_tower(void *arg)
{
	avow_loop *const loop = avow_loop_new(fx.ev);
	avow_promise *const base =
		avow_attach(avow_pending(loop), "base", fx_drop);
	(void)arg;
	avow_attach(tower(loop, base), "top", fx_drop);
	avow_loop_free(loop);
	fx_take_log();
}

FX_TEST_LIMIT(nested_joins_are_abandoned_to_any_depth, 20.)
{
	fx_on_small_stack(abandon_tower, NULL);
}


/* ------------------------------------------------------------- Out of memory */

static avow_value look_at_settled(avow_value list, void *arg)
{
	(void)arg;
	fx_log("%s", avow_is_error(avow_list_at(list, 0)) ? "error" : "value");
	return avow_none();
}

static void settle_without_memory(void *arg)
{
	avow_loop *const loop = avow_loop_new(fx.ev);
	(void)arg;
	if (!loop)
		return;
	avow_promise *const p = avow_resolved(loop, fx_box_new(1));
	avow_hold(p);
	avow_on(avow_all_settled(loop, &p, 1), .fulfilled = look_at_settled,
		.rejected = fx_note_code, .arg = "code");
	ev_run(fx.ev, 0);
	avow_release(p);
	avow_loop_free(loop);
	const char *const log = fx_take_log();
	ck_assert_msg(!strcmp(log, "value") || !strcmp(log, "code:0"), "%s",
		      log);
}

FX_TEST(all_settled_never_says_that_what_was_fulfilled_has_failed)
{
	fx_sweep(settle_without_memory, NULL);
}

static avow_value see_items(avow_value value, void *arg)
{
	(void)arg;
	fx_text(value);
	if (avow_is(value, &avow_list_type) && avow_list_count(value))
		avow_drop(avow_take(avow_list_at(value, 0)));
	return avow_none();
}

struct sweep {
	enum kind kind;
	bool fails, is_cancelled;
	int ends;
};

static void end_sweep(void *arg)
{
	((struct sweep *)arg)->ends++;
}

static void sweep_one(void *arg)
{
	struct sweep *const sweep = arg;
	avow_loop *const loop = avow_loop_new(fx.ev);
	if (!loop)
		return;
	avow_abort *const stop = avow_abort_new(loop);
	avow_promise *const list[] = {
		avow_pending(loop), avow_resolved(loop, fx_box_new(1)),
		avow_then(avow_resolved(loop, fx_twin_new(2)), pass_on, NULL),
		sweep->fails ? avow_rejected(loop, avow_error(EIO, "bad"))
			     : avow_resolved(loop, avow_str("text"))
	};
	const avow_join options = { .count = 4,
				    .cancel_losers = true,
				    .signal = stop ? avow_abort_signal(stop)
						   : NULL };
	avow_hold(list[1]);
	avow_hold(list[0]);
	avow_catch(list[3], swallow, NULL);
	sweep->ends = 0;
	avow_promise *const p = join(sweep->kind, loop, list, &options);
	avow_on(p, .fulfilled = see_items, .rejected = see_items, .arg = sweep,
		.drop = end_sweep);
	if (sweep->is_cancelled)
		avow_cancel(p);
	ev_run(fx.ev, EVRUN_NOWAIT);
	avow_resolve(list[0],
		     sweep->fails ? avow_error(EIO, "also") : fx_box_new(3));
	avow_release(list[0]);
	ev_run(fx.ev, 0);
	avow_release(list[1]);
	avow_abort_free(stop);
	avow_loop_free(loop);
	ck_assert_int_eq(sweep->ends, 1);
}

FX_TEST_LIMIT(whatever_allocation_fails_each_ends_once, 20.)
{
	for (int i = 0; i < KINDS * 4; i++) {
		struct sweep sweep = { .kind = (enum kind)(i / 4),
				       .fails = i % 2,
				       .is_cancelled = i / 2 % 2 };
		ck_assert_uint_gt(fx_sweep(sweep_one, &sweep), 4);
	}
}

/* Beyond the reserve: there is memory for lists, but for nodes only `spare`. */
static void join_with_few_nodes(enum kind kind, size_t spare)
{
	enum { MOST = 8192 };
	static avow_promise *taken[MOST];
	size_t count = 0;
	avow_abort *const stop = avow_abort_new(fx.loop);
	avow_promise *const p = avow_pending(fx.loop);
	avow_loop_spare_max(fx.loop, 0);
	fx_fail_above(fx_bytes() + 8192);
	while (count < MOST && (taken[count] = avow_pending(fx.loop)) &&
	       avow_state_of(taken[count]) == AVOW_PENDING)
		avow_hold(taken[count++]);
	ck_assert_uint_lt(count, MOST);
	for (size_t i = 0; i < spare; i++) {
		avow_cancel(taken[--count]);
		avow_release(taken[count]);
	}
	fx_run();
	const avow_join options = { .count = 1,
				    .cancel_losers = true,
				    .signal = avow_abort_signal(stop) };
	avow_hold(p);
	avow_catch(join(kind, fx.loop, &p, &options), swallow, NULL);
	fx_run();
	ck_assert_int_eq(avow_state_of(p), AVOW_PENDING);
	avow_resolve(p, fx_box_new(1));
	fx_run();
	fx_fail_never();
	avow_release(p);
	while (count) {
		avow_cancel(taken[--count]);
		avow_release(taken[count]);
	}
	avow_abort_free(stop);
	fx_run();
	ck_assert_int_eq(fx.boxes, 0);
	/* And maybe of a rejection, where the catch had no node either. */
	ck_assert(!strncmp(fx_take_reports(), "memory", 6));
}

FX_TEST_LIMIT(without_nodes_each_is_rejected_and_leaves_nothing, 20.)
{
	for (size_t spare = 0; spare < (FX_QUARANTINE ? 1 : 12); spare++) {
		for (int kind = 0; kind < KINDS; kind++)
			join_with_few_nodes((enum kind)kind, spare);
	}
}


/* -------------------------------------------------------------- Re-entrancy */

static avow_value act_in_handler(avow_value value, void *arg)
{
	(void)arg;
	fx_text(value);
	scene_act();
	fx_text(value);
	return value;
}

static void act_in_pointer(void *arg)
{
	(void)arg;
	scene_act();
}

static void odd_free(void *ptr)
{
	scene_act();
	free(ptr);
}

AVOW_TYPE(odd, void *, odd_free);

/* What the scene's joins are made of. */
static avow_promise *odd_work(void)
{
	const avow_call call = avow_begin(scene.loop, "call");
	avow_on_cancel(call.context, act_in_pointer, NULL);
	return avow_end(call, true, 0);
}

static enum kind scene_kind;

static avow_promise *scene_join(avow_promise *const *list, size_t count)
{
	const avow_join options = { .count = count, .cancel_losers = true };
	return join(scene_kind, scene.loop, list, &options);
}

static void try_each(void (*prepare)(void), int calls)
{
	for (int kind = 0; kind < KINDS; kind++) {
		scene_kind = (enum kind)kind;
		scene_try_all(prepare, calls);
	}
}

static void prepare_handler(void)
{
	avow_promise *const two[] = { avow_resolved(scene.loop, fx_box_new(1)),
				      avow_resolved(scene.loop,
						    fx_twin_new(2)) };
	scene_self(avow_then(scene_join(two, 2), act_in_handler, NULL));
}

FX_TEST(a_handler_of_the_result_may_do_anything)
{
	try_each(prepare_handler, 1);
}

static void prepare_result(void)
{
	avow_promise *const two[] = { avow_resolved(scene.loop, fx_box_new(1)),
				      avow_resolved(scene.loop,
						    fx_twin_new(2)) };
	avow_then(scene_self(scene_join(two, 2)), act_in_handler, NULL);
}

FX_TEST(a_handler_may_do_anything_to_the_result)
{
	try_each(prepare_result, 1);
}

static void prepare_input_handler(void)
{
	avow_promise *const p = avow_resolved(scene.loop, fx_box_new(1));
	avow_promise *const two[] = { avow_then(p, act_in_handler, NULL),
				      avow_pending(scene.loop) };
	scene_self(scene_join(two, 2));
}

FX_TEST(a_handler_of_an_input_may_do_anything)
{
	try_each(prepare_input_handler, 1);
}

/* A loser's hook runs when the others have decided. */
static void prepare_loser(void)
{
	avow_promise *const three[] = {
		scene_kind == ALL ? avow_rejected(scene.loop, avow_errno(EIO))
				  : avow_resolved(scene.loop, fx_box_new(1)),
		odd_work(), odd_work()
	};
	scene_self(scene_join(three, 3));
}

FX_TEST(the_hook_of_a_loser_may_do_anything)
{
	const enum kind kinds[] = { ALL, ANY, RACE, SOME };
	for (int i = 0; i < 4; i++) {
		scene_kind = kinds[i];
		scene_try_all(prepare_loser, 2);
	}
}

static void prepare_losing_argument(void)
{
	avow_promise *const two[] = { avow_resolved(scene.loop, fx_box_new(1)),
				      avow_attach(avow_pending(scene.loop),
						  &scene, act_in_pointer) };
	scene_self(scene_join(two, 2));
}

FX_TEST(the_drop_of_a_losing_argument_may_do_anything)
{
	const enum kind kinds[] = { ANY, RACE, SOME };
	for (int i = 0; i < 3; i++) {
		scene_kind = kinds[i];
		scene_try_all(prepare_losing_argument, 1);
	}
}

static void prepare_cancel(void)
{
	avow_promise *const inner[] = { odd_work(), odd_work() };
	avow_promise *const two[] = { scene_join(inner, 2),
				      avow_attach(avow_pending(scene.loop),
						  &scene, act_in_pointer) };
	avow_promise *const p = avow_attach(scene_self(scene_join(two, 2)),
					    &scene, act_in_pointer);
	avow_cancel(avow_finally(p, act_in_handler, NULL));
}

FX_TEST(hooks_and_drops_of_a_cancelled_join_may_do_anything)
{
	try_each(prepare_cancel, 5);
}

/* The values that have come are dropped when it fails after that. */
static void prepare_item(void)
{
	avow_promise *const p = avow_pending(scene.loop);
	avow_promise *const three[] = {
		avow_resolved(scene.loop, odd_value(malloc(1))),
		avow_resolved(scene.loop, odd_value(malloc(1))),
		avow_then(avow_then(p, act_in_handler, NULL), fx_fail, NULL)
	};
	avow_resolve(p, fx_box_new(2));
	scene_self(avow_all(scene.loop, three, 3, .cancel_losers = true));
}

FX_TEST(the_drop_of_an_item_may_do_anything)
{
	scene_try_all(prepare_item, 3);
	(void)fx_take_log();
}

static void prepare_chosen(void)
{
	avow_promise *const two[] = { avow_resolved(scene.loop,
						    odd_value(malloc(1))),
				      avow_pending(scene.loop) };
	avow_promise *const p = avow_some(scene.loop, 2, two, 2);
	scene_self(avow_then(p, act_in_handler, NULL));
	ev_run(fx.ev, EVRUN_NOWAIT);
	avow_cancel(scene.self);
}

FX_TEST(the_drop_of_a_chosen_item_may_do_anything)
{
	scene_try_all(prepare_chosen, 1);
}

static void prepare_shared(void)
{
	avow_promise *const p = avow_resolved(scene.loop, odd_value(malloc(1)));
	avow_promise *const two[] = { p, p };
	scene_self(avow_all(scene.loop, two, 2));
}

FX_TEST(the_drop_of_a_shared_item_may_do_anything)
{
	scene_try_all(prepare_shared, 1);
}

static void prepare_at_once(void)
{
	avow_promise *const two[] = { odd_work(), odd_work() };
	avow_promise *const p =
		avow_some(scene.loop, 0, two, 2, .cancel_losers = true);
	if (scene.loop)
		scene_self(p);
}

FX_TEST(a_hook_within_the_function_may_do_anything)
{
	scene_try_all(prepare_at_once, 2);
}


/* ---------------------------------------------- The loop freed at every step */

/* The n-th callback of a program frees the loop. */
static struct {
	avow_loop *loop;
	size_t steps, free_at;
	int attached, dropped;
} program;

static void step(void)
{
	if (program.steps++ == program.free_at) {
		avow_loop_free(program.loop);
		program.loop = NULL;
	}
}

static avow_value step_handler(avow_value value, void *arg)
{
	(void)arg;
	fx_text(value);
	step();
	fx_text(value);
	return value;
}

static void step_drop(void *arg)
{
	(void)arg;
	program.dropped++;
	step();
}

static void step_hook(void *arg)
{
	(void)arg;
	step();
}

static void stepped_free(void *ptr)
{
	free(ptr);
	fx.boxes--;
	step();
}

AVOW_TYPE(stepped, void *, stepped_free);

static avow_promise *stepped(avow_loop *loop)
{
	fx.boxes++;
	return avow_resolved(loop, stepped_value(malloc(1)));
}

static avow_promise *stepped_work(avow_loop *loop)
{
	const avow_call call = avow_begin(loop, "call");
	avow_on_cancel(call.context, step_hook, NULL);
	return avow_end(call, true, 0);
}

static avow_promise *attached(avow_promise *p)
{
	program.attached++;
	return avow_on(p, .fulfilled = step_handler, .rejected = step_handler,
		       .arg = &program, .drop = step_drop);
}

static void ignore_report(avow_loop *loop, const avow_report *report, void *arg)
{
	(void)loop;
	(void)report;
	(void)arg;
}

static void program_make(enum kind kind, avow_loop *loop)
{
	const avow_join options = { .count = 3, .cancel_losers = true };
	avow_promise *const inner[] = { stepped(loop), stepped_work(loop),
					attached(stepped(loop)) };
	avow_promise *const outer[] = {
		attached(join(RACE, loop, inner, &options)),
		attached(join(kind, loop, inner, &options)),
		attached(stepped_work(loop))
	};
	attached(join(kind, loop, outer, &options));
	attached(join(ALL, loop, outer, &options));
}

/* With `jobs` of a budget of one, the loop is freed from outside. */
static bool program_run(enum kind kind, size_t free_at, size_t jobs)
{
	memset(&program, 0, sizeof(program));
	program.free_at = free_at;
	program.loop = avow_loop_new(fx.ev);
	avow_loop *const loop = program.loop;
	avow_loop_on_report(loop, ignore_report, NULL);
	avow_loop_budget(loop, 1, 3600.);
	program_make(kind, loop);
	for (size_t i = 0; i < jobs && program.loop; i++)
		ev_run(fx.ev, EVRUN_NOWAIT);
	const bool was_freed = !program.loop;
	program.free_at = SIZE_MAX;
	avow_loop_free(program.loop);
	fx_run();
	ck_assert_int_eq(program.dropped, program.attached);
	ck_assert_int_eq(fx.boxes, 0);
	return was_freed;
}

FX_TEST_LIMIT(the_loop_may_be_freed_in_every_callback, 20.)
{
	for (int kind = 0; kind < KINDS; kind++) {
		size_t n = 0;
		while (program_run((enum kind)kind, n, 100))
			n++;
		ck_assert_uint_ge(n, 4);
	}
}

FX_TEST_LIMIT(the_loop_may_be_freed_between_any_two_jobs, 20.)
{
	for (int kind = 0; kind < KINDS; kind++) {
		for (size_t jobs = 0; jobs < 40; jobs++)
			program_run((enum kind)kind, SIZE_MAX, jobs);
	}
}

FX_TEST(in_a_loop_that_is_freed_each_is_born_rejected)
{
	avow_promise *const p = avow_pending(fx.loop);
	ck_assert(avow_post(fx.loop, (avow_job_fn *)avow_loop_free, fx.loop));
	avow_catch(p, swallow, NULL);
	fx_run();
	fx.loop = NULL;
}

int main(void)
{
	return fx_main("combine");
}
