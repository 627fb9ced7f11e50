/*
 * SPDX-License-Identifier: MIT
 *
 * Abort signals: each sentence of avow/abort.h.  Who is cancelled and in which
 * order, with which reason, who may free what and when, and that a signal that
 * lives long costs nothing.
 */
#include "scene.h"

#include <math.h>
#include <pthread.h>

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

static void note_hook(void *name)
{
	fx_log("hook:%s", (const char *)name);
}

/* A call that is never called back, whose hook logs "hook:name". */
static avow_promise *work(const char *name)
{
	const avow_call call = avow_begin(fx.loop, name);
	avow_on_cancel(call.context, note_hook, (void *)(uintptr_t)name);
	return avow_end(call, true, 0);
}


/* ------------------------------------------------------------- Controllers */

FX_TEST(a_controller_has_one_signal_that_has_not_aborted)
{
	avow_abort *const stop = avow_abort_new(fx.loop);
	avow_signal *const signal = avow_abort_signal(stop);
	ck_assert_ptr_eq(signal, avow_abort_signal(stop));
	ck_assert(!avow_signal_is_aborted(signal));
	ck_assert(avow_is_none(avow_signal_reason(signal)));
	avow_abort_free(stop);
	avow_abort_free(NULL);
}

FX_TEST(no_signal_has_not_aborted)
{
	ck_assert(!avow_signal_is_aborted(NULL));
	ck_assert(avow_is_none(avow_signal_reason(NULL)));
	avow_signal_hold(NULL);
	avow_signal_release(NULL);
}

FX_TEST(all_that_is_tied_is_cancelled_before_aborting_returns)
{
	avow_abort *const stop = avow_abort_new(fx.loop);
	avow_signal *const signal = avow_abort_signal(stop);
	avow_promise *const a =
		note_end(avow_abortable(work("a"), signal), "a");
	note_end(avow_signal_promise(fx.loop, signal), "told");
	note_end(avow_abortable(avow_then(work("b"), fx_note, "never"), signal),
		 "b");
	avow_abort_with(stop, avow_error(EINTR, "stop"));
	fx_log("return");
	ck_assert_int_eq(avow_state_of(a), AVOW_PENDING);
	fx_run();
	fx_expect("hook:a|hook:b|return|a:!stop|told:!stop|b:!stop");
	ck_assert(avow_signal_is_aborted(signal));
	ck_assert_str_eq(avow_message(avow_signal_reason(signal)), "stop");
	avow_abort_free(stop);
}

FX_TEST(aborting_a_second_time_does_nothing)
{
	avow_abort *const stop = avow_abort_new(fx.loop);
	avow_abort_with(stop, avow_errno(EIO));
	avow_abort_with(stop, avow_errno(EINTR));
	avow_abort_with(stop, fx_box_new(1));
	ck_assert_int_eq(fx.boxes, 0);
	ck_assert_int_eq(avow_code(avow_signal_reason(avow_abort_signal(stop))),
			 EIO);
	avow_abort_free(stop);
}

FX_TEST(what_has_settled_leaves_the_signal)
{
	avow_abort *const stop = avow_abort_new(fx.loop);
	avow_promise *const p = avow_pending(fx.loop);
	note_end(avow_abortable(p, avow_abort_signal(stop)), "end");
	avow_resolve(p, fx_box_new(7));
	fx_run();
	avow_abort_with(stop, avow_none());
	fx_run();
	fx_expect("end:box:7");
	ck_assert_int_eq(fx.boxes, 0);
	avow_abort_free(stop);
}

FX_TEST(without_its_controller_what_listens_goes_on)
{
	avow_abort *const stop = avow_abort_new(fx.loop);
	avow_promise *const p = avow_pending(fx.loop);
	note_end(avow_abortable(p, avow_abort_signal(stop)), "end");
	avow_abort_free(stop);
	avow_resolve(p, avow_int(1));
	fx_run();
	fx_expect("end:1");
}

FX_TEST(a_signal_that_is_listened_to_outlives_its_controller)
{
	avow_abort *const stop = avow_abort_new(fx.loop);
	avow_signal *const signal = avow_abort_signal(stop);
	avow_promise *const p = avow_signal_promise(fx.loop, signal);
	avow_abort_free(stop);
	avow_promise *const q = avow_abortable(avow_pending(fx.loop), signal);
	avow_cancel(p);
	ck_assert(!avow_signal_is_aborted(signal));
	avow_cancel(q);
}

FX_TEST(a_controller_may_be_freed_after_its_loop)
{
	avow_abort *const stop = avow_abort_new(fx.loop);
	avow_abort *const other = avow_abort_new(fx.loop);
	note_end(avow_abortable(avow_pending(fx.loop), avow_abort_signal(stop)),
		 "end");
	avow_signal_promise(fx.loop, avow_abort_signal(stop));
	avow_abort_with(other, avow_error(EIO, "why"));
	fx_free_loop();
	fx_expect("end:!abandoned: the loop was freed first");
	avow_abort_with(stop, avow_error(EIO, "late"));
	ck_assert(avow_signal_is_aborted(avow_abort_signal(stop)));
	avow_abort_free(stop);
	avow_abort_free(other);
}

FX_TEST(a_held_signal_may_be_released_after_its_loop)
{
	avow_abort *const stop = avow_abort_new(fx.loop);
	avow_signal *const signal = avow_abort_signal(stop);
	avow_signal *const timeout = avow_signal_timeout(fx.loop, 3600.);
	avow_signal_hold(signal);
	avow_signal_hold(timeout);
	avow_abort_free(stop);
	fx_free_loop();
	ck_assert(!avow_signal_is_aborted(signal));
	ck_assert(!avow_signal_is_aborted(timeout));
	avow_signal_release(signal);
	avow_signal_release(timeout);
}

/* From a hook, a drop and a handler that aborting itself brings about. */
static void free_it(void *stop)
{
	avow_abort_free(*(avow_abort **)stop);
	*(avow_abort **)stop = NULL;
}

FX_TEST(a_controller_may_be_freed_while_it_aborts)
{
	for (int how = 0; how < 2; how++) {
		avow_abort *stop = avow_abort_new(fx.loop);
		avow_signal *const signal = avow_abort_signal(stop);
		const avow_call call = avow_begin(fx.loop, "call");
		avow_promise *p = avow_end(call, true, 0);
		if (how)
			p = avow_attach(p, &stop, free_it);
		else
			avow_on_cancel(call.context, free_it, &stop);
		avow_abortable(p, signal);
		note_end(avow_abortable(work("b"), signal), "b");
		avow_abort_with(stop, avow_none());
		ck_assert_ptr_null(stop);
		fx_run();
	}
	fx_expect("hook:b|b:cancelled|hook:b|b:cancelled");
}

struct late {
	avow_abort *stop;
	avow_promise *promise;
};

static void tie_more(void *arg)
{
	struct late *const late = arg;
	late->promise =
		avow_abortable(work("late"), avow_abort_signal(late->stop));
	note_end(late->promise, "late");
	fx_log("tied:%d", avow_state_of(late->promise));
}

FX_TEST(what_is_tied_while_it_aborts_is_cancelled_at_once)
{
	struct late late = { avow_abort_new(fx.loop), NULL };
	const avow_call call = avow_begin(fx.loop, "call");
	avow_on_cancel(call.context, tie_more, &late);
	avow_abortable(avow_end(call, true, 0), avow_abort_signal(late.stop));
	note_end(avow_abortable(work("b"), avow_abort_signal(late.stop)), "b");
	avow_abort_with(late.stop, avow_none());
	fx_run();
	fx_expect("hook:late|tied:2|hook:b|late:cancelled|b:cancelled");
	avow_abort_free(late.stop);
}

static void abort_again(void *stop)
{
	avow_abort_with(stop, avow_errno(EIO));
	fx_log("again");
}

FX_TEST(aborting_while_it_aborts_does_nothing)
{
	avow_abort *const stop = avow_abort_new(fx.loop);
	const avow_call call = avow_begin(fx.loop, "call");
	avow_on_cancel(call.context, abort_again, stop);
	note_end(avow_abortable(avow_end(call, true, 0),
				avow_abort_signal(stop)),
		 "a");
	note_end(avow_abortable(work("b"), avow_abort_signal(stop)), "b");
	avow_abort_with(stop, avow_errno(EINTR));
	fx_run();
	fx_expect("again|hook:b|a:!Interrupted system call|"
		  "b:!Interrupted system call");
	avow_abort_free(stop);
}


/* ----------------------------------------------------------------- Reasons */

/* What a promise is rejected with that was aborted with `reason`. */
static avow_value error_for(avow_value reason)
{
	static avow_value error;
	avow_abort *const stop = avow_abort_new(fx.loop);
	avow_promise *const p =
		avow_abortable(avow_pending(fx.loop), avow_abort_signal(stop));
	avow_hold(p);
	avow_catch(p, fx_note, "catch");
	avow_abort_with(stop, reason);
	error = avow_copy(avow_value_of(p));
	avow_abort_free(stop);
	avow_release(p);
	fx_run();
	return error;
}

FX_TEST(no_reason_is_a_cancellation_which_nobody_reports)
{
	ck_assert(avow_is_cancelled(error_for(avow_none())));
	fx_expect("catch:!cancelled");
	avow_abort *const stop = avow_abort_new(fx.loop);
	avow_abortable(avow_pending(fx.loop), avow_abort_signal(stop));
	avow_abort_with(stop, avow_none());
	fx_run();
	fx_expect_reports("");
	avow_abort_free(stop);
}

FX_TEST(any_other_reason_is_reported_where_nobody_handles_it)
{
	avow_abort *const stop = avow_abort_new(fx.loop);
	const int line = __LINE__ + 1;
	avow_abortable(avow_pending(fx.loop), avow_abort_signal(stop));
	avow_abort_with(stop, avow_error(EIO, "stop"));
	fx_run();
	fx_expect_reports("unhandled:stop");
	ck_assert_int_eq(fx_report_line(0), line);
	avow_abort_free(stop);
}

FX_TEST(an_error_is_the_reason_as_it_is)
{
	avow_value error = error_for(avow_errno(EIO));
	ck_assert(avow_error_is(error, &avow_errno_domain, EIO));
	error = error_for(avow_error(EINTR, "why"));
	ck_assert(avow_error_is(error, &avow_errno_domain, EINTR));
	ck_assert_str_eq(avow_message(error), "why");
	avow_drop(error);
	fx_expect("catch:!Input/output error|catch:!why");
}

FX_TEST(a_reason_that_is_no_error_is_wrapped_in_one)
{
	const avow_value error = error_for(fx_box_new(7));
	ck_assert(avow_error_is(error, &avow_core_domain, AVOW_EREASON));
	ck_assert_int_eq(fx_box_get(avow_cause(error))->number, 7);
	ck_assert_int_eq(fx.boxes, 1);
	avow_drop(error);
	ck_assert_int_eq(fx.boxes, 0);
	(void)fx_take_log();
}

/* An error type of the program's, which cannot be copied; and one with nothing
 * to drop. */
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
AVOW_TYPE_WITH(stain, int *, 0, 0, 0, true, flaw_describe);

FX_TEST(an_error_that_owns_memory_is_the_cause_of_the_reason)
{
	int *const flaw = malloc(sizeof(*flaw));
	*flaw = 3;
	fx.boxes++;
	const avow_value error = error_for(flaw_value(flaw));
	ck_assert_str_eq(avow_message(error), "flaw 3");
	ck_assert(avow_is_error(error));
	ck_assert_int_eq(*flaw_get(avow_cause(error)), 3);
	avow_drop(error);
	ck_assert_int_eq(fx.boxes, 0);
	fx_expect("catch:!flaw 3");
}

FX_TEST(an_error_that_owns_nothing_keeps_its_type)
{
	int stain = 4;
	const avow_value error = error_for(stain_value(&stain));
	ck_assert_ptr_eq(stain_get(error), &stain);
	fx_expect("catch:!flaw 4");
}

static void free_controller(avow_value value, char *text, size_t size);
AVOW_TYPE_WITH(odd, void *, 0, 0, 0, false, free_controller);
static avow_abort *odd_stop;

static void free_controller(avow_value value, char *text, size_t size)
{
	(void)value;
	snprintf(text, size, "odd");
	avow_abort_free(odd_stop);
	odd_stop = NULL;
}

FX_TEST(a_reason_may_free_the_controller_when_it_is_described)
{
	odd_stop = avow_abort_new(fx.loop);
	avow_abort_with(odd_stop, odd_value(&odd_stop));
	ck_assert_ptr_null(odd_stop);
	odd_stop = avow_abort_new(fx.loop);
	note_end(avow_abortable(work("w"), avow_abort_signal(odd_stop)), "end");
	avow_abort_with(odd_stop, odd_value(&odd_stop));
	fx_run();
	fx_expect("hook:w|end:!rejected with odd: odd");
}

/* -------------------------------------------------- One signal out of several */

FX_TEST(one_of_several_aborts_them_all_with_its_reason)
{
	avow_abort *const a = avow_abort_new(fx.loop);
	avow_abort *const b = avow_abort_new(fx.loop);
	avow_signal *const two[] = { avow_abort_signal(a),
				     avow_abort_signal(b) };
	avow_signal *const any = avow_signal_any(fx.loop, two, 2);
	note_end(avow_abortable(work("w"), any), "end");
	avow_abort_with(b, avow_error(EIO, "b"));
	fx_run();
	fx_expect("hook:w|end:!b");
	ck_assert(!avow_signal_is_aborted(avow_abort_signal(a)));
	avow_abort_free(a);
	avow_abort_free(b);
}

FX_TEST(several_of_none_never_abort)
{
	avow_signal *const any = avow_signal_any(fx.loop, NULL, 0);
	ck_assert(!avow_signal_is_aborted(any));
	note_end(avow_abortable(avow_pending(fx.loop), any), "end");
	fx_run();
	fx_free_loop();
	fx_expect("end:!abandoned: the loop was freed first");
}

FX_TEST(a_signal_may_stand_among_several_twice)
{
	avow_abort *const stop = avow_abort_new(fx.loop);
	avow_signal *const one = avow_abort_signal(stop);
	avow_signal *const twice[] = { one, one };
	note_end(avow_abortable(work("w"), avow_signal_any(fx.loop, twice, 2)),
		 "end");
	avow_abort_with(stop, avow_none());
	fx_run();
	fx_expect("hook:w|end:cancelled");
	avow_abort_free(stop);
}

FX_TEST(one_that_has_aborted_aborts_several_from_the_start)
{
	avow_abort *const a = avow_abort_new(fx.loop);
	avow_abort *const b = avow_abort_new(fx.loop);
	avow_signal *const three[] = { avow_abort_signal(a),
				       avow_abort_signal(b),
				       avow_abort_signal(a) };
	avow_abort_with(b, avow_error(EIO, "b"));
	avow_signal *const any = avow_signal_any(fx.loop, three, 3);
	ck_assert_str_eq(avow_message(avow_signal_reason(any)), "b");
	note_end(avow_abortable(work("w"), any), "end");
	fx_run();
	fx_expect("hook:w|end:!b");
	avow_abort_free(a);
	avow_abort_free(b);
}

/* A signal of several was tied too, and its promises come in its turn. */
FX_TEST(what_is_tied_is_cancelled_in_the_order_of_tying)
{
	avow_abort *const stop = avow_abort_new(fx.loop);
	avow_signal *const one = avow_abort_signal(stop);
	avow_abortable(work("1"), one);
	avow_signal *const any = avow_signal_any(fx.loop, &one, 1);
	avow_abortable(work("3"), one);
	avow_abortable(work("2"), any);
	avow_abort_with(stop, avow_none());
	fx_expect("hook:1|hook:2|hook:3");
	avow_abort_free(stop);
}

FX_TEST(signals_nobody_is_tied_to_leave_nothing)
{
	avow_abort *const stop = avow_abort_new(fx.loop);
	avow_signal *const one = avow_abort_signal(stop);
	const size_t blocks = fx_blocks();
	for (int i = 0; i < 100; i++) {
		avow_signal *const two[] = { one, avow_signal_timeout(fx.loop,
								      3600.) };
		avow_signal_any(fx.loop, two, 2);
	}
	fx_run(); /* returns: no timer is left */
	ck_assert_uint_eq(fx_blocks(), blocks + (FX_QUARANTINE ? 1 : 0));
	avow_abort_free(stop);
}

FX_TEST(a_signal_of_several_goes_when_nobody_is_tied_any_more)
{
	avow_abort *const stop = avow_abort_new(fx.loop);
	avow_signal *const one = avow_abort_signal(stop);
	avow_promise *const p = avow_pending(fx.loop);
	avow_promise *const q =
		avow_abortable(p, avow_signal_any(fx.loop, &one, 1));
	fx_run();
	avow_cancel(q);
	avow_abort_with(stop, avow_none());
	fx_run();
	avow_abort_free(stop);
}

FX_TEST(a_signal_of_several_that_outlives_the_loop_can_still_be_aborted)
{
	avow_abort *const stop = avow_abort_new(fx.loop);
	avow_signal *const one = avow_abort_signal(stop);
	avow_signal *const any = avow_signal_any(fx.loop, &one, 1);
	avow_signal_hold(any);
	fx_free_loop();
	avow_abort_with(stop, avow_errno(EIO));
	ck_assert(avow_signal_is_aborted(any));
	avow_abort_free(stop);
	avow_signal_release(any);
}

static void abort_a_long_chain(void *arg)
{
	avow_abort *const stop = avow_abort_new(fx.loop);
	avow_signal *signal = avow_abort_signal(stop);
	for (size_t i = fx_scale(100000); i; i--)
		signal = avow_signal_any(fx.loop, &signal, 1);
	note_end(avow_abortable(work("w"), signal), arg);
	avow_abort_with(stop, avow_none());
	avow_abort_free(stop);
}

FX_TEST(signals_of_signals_abort_to_any_depth)
{
	fx_on_small_stack(abort_a_long_chain, "end");
	fx_run();
	fx_expect("hook:w|end:cancelled");
}

static void free_a_long_chain(void *arg)
{
	avow_abort *const stop = avow_abort_new(fx.loop);
	avow_signal *signal = avow_abort_signal(stop);
	(void)arg;
	for (size_t i = fx_scale(100000); i; i--)
		signal = avow_signal_any(fx.loop, &signal, 1);
	avow_signal_hold(signal);
	avow_abort_free(stop);
	avow_tidy(fx.loop);
	avow_signal_release(signal);
}

FX_TEST(signals_of_signals_are_freed_to_any_depth)
{
	fx_on_small_stack(free_a_long_chain, NULL);
}

FX_TEST(a_signal_of_another_loop_is_misuse_among_several)
{
	avow_loop *const other = avow_loop_new(fx.ev);
	avow_abort *const stop = avow_abort_new(other);
	avow_signal *const one = avow_abort_signal(stop);
	FX_ABORTS("a signal of another loop",
		  (void)avow_signal_any(fx.loop, &one, 1));
	avow_abort_free(stop);
	avow_loop_free(other);
}

FX_TEST(a_signal_that_has_aborted_lets_go_of_its_sources)
{
	avow_abort *const stop = avow_abort_new(fx.loop);
	avow_signal *const two[] = { avow_abort_signal(stop),
				     avow_signal_timeout(fx.loop, 3600.) };
	avow_signal *const any = avow_signal_any(fx.loop, two, 2);
	avow_signal_hold(any);
	avow_abort_with(stop, avow_none());
	fx_run(); /* returns: the timer is gone */
	avow_signal_release(any);
	avow_abort_free(stop);
}

FX_TEST(no_list_with_a_count_is_an_aborted_signal)
{
	avow_signal *const any = avow_signal_any(fx.loop, NULL, 2);
	ck_assert(avow_error_is(avow_signal_reason(any), &avow_core_domain,
				AVOW_EINVALID));
}


/* ----------------------------------------------------------------- Timeouts */

FX_TEST(a_timeout_aborts_after_its_time)
{
	note_end(avow_delay(fx.loop, 0.001), "before");
	note_end(avow_abortable(work("w"),
				avow_signal_timeout(fx.loop, 0.005)),
		 "end");
	fx_run();
	fx_expect("before:none|hook:w|end:!timed out");
}

FX_TEST(a_timeout_says_so)
{
	avow_signal *const signal = avow_signal_timeout(fx.loop, 0.001);
	avow_signal_hold(signal);
	ck_assert(!avow_signal_is_aborted(signal));
	fx_run(); /* held, it keeps ev_run() alive */
	ck_assert(avow_is_timeout(avow_signal_reason(signal)));
	avow_signal_release(signal);
}

FX_TEST(a_timeout_whose_work_is_done_does_not_keep_the_loop_alive)
{
	avow_promise *const p = avow_delay(fx.loop, 0.001);
	note_end(avow_abortable(p, avow_signal_timeout(fx.loop, 3600.)), "end");
	fx_run();
	fx_expect("end:none");
}

FX_TEST(a_bad_time_is_a_signal_that_has_aborted)
{
	const double bad[] = { -1., NAN, INFINITY, -INFINITY };
	for (int i = 0; i < 4; i++) {
		avow_signal *const signal =
			avow_signal_timeout(fx.loop, bad[i]);
		ck_assert(avow_error_is(avow_signal_reason(signal),
					&avow_core_domain, AVOW_EINVALID));
		avow_catch(avow_abortable(work("w"), signal), fx_note, "end");
	}
	fx_run();
	fx_expect(
		"hook:w|hook:w|hook:w|hook:w|"
		"end:!a signal after -1 seconds|end:!a signal after nan seconds|"
		"end:!a signal after inf seconds|"
		"end:!a signal after -inf seconds");
}

FX_TEST(a_timeout_may_be_let_go_of_by_what_it_aborts)
{
	avow_signal *const signal = avow_signal_timeout(fx.loop, 0.001);
	avow_signal_hold(signal);
	const avow_call call = avow_begin(fx.loop, "call");
	avow_on_cancel(call.context, (avow_job_fn *)avow_signal_release,
		       signal);
	note_end(avow_abortable(avow_end(call, true, 0), signal), "end");
	fx_run();
	fx_expect("end:!timed out");
}

FX_TEST(a_timeout_ends_with_its_loop)
{
	note_end(avow_abortable(avow_pending(fx.loop),
				avow_signal_timeout(fx.loop, 3600.)),
		 "end");
	fx_free_loop();
	fx_expect("end:!abandoned: the loop was freed first");
}


/* ------------------------------------------------- Signals as promises */

FX_TEST(the_promise_of_a_signal_is_rejected_and_never_fulfilled)
{
	avow_abort *const stop = avow_abort_new(fx.loop);
	avow_promise *const p =
		avow_signal_promise(fx.loop, avow_abort_signal(stop));
	note_end(p, "told");
	note_end((avow_signal_promise)(fx.loop, avow_abort_signal(stop)),
		 "too");
	fx_run();
	ck_assert_int_eq(avow_state_of(p), AVOW_PENDING);
	avow_abort_with(stop, avow_error(EIO, "stop"));
	fx_run();
	fx_expect("told:!stop|too:!stop");
	note_end(avow_signal_promise(fx.loop, avow_abort_signal(stop)), "late");
	fx_run();
	fx_expect("late:!stop");
	avow_abort_free(stop);
}

FX_TEST(cancelling_the_promise_of_a_signal_stops_listening)
{
	avow_abort *const stop = avow_abort_new(fx.loop);
	avow_promise *const p =
		avow_signal_promise(fx.loop, avow_abort_signal(stop));
	note_end(p, "told");
	avow_cancel(p);
	avow_abort_with(stop, avow_error(EIO, "stop"));
	fx_run();
	fx_expect("told:cancelled");
	avow_abort_free(stop);
}


/* ---------------------------------------------------------------- Abortable */

FX_TEST(abortable_is_as_the_promise_it_is_made_of)
{
	avow_abort *const stop = avow_abort_new(fx.loop);
	avow_signal *const signal = avow_abort_signal(stop);
	note_end(avow_abortable(avow_resolved(fx.loop, fx_box_new(1)), signal),
		 "value");
	note_end((avow_abortable)(avow_rejected(fx.loop, avow_errno(EIO)),
				  signal),
		 "error");
	fx_run();
	fx_expect("value:box:1|error:!Input/output error");
	avow_abort_free(stop);
}

FX_TEST(with_no_signal_it_is_the_promise_itself)
{
	avow_promise *const p = avow_pending(fx.loop);
	ck_assert_ptr_eq(avow_abortable(p, NULL), p);
}

FX_TEST(a_promise_that_somebody_else_waits_for_goes_on)
{
	avow_abort *const stop = avow_abort_new(fx.loop);
	avow_signal *const signal = avow_abort_signal(stop);
	avow_promise *const held = work("held"), *const shared = work("shared");
	avow_hold(held);
	avow_promise *const branch = note_end(shared, "branch");
	note_end(avow_abortable(held, signal), "a");
	note_end(avow_abortable(shared, signal), "b");
	avow_abort_with(stop, avow_none());
	fx_run();
	fx_expect("a:cancelled|b:cancelled");
	ck_assert_int_eq(avow_state_of(held), AVOW_PENDING);
	ck_assert_int_eq(avow_state_of(shared), AVOW_PENDING);
	avow_release(held);
	avow_cancel(held);
	avow_cancel(branch);
	fx_run();
	fx_expect("hook:held|hook:shared");
	avow_abort_free(stop);
}

FX_TEST(until_it_has_settled_it_can_be_aborted)
{
	avow_abort *const stop = avow_abort_new(fx.loop);
	avow_promise *const p = avow_resolved(fx.loop, fx_box_new(1));
	note_end(avow_abortable(p, avow_abort_signal(stop)), "end");
	avow_abort_with(stop, avow_none());
	fx_run();
	fx_expect("end:cancelled");
	ck_assert_int_eq(fx.boxes, 0);
	avow_abort_free(stop);
}

FX_TEST(a_signal_that_has_aborted_cancels_even_what_has_settled)
{
	avow_abort *const stop = avow_abort_new(fx.loop);
	avow_abort_with(stop, avow_errno(EIO));
	note_end(avow_abortable(avow_resolved(fx.loop, fx_box_new(1)),
				avow_abort_signal(stop)),
		 "end");
	fx_run();
	fx_expect("end:!Input/output error");
	avow_abort_free(stop);
}

static void run_the_loop(void *arg)
{
	(void)arg;
	ev_run(fx.ev, EVRUN_NOWAIT);
	fx_log("hook");
}

FX_TEST(what_is_aborted_at_once_is_there_after_a_hook_has_run_the_loop)
{
	avow_abort *const stop = avow_abort_new(fx.loop);
	const avow_call call = avow_begin(fx.loop, "call");
	avow_promise *p = avow_end(call, true, 0);
	avow_on_cancel(call.context, run_the_loop, NULL);
	avow_abort_with(stop, avow_errno(EIO));
	p = avow_abortable(p, avow_abort_signal(stop));
	note_end(p, "end");
	fx_run();
	fx_expect("hook|end:!Input/output error");
	avow_abort_free(stop);
}

FX_TEST(several_signals_may_be_tied_to_one_promise)
{
	avow_abort *const a = avow_abort_new(fx.loop);
	avow_abort *const b = avow_abort_new(fx.loop);
	avow_promise *const p =
		avow_abortable(avow_abortable(work("w"), avow_abort_signal(a)),
			       avow_abort_signal(b));
	note_end(p, "end");
	avow_abort_with(a, avow_error(EIO, "a"));
	avow_abort_with(b, avow_error(EIO, "b"));
	fx_run();
	fx_expect("hook:w|end:!b");
	avow_abort_free(a);
	avow_abort_free(b);
}


/* ------------------------------------------------------------------- Misuse */

FX_TEST(a_promise_is_no_reason)
{
	avow_abort *const stop = avow_abort_new(fx.loop);
	FX_ABORTS("a promise",
		  avow_abort_with(stop, avow_await(avow_pending(fx.loop))));
	avow_abort_free(stop);
}

static void *abort_in_thread(void *stop)
{
	avow_abort_with(stop, avow_none());
	return NULL;
}

static void abort_from_afar(avow_abort *stop)
{
	pthread_t thread;
	pthread_create(&thread, NULL, abort_in_thread, stop);
	pthread_join(thread, NULL);
}

FX_TEST(aborting_from_another_thread_is_misuse)
{
	avow_abort *const stop = avow_abort_new(fx.loop);
	avow_abortable(avow_pending(fx.loop), avow_abort_signal(stop));
	FX_ABORTS("from another thread", abort_from_afar(stop));
	avow_signal_promise(fx.loop, avow_abort_signal(stop));
	FX_ABORTS("from another thread", abort_from_afar(stop));
	avow_abort_free(stop);
}

#ifdef AVOW_DEBUG
static avow_value give_the_reason(avow_value value, void *signal)
{
	(void)value;
	return avow_signal_reason(signal);
}

FX_TEST(a_reason_is_borrowed)
{
	avow_abort *const stop = avow_abort_new(fx.loop);
	avow_abort_with(stop, avow_error(EIO, "why"));
	avow_promise *const p = avow_then(avow_resolved(fx.loop, avow_none()),
					  give_the_reason,
					  avow_abort_signal(stop));
	FX_ABORTS("a borrowed error was given away", fx_run());
	avow_cancel(p);
	avow_abort_free(stop);
}
#endif


FX_TEST(misuse_is_told)
{
	avow_loop *const other = avow_loop_new(fx.ev);
	avow_abort *const stop = avow_abort_new(other);
	avow_abort *const gone = avow_abort_new(other);
	avow_promise *const p = avow_pending(fx.loop);
	avow_signal *const none = NULL;
	avow_abort_with(gone, avow_none());
	FX_ABORTS("a NULL controller", avow_abort_with(NULL, avow_none()));
	FX_ABORTS("avow_abort_signal(NULL)", (void)avow_abort_signal(NULL));
	FX_ABORTS("avow_abort_new() with a NULL loop",
		  (void)!avow_abort_new(NULL));
	FX_ABORTS("a NULL signal", (void)avow_signal_any(fx.loop, &none, 1));
	FX_ABORTS("a NULL signal", avow_signal_promise(fx.loop, NULL));
	FX_ABORTS("a signal of another loop",
		  avow_signal_promise(fx.loop, avow_abort_signal(stop)));
	FX_ABORTS("a signal of another loop",
		  avow_abortable(p, avow_abort_signal(stop)));
	FX_ABORTS("a signal of another loop",
		  avow_abortable(p, avow_abort_signal(gone)));
	FX_ABORTS("of a NULL promise",
		  avow_abortable(NULL, avow_abort_signal(stop)));
	avow_loop_free(other);
	avow_abort_free(stop);
	avow_abort_free(gone);
}


/* ---------------------------------------------------- Great numbers, depth */

static void tie_and_let_go(avow_signal *signal, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		avow_promise *const p = avow_pending(fx.loop);
		avow_abortable(p, signal);
		avow_signal_promise(fx.loop, signal);
		avow_cancel(avow_signal_promise(fx.loop, signal));
		avow_resolve(p, avow_none());
	}
	fx_run();
}

/* The promises of the signal stay; everything else goes. */
FX_TEST_LIMIT(a_signal_that_lives_long_costs_nothing, 20.)
{
	avow_abort *const stop = avow_abort_new(fx.loop);
	avow_signal *const signal = avow_abort_signal(stop);
	const size_t blocks = fx_blocks();
	avow_stats stats;
	for (size_t i = fx_scale(1000000) / 100 + 1; i; i--) {
		for (int k = 0; k < 100; k++) {
			avow_promise *const p = avow_pending(fx.loop);
			avow_abortable(p, signal);
			avow_cancel(avow_signal_promise(fx.loop, signal));
			avow_resolve(p, avow_none());
		}
		fx_run();
	}
	avow_loop_stats(fx.loop, &stats);
	if (!FX_QUARANTINE) {
		ck_assert_uint_eq(stats.promise_count, 0);
		ck_assert_uint_le(fx_blocks(), blocks + 1);
	}
	tie_and_let_go(signal, 100);
	avow_abort_with(stop, avow_none());
	avow_abort_free(stop);
}

static void abort_a_tower(void *arg)
{
	avow_abort *const stop = avow_abort_new(fx.loop);
	avow_promise *p = work("w");
	(void)arg;
	for (size_t i = fx_scale(100000); i; i--)
		p = avow_abortable(p, avow_abort_signal(stop));
	note_end(p, "end");
	avow_abort_with(stop, avow_error(EIO, "stop"));
	fx_run();
	fx_expect("hook:w|end:!stop");
	avow_abort_free(stop);
}

FX_TEST(promises_tied_on_top_of_each_other_abort_to_any_depth)
{
	fx_on_small_stack(abort_a_tower, NULL);
}


/* ------------------------------------------------------------- Out of memory */

static void end_timeout(void *arg)
{
	const size_t failures = fx_failures();
	avow_loop *const loop = avow_loop_new(fx.ev);
	(void)arg;
	if (!loop)
		return;
	avow_loop_on_report(loop, fx_report, NULL);
	avow_signal *const signal = avow_signal_timeout(loop, 0.001);
	avow_promise *const p = avow_abortable(avow_pending(loop), signal);
	note_end(p, "end");
	ev_run(fx.ev, 0);
	const char *const log = fx_take_log();
	ck_assert_msg(!strcmp(log, "end:!timed out") ||
			      fx_failures() > failures,
		      "%s", log);
	ck_assert_str_ne(log, "");
	avow_loop_free(loop);
	fx_take_reports();
}

FX_TEST(a_timeout_without_memory_aborts_at_once)
{
	fx_sweep(end_timeout, NULL);
}

FX_TEST(a_timeout_without_a_clock_aborts_at_once)
{
	fx_destroy_ev();
	avow_signal *const signal = avow_signal_timeout(fx.loop, 1.);
	ck_assert(avow_error_is(avow_signal_reason(signal), &avow_core_domain,
				AVOW_EABANDONED));
}

static avow_value swallow(avow_value error, void *arg)
{
	(void)error;
	(void)arg;
	return avow_none();
}

static void count(void *counter)
{
	++*(int *)counter;
}

static void abort_many(void *arg)
{
	avow_loop *const loop = avow_loop_new(fx.ev);
	int drops = 0;
	(void)arg;
	if (!loop)
		return;
	avow_abort *const stop = avow_abort_new(loop);
	avow_signal *const two[] = { stop ? avow_abort_signal(stop)
					  : avow_signal_any(loop, NULL, 0),
				     avow_signal_timeout(loop, 3600.) };
	avow_signal *const any = avow_signal_any(loop, two, 2);
	avow_promise *const p = avow_abortable(avow_pending(loop), any);
	avow_on(p, .rejected = swallow, .arg = &drops, .drop = count);
	avow_on(avow_signal_promise(loop, two[0]), .rejected = swallow,
		.arg = &drops, .drop = count);
	if (stop)
		avow_abort_with(stop, fx_box_new(1));
	else
		avow_cancel(p);
	avow_abort_free(stop);
	ev_run(fx.ev, EVRUN_NOWAIT);
	avow_loop_free(loop);
	ck_assert_int_eq(drops, 2);
	ck_assert_int_eq(fx.boxes, 0);
}

FX_TEST(whatever_allocation_fails_all_is_aborted_or_refused)
{
	ck_assert_uint_gt(fx_sweep(abort_many, NULL), 8);
}

FX_TEST(without_memory_there_is_no_controller)
{
	fx_fail_from(0);
	ck_assert_ptr_null(avow_abort_new(fx.loop));
	avow_signal *const any = avow_signal_any(fx.loop, NULL, 0);
	ck_assert(avow_error_is(avow_signal_reason(any), &avow_errno_domain,
				ENOMEM));
	avow_signal_hold(any);
	avow_signal_release(any);
	avow_signal_release(any);
	fx_fail_never();
}


/* ------------------------------------------------------ The end of the loop */

static void signals_while_closing(void *arg)
{
	(void)arg;
	avow_loop_free(fx.loop);
	avow_signal *const any = avow_signal_any(fx.loop, NULL, 0);
	avow_signal *const timeout = avow_signal_timeout(fx.loop, 1.);
	ck_assert_int_eq(avow_code(avow_signal_reason(any)), AVOW_EABANDONED);
	ck_assert_int_eq(avow_code(avow_signal_reason(timeout)),
			 AVOW_EABANDONED);
	avow_promise *const p = avow_signal_promise(fx.loop, any);
	ck_assert_int_eq(avow_state_of(p), AVOW_REJECTED);
}

FX_TEST(a_loop_that_is_being_freed_gives_signals_that_have_aborted)
{
	ck_assert(avow_post(fx.loop, signals_while_closing, NULL));
	fx_run();
	fx.loop = NULL;
}

static void free_loop_in_hook(void *arg)
{
	(void)arg;
	avow_loop_free(fx.loop);
	fx_log("freed");
}

/* Also from outside of any job. */
FX_TEST(a_hook_may_free_the_loop_and_the_rest_is_aborted_all_the_same)
{
	avow_abort *const stop = avow_abort_new(fx.loop);
	const avow_call call = avow_begin(fx.loop, "call");
	avow_on_cancel(call.context, free_loop_in_hook, NULL);
	note_end(avow_abortable(avow_end(call, true, 0),
				avow_abort_signal(stop)),
		 "a");
	note_end(avow_abortable(work("b"), avow_abort_signal(stop)), "b");
	avow_abort_with(stop, avow_error(EIO, "stop"));
	fx.loop = NULL;
	fx_expect("freed|hook:b|a:!stop|b:!stop");
	avow_abort_free(stop);
}


/* -------------------------------------------------------------- Re-entrancy */

static avow_abort *scene_stop;

static avow_promise *scene_tie(avow_promise *p)
{
	return avow_abortable(p, avow_abort_signal(scene_stop));
}

static void act_in_pointer(void *arg)
{
	(void)arg;
	scene_act();
}

static avow_value act_in_handler(avow_value value, void *arg)
{
	(void)arg;
	fx_text(value);
	scene_act();
	fx_text(value);
	return value;
}

static void try_all(void (*prepare)(void), int calls)
{
	for (int act = 0; act < ACTS; act++) {
		scene_open((enum act)act);
		scene_stop = avow_abort_new(scene.loop);
		prepare();
		fx_run();
		avow_abort_free(scene_stop);
		scene_look(calls);
	}
}

static void prepare_hook(void)
{
	for (int i = 0; i < 2; i++) {
		const avow_call call = avow_begin(scene.loop, "call");
		avow_on_cancel(call.context, act_in_pointer, NULL);
		avow_promise *const p = scene_tie(avow_end(call, true, 0));
		if (i)
			scene_self(p);
	}
	avow_abort_with(scene_stop, avow_none());
}

FX_TEST(the_hook_of_what_is_aborted_may_do_anything)
{
	try_all(prepare_hook, 2);
}

static void prepare_drop(void)
{
	for (int i = 0; i < 2; i++) {
		avow_promise *const p = scene_tie(avow_attach(
			avow_pending(scene.loop), &scene, act_in_pointer));
		if (i)
			scene_self(avow_finally(p, act_in_handler, NULL));
	}
	avow_abort_with(scene_stop, avow_errno(EIO));
}

FX_TEST(the_drop_of_what_is_aborted_may_do_anything)
{
	try_all(prepare_drop, 3);
}

static void prepare_told(void)
{
	avow_promise *const p =
		avow_signal_promise(scene.loop, avow_abort_signal(scene_stop));
	scene_self(avow_catch(p, act_in_handler, NULL));
	avow_signal *const signal = avow_abort_signal(scene_stop);
	avow_abortable(avow_pending(scene.loop),
		       avow_signal_any(scene.loop, &signal, 1));
	avow_abort_with(scene_stop, fx_box_new(1));
}

FX_TEST(the_handler_of_an_aborted_promise_may_do_anything)
{
	try_all(prepare_told, 1);
}

static void prepare_timeout(void)
{
	avow_signal *const signal = avow_signal_timeout(scene.loop, 0.);
	for (int i = 0; i < 2; i++) {
		const avow_call call = avow_begin(scene.loop, "call");
		avow_on_cancel(call.context, act_in_pointer, NULL);
		avow_promise *const p =
			avow_abortable(avow_end(call, true, 0), signal);
		if (i)
			scene_self(p);
	}
}

FX_TEST(the_hook_of_what_times_out_may_do_anything)
{
	try_all(prepare_timeout, 2);
}

static void odd_free_and_act(void *ptr)
{
	free(ptr);
	scene_act();
}

AVOW_TYPE(wild, void *, odd_free_and_act);

static void prepare_reason(void)
{
	avow_signal *const signal = avow_abort_signal(scene_stop);
	avow_signal_hold(signal);
	scene_self(scene_tie(avow_pending(scene.loop)));
	avow_abort_with(scene_stop, wild_value(malloc(1)));
	avow_abort_free(scene_stop);
	scene_stop = NULL;
	ev_run(fx.ev, 0);
	avow_signal_release(signal);
}

FX_TEST(the_drop_of_a_reason_may_do_anything)
{
	try_all(prepare_reason, 1);
}

int main(void)
{
	return fx_main("abort");
}
