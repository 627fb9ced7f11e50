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
	fx_log("%s:%s", (const char *)name, avow_is_cancelled(value) ?
	       "cancelled" : fx_text(value));
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


/* -------------------------------------------------------- Derived, and deep */

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
	fx_run();	/* returns: the timer is gone */
	avow_signal_release(any);
	avow_abort_free(stop);
}

FX_TEST(no_list_with_a_count_is_an_aborted_signal)
{
	avow_signal *const any = avow_signal_any(fx.loop, NULL, 2);
	ck_assert(avow_error_is(avow_signal_reason(any), &avow_core_domain,
				AVOW_EINVALID));
}


/* ----------------------------------------------------------------- Reasons */

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

FX_TEST(a_promise_is_no_reason)
{
	avow_abort *const stop = avow_abort_new(fx.loop);
	FX_ABORTS("a promise", avow_abort_with(
			  stop, avow_await(avow_pending(fx.loop))));
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
	avow_then(avow_resolved(fx.loop, avow_none()), give_the_reason,
		  avow_abort_signal(stop));
	FX_ABORTS("a borrowed error was given away", fx_run());
	avow_abort_free(stop);
	fx_free_loop();
}
#endif


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
	ck_assert_msg(!strcmp(log, "end:!timed out") || fx_failures() > failures,
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

int main(void)
{
	return fx_main("abort");
}
