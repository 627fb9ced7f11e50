/*
 * SPDX-License-Identifier: MIT
 *
 * A random program of many at once: promises joined by all, all_settled, any,
 * race and some, on each other and with signals, settled, cancelled, held,
 * aborted, their lists taken apart and kept, from outside and from inside
 * handlers, hooks, drops and nested loops, on seeds that are printed.  On odd
 * seeds the loop may be freed anywhere, and on every third an allocation fails
 * now and then.  test_random.c does the same for the core.
 *
 * Promises are known by slots alone, so that each may go as soon as the library
 * has no use for it.  What must hold however it goes: each value is dropped
 * once, each argument is dropped once, a handler runs at most once, nothing is
 * left behind.  Another seed: FX_SEED=n; more of them: FX_ROUNDS=n.
 */
#include "fixture.h"

enum { POOL = 16, STOPS = 4, LISTS = 8, JOIN_MAX = 5, RECORDS_MAX = 4096 };

/* One attached handler. */
struct record {
	int runs, drops;
};

static struct {
	uint64_t state;
	size_t steps_left;
	unsigned depth;		   /* of nested loops */
	avow_promise *pool[POOL];  /* slots, any state */
	avow_promise *roots[POOL]; /* slots, made by avow_pending() */
	bool is_held[POOL];
	const void *calls[POOL]; /* contexts, each settled once */
	avow_abort *stops[STOPS];
	avow_value lists[LISTS]; /* taken, to be dropped some time */
	struct record records[RECORDS_MAX];
	size_t record_count;
	unsigned inside; /* callbacks that a loop outlives */
	bool may_free, is_freed, may_fail;
} world;

static uint32_t pick(uint32_t count)
{
	world.state ^= world.state << 13;
	world.state ^= world.state >> 7;
	world.state ^= world.state << 17;
	return (uint32_t)(world.state >> 33) % count;
}

static void act_some(uint32_t most);

/* May the loop be used?  Freed, it is there until the outermost returns. */
static bool is_usable(void)
{
	return !world.is_freed || world.inside > 0;
}

static void act_inside(uint32_t most)
{
	world.inside++;
	act_some(most);
	world.inside--;
}


/* ------------------------------------------------------------------- Values */

/* A value whose drop acts, where the loop may be gone already; and an error
 * that cannot be copied. */
static void wild_free(void *wild)
{
	free(wild);
	fx.boxes--;
	if (pick(4) == 0)
		act_some(2);
}

static void flaw_free(void *flaw)
{
	free(flaw);
	fx.boxes--;
}

AVOW_TYPE(wild, void *, wild_free);
AVOW_TYPE_WITH(flaw, void *, flaw_free, 0, 0, true, 0);

/* No drop of these acts: a promise can be made of them at any time. */
static avow_value tame_value(void)
{
	switch (pick(7)) {
	case 0:
		return avow_none();
	case 1:
		return avow_str("text");
	case 2:
		return fx_twin_new(2);
	case 3:
		return avow_error(EIO, "random");
	case 4:
		fx.boxes++;
		return flaw_value(malloc(1));
	default:
		return fx_box_new(1);
	}
}

static avow_value any_value(void)
{
	if (pick(5) == 0) {
		const avow_value items[] = { fx_box_new(3), tame_value() };
		return avow_list(items, 2);
	}
	if (pick(5) == 0) {
		fx.boxes++;
		return wild_value(malloc(1));
	}
	return tame_value();
}


/* ----------------------------------------------------------------- Promises */

static avow_promise *any_promise(void)
{
	return world.pool[pick(POOL)];
}

/* Into the pool, where what was there is forgotten. */
static void keep(avow_promise *p)
{
	const uint32_t i = pick(POOL);
	if (!is_usable())
		return;
	if (world.pool[i]) {
		if (world.is_held[i])
			avow_release(world.pool[i]);
		avow_unslot(&world.pool[i]);
	}
	world.is_held[i] = false;
	avow_slot(p, &world.pool[i]);
}

static void hook(void *arg)
{
	(void)arg;
	act_inside(2);
}

static void begin_call(void)
{
	const avow_call call = avow_begin(fx.loop, "random");
	world.calls[pick(POOL)] = call.context;
	if (pick(2))
		avow_on_cancel(call.context, hook, NULL);
	if (pick(3) == 0)
		ck_assert(avow_alloc(call.context, 100) || !call.is_open ||
			  world.may_fail);
	keep(avow_end(call, true, 0));
}

static void settle_call(void)
{
	const uint32_t i = pick(POOL);
	const void *const context = world.calls[i];
	world.calls[i] = NULL;
	if (context)
		avow_settle(context, any_value());
}

static void resolve_root(void)
{
	avow_promise **const root = &world.roots[pick(POOL)];
	avow_promise *const p = any_promise();
	if (!*root) {
		avow_slot(avow_pending(fx.loop), root);
		if (*root)
			keep(*root);
		return;
	}
	avow_promise *const q = *root;
	avow_unslot(root);
	avow_resolve(q, p && pick(3) == 0 ? avow_await(p) : any_value());
}


/* -------------------------------------------------------------------- Joins */

static avow_signal *any_signal(void)
{
	avow_signal *list[STOPS];
	size_t count = 0;
	for (int i = 0; i < STOPS; i++) {
		if (world.stops[i] && pick(2))
			list[count++] = avow_abort_signal(world.stops[i]);
	}
	switch (pick(4)) {
	case 0:
		return avow_signal_any(fx.loop, list, count);
	case 1:
		return avow_signal_timeout(fx.loop, pick(2) ? 0. : 3600.);
	default:
		return count ? list[0] : NULL;
	}
}

static avow_promise *join(void)
{
	avow_promise *list[JOIN_MAX];
	const avow_join options = { .count = pick(JOIN_MAX + 1),
				    .cancel_losers = pick(2),
				    .signal = pick(3) ? NULL : any_signal() };
	for (size_t i = 0; i < options.count; i++) {
		avow_promise *const p = any_promise();
		list[i] = p && pick(4) ? p
				       : avow_resolved(fx.loop, tame_value());
	}
	switch (pick(5)) {
	case 0:
		return avow_all_at(AVOW_HERE, fx.loop, list, &options);
	case 1:
		return avow_all_settled_at(AVOW_HERE, fx.loop, list, &options);
	case 2:
		return avow_any_at(AVOW_HERE, fx.loop, list, &options);
	case 3:
		return avow_race_at(AVOW_HERE, fx.loop, list, &options);
	default:
		return avow_some_at(AVOW_HERE, fx.loop, pick(JOIN_MAX), list,
				    &options);
	}
}

static void keep_list(avow_value list)
{
	const uint32_t i = pick(LISTS);
	const avow_value old = world.lists[i];
	world.lists[i] = list;
	fx_text(list);
	avow_drop(old);
}

/* Something out of a list: an item, or what is left after taking some. */
static avow_value take_apart(avow_value list)
{
	const size_t count = avow_list_count(list);
	for (size_t i = 0; i < count; i++) {
		if (pick(3) == 0)
			return avow_take(avow_list_at(list, i));
		if (pick(3) == 0)
			avow_drop(avow_take(avow_list_at(list, i)));
	}
	if (pick(2)) {
		keep_list(avow_take(list));
		return avow_none();
	}
	return list;
}

static avow_value any_result(avow_value value)
{
	avow_promise *const p = any_promise();
	if (avow_is(value, &avow_list_type) && pick(2))
		return take_apart(value);
	switch (pick(6)) {
	case 0:
		return avow_take(value);
	case 1:
		return p ? avow_await(p) : avow_none();
	case 2:
		return avow_await(join());
	case 3:
		return any_value();
	default:
		return value;
	}
}

static avow_value react(avow_value value, void *arg)
{
	struct record *const record = arg;
	ck_assert_int_eq(record->runs++, 0);
	ck_assert_int_eq(record->drops, 0);
	fx_text(value);
	fx_text(avow_cause(value));
	act_inside(2);
	fx_text(value);
	return any_result(value);
}

static void end_record(void *arg)
{
	struct record *const record = arg;
	ck_assert_int_eq(record->drops++, 0);
	if (pick(4) == 0)
		act_inside(2);
}

static void attach(avow_promise *p)
{
	if (world.record_count == RECORDS_MAX)
		return;
	avow_handlers h = { .arg = &world.records[world.record_count++],
			    .drop = end_record };
	if (pick(4) == 0)
		h.finally = react;
	if (!h.finally && pick(4))
		h.fulfilled = react;
	if (!h.finally && pick(2))
		h.rejected = react;
	keep(avow_on_at(AVOW_HERE, p, &h));
}


/* ------------------------------------------------------------------ Actions */

static void hold_or_release(void)
{
	const uint32_t i = pick(POOL);
	avow_promise *const p = world.pool[i];
	if (!p)
		return;
	if (world.is_held[i])
		avow_release(p);
	else
		avow_hold(p);
	world.is_held[i] = !world.is_held[i];
}

/* A controller that is freed while it aborts is not known here any more. */
static void abort_or_free(void)
{
	avow_abort **const stop = &world.stops[pick(STOPS)];
	avow_abort *const old = *stop;
	if (!old) {
		*stop = avow_abort_new(fx.loop);
	} else if (pick(3)) {
		avow_abort_with(old, pick(2) ? avow_none() : any_value());
	} else {
		*stop = NULL;
		avow_abort_free(old);
	}
}

static void nest(void)
{
	if (world.depth >= 3)
		return;
	world.depth++;
	ev_run(fx.ev, EVRUN_NOWAIT);
	world.depth--;
}

static void end_loop(void)
{
	world.is_freed = true;
	avow_loop_free(fx.loop);
}

static void act(void)
{
	avow_promise *const p = any_promise();
	if (world.may_fail && pick(8) == 0)
		fx_fail_once(pick(10));
	switch (pick(20)) {
	case 0:
	case 1:
	case 2:
	case 3:
	case 4:
		keep(join());
		break;
	case 5:
	case 6:
	case 7:
		if (p)
			attach(p);
		break;
	case 8:
	case 9:
	case 10:
		resolve_root();
		break;
	case 11:
		begin_call();
		break;
	case 12:
		settle_call();
		break;
	case 13:
		avow_cancel(p);
		break;
	case 14:
		hold_or_release();
		break;
	case 15:
		abort_or_free();
		break;
	case 16:
		if (p)
			keep(avow_abortable(p, any_signal()));
		break;
	case 17:
		nest();
		break;
	case 18:
		keep_list(avow_none());
		break;
	default:
		if (world.may_free && !world.is_freed && pick(40) == 0)
			end_loop();
		else
			ck_assert(avow_post(fx.loop, hook, NULL) ||
				  world.is_freed || world.may_fail);
	}
}

static void act_some(uint32_t most)
{
	for (uint32_t i = pick(most + 1); i && world.steps_left; i--) {
		if (!is_usable())
			return;
		world.steps_left--;
		act();
	}
}

static void look(avow_loop *loop, const avow_report *report, void *arg)
{
	(void)loop;
	(void)arg;
	fx_text(report->error);
	fx_text(avow_cause(report->error));
	if (pick(4) == 0)
		act_some(1);
}

static void let_go(void)
{
	for (int i = 0; i < STOPS; i++) {
		avow_abort *const stop = world.stops[i];
		world.stops[i] = NULL;
		avow_abort_free(stop);
	}
}

static void run_world(uint64_t seed)
{
	memset(&world, 0, sizeof(world));
	world.state = seed * 0x9e3779b97f4a7c15u + 1;
	world.steps_left = 1000;
	world.may_free = seed % 2;
	world.may_fail = seed % 3 == 0;
	fx.ignores_late = true;
	avow_loop_on_report(fx.loop, look, NULL);
	avow_loop_budget(fx.loop, 1 + pick(50), 3600.);
	avow_loop_ecmascript_order(fx.loop, seed / 4 % 2);
	while (world.steps_left && !world.is_freed) {
		act_some(8);
		if (pick(2) && !world.is_freed)
			ev_run(fx.ev, EVRUN_NOWAIT);
	}
	world.steps_left = pick(2) ? 0 : 40;
	world.may_fail = false;
	fx_fail_never();
	if (pick(2))
		let_go();
	if (!world.is_freed)
		ev_run(fx.ev, EVRUN_NOWAIT);
	if (!world.is_freed)
		end_loop();
	fx.loop = NULL;
	world.steps_left = 0;
	let_go();
	for (int i = 0; i < LISTS; i++)
		keep_list(avow_none());
	for (int i = 0; i < LISTS; i++)
		avow_drop(world.lists[i]);
	for (int i = 0; i < POOL; i++) {
		ck_assert_ptr_null(world.pool[i]);
		ck_assert_ptr_null(world.roots[i]);
	}
	for (size_t i = 0; i < world.record_count; i++)
		ck_assert_msg(world.records[i].drops == 1,
			      "argument %zu was dropped %d times", i,
			      world.records[i].drops);
	ck_assert_int_eq(fx.boxes, 0);
	fx_run();
}

static size_t number(const char *name, size_t otherwise)
{
	const char *const text = getenv(name);
	return text ? strtoul(text, NULL, 10) : otherwise;
}

FX_TEST_LIMIT(random_programs_of_many_at_once_drop_everything_once, 60.)
{
	const size_t rounds = number("FX_ROUNDS", fx_scale(1000));
	const size_t first = number("FX_SEED", 1);
	for (size_t i = 0; i < rounds; i++) {
		const size_t blocks = fx_blocks();
		fprintf(stderr, "seed %zu\n", first + i);
		run_world(first + i);
		fx.loop = avow_loop_new(fx.ev);
		ck_assert_ptr_nonnull(fx.loop);
		ck_assert_uint_eq(fx_blocks(), blocks);
	}
}

int main(void)
{
	return fx_main("random_combine");
}
