/*
 * SPDX-License-Identifier: MIT
 *
 * Rejections that nobody handled, and calls that never called back: which are
 * reported, when, and with which places.
 *
 * A place is compared by its line, which the test takes with __LINE__ beside
 * the call.
 */
#include "fixture.h"

static avow_promise *bad(void)
{
	return avow_rejected(fx.loop, avow_error(EIO, "bad"));
}

static avow_value give_bad(avow_value value, void *arg)
{
	(void)value;
	(void)arg;
	return avow_await(bad());
}


/* -------------------------------------------------------- What is reported */

FX_TEST(a_rejection_nobody_handles_is_reported_once)
{
	bad();
	fx_expect_reports("");
	fx_run();
	fx_expect_reports("unhandled:bad");
	fx_run();
	fx_expect_reports("");
}

FX_TEST(a_rejection_that_is_caught_is_not_reported)
{
	avow_catch(bad(), fx_note, "catch");
	fx_run();
	fx_expect("catch:!bad");
	fx_expect_reports("");
}

FX_TEST(the_end_of_the_chain_is_reported_and_nothing_before)
{
	avow_promise *p = avow_then(bad(), fx_note, "never");
	p = avow_then(p, fx_note, "never");
	avow_finally(p, fx_note, "finally");
	fx_run();
	fx_expect("finally:!bad");
	fx_expect_reports("unhandled:bad");
}

FX_TEST(then_beside_catch_leaves_its_own_branch_unhandled)
{
	avow_promise *const p = bad();
	avow_then(p, fx_note, "never");
	avow_catch(p, fx_note, "catch");
	fx_run();
	fx_expect("catch:!bad");
	fx_expect_reports("unhandled:bad");
}

FX_TEST(every_branch_is_reported_by_itself)
{
	avow_promise *const p = bad();
	avow_then(p, fx_note, "never");
	avow_then(p, fx_note, "never");
	fx_run();
	fx_expect_reports("unhandled:bad|unhandled:bad");
}

FX_TEST(an_error_returned_by_a_catch_is_reported)
{
	avow_catch(bad(), fx_fail, "catch");
	fx_run();
	fx_expect("catch:!bad");
	fx_expect_reports("unhandled:failed");
}

FX_TEST(an_error_returned_by_a_then_is_reported)
{
	avow_then(avow_resolved(fx.loop, avow_int(1)), fx_fail, "then");
	fx_run();
	fx_expect("then:1");
	fx_expect_reports("unhandled:failed");
}

/* What broke an earlier design: a silent rejection behind an alias. */
FX_TEST(a_rejection_behind_a_follower_is_reported)
{
	avow_promise *const p = avow_pending(fx.loop);
	avow_promise *const q = avow_pending(fx.loop);
	avow_resolve(p, avow_await(q));
	avow_reject(q, avow_error(EIO, "behind"));
	fx_run();
	fx_expect_reports("unhandled:behind");
}

FX_TEST(a_rejection_behind_many_followers_is_reported_once)
{
	avow_promise *const first = avow_pending(fx.loop);
	avow_promise *last = first;
	for (int i = 0; i < 5; i++) {
		avow_promise *const next = avow_pending(fx.loop);
		avow_resolve(next, avow_await(last));
		last = next;
	}
	avow_reject(first, avow_error(EIO, "behind"));
	fx_run();
	fx_expect_reports("unhandled:behind");
}

FX_TEST(a_rejection_behind_a_settled_alias_is_reported)
{
	avow_promise *const p = avow_pending(fx.loop);
	avow_resolve(p, avow_await(bad()));
	fx_run();
	fx_expect_reports("unhandled:bad");
}

FX_TEST(a_rejection_that_passed_by_is_reported)
{
	avow_promise *p = bad();
	for (int i = 0; i < 10; i++)
		p = avow_then(p, fx_note, "never");
	fx_run();
	fx_expect_reports("unhandled:bad");
}

FX_TEST(a_rejection_that_a_handler_awaits_is_reported_once)
{
	avow_promise *const p = avow_resolved(fx.loop, avow_none());
	avow_then(p, give_bad, NULL);
	fx_run();
	fx_expect_reports("unhandled:bad");
}

FX_TEST(a_cancellation_is_never_reported)
{
	avow_cancel(avow_pending(fx.loop));
	avow_cancel(avow_then(avow_pending(fx.loop), fx_note, "never"));
	avow_promise *const p = avow_pending(fx.loop);
	avow_promise *const q = avow_pending(fx.loop);
	avow_resolve(p, avow_await(q));
	avow_finally(q, fx_pass, NULL);
	avow_cancel(q);
	fx_run();
	fx_expect_reports("");
	(void)fx_take_log();
}

FX_TEST(an_error_around_a_cancellation_is_reported)
{
	avow_promise *const p = avow_pending(fx.loop);
	avow_finally(p, fx_fail, "finally");
	avow_cancel(p);
	fx_run();
	fx_expect_reports("unhandled:failed");
	(void)fx_take_log();
}


/* ---------------------------------------------------------------- Handled */

FX_TEST(following_handles)
{
	avow_promise *const p = avow_pending(fx.loop);
	avow_promise *const q = bad();
	avow_resolve(p, avow_await(q));
	avow_catch(p, fx_note, "catch");
	fx_run();
	fx_expect("catch:!bad");
	fx_expect_reports("");
}

FX_TEST(waiting_handles)
{
	avow_promise *const p = bad();
	ck_assert_int_eq(avow_code(avow_wait(p)), EIO);
	fx_run();
	fx_expect_reports("");
}

static void as_callback(avow_value error, avow_value value, void *name)
{
	fx_log("%s:%s,%s", (const char *)name, fx_text(error), fx_text(value));
}

FX_TEST(converting_handles)
{
	avow_as_callback(bad(), as_callback, "callback");
	fx_run();
	fx_expect("callback:!bad,none");
	fx_expect_reports("");
}

FX_TEST(handled_is_sticky)
{
	avow_promise *const p = bad();
	avow_hold(p);
	avow_catch(p, fx_note, "catch");
	fx_run();
	avow_release(p);
	fx_run();
	fx_expect("catch:!bad");
	fx_expect_reports("");
}

FX_TEST(a_catch_that_was_cancelled_has_handled)
{
	avow_promise *const p = avow_pending(fx.loop);
	avow_hold(p);
	avow_cancel(avow_catch(p, fx_note, "never"));
	avow_reject(p, avow_error(EIO, "bad"));
	avow_release(p);
	fx_run();
	fx_expect_reports("");
}

FX_TEST(passing_through_does_not_handle)
{
	avow_promise *const p = bad();
	avow_promise *const q = avow_then(p, fx_note, "never");
	avow_promise *const r = avow_tap(q, fx_note, "never");
	avow_attach(r, "x", fx_drop);
	fx_run();
	fx_expect("drop:x");
	fx_expect_reports("unhandled:bad");
}

FX_TEST(looking_at_the_value_does_not_handle)
{
	avow_promise *const p = bad();
	ck_assert_int_eq(avow_state_of(p), AVOW_REJECTED);
	ck_assert_int_eq(avow_code(avow_value_of(p)), EIO);
	fx_run();
	fx_expect_reports("unhandled:bad");
}


/* ------------------------------------------------------------------- When */

static void attach_later(void *p)
{
	avow_catch(p, fx_note, "catch");
}

FX_TEST(a_held_rejection_is_reported_at_its_last_release)
{
	avow_promise *const p = bad();
	avow_hold(p);
	avow_hold(p);
	fx_run();
	avow_release(p);
	fx_run();
	fx_expect_reports("");
	avow_release(p);
	fx_run();
	fx_expect_reports("unhandled:bad");
}

FX_TEST(a_held_rejection_can_be_caught_in_a_later_callback)
{
	avow_promise *const p = bad();
	avow_hold(p);
	fx_run();
	fx_in_callback(attach_later, p);
	avow_release(p);
	fx_run();
	fx_expect("catch:!bad");
	fx_expect_reports("");
}

static void reject_and_look(void *arg)
{
	bad();
	fx_log("in:%s", fx_take_reports());
	(void)arg;
}

FX_TEST(the_report_comes_when_the_callback_has_returned)
{
	fx_in_callback(reject_and_look, NULL);
	fx_expect("in:");
	fx_expect_reports("unhandled:bad");
}

static avow_value catch_in_nested_loop(avow_value value, void *arg)
{
	avow_promise *const p = bad();
	(void)arg;
	ev_run(fx.ev, EVRUN_NOWAIT);
	fx_log("nested:%s", fx_take_reports());
	avow_catch(p, fx_note, "catch");
	return value;
}

FX_TEST(a_loop_nested_in_the_callback_reports_nothing_of_it)
{
	avow_then(avow_resolved(fx.loop, avow_none()), catch_in_nested_loop,
		  NULL);
	fx_run();
	fx_expect("nested:|catch:!bad");
	fx_expect_reports("");
}

FX_TEST(a_rejection_still_held_is_reported_when_the_loop_is_freed)
{
	avow_hold(bad());
	fx_run();
	fx_expect_reports("");
	fx_free_loop();
	fx_expect_reports("unhandled:bad");
}

FX_TEST(a_rejection_of_this_callback_is_reported_when_the_loop_is_freed)
{
	bad();
	fx_free_loop();
	fx_expect_reports("unhandled:bad");
}


/* ------------------------------------------------------------------ Places */

FX_TEST(the_place_is_where_the_promise_was_made)
{
	avow_promise *p = avow_pending(fx.loop); const int line = __LINE__;
	avow_reject(p, avow_error(EIO, "bad"));
	fx_run();
	fx_expect_reports("unhandled:bad");
	ck_assert_int_eq(fx_report_line(0), line);
	ck_assert_int_eq(fx_report_line(1), 0);
}

FX_TEST(the_places_it_passed_are_told_newest_first)
{
	avow_promise *p = avow_pending(fx.loop); const int line = __LINE__;
	avow_promise *const first = p;
	p = avow_then(p, fx_note, "never");
	p = avow_finally(p, fx_pass, NULL);
	p = avow_then(p, fx_note, "never");
	avow_reject(first, avow_error(EIO, "bad"));
	fx_run();
	fx_expect_reports("unhandled:bad");
	ck_assert_int_eq(fx_report_line(0), line + 4);
	ck_assert_int_eq(fx_report_line(1), line + 3);
	ck_assert_int_eq(fx_report_line(2), line + 2);
	ck_assert_int_eq(fx_report_line(3), line);
	(void)fx_take_log();
}

FX_TEST(a_rejection_that_passed_many_tells_the_newest_four_places)
{
	avow_promise *p = bad();
	for (int i = 0; i < 10; i++)
		p = avow_then(p, fx_note, "never");
	const int line = __LINE__ + 1;
	p = avow_then(p, fx_note, "never");
	p = avow_then(p, fx_note, "never");
	p = avow_then(p, fx_note, "never");
	p = avow_then(p, fx_note, "never");
	fx_run();
	fx_expect_reports("unhandled:bad");
	ck_assert_int_eq(fx_report_line(0), line + 3);
	ck_assert_int_eq(fx_report_line(1), line + 2);
	ck_assert_int_eq(fx_report_line(2), line + 1);
	ck_assert_int_eq(fx_report_line(3), line);
}

FX_TEST(a_handler_that_failed_is_the_first_place)
{
	avow_promise *p = avow_resolved(fx.loop, avow_none());
	p = avow_then(p, fx_fail, NULL); const int line = __LINE__;
	p = avow_then(p, fx_note, "never");
	fx_run();
	fx_expect_reports("unhandled:failed");
	ck_assert_int_eq(fx_report_line(0), line + 1);
	ck_assert_int_eq(fx_report_line(1), line);
	(void)fx_take_log();
}

static avow_promise *wrapper(const char *place, avow_promise *p)
{
	return avow_then_at(place, p, fx_note, NULL);
}

FX_TEST(a_resource_on_the_way_hides_no_place)
{
	avow_promise *p = avow_resolved(fx.loop, avow_none());
	p = avow_then(p, fx_fail, NULL);
	p = avow_then(p, fx_pass, NULL);
	p = avow_attach(p, NULL, fx_drop);
	const int line = __LINE__;
	fx_run();
	ck_assert_str_ne(fx_take_reports(), "");
	ck_assert_int_eq(fx_report_line(0), line - 1);
	ck_assert_int_eq(fx_report_line(1), line - 2);
	ck_assert_int_eq(fx_report_line(2), line - 3);
	(void)p;
	(void)fx_take_log();
}

FX_TEST(a_wrapper_can_pass_its_callers_place_on)
{
	wrapper("caller.c:4711", bad());
	fx_run();
	fx_expect_reports("unhandled:bad");
	ck_assert_int_eq(fx_report_line(0), 4711);
}

FX_TEST(the_error_keeps_the_place_where_it_arose)
{
	const int line = __LINE__ + 1;
	const avow_value error = avow_error(EIO, "bad");
	const char *const colon = strrchr(avow_error_place(error), ':');
	ck_assert_ptr_nonnull(colon);
	ck_assert_int_eq(atoi(colon + 1), line);
	avow_drop(error);
}


/* ------------------------------------------------------------------- Hooks */

FX_TEST(the_usual_hook_prints_message_and_places)
{
	const int line = __LINE__ + 3;
	FX_ABORTS("bad",
		avow_loop_on_report(fx.loop, NULL, NULL);
		avow_rejected(fx.loop, avow_error(EIO, "bad"));
		fx_run();
		abort());
	ck_assert_msg(fx_abort_names(line) || fx_abort_names(line - 1), "%s",
		      fx_abort_text());
	ck_assert_msg(strstr(fx_abort_text(), "unhandled"), "%s",
		      fx_abort_text());
}

FX_TEST(a_program_can_ask_to_abort)
{
	FX_ABORTS("bad",
		avow_loop_on_report(fx.loop, avow_report_abort, NULL);
		bad();
		fx_run());
}

FX_TEST(a_program_that_asks_to_abort_lives_on_without_rejections)
{
	avow_loop_on_report(fx.loop, avow_report_abort, NULL);
	avow_catch(bad(), fx_note, "catch");
	avow_cancel(avow_pending(fx.loop));
	fx_run();
	fx_expect("catch:!bad");
}

FX_TEST(the_usual_hook_prints_causes)
{
	FX_ABORTS("disk on fire",
		avow_loop_on_report(fx.loop, NULL, NULL);
		avow_rejected(fx.loop, avow_wrap(
			avow_error(EIO, "disk on fire"), "no page"));
		fx_run();
		abort());
	ck_assert_msg(strstr(fx_abort_text(), "no page"), "%s",
		      fx_abort_text());
}

/* What the usual hook prints of avow_any() over `count` rejections, wrapped. */
static avow_value wrap_error(avow_value error, void *arg)
{
	(void)arg;
	return avow_wrap(avow_take(error), "no mirror");
}

static void print_aggregate(size_t count)
{
	avow_promise *list[20];
	avow_loop_on_report(fx.loop, NULL, NULL);
	for (size_t i = 0; i < count; i++)
		list[i] = avow_rejected(fx.loop, avow_error(EIO, "mirror %zu",
							    i));
	avow_catch(avow_any(fx.loop, list, count), wrap_error, NULL);
	fx_run();
	abort();
}

FX_TEST(the_usual_hook_prints_all_errors_of_an_aggregate)
{
	FX_ABORTS("    caused by: 2 of 2 promises were rejected (avow 11)",
		  print_aggregate(2));
	ck_assert_msg(strstr(fx_abort_text(),
			     "    caused by: mirror 0 (errno 5)") &&
			      strstr(fx_abort_text(),
				     "    caused by: mirror 1 (errno 5)"),
		      "%s", fx_abort_text());
	ck_assert_msg(!strstr(fx_abort_text(), "more"), "%s", fx_abort_text());
}

FX_TEST(the_usual_hook_prints_ten_causes_at_most)
{
	FX_ABORTS("    and by 11 more", print_aggregate(20));
	ck_assert_msg(strstr(fx_abort_text(), "mirror 8 ") &&
			      !strstr(fx_abort_text(), "mirror 9 "),
		      "%s", fx_abort_text());
}

static avow_promise *unhandled;

static void hold_unhandled(avow_loop *loop, const avow_report *report,
			   void *arg)
{
	fx_report(loop, report, arg);
	avow_hold(unhandled);
}

FX_TEST(a_report_may_hold_what_it_is_about_through_a_slot)
{
	avow_loop_on_report(fx.loop, hold_unhandled, NULL);
	avow_slot(bad(), &unhandled);
	fx_run();
	fx_expect_reports("unhandled:bad");
	ck_assert_ptr_nonnull(unhandled);
	avow_catch(unhandled, fx_note, "catch");
	fx_run();
	avow_release(unhandled);
	fx_run();
	fx_expect("catch:!bad");
	ck_assert_ptr_null(unhandled);
}


/* -------------------------------------------------------------- Abandoned */

static int never_calls_back(void (*callback)(int, void *), void *context)
{
	(void)callback;
	(void)context;
	return 0;
}

AVOW_CALLBACK(on_done, AVOW_ERR(int, strerror), AVOW_CTX(void *));

FX_TEST(a_call_that_never_called_back_is_listed_as_it_was_written)
{
	avow_promise *const p = AVOW_PROMISIFY(fx.loop,
		never_calls_back(on_done, AVOW_CONTEXT));
	const int line = __LINE__ - 2;
	avow_catch(p, fx_seven, NULL);
	fx_run();
	fx_expect_reports("");
	fx_free_loop();
	fx_expect_reports("abandoned:never_calls_back(on_done, AVOW_CONTEXT)");
	ck_assert_int_ge(fx_report_line(0), line);
	ck_assert_int_le(fx_report_line(0), line + 1);
	(void)fx_take_log();
}

FX_TEST(every_abandoned_call_is_listed)
{
	for (int i = 0; i < 3; i++) {
		const avow_call call = avow_begin(fx.loop, "call");
		avow_catch(avow_end(call, true, 0), fx_seven, NULL);
	}
	fx_run();
	fx_free_loop();
	fx_expect_reports("abandoned:call|abandoned:call|abandoned:call");
	(void)fx_take_log();
}

FX_TEST(calls_that_called_back_are_not_listed)
{
	avow_stats stats;
	const avow_call a = avow_begin(fx.loop, "a");
	const avow_call b = avow_begin(fx.loop, "b");
	avow_then(avow_end(a, true, 0), fx_note, "a");
	avow_catch(avow_end(b, false, EIO), fx_seven, NULL);
	avow_loop_stats(fx.loop, &stats);
	ck_assert_uint_eq(stats.call_count, 1);
	avow_settle(a.context, avow_int(1));
	avow_loop_stats(fx.loop, &stats);
	ck_assert_uint_eq(stats.call_count, 0);
	fx_run();
	fx_free_loop();
	fx_expect_reports("");
	(void)fx_take_log();
}

FX_TEST(an_abandoned_call_that_nobody_caught_is_listed)
{
	const avow_call call = avow_begin(fx.loop, "call");
	avow_then(avow_end(call, true, 0), fx_note, "never");
	fx_run();
	fx_free_loop();
	const char *const text = fx_take_reports();
	ck_assert_msg(strstr(text, "abandoned:call"), "%s", text);
	fx_expect("");
}

FX_TEST(an_abandoned_call_may_call_back_afterwards)
{
	const avow_call call = avow_begin(fx.loop, "call");
	avow_catch(avow_end(call, true, 0), fx_seven, NULL);
	fx_free_loop();
	(void)fx_take_reports();
	(void)fx_take_log();
	on_done(0, call.context);
	on_done(0, call.context);
	fx_expect("");
}

static const void *abandoned_context;

static void settle_abandoned(avow_loop *loop, const avow_report *report,
			     void *arg)
{
	fx_report(loop, report, arg);
	avow_settle(abandoned_context, avow_int(3));
}

FX_TEST(a_report_may_settle_the_call_it_is_about)
{
	const avow_call call = avow_begin(fx.loop, "call");
	abandoned_context = call.context;
	avow_on(avow_end(call, true, 0), .fulfilled = fx_note,
		.rejected = fx_note, .arg = "end");
	avow_loop_on_report(fx.loop, settle_abandoned, NULL);
	fx_free_loop();
	fx_expect("end:3");
	fx_expect_reports("abandoned:call");
}

#ifdef AVOW_DEBUG
FX_TEST(debug_names_a_call_that_came_twice)
{
	const avow_call call = avow_begin(fx.loop, "call");
	avow_then(avow_end(call, true, 0), fx_note, "then");
	avow_settle(call.context, avow_int(1));
	avow_settle(call.context, avow_int(2));
	fx_run();
	fx_expect("then:1");
	fx_expect_reports("late:call");
}

FX_TEST(debug_names_no_other_call_where_one_came_twice)
{
	const avow_call first = avow_begin(fx.loop, "first");
	avow_then(avow_end(first, true, 0), fx_note, "then");
	avow_settle(first.context, avow_int(1));
	const avow_call second = avow_begin(fx.loop, "second");
	avow_then(avow_end(second, true, 0), fx_note, "then");
	avow_settle(first.context, avow_int(2));
	avow_settle(second.context, avow_int(3));
	fx_run();
	fx_expect("then:1|then:3");
	const char *const text = fx_take_reports();
	ck_assert_msg(!strncmp(text, "late:", 5), "%s", text);
	ck_assert_ptr_null(strstr(text, "second"));
}
#endif

int main(void)
{
	return fx_main("unhandled");
}
