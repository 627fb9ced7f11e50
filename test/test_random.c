/*
 * SPDX-License-Identifier: MIT
 *
 * A random program: promises made, attached to, resolved, followed, cancelled,
 * held and released, in random order, from outside and from inside handlers,
 * drops and nested loops, on seeds that are printed.
 *
 * Some promises are in slots; others are known by their handles alone, which
 * are used in the callback that got them and in what is nested in it, so that
 * nothing keeps the library from taking them out of the middle of a path.  On
 * odd seeds the loop may be freed anywhere.
 *
 * What must hold however it goes: each value is dropped once, each argument is
 * dropped once, a handler runs at most once, nothing is left behind.  With
 * AVOW_DEBUG the library checks its invariants at each step as well.  Another
 * seed: FX_SEED=n; more of them: FX_ROUNDS=n.
 */
#include "fixture.h"

enum { POOL = 24, LOOSE = 64, RECORDS_MAX = 4096 };

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
	struct {
		avow_promise *promise;	/* NULL once it may be gone */
		unsigned depth;
	} loose[LOOSE];			/* got in the callbacks on the stack */
	size_t loose_count;
	unsigned inside;		/* callbacks that a loop outlives */
	bool may_free, is_freed;
	int ends[2];			/* of a pipe */
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

/* Handles got at this depth of loops or deeper are no longer used. */
static void forget_loose(unsigned depth)
{
	for (size_t i = 0; i < world.loose_count; i++) {
		if (world.loose[i].depth >= depth)
			world.loose[i].promise = NULL;
	}
}

static avow_promise *keep_loose(avow_promise *p)
{
	if (world.loose_count < LOOSE) {
		world.loose[world.loose_count].promise = p;
		world.loose[world.loose_count++].depth = world.depth;
	}
	return p;
}

/* Act in a callback of the loop: what it gets is good until it returns. */
static size_t enter(void)
{
	world.inside++;
	return world.loose_count;
}

static void leave(size_t loose_count)
{
	world.loose_count = loose_count;
	if (--world.inside == 0 && world.is_freed)
		forget_loose(0);
}

/* The same where the loop may be gone afterwards, or is already. */
static void act_outside(uint32_t most)
{
	const size_t loose_count = world.loose_count;
	act_some(most);
	world.loose_count = loose_count;
}

/* A value whose drop acts. */
static void wild_free(int *wild)
{
	free(wild);
	fx.boxes--;
	if (pick(4) == 0)
		act_outside(2);
}

AVOW_TYPE(wild, int *, wild_free);

static avow_value wild_new(void)
{
	fx.boxes++;
	return wild_value(malloc(sizeof(int)));
}

/* A thenable, whose start acts, and which settles sooner, later or never. */
static void future_free(void *future)
{
	free(future);
	fx.boxes--;
}

static avow_value future_start(avow_value value, void *context);

AVOW_TYPE_WITH(future, int *, future_free, 0, future_start, false, 0);

static avow_value future_new(void)
{
	fx.boxes++;
	return future_value(malloc(sizeof(int)));
}

static avow_value any_value(void)
{
	switch (pick(9)) {
	case 0:
		return avow_none();
	case 1:
		return avow_int(1);
	case 5:
		return wild_new();
	case 6:
		return future_new();
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
	if (world.loose_count && pick(2))
		return world.loose[pick((uint32_t)world.loose_count)].promise;
	return world.pool[pick(POOL)];
}

static avow_value pass(avow_value value, void *arg);

/* Work that nobody else knows, to be waited for. */
static avow_promise *any_work(void)
{
	switch (pick(4)) {
	case 0:
		return avow_then(avow_immediate(fx.loop), pass, NULL);
	case 1:
		return avow_finally(avow_resolved(fx.loop, any_value()), pass,
				    NULL);
	case 2:
		return avow_then(avow_delay(fx.loop, 0.), pass, NULL);
	default:
		return avow_catch(avow_resolved(fx.loop, any_value()), pass,
				  NULL);
	}
}

static avow_value any_result(avow_value value)
{
	avow_promise *const p = any_promise();
	if (!world.steps_left)
		return value;
	switch (pick(9)) {
	case 0:
		return value;
	case 1:
		return avow_take(value);
	case 4:
	case 5:
		world.steps_left--;
		return avow_await(keep_loose(any_work()));
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
	return pass(value, NULL);
}

static void end_record(void *arg)
{
	struct record *const record = arg;
	record->drops++;
	ck_assert_int_eq(record->drops, 1);
	const size_t was = enter();
	if (pick(4) == 0)
		act_some(2);
	leave(was);
}

static void hook(void *arg)
{
	const size_t was = enter();
	(void)arg;
	act_some(2);
	leave(was);
}

/* Put `p` into the pool, where what was there is forgotten, or keep its handle
 * for this callback. */
static void keep(avow_promise *p)
{
	const uint32_t i = pick(POOL);
	if (!is_usable())
		return;
	if (pick(2)) {
		keep_loose(p);
		return;
	}
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
	const size_t was = enter();
	(void)arg;
	fx_text(value);
	act_some(2);
	fx_text(value);
	const avow_value result = pick(3) ? any_result(value) : value;
	leave(was);
	return result;
}

static void called_back(avow_value error, avow_value value, void *arg)
{
	const size_t was = enter();
	(void)arg;
	fx_text(error);
	act_some(1);
	fx_text(value);
	leave(was);
}

static void attach_resource(avow_promise *p)
{
	if (world.record_count == RECORDS_MAX)
		return;
	keep(avow_attach(p, &world.records[world.record_count++], end_record));
}

static void attach_simply(avow_promise *p)
{
	switch (pick(8)) {
	case 6:
		avow_as_callback(p, called_back, NULL);
		break;
	case 7:
		attach_resource(p);
		break;
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
		ck_assert(avow_alloc(call.context, 100) || !call.is_open);
	keep(avow_end(call, pick(8) != 0, EIO));
}

static void settle_call(void)
{
	const uint32_t i = pick(POOL);
	avow_promise *const p = any_promise();
	if (!world.calls[i].context || world.calls[i].uses_left <= 0)
		return;
	world.calls[i].uses_left--;
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
	if (pick(8) == 0)
		avow_reject(*root, any_value());
	else
		avow_resolve(*root, p && pick(2) ? avow_await(p) : any_value());
	if (is_usable() && *root && avow_state_of(*root) != AVOW_PENDING)
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

/* What is awaited may be used until this callback returns, in no slot too. */
static void loosen(void)
{
	avow_promise **const root = &roots[pick(POOL)];
	const uint32_t i = pick(POOL);
	avow_promise *const p = world.pool[i];
	if (!p || !*root || world.is_held[i] || p == *root ||
	    avow_state_of(p) != AVOW_PENDING)
		return;
	for (int k = 0; k < POOL; k++) {
		if (roots[k] == p)
			avow_unslot(&roots[k]);
	}
	avow_unslot(&world.pool[i]);
	keep_loose(p);
	avow_resolve(*root, avow_await(p));
}

/* Hold a promise while something else is done. */
static void hold_for_a_while(avow_promise *p)
{
	avow_hold(p);
	act_some(2);
	if (is_usable())
		avow_release(p);
}

static avow_value future_start(avow_value value, void *context)
{
	const size_t was = enter();
	const uint32_t i = pick(POOL);
	ck_assert_ptr_nonnull(future_get(value));
	world.calls[i].context = context;
	world.calls[i].uses_left = 3;
	if (pick(2))
		avow_on_cancel(context, hook, NULL);
	act_some(2);
	if (pick(2))
		avow_settle(context, any_result(avow_none()));
	leave(was);
	return pick(4) ? avow_none() : any_value();
}

static avow_value step(avow_value events, void *arg)
{
	const size_t was = enter();
	avow_value result = avow_none();
	(void)events;
	(void)arg;
	act_some(1);
	if (world.steps_left) {
		world.steps_left--;
		switch (pick(5)) {
		case 0:
			result = avow_until(world.ends[1], AVOW_WRITE, 0);
			break;
		case 1:
			result = avow_until(world.ends[1],
					    AVOW_READ | AVOW_WRITE, 3600.);
			break;
		case 2:
			result = avow_until(-1, AVOW_READ, 0);
			break;
		default:
			result = any_result(avow_none());
		}
	}
	leave(was);
	return result;
}

/* Not while the loop ends: a value given to a new promise is dropped then, and
 * would say of the very promise being made that nobody uses it. */
static void tidy(void)
{
	forget_loose(world.depth);
	avow_tidy(fx.loop);
}

static void end_loop(void)
{
	world.is_freed = true;
	if (!world.inside)
		forget_loose(0);
	avow_loop_free(fx.loop);
}

static void job(void *arg)
{
	const size_t was = enter();
	(void)arg;
	act_some(2);
	leave(was);
}

static void timer(void *arg)
{
	(void)arg;
	act_outside(2);
}

static void nest(void)
{
	if (world.depth >= 3)
		return;
	world.depth++;
	if (pick(2))
		fx_later(0., timer, NULL);
	/* The outermost one ends what was got outside of it. */
	if (ev_depth(fx.ev) == 0)
		forget_loose(0);
	ev_run(fx.ev, EVRUN_NOWAIT);
	world.depth--;
}

static void wait_a_little(void)
{
	avow_promise *const p = any_promise();
	if (world.depth >= 3 || !p)
		return;
	world.depth++;
	const avow_value value = avow_wait(p);
	if (is_usable())
		fx_text(value);
	world.depth--;
}

static void act(void)
{
	avow_promise *const p = any_promise();
	switch (pick(22)) {
	case 15:
		loosen();
		break;
	case 16:
		if (p)
			hold_for_a_while(p);
		break;
	case 17:
		keep(avow_drive(fx.loop, step, NULL));
		break;
	case 18:
		if (pick(3) == 0 && !world.is_freed)
			tidy();
		break;
	case 19:
		keep(any_work());
		break;
	case 20:
		if (world.may_free && !world.is_freed && pick(40) == 0)
			end_loop();
		break;
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
		ck_assert(avow_post(fx.loop, job, NULL) || world.is_freed);
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
		if (!is_usable())
			return;
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
	if (pick(4) == 0)
		act_outside(1);
}

static void run_world(uint64_t seed)
{
	memset(&world, 0, sizeof(world));
	memset(roots, 0, sizeof(roots));
	world.state = seed * 0x9e3779b97f4a7c15u + 1;
	world.steps_left = 1000;
	world.may_free = seed % 2;
	ck_assert_int_eq(pipe(world.ends), 0);
	fx.ignores_late = true;
	avow_loop_on_report(fx.loop, ignore, NULL);
	avow_loop_budget(fx.loop, 1 + pick(50), 3600.);
	avow_loop_ecmascript_order(fx.loop, seed / 4 % 2);
	while (world.steps_left && !world.is_freed) {
		act_outside(8);
		if (pick(2))
			ev_run(fx.ev, EVRUN_NOWAIT);
	}
	world.steps_left = pick(2) ? 0 : 40;
	fx_run();
	if (!world.is_freed)
		end_loop();
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
	close(world.ends[0]);
	close(world.ends[1]);
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
