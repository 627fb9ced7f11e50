/*
 * SPDX-License-Identifier: MIT
 *
 * The order of handlers, counted in hops.
 *
 * A ladder of thens is begun, then a promise is made and a handler added to it;
 * the step that the ladder has reached when the handler runs is the number of
 * hops.  ORDER(name, 4, 2) says that the promise which the function behind it
 * makes takes 4 with avow_loop_ecmascript_order() and 2 without; ORDER_LOG says
 * the same of a program's whole log.
 *
 * oracle/table.mjs reads this file, and measures by the same names in Node what
 * stands first (make oracle).
 */
#include "fixture.h"

enum { LADDER = 20 };

static int ladder_at;

static avow_value ladder_step(avow_value value, void *arg)
{
	(void)value;
	(void)arg;
	ladder_at++;
	return avow_none();
}

static avow_value hops_note(avow_value value, void *hops)
{
	(void)value;
	*(int *)hops = ladder_at;
	return avow_none();
}

static int hops_of(avow_promise *make(void), bool is_ecmascript)
{
	int hops = 0;
	avow_loop_ecmascript_order(fx.loop, is_ecmascript);
	ladder_at = 0;
	avow_promise *ladder = avow_resolved(fx.loop, avow_none());
	for (int n = 0; n < LADDER; n++)
		ladder = avow_then(ladder, ladder_step, NULL);
	avow_on(make(), .fulfilled = hops_note, .rejected = hops_note,
		.arg = &hops);
	fx_run();
	return hops;
}

#define ORDER(name, ecmascript, usual)                             \
	static avow_promise *name(void);                           \
	FX_TEST(name##_takes_its_hops)                             \
	{                                                          \
		ck_assert_int_eq(hops_of(name, true), ecmascript); \
		ck_assert_int_eq(hops_of(name, false), usual);     \
	}                                                          \
	static avow_promise *name(void)

#define ORDER_LOG(name, ecmascript, usual)                  \
	static void name(void);                             \
	FX_TEST(in_their_order_##name)                      \
	{                                                   \
		avow_loop_ecmascript_order(fx.loop, true);  \
		name();                                     \
		fx_run();                                   \
		fx_expect(ecmascript);                      \
		avow_loop_ecmascript_order(fx.loop, false); \
		name();                                     \
		fx_run();                                   \
		fx_expect(usual);                           \
	}                                                   \
	static void name(void)


/* ----------------------------------------------------------------- Ingredients */

static avow_promise *one(void)
{
	return avow_resolved(fx.loop, avow_int(1));
}

static avow_promise *bad(void)
{
	return avow_rejected(fx.loop, avow_errno(EIO));
}

static avow_promise *follow(avow_promise *p)
{
	return avow_resolved(fx.loop, avow_await(p));
}

static avow_value give_two(avow_value value, void *arg)
{
	(void)value;
	(void)arg;
	return avow_int(2);
}

static avow_value give_none(avow_value value, void *arg)
{
	(void)value;
	(void)arg;
	return avow_none();
}

static avow_value give_failure(avow_value value, void *arg)
{
	(void)value;
	(void)arg;
	return avow_errno(EIO);
}

static avow_value give_one(avow_value value, void *arg)
{
	(void)value;
	(void)arg;
	return avow_await(one());
}

static avow_value give_bad(avow_value value, void *arg)
{
	(void)value;
	(void)arg;
	return avow_await(bad());
}

/* Thenables that settle at once: with a number, with one of these, with a
 * promise. */
static avow_value plain_start(avow_value value, void *context)
{
	(void)value;
	avow_settle(context, avow_int(1));
	return avow_none();
}
AVOW_TYPE_WITH(plain, int64_t, 0, 0, plain_start, false, 0);

static avow_value double_start(avow_value value, void *context)
{
	(void)value;
	avow_settle(context, plain_value(1));
	return avow_none();
}
AVOW_TYPE_WITH(twofold, int64_t, 0, 0, double_start, false, 0);

static avow_value native_start(avow_value value, void *context)
{
	(void)value;
	avow_settle(context, avow_await(one()));
	return avow_none();
}
AVOW_TYPE_WITH(native, int64_t, 0, 0, native_start, false, 0);

static avow_value give_plain(avow_value value, void *arg)
{
	(void)value;
	(void)arg;
	return plain_value(1);
}

/* What a finally returns is dropped but for promises. */
static avow_value wait_for_plain(avow_value value, void *arg)
{
	(void)value;
	(void)arg;
	return avow_await(avow_resolved(fx.loop, plain_value(1)));
}

static avow_promise *all_of(avow_promise *p)
{
	return avow_all(fx.loop, &p, 1);
}


/* --------------------------------------------------------------------- One hop */

ORDER(a_resolved_promise, 1, 1)
{
	return one();
}

ORDER(a_rejected_promise, 1, 1)
{
	return bad();
}

ORDER(all_of_nothing, 1, 1)
{
	return avow_all(fx.loop, NULL, 0);
}

ORDER(all_settled_of_nothing, 1, 1)
{
	return avow_all_settled(fx.loop, NULL, 0);
}

ORDER(any_of_nothing, 1, 1)
{
	return avow_any(fx.loop, NULL, 0);
}


/* -------------------------------------------------------------------- Two hops */

ORDER(a_then_that_returns_a_value, 2, 2)
{
	return avow_then(one(), give_two, NULL);
}

ORDER(a_then_that_fails, 2, 2)
{
	return avow_then(one(), give_failure, NULL);
}

ORDER(a_then_with_no_handler, 2, 2)
{
	return avow_on(one(), .arg = NULL);
}

ORDER(a_catch_that_returns_a_value, 2, 2)
{
	return avow_catch(bad(), give_two, NULL);
}

ORDER(a_value_that_passes_a_catch, 2, 2)
{
	return avow_catch(one(), give_two, NULL);
}

ORDER(a_rejection_that_passes_a_then, 2, 2)
{
	return avow_then(bad(), give_two, NULL);
}

ORDER(a_promise_resolved_with_a_thenable, 2, 2)
{
	return avow_resolved(fx.loop, plain_value(1));
}

ORDER(a_finally_that_fails, 2, 2)
{
	return avow_finally(one(), give_failure, NULL);
}

ORDER(all_of_one_value, 2, 2)
{
	return all_of(one());
}

ORDER(all_of_one_rejection, 2, 2)
{
	return all_of(bad());
}

ORDER(all_settled_of_one_rejection, 2, 2)
{
	avow_promise *const p = bad();
	return avow_all_settled(fx.loop, &p, 1);
}

ORDER(any_of_one_value, 2, 2)
{
	avow_promise *const p = one();
	return avow_any(fx.loop, &p, 1);
}

ORDER(any_of_one_rejection, 2, 2)
{
	avow_promise *const p = bad();
	return avow_any(fx.loop, &p, 1);
}

ORDER(race_of_one_value, 2, 2)
{
	avow_promise *const p = one();
	return avow_race(fx.loop, &p, 1);
}


/* ------------------------------------------------------------------ Three hops */

ORDER(a_promise_that_follows_another, 3, 1)
{
	return follow(one());
}

ORDER(a_promise_that_follows_one_settled_later, 3, 1)
{
	avow_promise *const p = avow_pending(fx.loop);
	avow_promise *const f = follow(p);
	avow_resolve(p, avow_int(1));
	return f;
}

ORDER(a_then_that_returns_a_thenable, 3, 3)
{
	return avow_then(one(), give_plain, NULL);
}

ORDER(a_thenable_of_a_thenable, 3, 3)
{
	return avow_resolved(fx.loop, twofold_value(1));
}

ORDER(all_of_one_thenable, 3, 3)
{
	return all_of(avow_resolved(fx.loop, plain_value(1)));
}

ORDER(race_of_one_thenable, 3, 3)
{
	avow_promise *const p = avow_resolved(fx.loop, plain_value(1));
	return avow_race(fx.loop, &p, 1);
}

ORDER(all_of_all_of_one_value, 3, 3)
{
	return all_of(all_of(one()));
}


/* ------------------------------------------------------------------- Four hops */

ORDER(a_then_that_returns_a_promise, 4, 2)
{
	return avow_then(one(), give_one, NULL);
}

ORDER(a_then_that_returns_a_rejected_promise, 4, 2)
{
	return avow_then(one(), give_bad, NULL);
}

ORDER(a_catch_that_returns_a_promise, 4, 2)
{
	return avow_catch(bad(), give_one, NULL);
}

ORDER(a_finally_that_returns_nothing, 4, 2)
{
	return avow_finally(one(), give_none, NULL);
}

ORDER(a_finally_that_returns_a_value, 4, 2)
{
	return avow_finally(one(), give_two, NULL);
}

ORDER(a_finally_of_a_rejection, 4, 2)
{
	return avow_finally(bad(), give_none, NULL);
}

ORDER(a_finally_that_returns_a_promise, 4, 2)
{
	return avow_finally(one(), give_one, NULL);
}

ORDER(a_finally_that_returns_a_rejected_promise, 4, 2)
{
	return avow_finally(one(), give_bad, NULL);
}

ORDER(a_thenable_that_gives_a_promise, 4, 2)
{
	return avow_resolved(fx.loop, native_value(1));
}

ORDER(a_follower_of_a_follower, 4, 1)
{
	return follow(follow(one()));
}


/* ------------------------------------------------------------------------- More */

ORDER(a_finally_that_returns_a_thenable, 5, 3)
{
	return avow_finally(one(), wait_for_plain, NULL);
}

ORDER(all_of_a_thenable_that_gives_a_promise, 5, 3)
{
	return all_of(avow_resolved(fx.loop, native_value(1)));
}

ORDER(all_of_a_chain_of_three, 5, 5)
{
	avow_promise *p = avow_then(one(), give_two, NULL);
	p = avow_then(p, give_two, NULL);
	return all_of(avow_then(p, give_two, NULL));
}

ORDER(a_finally_behind_a_finally, 7, 3)
{
	return avow_finally(avow_finally(one(), give_none, NULL), give_none,
			    NULL);
}


/* -------------------------------------------------------------- Whole programs */

static avow_value name_note(avow_value value, void *name)
{
	(void)value;
	fx_log("%s", (const char *)name);
	return avow_none();
}

static void name_ladder(int count)
{
	static char *const names[] = { "a1", "a2", "a3", "a4", "a5" };
	avow_promise *p = avow_resolved(fx.loop, avow_none());
	for (int n = 0; n < count; n++)
		p = avow_then(p, name_note, names[n]);
}

ORDER_LOG(chains_take_turns, "a1|a2|all|race|a3|thenable|a4|native|finally|a5",
	  "a1|a2|all|race|native|finally|a3|thenable|a4|a5")
{
	avow_promise *const p = one();
	name_ladder(5);
	avow_then(avow_all(fx.loop, &p, 1), name_note, "all");
	avow_then(avow_race(fx.loop, &p, 1), name_note, "race");
	avow_then(avow_then(one(), give_plain, NULL), name_note, "thenable");
	avow_then(avow_then(one(), give_one, NULL), name_note, "native");
	avow_then(avow_finally(one(), give_none, NULL), name_note, "finally");
}

static avow_value known_start(avow_value value, void *context)
{
	(void)value;
	fx_log("call");
	avow_settle(context, avow_int(1));
	return avow_none();
}
AVOW_TYPE_WITH(known, int64_t, 0, 0, known_start, false, 0);

ORDER_LOG(a_thenable_is_known_at_once_and_called_later, "known|call|a1|then|a2",
	  "known|call|a1|then|a2")
{
	avow_promise *const p = avow_resolved(fx.loop, known_value(1));
	fx_log(avow_state_of(p) == AVOW_PENDING ? "known" : "not known");
	avow_then(p, name_note, "then");
	name_ladder(2);
}

int main(void)
{
	return fx_main("order");
}
