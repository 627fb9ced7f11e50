/*
 * SPDX-License-Identifier: MIT
 *
 * A random program of all tools at once: collections, joins, deadlines,
 * retries, groups, resources, semaphores, queues, rates, emitters and
 * iterators, on each other's promises and with signals.  Everything is
 * cancelled, aborted, closed and freed from anywhere: handlers, hooks, drops,
 * copies, listeners, reports and nested loops.  On odd seeds the loop may be
 * freed anywhere, on every third an allocation fails now and then, and on some
 * of those no node is left at all.
 *
 * What must hold however it goes: each value and each argument is dropped once,
 * a function is not called once its promise has settled, no permit is lost or
 * there twice, what was acquired is released, nothing is left behind.  Another
 * seed: FX_SEED=n; more of them: FX_ROUNDS=n.
 */
#include "fixture.h"

enum {
	POOL = 16,
	THINGS = 3, /* of each kind of object */
	KEPT = 8,
	PERMITS = 2,
	STEPS = 500,
	JOBS_MAX = 4096,
	HOARD_MAX = 4096
};

/* The argument of a function that is run for a promise, or of a listener. */
struct job {
	int drops;
	bool is_over; /* it must not be called any more */
};

static struct {
	uint64_t state;
	size_t steps_left;
	unsigned nested;	   /* loops */
	unsigned acting;	   /* act_some() on the stack */
	unsigned inside;	   /* callbacks that a loop outlives */
	avow_promise *pool[POOL];  /* slots, any state */
	avow_promise *roots[POOL]; /* slots, made by avow_pending() */
	const void *calls[POOL];   /* contexts, each settled once */
	avow_abort *stops[THINGS];
	avow_group *groups[THINGS];
	avow_semaphore *semaphores[THINGS];
	avow_queue *queues[THINGS];
	avow_rate *rates[THINGS];
	avow_emitter *emitters[THINGS];
	avow_events *events[THINGS];
	avow_value kept[KEPT]; /* taken, to be dropped some time */
	struct job jobs[JOBS_MAX];
	size_t job_count;
	size_t acquired, released;
	bool may_free, is_freed, may_fail, may_hoard, is_hoarding;
} world;

static avow_promise *hoard[HOARD_MAX];

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
/* Of kind 0 to 6; none where it is gone already. */
static void free_object(int kind, int i)
{
#define FREE(of, list, free_it)            \
	if (kind == (of) && list[i]) {     \
		void *const old = list[i]; \
		list[i] = NULL;            \
		free_it(old);              \
		return;                    \
	}
	FREE(0, world.stops, avow_abort_free)
	FREE(1, world.groups, avow_group_free)
	FREE(2, world.queues, avow_queue_free)
	FREE(3, world.rates, avow_rate_free)
	FREE(4, world.emitters, avow_emitter_free)
	FREE(5, world.events, avow_events_free)
	FREE(6, world.semaphores, avow_semaphore_free)
#undef FREE
}

static void free_one(void)
{
	const int kind = (int)pick(7);
	free_object(kind, (int)pick(THINGS));
}


/* ------------------------------------------------------------------- Values
 *
 * Wild ones act when they are dropped or copied, where the loop may be gone
 * already; those of one kind are errors.  A thenable is settled at once, later,
 * or never.
 */
static void act_wildly(void)
{
	switch (pick(8)) {
	case 0:
	case 1:
		act_some(2);
		break;
	case 2:
		free_one();
		break;
	default:
		break;
	}
}

static void wild_free(void *wild)
{
	free(wild);
	fx.boxes--;
	act_wildly();
}

static void *wild_copy(void *wild)
{
	(void)wild;
	act_wildly();
	fx.boxes++;
	return malloc(1);
}

static void tame_free(void *tame)
{
	free(tame);
	fx.boxes--;
}

static avow_value begin_thenable(avow_value value, void *context)
{
	(void)value;
	if (pick(2))
		avow_settle(context, avow_int(5));
	else
		world.calls[pick(POOL)] = context;
	return avow_none();
}

static avow_value flaw_copy(avow_value flaw)
{
	const avow_value copy = { { wild_copy(flaw.as.ptr) }, flaw.type };
	return copy;
}

AVOW_TYPE(wild, void *, wild_free, wild_copy);
AVOW_TYPE_WITH(flaw, void *, wild_free, flaw_copy, 0, true, 0);
AVOW_TYPE_WITH(promising, void *, tame_free, 0, begin_thenable, false, 0);

static avow_value any_value(void)
{
	const avow_value items[] = { fx_twin_new(3), avow_none() };
	switch (pick(12)) {
	case 0:
		fx.boxes++;
		avow_drop(items[0]);
		return wild_value(malloc(1));
	case 1:
		fx.boxes++;
		avow_drop(items[0]);
		return flaw_value(malloc(1));
	case 2:
		fx.boxes++;
		avow_drop(items[0]);
		return promising_value(malloc(1));
	case 3:
		avow_drop(items[0]);
		return avow_error(EIO, "random");
	case 4:
		return avow_list(items, 2);
	case 5:
	case 6:
		avow_drop(items[0]);
		return fx_box_new(1);
	case 7:
		return items[0];
	default:
		avow_drop(items[0]);
		return pick(2) ? avow_none() : avow_int(pick(100));
	}
}

static void keep_value(avow_value value)
{
	const uint32_t i = pick(KEPT);
	const avow_value old = world.kept[i];
	world.kept[i] = value;
	avow_drop(old);
}


/* ----------------------------------------------------------------- Promises */

static avow_promise *any_promise(void)
{
	return world.pool[pick(POOL)];
}

static void keep(avow_promise *p)
{
	const uint32_t i = pick(POOL);
	if (!is_usable())
		return;
	if (world.pool[i])
		avow_unslot(&world.pool[i]);
	avow_slot(p, &world.pool[i]);
}

static void hook(void *arg)
{
	(void)arg;
	act_inside(2);
	if (pick(8) == 0)
		free_one();
}

static void begin_call(void)
{
	const avow_call call = avow_begin(fx.loop, "random");
	world.calls[pick(POOL)] = call.context;
	if (pick(2))
		avow_on_cancel(call.context, hook, NULL);
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
	if (!*root) {
		avow_slot(avow_pending(fx.loop), root);
		if (*root)
			keep(*root);
		return;
	}
	avow_promise *const q = *root;
	const avow_value value = any_value();
	avow_promise *const p = any_promise();
	avow_unslot(root);
	if (p && pick(3) == 0) {
		avow_resolve(q, avow_await(p));
		avow_drop(value);
	} else {
		avow_resolve(q, value);
	}
}

/* Of signals none is made that keeps the loop alive for long. */
static avow_signal *any_signal(void)
{
	avow_signal *list[THINGS];
	size_t count = 0;
	for (int i = 0; i < THINGS; i++) {
		if (world.stops[i] && pick(2))
			list[count++] = avow_abort_signal(world.stops[i]);
	}
	switch (pick(8)) {
	case 0:
		return avow_signal_any(fx.loop, list, count);
	case 1:
		return avow_signal_timeout(fx.loop, 0.0002);
	case 2:
		return count ? list[0] : NULL;
	default:
		return NULL;
	}
}


/* ---------------------------------------------------------------- Functions */

static struct job *job_new(void)
{
	ck_assert_uint_lt(world.job_count, JOBS_MAX);
	return &world.jobs[world.job_count++];
}

static void end_job(void *arg)
{
	struct job *const job = arg;
	fx_check(job->drops++ == 0);
	job->is_over = true;
	if (pick(4) == 0)
		act_some(1);
}

static avow_value any_result(avow_value value)
{
	switch (pick(8)) {
	case 0:
	case 1: {
		avow_promise *const p = any_promise();
		return p ? avow_await(p) : avow_none();
	}
	case 2:
		return avow_take(value);
	case 3:
		keep_value(avow_take(value));
		return avow_none();
	case 4:
		return value;
	case 5:
		return avow_await(avow_delay(fx.loop, 0.0001 * pick(3)));
	default:
		return any_value();
	}
}

static avow_value react(avow_value value, void *arg)
{
	(void)arg;
	fx_text(value);
	act_inside(2);
	fx_text(value);
	world.inside++;
	const avow_value result = any_result(value);
	world.inside--;
	return result;
}

static avow_value work(avow_value value, void *arg)
{
	const struct job *const job = arg;
	fx_check(!job->is_over);
	return react(value, arg);
}

static avow_value work_or_end(avow_value value, void *arg)
{
	const avow_value result = work(value, arg);
	return result.type || pick(2) ? result : avow_done(avow_int(1));
}

static avow_value is_wanted(avow_value value, void *arg)
{
	const struct job *const job = arg;
	fx_check(!job->is_over);
	fx_text(value);
	act_inside(1);
	return avow_bool(pick(2));
}

static avow_value acquire(avow_value value, void *arg)
{
	(void)value;
	(void)arg;
	act_inside(2);
	if (pick(4) == 0)
		return avow_error(EIO, "random");
	world.acquired++;
	return fx_box_new(1);
}

static avow_value release(avow_value value, void *arg)
{
	(void)arg;
	world.released++;
	act_inside(2);
	if (pick(2)) {
		const avow_value mine = avow_take(value);
		act_inside(1);
		avow_drop(mine);
	}
	return pick(4) ? avow_none() : avow_errno(EIO);
}

/* What the function of `job` was begun for: it is not called after that. */
static void keep_begun(avow_promise *p, struct job *job)
{
	if (!is_usable()) {
		job->is_over = true;
		job->drops++;
		return;
	}
	if (avow_state_of(p) != AVOW_PENDING)
		job->is_over = true;
	avow_promise *const w = avow_attach(p, job, end_job);
	if (!is_usable())
		return;
	/* Without memory for that we are not told when it is over. */
	if (avow_state_of(w) == AVOW_REJECTED)
		job->is_over = avow_state_of(p) != AVOW_PENDING;
	keep(w);
}

static void begin_work(void)
{
	struct job *const job = job_new();
	const size_t count = pick(5);
	const avow_walk walk = { .arg = job,
				 .limit = (ptrdiff_t)pick(4),
				 .signal = any_signal() };
	avow_walk list = walk;
	list.collect = pick(2);
	list.unordered = pick(2);
	switch (pick(5)) {
	case 0:
		keep_begun(avow_map_at(AVOW_HERE, fx.loop, count, work, &list),
			   job);
		break;
	case 1:
		keep_begun(avow_each_at(AVOW_HERE, fx.loop, count, work, &walk),
			   job);
		break;
	case 2:
		keep_begun(avow_filter_at(AVOW_HERE, fx.loop, count, is_wanted,
					  &walk),
			   job);
		break;
	case 3:
		keep_begun(avow_repeat(fx.loop, work_or_end, job,
				       .signal = walk.signal),
			   job);
		break;
	default:
		keep_begun(avow_retry(fx.loop, work, job, .attempts = 3,
				      .first = 0.0001, .when = is_wanted,
				      .deadline = pick(2) ? 0.0005 : 0,
				      .signal = walk.signal),
			   job);
	}
}

static avow_promise *join(void)
{
	avow_promise *list[4];
	const avow_join options = { .count = pick(5),
				    .cancel_losers = pick(2),
				    .signal = any_signal() };
	for (size_t i = 0; i < options.count; i++) {
		avow_promise *const p = any_promise();
		list[i] = p ? p : avow_resolved(fx.loop, avow_int(1));
	}
	switch (pick(4)) {
	case 0:
		return avow_all_at(AVOW_HERE, fx.loop, list, &options);
	case 1:
		return avow_any_at(AVOW_HERE, fx.loop, list, &options);
	case 2:
		return avow_all_settled_at(AVOW_HERE, fx.loop, list, &options);
	default:
		return avow_race_at(AVOW_HERE, fx.loop, list, &options);
	}
}

static void attach(avow_promise *p)
{
	struct job *const job = job_new();
	avow_handlers h = { .arg = job, .drop = end_job };
	if (pick(4) == 0)
		h.finally = react;
	if (!h.finally && pick(4))
		h.fulfilled = react;
	if (!h.finally && pick(2))
		h.rejected = react;
	keep(avow_on_at(AVOW_HERE, p, &h));
}


/* ------------------------------------------------------------------- Scopes */

static void act_on_group(void)
{
	avow_group **const group = &world.groups[pick(THINGS)];
	avow_group *const old = *group;
	avow_promise *const p = any_promise();
	if (!old) {
		*group = avow_group_new(fx.loop, .keep_going = pick(2));
		return;
	}
	switch (pick(8)) {
	case 0:
		*group = NULL;
		avow_group_free(old);
		break;
	case 1:
		if (pick(2))
			avow_group_cancel(old);
		break;
	case 2:
	case 3:
		keep(avow_group_join(old, .signal = any_signal()));
		break;
	default:
		if (p)
			avow_group_add(old, p);
	}
}

static void act_with_resources(void)
{
	const avow_resource list[] = { { acquire, release, NULL },
				       { acquire, release, NULL },
				       { acquire, release, NULL } };
	struct job *const job = job_new();
	keep_begun(avow_using(fx.loop, list, pick(4), work, job,
			      .signal = any_signal()),
		   job);
}

static void act_on_semaphore(void)
{
	avow_semaphore **const semaphore = &world.semaphores[pick(THINGS)];
	avow_semaphore *const old = *semaphore;
	if (!old) {
		*semaphore = avow_semaphore_new(fx.loop, PERMITS);
	} else if (pick(16) == 0) {
		*semaphore = NULL;
		avow_semaphore_free(old);
	} else if (pick(3) == 0) {
		keep(avow_semaphore_acquire(old, .signal = any_signal()));
	} else {
		struct job *const job = job_new();
		keep_begun(avow_limit(old, work, job, .signal = any_signal()),
			   job);
	}
}

static void act_on_queue(void)
{
	avow_queue **const queue = &world.queues[pick(THINGS)];
	avow_queue *const old = *queue;
	if (!old) {
		*queue = avow_queue_new(fx.loop, pick(3));
		return;
	}
	switch (pick(16)) {
	case 0:
		*queue = NULL;
		avow_queue_free(old);
		break;
	case 1:
		if (pick(2))
			avow_queue_close(old);
		break;
	case 2:
	case 3:
	case 4:
	case 5:
	case 6:
	case 7:
		keep(avow_queue_pop(old, .signal = any_signal()));
		break;
	default:
		keep(avow_queue_push(old, any_value(), .signal = any_signal()));
	}
}

static void act_on_rate(void)
{
	avow_rate **const rate = &world.rates[pick(THINGS)];
	avow_rate *const old = *rate;
	if (!old) {
		*rate = avow_rate_new(fx.loop, 1 + pick(2), 0.0002);
	} else if (pick(8) == 0) {
		*rate = NULL;
		avow_rate_free(old);
	} else {
		keep(avow_rate_acquire(old, .signal = any_signal()));
	}
}


/* ----------------------------------------------------------------- Emitters */

static const char *const names[] = { "a", "b", "error" };

static void hear(avow_value value, void *arg)
{
	const struct job *const job = arg;
	fx_check(job->drops == 0);
	fx_text(value);
	act_inside(2);
	fx_text(value);
	world.inside++;
	if (pick(4) == 0)
		keep_value(avow_take(value));
	world.inside--;
}

static void listen(avow_emitter *emitter)
{
	struct job *const job = job_new();
	avow_emitter_on(emitter, names[pick(3)], hear, job, .once = pick(2),
			.first = pick(2), .drop = end_job,
			.signal = any_signal());
	if (pick(4) == 0 && !job->drops)
		keep_value(avow_int(1));
}

static void act_on_emitter(void)
{
	avow_emitter **const emitter = &world.emitters[pick(THINGS)];
	avow_events **const events = &world.events[pick(THINGS)];
	avow_emitter *const old = *emitter;
	const char *const name = names[pick(3)];
	if (!old) {
		*emitter = avow_emitter_new(fx.loop);
		return;
	}
	switch (pick(16)) {
	case 0:
		*emitter = NULL;
		avow_emitter_free(old);
		break;
	case 1:
	case 2:
	case 3:
		listen(old);
		break;
	case 4:
		if (world.job_count)
			avow_emitter_off(
				old, name, hear,
				&world.jobs[pick((uint32_t)world.job_count)]);
		break;
	case 5:
	case 6:
		keep(avow_once(old, name, .signal = any_signal()));
		break;
	case 7:
		if (!*events)
			*events = avow_events_new(old, name, .limit = 2,
						  .full = (int)pick(3),
						  .signal = any_signal());
		break;
	default:
		avow_emitter_emit(old, name, any_value());
	}
}

static void act_on_events(void)
{
	avow_events **const events = &world.events[pick(THINGS)];
	avow_events *const old = *events;
	if (!old)
		return;
	if (pick(12)) {
		keep(avow_events_next(old));
		return;
	}
	*events = NULL;
	avow_events_free(old);
}


/* ------------------------------------------------------------------ Actions */

static void abort_or_free(void)
{
	avow_abort **const stop = &world.stops[pick(THINGS)];
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

/* (Outside of all callbacks it would end the handles of whoever has called.) */
static void nest(avow_promise *p)
{
	if (world.nested >= 3 || (world.acting > 1 && !ev_depth(fx.ev)))
		return;
	world.nested++;
	if (p && pick(3) == 0)
		fx_text(avow_wait(p));
	else
		ev_run(fx.ev, EVRUN_NOWAIT);
	world.nested--;
}

/* No node is left, and no block, while something is done.  (From inside of
 * callbacks alone: else the loop might go, and these with it.) */
static void act_without_memory(void)
{
	size_t count = 0;
	if (!world.may_hoard || world.is_hoarding || !world.inside)
		return;
	world.is_hoarding = true;
	avow_loop_spare_max(fx.loop, 0);
	fx_fail_from(0);
	while (count < HOARD_MAX) {
		avow_promise *const p = avow_pending(fx.loop);
		if (avow_state_of(p) != AVOW_PENDING)
			break;
		hoard[count++] = p;
	}
	act_some(8);
	while (count)
		avow_cancel(hoard[--count]);
	fx_fail_never();
	world.is_hoarding = false;
}

static void act_on_promises(avow_promise *p)
{
	switch (pick(10)) {
	case 0:
	case 1:
		if (p)
			attach(p);
		break;
	case 2:
	case 3:
		resolve_root();
		break;
	case 4:
		begin_call();
		break;
	case 5:
	case 6:
		settle_call();
		break;
	case 7:
		keep(join());
		break;
	case 8:
		if (p)
			keep(pick(2) ? avow_timeout(p, 0.0001 * pick(4))
				     : avow_abortable(p, any_signal()));
		break;
	default:
		avow_cancel(p);
	}
}

static void act(void)
{
	avow_promise *const p = any_promise();
	if (world.may_fail && !world.is_hoarding && pick(8) == 0)
		fx_fail_once(pick(10));
	switch (pick(20)) {
	case 0:
	case 1:
	case 2:
	case 3:
	case 4:
		act_on_promises(p);
		break;
	case 5:
		begin_work();
		break;
	case 6:
	case 7:
		act_on_group();
		break;
	case 8:
		act_with_resources();
		break;
	case 9:
	case 10:
		act_on_semaphore();
		break;
	case 11:
	case 12:
		act_on_queue();
		break;
	case 13:
		act_on_rate();
		break;
	case 14:
	case 15:
		act_on_emitter();
		break;
	case 16:
		act_on_events();
		break;
	case 17:
		abort_or_free();
		break;
	case 18:
		nest(p);
		break;
	default:
		if (world.may_free && !world.is_freed && pick(40) == 0) {
			world.is_freed = true;
			avow_loop_free(fx.loop);
		} else if (pick(10) == 0) {
			act_without_memory();
		} else {
			keep_value(avow_none());
		}
	}
}

static void act_some(uint32_t most)
{
	world.acting++;
	for (uint32_t i = pick(most + 1); i && world.steps_left && is_usable();
	     i--) {
		world.steps_left--;
		act();
	}
	world.acting--;
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


/* -------------------------------------------------------------------- Worlds */

static void free_objects(uint32_t one_in)
{
	for (int i = 0; i < 7 * THINGS; i++) {
		if (pick(one_in) == 0)
			free_object(i % 7, i / 7);
	}
}

static void end_world(void)
{
	if (!world.is_freed) {
		world.is_freed = true;
		avow_loop_free(fx.loop);
	}
	fx.loop = NULL;
	world.steps_left = 0;
	for (int i = 0; i < 6 * THINGS; i++)
		free_object(i % 6, i / 6); /* not the semaphores */
	for (int i = 0; i < KEPT; i++) {
		const avow_value old = world.kept[i];
		world.kept[i] = avow_none();
		avow_drop(old);
	}
}

static void look_at_the_rest(void)
{
	for (int i = 0; i < THINGS; i++) {
		avow_semaphore *const semaphore = world.semaphores[i];
		if (semaphore)
			ck_assert_uint_eq(avow_semaphore_available(semaphore),
					  PERMITS);
		avow_semaphore_free(semaphore);
	}
	for (int i = 0; i < POOL; i++) {
		ck_assert_ptr_null(world.pool[i]);
		ck_assert_ptr_null(world.roots[i]);
	}
	for (size_t i = 0; i < world.job_count; i++)
		ck_assert_msg(world.jobs[i].drops == 1,
			      "argument %zu was dropped %d times", i,
			      world.jobs[i].drops);
	ck_assert_uint_eq(world.acquired, world.released);
	ck_assert_int_eq(fx.boxes, 0);
}

static void run_world(uint64_t seed)
{
	memset(&world, 0, sizeof(world));
	world.state = seed * 0x9e3779b97f4a7c15u + 1;
	world.steps_left = STEPS;
	world.may_free = seed % 2;
	world.may_fail = seed % 3 == 0;
	world.may_hoard = seed % 12 == 0 || seed % 12 == 9;
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
	world.may_fail = world.may_hoard = false;
	fx_fail_never();
	free_objects(2);
	if (!world.is_freed)
		ev_run(fx.ev, EVRUN_NOWAIT);
	end_world();
	look_at_the_rest();
	fx_run();
}

static size_t number(const char *name, size_t otherwise)
{
	const char *const text = getenv(name);
	return text ? strtoul(text, NULL, 10) : otherwise;
}

FX_TEST_LIMIT(random_programs_of_all_tools_leave_nothing_behind, 60.)
{
	const size_t rounds = number("FX_ROUNDS", fx_scale(500));
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
	return fx_main("random_tools");
}
