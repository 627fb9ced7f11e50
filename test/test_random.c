/*
 * SPDX-License-Identifier: MIT
 *
 * A random program: promises made, attached to, resolved, followed, cancelled,
 * held and released, in random order, from outside and from inside handlers,
 * drops and nested loops, on seeds that are printed.
 *
 * What must hold however it goes: each value is dropped once, each argument is
 * dropped once, a handler runs at most once, nothing is left behind.  With
 * AVOW_DEBUG the library checks its invariants at each step as well.  Another
 * seed: FX_SEED=n; more of them: FX_ROUNDS=n.
 */
#include "fixture.h"

enum { POOL = 24, RECORDS_MAX = 4096 };

/* One attached handler. */
struct record {
	int runs, drops;
};

static struct world {
	uint64_t state;
	size_t steps_left;
	unsigned depth;			/* of nested loops */
	avow_promise *pool[POOL];	/* slots, any state */
	bool is_held[POOL];
	struct {
		const void *context;
		int uses_left;
	} calls[POOL];
	struct record records[RECORDS_MAX];
	size_t record_count;
} world;

static uint32_t pick(uint32_t count)
{
	world.state ^= world.state << 13;
	world.state ^= world.state >> 7;
	world.state ^= world.state << 17;
	return (uint32_t)(world.state >> 33) % count;
}

static void act_some(uint32_t most);

static avow_value any_value(void)
{
	switch (pick(6)) {
	case 0:
		return avow_none();
	case 1:
		return avow_int(1);
	case 2:
		return fx_twin_new(2);
	case 3:
		return avow_error(EIO, "random");
	case 4: {
		const avow_value items[2] = { fx_box_new(3), avow_int(4) };
		return avow_list(items, 2);
	}
	default:
		return fx_box_new(1);
	}
}

/* A promise of the pool that may be used now, or NULL. */
static avow_promise *any_promise(void)
{
	return world.pool[pick(POOL)];
}

static avow_value any_result(avow_value value)
{
	avow_promise *const p = any_promise();
	switch (pick(6)) {
	case 0:
		return value;
	case 1:
		return avow_take(value);
	case 2:
		return p ? avow_await(p) : avow_none();
	case 3:
		return avow_await(avow_resolved(fx.loop, any_value()));
	default:
		return any_value();
	}
}

static avow_value react(avow_value value, void *arg)
{
	struct record *const record = arg;
	record->runs++;
	ck_assert_int_eq(record->runs, 1);
	ck_assert_int_eq(record->drops, 0);
	fx_text(value);
	act_some(3);
	fx_text(value);
	return any_result(value);
}

static void end_record(void *arg)
{
	struct record *const record = arg;
	record->drops++;
	ck_assert_int_eq(record->drops, 1);
	if (pick(4) == 0)
		act_some(2);
}

static void hook(void *arg)
{
	(void)arg;
	act_some(2);
}

/* Put `p` into the pool; what was there is forgotten. */
static void keep(avow_promise *p)
{
	const uint32_t i = pick(POOL);
	if (world.pool[i]) {
		if (world.is_held[i])
			avow_release(world.pool[i]);
		avow_unslot(&world.pool[i]);
	}
	world.is_held[i] = false;
	avow_slot(p, &world.pool[i]);
}

static void attach(avow_promise *p)
{
	if (world.record_count == RECORDS_MAX)
		return;
	struct record *const record = &world.records[world.record_count++];
	avow_handlers h = { .arg = record, .drop = end_record };
	switch (pick(4)) {
	case 0:
		h.fulfilled = react;
		break;
	case 1:
		h.rejected = react;
		break;
	case 2:
		h.finally = react;
		break;
	default:
		h.fulfilled = h.rejected = react;
	}
	keep(avow_on_at(AVOW_HERE, p, &h));
}

static avow_value pass(avow_value value, void *arg)
{
	(void)arg;
	fx_text(value);
	return pick(2) ? value : any_result(value);
}

static void attach_simply(avow_promise *p)
{
	switch (pick(6)) {
	case 0:
		keep(avow_then(p, pass, NULL));
		break;
	case 1:
		keep(avow_catch(p, pass, NULL));
		break;
	case 2:
		keep(avow_finally(p, pass, NULL));
		break;
	case 3:
		keep(avow_tap(p, pass, NULL));
		break;
	case 4:
		keep(avow_tap_catch(p, pass, NULL));
		break;
	default:
		keep(avow_shield(p));
	}
}

static void begin_call(void)
{
	const uint32_t i = pick(POOL);
	const avow_call call = avow_begin(fx.loop, "random");
	world.calls[i].context = call.context;
	world.calls[i].uses_left = 3;
	if (pick(2))
		avow_on_cancel(call.context, hook, NULL);
	if (pick(3) == 0)
		ck_assert_ptr_nonnull(avow_alloc(call.context, 100));
	keep(avow_end(call, pick(8) != 0, EIO));
}

static void settle_call(void)
{
	const uint32_t i = pick(POOL);
	avow_promise *const p = any_promise();
	if (!world.calls[i].context || world.calls[i].uses_left-- <= 0)
		return;
	avow_settle(world.calls[i].context, p && pick(3) == 0 ? avow_await(p) :
		    any_value());
}

/* Pending promises of the pool that this program may settle. */
static avow_promise *roots[POOL];

static void resolve_root(void)
{
	avow_promise **const root = &roots[pick(POOL)];
	avow_promise *const p = any_promise();
	if (!*root) {
		avow_slot(avow_pending(fx.loop), root);
		keep(*root);
		return;
	}
	avow_resolve(*root, p && pick(2) ? avow_await(p) : any_value());
	if (*root && avow_state_of(*root) != AVOW_PENDING)
		avow_unslot(root);
}

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

static void job(void *arg)
{
	(void)arg;
	act_some(2);
}

static void nest(void)
{
	if (world.depth >= 3)
		return;
	world.depth++;
	if (pick(2))
		fx_later(0., job, NULL);
	ev_run(fx.ev, EVRUN_NOWAIT);
	world.depth--;
}

static void wait_a_little(void)
{
	avow_promise *const p = any_promise();
	if (world.depth >= 3 || !p)
		return;
	world.depth++;
	fx_text(avow_wait(p));
	world.depth--;
}

static void act(void)
{
	avow_promise *const p = any_promise();
	switch (pick(16)) {
	case 0: case 1: case 2:
		if (p)
			attach(p);
		break;
	case 3: case 4:
		if (p)
			attach_simply(p);
		break;
	case 5:
		keep(avow_resolved(fx.loop, any_value()));
		break;
	case 6: case 7: case 8:
		resolve_root();
		break;
	case 9:
		begin_call();
		break;
	case 10:
		settle_call();
		break;
	case 11:
		avow_cancel(p);
		break;
	case 12:
		hold_or_release();
		break;
	case 13:
		ck_assert(avow_post(fx.loop, job, NULL));
		break;
	case 14:
		nest();
		break;
	default:
		if (pick(4) == 0)
			wait_a_little();
		else
			keep(avow_immediate(fx.loop));
	}
}

static void act_some(uint32_t most)
{
	for (uint32_t i = pick(most + 1); i && world.steps_left; i--) {
		world.steps_left--;
		act();
	}
}

static void ignore(avow_loop *loop, const avow_report *report, void *arg)
{
	(void)loop;
	(void)arg;
	if (report->kind == AVOW_REPORT_UNHANDLED)
		fx_text(report->error);
}

static void run_world(uint64_t seed)
{
	memset(&world, 0, sizeof(world));
	memset(roots, 0, sizeof(roots));
	world.state = seed * 0x9e3779b97f4a7c15u + 1;
	world.steps_left = 1000;
	fx.ignores_late = true;
	avow_loop_on_report(fx.loop, ignore, NULL);
	avow_loop_budget(fx.loop, 1 + pick(50), 3600.);
	while (world.steps_left) {
		act_some(8);
		if (pick(2))
			ev_run(fx.ev, EVRUN_NOWAIT);
	}
	fx_run();
	avow_loop_free(fx.loop);
	fx.loop = NULL;
	for (int i = 0; i < POOL; i++) {
		ck_assert_ptr_null(world.pool[i]);
		ck_assert_ptr_null(roots[i]);
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

FX_TEST_LIMIT(random_programs_drop_everything_once, 60.)
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
	return fx_main("random");
}
