/*
 * SPDX-License-Identifier: MIT
 *
 * Thenables: values of a type that says how to wait for them.  They are started
 * in a job of their own and settle a promise once, whatever they try.
 */
#include "fixture.h"

static uint64_t ignored_count(void)
{
	avow_stats stats;
	avow_loop_stats(fx.loop, &stats);
	return stats.ignored;
}


/* --------------------------------------------------------------- Thenables */

enum way {
	SETTLE_NOW = 1, SETTLE_LATER, SETTLE_TWICE, FAIL, FAIL_AFTER_SETTLING,
	GIVE_PROMISE, GIVE_THENABLE, GIVE_ERROR, GIVE_BOX, NEVER, RETURN_A_BOX
};

struct foreign {
	enum way way;
	const void *context;
};

static void foreign_free(struct foreign *foreign)
{
	fx_log("free");
	fx.boxes--;
	free(foreign);
}

static void foreign_done(void *arg)
{
	avow_settle(arg, avow_int(2));
}

static avow_value foreign_value_of(enum way way);
static avow_value foreign_start(avow_value value, void *context);

static void foreign_drop(void *ptr)
{
	foreign_free(ptr);
}

AVOW_TYPE_WITH(foreign, struct foreign *, foreign_drop, 0, foreign_start,
	       false, 0);

static avow_value foreign_value_of(enum way way)
{
	struct foreign *const foreign = calloc(1, sizeof(*foreign));
	foreign->way = way;
	fx.boxes++;
	return foreign_value(foreign);
}

static avow_value foreign_start(avow_value value, void *context)
{
	struct foreign *const foreign = foreign_get(value);
	fx_log("call");
	foreign->context = context;
	switch (foreign->way) {
	case SETTLE_NOW:
		avow_settle(context, avow_int(1));
		break;
	case SETTLE_LATER:
		fx_later(0.05, foreign_done, context);
		break;
	case SETTLE_TWICE:
		avow_settle(context, avow_int(1));
		avow_settle(context, fx_box_new(2));
		break;
	case FAIL:
		return avow_error(EIO, "no start");
	case FAIL_AFTER_SETTLING:
		avow_settle(context, avow_int(1));
		return avow_error(EIO, "too late");
	case GIVE_PROMISE:
		avow_settle(context, avow_await(avow_then(
			avow_resolved(fx.loop, avow_int(3)), fx_pass,
			"inner")));
		break;
	case GIVE_THENABLE:
		avow_settle(context, foreign_value_of(SETTLE_LATER));
		break;
	case GIVE_ERROR:
		avow_settle(context, avow_error(EIO, "bad"));
		break;
	case GIVE_BOX:
		avow_settle(context, fx_box_new(4));
		break;
	case RETURN_A_BOX:
		avow_settle(context, avow_int(1));
		return fx_box_new(5);
	case NEVER:
		break;
	}
	return avow_none();
}

FX_TEST(a_thenable_is_called_in_a_job_of_its_own)
{
	avow_promise *const p = avow_pending(fx.loop);
	avow_then(p, fx_note, "then");
	avow_resolve(p, foreign_value_of(SETTLE_NOW));
	ck_assert_int_eq(avow_state_of(p), AVOW_PENDING);
	fx_log("return");
	fx_run();
	const char *const text = fx_take_log();
	ck_assert_msg(!strncmp(text, "return|call|", 12) &&
		      strstr(text, "then:1") && strstr(text, "free"),
		      "%s", text);
}

static const char *outcome_of(enum way way)
{
	static char text[128];
	avow_promise *const p = avow_pending(fx.loop);
	avow_resolve(p, foreign_value_of(way));
	avow_on(p, .fulfilled = fx_note, .rejected = fx_note, .arg = "end");
	fx_run();
	const char *const log = fx_take_log();
	const char *const end = strstr(log, "end:");
	snprintf(text, sizeof(text), "%.100s", end ? end : "nothing");
	*strchrnul(text, '|') = '\0';
	return text;
}

FX_TEST(a_promise_takes_the_outcome_of_a_thenable)
{
	ck_assert_str_eq(outcome_of(SETTLE_NOW), "end:1");
	ck_assert_str_eq(outcome_of(SETTLE_LATER), "end:2");
	ck_assert_str_eq(outcome_of(GIVE_ERROR), "end:!bad");
	ck_assert_str_eq(outcome_of(GIVE_BOX), "end:box:4");
}

FX_TEST(a_thenable_settles_once)
{
	fx.ignores_late = true;
	ck_assert_str_eq(outcome_of(SETTLE_TWICE), "end:1");
	ck_assert_int_eq(fx.boxes, 0);
}

FX_TEST(a_thenable_that_returns_an_error_rejects)
{
	ck_assert_str_eq(outcome_of(FAIL), "end:!no start");
}

FX_TEST(an_error_that_a_thenable_returns_after_settling_is_dropped)
{
	fx.ignores_late = true;
	ck_assert_str_eq(outcome_of(FAIL_AFTER_SETTLING), "end:1");
}

FX_TEST(what_a_thenable_returns_is_dropped)
{
	ck_assert_str_eq(outcome_of(RETURN_A_BOX), "end:1");
	ck_assert_int_eq(fx.boxes, 0);
}

FX_TEST(a_thenable_may_give_a_promise)
{
	ck_assert_str_eq(outcome_of(GIVE_PROMISE), "end:3");
}

FX_TEST(a_thenable_may_give_a_thenable)
{
	ck_assert_str_eq(outcome_of(GIVE_THENABLE), "end:2");
	ck_assert_int_eq(fx.boxes, 0);
}

static avow_value give_foreign(avow_value value, void *way)
{
	(void)value;
	return foreign_value_of((enum way)(intptr_t)way);
}

FX_TEST(a_handler_may_return_a_thenable)
{
	avow_promise *const p = avow_resolved(fx.loop, avow_none());
	avow_then(avow_then(p, give_foreign, (void *)SETTLE_LATER), fx_note,
		  "then");
	fx_run();
	const char *const text = fx_take_log();
	ck_assert_msg(strstr(text, "then:2"), "%s", text);
}

FX_TEST(a_promise_may_be_born_waiting_for_a_thenable)
{
	avow_promise *const p = avow_resolved(fx.loop,
					      foreign_value_of(SETTLE_LATER));
	ck_assert_int_eq(avow_state_of(p), AVOW_PENDING);
	avow_then(p, fx_note, "then");
	fx_run();
	const char *const text = fx_take_log();
	ck_assert_msg(strstr(text, "then:2"), "%s", text);
}

FX_TEST(settling_a_promise_that_waits_for_a_thenable_is_ignored)
{
	avow_promise *const p = avow_pending(fx.loop);
	avow_resolve(p, foreign_value_of(SETTLE_LATER));
	avow_resolve(p, fx_box_new(9));
	ck_assert_uint_eq(ignored_count(), 1);
	avow_then(p, fx_note, "then");
	fx_run();
	const char *const text = fx_take_log();
	ck_assert_msg(strstr(text, "then:2"), "%s", text);
}

FX_TEST(a_thenable_as_a_reason_is_not_called)
{
	avow_promise *const p = avow_pending(fx.loop);
	avow_reject(p, foreign_value_of(SETTLE_NOW));
	ck_assert_int_eq(avow_state_of(p), AVOW_REJECTED);
	avow_catch(p, fx_note_code, "catch");
	fx_run();
	fx_expect("catch:9|free");
}

FX_TEST(a_thenable_that_never_settles_is_dropped_with_the_loop)
{
	avow_promise *const p = avow_resolved(fx.loop, foreign_value_of(NEVER));
	avow_catch(p, fx_note_code, "catch");
	fx_run();
	fx_expect("call");
	fx_free_loop();
	(void)fx_take_reports();
	const char *const text = fx_take_log();
	ck_assert_msg(strstr(text, "catch:3") && strstr(text, "free"), "%s",
		      text);
}

FX_TEST(a_thenable_not_yet_called_when_the_loop_is_freed_is_dropped)
{
	avow_promise *const p = avow_resolved(fx.loop,
					      foreign_value_of(SETTLE_NOW));
	avow_on(p, .fulfilled = fx_note, .rejected = fx_seven, .arg = "end");
	fx_free_loop();
	const char *const text = fx_take_log();
	ck_assert_msg(strstr(text, "end:") && strstr(text, "free"), "%s",
		      text);
}

static avow_value cancel_and_give_promise(avow_value value, void *context);

AVOW_TYPE_WITH(hasty, avow_promise **, 0, 0, cancel_and_give_promise, false,
	       0);

static avow_value cancel_and_give_promise(avow_value value, void *context)
{
	avow_promise *const p = *hasty_get(value);
	avow_settle(context, avow_await(avow_delay(fx.loop, 3600.)));
	avow_cancel(p);
	return avow_none();
}

FX_TEST(a_thenable_that_gives_a_promise_may_be_cancelled_by_its_start)
{
	avow_promise *p = avow_pending(fx.loop);
	avow_catch(p, fx_note_code, "catch");
	avow_resolve(p, hasty_value(&p));
	fx_run();
	fx_expect("catch:1");
}

FX_TEST(a_thenable_not_yet_called_is_dropped_by_a_cancellation)
{
	avow_promise *const p = avow_pending(fx.loop);
	avow_catch(p, fx_note_code, "catch");
	avow_resolve(p, foreign_value_of(SETTLE_NOW));
	avow_cancel(p);
	fx_run();
	const char *const text = fx_take_log();
	ck_assert_msg(strstr(text, "catch:1") && strstr(text, "free") &&
		      !strstr(text, "call"), "%s", text);
}

FX_TEST(a_thenable_that_settles_after_a_cancellation_is_ignored)
{
	avow_promise *const p = avow_pending(fx.loop);
	avow_catch(p, fx_note_code, "catch");
	fx.ignores_late = true;
	avow_resolve(p, foreign_value_of(SETTLE_LATER));
	ev_run(fx.ev, EVRUN_NOWAIT);
	fx_expect("call");
	avow_cancel(p);
	fx_run();
	const char *const text = fx_take_log();
	ck_assert_msg(strstr(text, "catch:1") && strstr(text, "free"), "%s",
		      text);
}


int main(void)
{
	return fx_main("thenable");
}
