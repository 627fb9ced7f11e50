/*
 * SPDX-License-Identifier: MIT
 *
 * programs.c - all programs of up to so many operations, run on the real
 * library, and every state that they reach checked against the rules.
 *
 *     programs [profile [operations]]
 *
 * A program is a sequence of operations, each on any of its promises, outside
 * or inside any handler that comes to run; what a handler returns, unless it is
 * nothing, is an operation too.  Ending the callback, upon which the loop
 * drains, is free.  A profile says which operations there are.  Which one comes
 * next is a choice; all choices are made, one after the other, by going back to
 * a copy of the state before it.  A state that was met before, with as many
 * operations left, is not gone on from: the fingerprint of heap.c is equal for
 * states that differ in nothing but addresses and dead memory.  (It has 120
 * bits: that two different states have the same one is possible and does not
 * happen.)
 *
 * Each state met must be what the rules make it:
 *
 *   5, 7, 9, 24   every promise is in the state that naive.c says, handlers run
 *                 in its order and with its outcomes, collapsed or not; what is
 *                 settled again is counted and dropped at once
 *   7             no circle of followers
 *   9, 11         what is freed has no valid handle, no hold, and leaves no
 *                 pointer behind; what is settled and unused is freed or
 *                 parked; between callbacks nothing is parked
 *   16            a value has exactly one owner until it is dropped, which is
 *                 once; what avow_take() moved nobody else ever reads
 *   19            drop(arg) is owed by exactly one node until it is called,
 *                 once, when the promise has settled, never under its handler
 *   3, 2, ...     the invariants of node.h, over the whole heap
 *
 * and from each state the program is also ended twice: everything settled and
 * released, which must leave nothing at all, and the loop freed as it is.
 *
 * A freed node is poisoned and not used again by the same program, so that a
 * stale pointer is always found.  What avow is asked of by its event loop is
 * asked here by a driver of a few lines, as in test_bare.c.
 *
 * Not in these programs: thenables, calls and cancel hooks (threads.c has calls),
 * tasks of the toolbox, memory that runs out, drops and hooks that act, a loop
 * freed inside a callback.  The random tests have all of them.
 *
 * To raise the bound: PROOF_MORE=1 make check-proof adds one operation to each
 * profile, some 10 to 20 times the time.
 */
#include "choice.h"
#include "world.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct world world;
struct avow_loop proof_loop;
char tokens[TOKENS_MAX];

/* ------------------------------------------------------------- Operations */

enum {
	PENDING,
	RESOLVED,
	REJECTED,
	RESOLVE,
	REJECT,
	RESOLVE_WITH,
	THEN,
	CATCH,
	FINALLY_,
	TAP,
	ON_THEN, /* with something to drop */
	ON_FINALLY,
	ATTACH,
	SHIELD_,
	HOLD,
	RELEASE,
	CANCEL,
	NEST,		/* drain in a handler, as a nested loop does */
	END_CALLBACK,	/* outside: drain */
	RETURN_NOTHING, /* from here on: ends the handler */
	RETURN_GIVEN,
	RETURN_TAKEN,
	RETURN_VALUE,
	RETURN_ERROR,
	RETURN_AWAIT,
	OPERATIONS
};

static const char *const names[OPERATIONS] = {
	"p%d = pending",
	"p%d = resolved",
	"p%d = rejected",
	"resolve(p%d, value)",
	"reject(p%d, error)",
	"resolve(p%d, await(p%d))",
	"p%d = then(p%d)",
	"p%d = catch(p%d)",
	"p%d = finally(p%d)",
	"p%d = tap(p%d)",
	"p%d = on(p%d, .fulfilled, .drop)",
	"p%d = on(p%d, .finally, .drop)",
	"p%d = attach(p%d)",
	"p%d = shield(p%d)",
	"hold(p%d)",
	"release(p%d)",
	"cancel(p%d)",
	"nested loop",
	"-- the callback ends",
	"} return nothing",
	"} return value",
	"} return take(value)",
	"} return new value",
	"} return error",
	"} return await(p%d)",
};

#define BIT(op) (1u << (op))
#define FOLLOW_OPS                                                     \
	(BIT(PENDING) | BIT(RESOLVE) | BIT(RESOLVE_WITH) | BIT(THEN) | \
	 BIT(HOLD) | BIT(RELEASE) | BIT(RETURN_AWAIT))
#define VALUE_OPS                                                          \
	(BIT(PENDING) | BIT(RESOLVED) | BIT(RESOLVE) | BIT(RESOLVE_WITH) | \
	 BIT(REJECT) | BIT(THEN) | BIT(CATCH) | BIT(FINALLY_) |            \
	 BIT(RETURN_GIVEN) | BIT(RETURN_TAKEN) | BIT(RETURN_VALUE) |       \
	 BIT(RETURN_AWAIT))
#define CANCEL_OPS                                                       \
	(BIT(PENDING) | BIT(RESOLVE) | BIT(RESOLVE_WITH) | BIT(THEN) |   \
	 BIT(FINALLY_) | BIT(ON_THEN) | BIT(ON_FINALLY) | BIT(SHIELD_) | \
	 BIT(HOLD) | BIT(RELEASE) | BIT(CANCEL) | BIT(RETURN_AWAIT))
#define COLLAPSE_OPS                                                       \
	(BIT(PENDING) | BIT(RESOLVED) | BIT(RESOLVE_WITH) | BIT(ON_THEN) | \
	 BIT(RETURN_AWAIT))
#define NEST_OPS                                                           \
	(BIT(PENDING) | BIT(RESOLVED) | BIT(RESOLVE) | BIT(RESOLVE_WITH) | \
	 BIT(THEN) | BIT(CANCEL) | BIT(NEST) | BIT(RETURN_AWAIT) |         \
	 BIT(RETURN_TAKEN))
#define ALL_OPS (~0u)

static const struct profile {
	const char *name;
	uint32_t operations;
	uint8_t bound; /* that takes some seconds */
	bool is_ecmascript;
} profiles[] = {
	{ "follow", FOLLOW_OPS, 7, false },
	{ "collapse", COLLAPSE_OPS, 7, false },
	{ "values", VALUE_OPS, 5, false },
	{ "cancel", CANCEL_OPS, 5, false },
	{ "nest", NEST_OPS, 6, false },
	{ "all", ALL_OPS, 4, false },
	/* With avow_loop_ecmascript_order(). */
	{ "follow-es", FOLLOW_OPS, 6, true },
	{ "values-es", VALUE_OPS, 5, true },
	{ "cancel-es", CANCEL_OPS, 5, true },
	{ "all-es", ALL_OPS, 4, true },
};

static uint32_t allowed;

/* ------------------------------------------------------------- Refutation */

static void print_program(void)
{
	int indent = 1;
	for (unsigned i = 0; i < world.step_count; i++) {
		const struct step *s = &world.step[i];
		if (s->what == OPERATIONS) {
			printf("%*sp%d's handler {\n", indent * 4, "", s->p);
			indent++;
			continue;
		}
		if (s->what >= RETURN_NOTHING)
			indent--;
		printf("%*s", indent * 4, "");
		printf(names[s->what], s->p, s->q);
		putchar('\n');
	}
	fflush(stdout);
}

_Noreturn void refute(const char *property, const char *claim, int line)
{
	printf("REFUTED  %s: %s (line %d)%s\nby the program\n", property, claim,
	       line, world.is_ending ? ", ending" : "");
	print_program();
	_exit(1);
}

static void on_signal(int number)
{
	printf("REFUTED  the library %s\nby the program\n",
	       number == SIGABRT   ? "checks itself"
	       : number == SIGALRM ? "hangs"
				   : "crashes");
	print_program();
	_exit(1);
}

static void note(unsigned what, unsigned p, unsigned q)
{
	if (world.step_count == STEPS_MAX)
		return;
	world.step[world.step_count++] = (struct step){ (uint8_t)what,
							(uint8_t)p, (uint8_t)q,
							world.depth };
}

/* ---------------------------------------------------------------- Values */

static void token_drop(void *ptr)
{
	const long i = (char *)ptr - tokens;
	HOLDS("rule 16: dropped at most once", world.token_drops[i]++ == 0);
}

static uint8_t token_new(void)
{
	HOLDS("bound", world.token_count + 1 < TOKENS_MAX);
	return ++world.token_count;
}

static avow_value token_copy(avow_value value)
{
	const avow_type *const type = value.type;
	return avow_own(&tokens[token_new()], type);
}

const avow_type token_type = { .name = "token",
			       .drop = token_drop,
			       .copy = token_copy };
const avow_type bad_type = {
	.name = "bad", .drop = token_drop, .copy = token_copy, .is_error = true
};

static bool is_token(avow_value value)
{
	return value.type == &token_type || value.type == &bad_type;
}

static avow_value new_value(const avow_type *type, uint8_t *outcome)
{
	*outcome = token_new();
	return avow_own(&tokens[*outcome], type);
}

uint8_t outcome_of(avow_value value)
{
	if (!value.type)
		return NO_VALUE;
	if (is_token(value))
		return (uint8_t)((char *)value.as.ptr - tokens);
	if (avow_error_is(value, &avow_core_domain, AVOW_ECYCLE))
		return CYCLE_ERROR;
	if (avow_error_is(value, &avow_core_domain, AVOW_ECANCELLED))
		return CANCELLED_ERROR;
	if (avow_error_is(value, &avow_core_domain, AVOW_EABANDONED))
		return ABANDONED_ERROR;
	return OTHER_VALUE;
}

/* --------------------------------------------------------------- Handles */

uint8_t record_of(const void *arg)
{
	const uint8_t *const runs = arg;
	return runs >= world.runs && runs < world.runs + NAIVE_MAX
		       ? (uint8_t)(runs - world.runs)
		       : NOBODY;
}

static void got(uint8_t i, avow_promise *p)
{
	world.node[i] = p;
	world.is_valid[i] = true;
	world.got[i] = world.depth;
}

/* A root that is awaited can still be settled, so its handle stays. */
static bool stays_good(const struct naive *p)
{
	return !p->state &&
	       (!p->is_awaited || (p->kind == ROOT_KIND && !p->is_locked));
}

/* A callback at `depth` has returned: rule 11. */
static void forget(uint8_t depth)
{
	for (unsigned i = 0; i < world.naive.count; i++) {
		const struct naive *p = &world.naive.p[i];
		if (world.is_valid[i] && world.got[i] >= depth && !p->holds &&
		    !stays_good(p))
			world.is_valid[i] = false;
	}
}

/* The library frees a node: what AVOW_DEBUG does with it, and our checks. */
void __wrap_avow__quarantine(avow_loop *loop, void *node);
void __wrap_avow__quarantine(avow_loop *loop, void *node)
{
	avow_promise *const p = node;
	(void)loop;
	for (unsigned i = 0; i < world.naive.count && !world.is_ending; i++) {
		if (world.node[i] != p)
			continue;
		HOLDS("rule 11: freed while held", !world.naive.p[i].holds);
		HOLDS("rule 11: freed while its callback is on the stack",
		      !world.is_valid[i] || !world.is_active[world.got[i]]);
	}
	memset((char *)node + sizeof(p->word), 0xdb,
	       NODE_SIZE - sizeof(p->word));
}

/* It was collapsed: awaited, and one follower all that waits for it. */
static bool may_be_collapsed(const struct naive *p)
{
	return p->is_following && p->is_awaited && p->count == 1 &&
	       world.naive.p[p->list[0]].is_following;
}

static void compare_one(unsigned i)
{
	const struct naive *const n = &world.naive.p[i];
	const avow_promise *const p = world.node[i];
	if (!p)
		return;
	if (p->word & DEAD) {
		HOLDS("rule 11: freed while it is pending, or held",
		      n->state ? !n->holds
			       : !world.is_valid[i] && may_be_collapsed(n));
		return;
	}
	HOLDS("rules 5, 7, 9, 24: the state is that of the rules",
	      (p->word & STATE_MASK) == n->state);
	if (n->state && world.is_valid[i])
		HOLDS("rules 7, 16: the outcome is that of the rules",
		      outcome_of(avow__owner(p)->value) == n->outcome);
}

static void compare(void)
{
	for (unsigned i = 0; i < world.naive.count; i++)
		compare_one(i);
	HOLDS("rule 5: what comes late is counted",
	      proof_loop.ignored == world.naive.ignored);
}

/* ------------------------------------------------------------- Choosing */

struct offer {
	uint8_t what, p, q;
};

static struct offers {
	struct offer list[256];
	unsigned count;
} offers;

static void offer(unsigned what, unsigned p, unsigned q)
{
	if (!(allowed & BIT(what)) && what != END_CALLBACK)
		return;
	HOLDS("bound", offers.count < 255);
	offers.list[offers.count++] =
		(struct offer){ (uint8_t)what, (uint8_t)p, (uint8_t)q };
}

static void offer_root(unsigned i)
{
	offer(RESOLVE, i, 0);
	offer(REJECT, i, 0);
	for (unsigned q = 0; q < world.naive.count; q++) {
		if (world.is_valid[q])
			offer(RESOLVE_WITH, i, q);
	}
}

static void offer_with(unsigned i)
{
	const struct naive *const p = &world.naive.p[i];
	if (p->kind == ROOT_KIND)
		offer_root(i);
	for (unsigned what = THEN; what <= SHIELD_; what++)
		offer(what, world.naive.count, i);
	if (p->holds)
		offer(RELEASE, i, 0);
	else
		offer(HOLD, i, 0);
	if (!p->state)
		offer(CANCEL, i, 0);
}

static void offer_operations(void)
{
	for (unsigned what = PENDING; what <= REJECTED; what++)
		offer(what, world.naive.count, 0);
	for (unsigned i = 0; i < world.naive.count; i++) {
		if (world.is_valid[i])
			offer_with(i);
	}
}

static void offer_returns(avow_value value)
{
	offer(RETURN_GIVEN, 0, 0);
	if (is_token(value))
		offer(RETURN_TAKEN, 0, 0);
	offer(RETURN_VALUE, 0, 0);
	offer(RETURN_ERROR, 0, 0);
	for (unsigned i = 0; i < world.naive.count; i++) {
		if (world.is_valid[i])
			offer(RETURN_AWAIT, i, 0);
	}
}

/* ----------------------------------------------------------------- Doing */

static avow_value react(avow_value value, void *arg);

void record_drop(void *arg)
{
	const uint8_t i = record_of(arg);
	HOLDS("rule 19: drop(arg) at most once", world.drops[i]++ == 0);
	HOLDS("rule 19: not before the promise has settled",
	      world.node[i]->word & (STATE_MASK | DEAD));
	HOLDS("rule 19: not under its handler",
	      !world.naive.p[i].is_running || world.is_ending);
}

static void do_settle(const struct offer *o)
{
	naive_world *const w = &world.naive;
	const bool is_error = o->what == REJECT;
	uint8_t outcome;
	const avow_value value =
		new_value(is_error ? &bad_type : &token_type, &outcome);
	const bool is_first = naive_resolve(
		w, o->p, is_error ? IS_REJECTED : IS_FULFILLED, outcome);
	if (is_error)
		avow_reject(world.node[o->p], value);
	else
		avow_resolve(world.node[o->p], value);
	HOLDS("rule 5: the value of what comes late is dropped at once",
	      is_first || world.token_drops[outcome] == 1);
}

static void do_born(const struct offer *o)
{
	const bool is_error = o->what == REJECTED;
	const uint8_t i = naive_root(&world.naive);
	uint8_t outcome;
	const avow_value value =
		new_value(is_error ? &bad_type : &token_type, &outcome);
	naive_resolve(&world.naive, i, is_error ? IS_REJECTED : IS_FULFILLED,
		      outcome);
	got(i, is_error ? avow_rejected_at("", &proof_loop, value)
			: avow_resolved_at("", &proof_loop, value));
}

static void do_attach(const struct offer *o)
{
	static const enum naive_kind kinds[] = { THEN_KIND,    CATCH_KIND,
						 FINALLY_KIND, TAP_KIND,
						 THEN_KIND,    FINALLY_KIND,
						 PASS_KIND,    SHIELD_KIND };
	const uint8_t i =
		naive_attach(&world.naive, o->q, kinds[o->what - THEN]);
	avow_promise *const source = world.node[o->q];
	uint8_t *const arg = &world.runs[i];
	avow_handlers h = { .arg = arg, .drop = record_drop };
	avow_promise *p = NULL;
	world.has_drop[i] = o->what >= ON_THEN && o->what <= ATTACH;
	switch (o->what) {
	case THEN:
		p = avow_then_at("", source, react, arg);
		break;
	case CATCH:
		p = avow_catch_at("", source, react, arg);
		break;
	case FINALLY_:
		p = avow_finally_at("", source, react, arg);
		break;
	case TAP:
		p = avow_tap_at("", source, react, arg);
		break;
	case ON_THEN:
		h.fulfilled = react;
		p = avow_on_at("", source, &h);
		break;
	case ON_FINALLY:
		h.finally = react;
		p = avow_on_at("", source, &h);
		break;
	case ATTACH:
		p = avow_attach_at("", source, arg, record_drop);
		break;
	default:
		p = avow_shield_at("", source);
	}
	got(i, p);
}

static void hand_over(uint8_t i)
{
	if (world.got[i] > world.depth)
		world.got[i] = world.depth;
}

static void drain(uint8_t depth);

static void do_nest(void)
{
	if (world.depth - DEPTH_BASE + 1 >= DEPTHS)
		return;
	world.depth++;
	drain(world.depth);
	world.depth--;
	if (world.is_nested_left)
		world.is_fed = true;
	world.is_nested_left = false;
}

static void perform(const struct offer *o)
{
	struct naive *const p = &world.naive.p[o->p];
	note(o->what, o->p, o->q);
	switch (o->what) {
	case PENDING:
		got(naive_root(&world.naive), avow_pending_at("", &proof_loop));
		break;
	case RESOLVED:
	case REJECTED:
		do_born(o);
		break;
	case RESOLVE:
	case REJECT:
		do_settle(o);
		break;
	case RESOLVE_WITH:
		naive_resolve_with(&world.naive, o->p, o->q);
		hand_over(o->q);
		avow_resolve(world.node[o->p], avow_await(world.node[o->q]));
		break;
	case HOLD:
		p->holds++;
		avow_hold(world.node[o->p]);
		break;
	case RELEASE:
		p->holds--;
		avow_release(world.node[o->p]);
		break;
	case CANCEL:
		naive_cancel(&world.naive, o->p);
		avow_cancel(world.node[o->p]);
		break;
	case NEST:
		do_nest();
		break;
	default:
		do_attach(o);
	}
	compare();
}

/* -------------------------------------------------------------- Handlers */

/* avow_take() gave `taken` of what promise `p` was given. */
static avow_value taken(uint8_t p, avow_value value, avow_value result)
{
	naive_world *const w = &world.naive;
	const uint8_t outcome = outcome_of(value);
	if (outcome_of(result) != outcome)
		return result;
	const uint8_t kind = w->p[p].kind;
	HOLDS("rule 16: what is passed on is not moved",
	      kind == THEN_KIND || kind == CATCH_KIND);
	for (unsigned i = 0; i < w->count; i++) {
		if (!w->p[i].state || w->p[i].outcome != outcome)
			continue;
		w->p[i].outcome = MOVED_AWAY;
		HOLDS("rule 16: moved only where nobody else reads",
		      !world.is_valid[i] && !w->p[i].holds);
	}
	return result;
}

static avow_value give_back(uint8_t p, const struct offer *o, avow_value value)
{
	naive_world *const w = &world.naive;
	avow_value result = avow_none();
	uint8_t outcome = NO_VALUE;
	note(o->what, o->p, 0);
	switch (o->what) {
	case RETURN_GIVEN:
		naive_returned(w, p, true, avow_is_error(value), 0);
		return value;
	case RETURN_TAKEN:
		result = taken(p, value, avow_take(value));
		outcome = outcome_of(result);
		break;
	case RETURN_VALUE:
		result = new_value(&token_type, &outcome);
		break;
	case RETURN_ERROR:
		result = new_value(&bad_type, &outcome);
		break;
	case RETURN_AWAIT:
		hand_over(o->p);
		result = avow_await(world.node[o->p]);
		naive_returned_promise(w, p, o->p);
		return result;
	default:
		break;
	}
	naive_returned(w, p, false, avow_is_error(result), outcome);
	return result;
}

/* Any operations, and then any return. */
static avow_value act(uint8_t p, avow_value value)
{
	for (;;) {
		struct offer chosen = { .what = RETURN_NOTHING };
		offers.count = 0;
		offers.list[offers.count++] = chosen;
		if (world.left) {
			offer_returns(value);
			offer_operations();
			if (world.naive.queued || world.is_fed)
				offer(NEST, 0, 0);
			chosen = offers.list[choose(offers.count)];
		}
		if (chosen.what == RETURN_NOTHING)
			return give_back(p, &chosen, value);
		world.left--;
		if (chosen.what > RETURN_NOTHING)
			return give_back(p, &chosen, value);
		perform(&chosen);
	}
}

static void check_call(uint8_t p, avow_value value, uint8_t record)
{
	HOLDS("order: a handler runs that is due", p != NOBODY);
	const struct naive *const n = &world.naive.p[p];
	HOLDS("order: handlers run in the order of the rules",
	      n->record == record);
	HOLDS("rule 16: what was moved is not read",
	      world.naive.p[n->source].outcome != MOVED_AWAY);
	HOLDS("rules 7, 9: the outcome is that of the rules",
	      outcome_of(value) == world.naive.p[n->source].outcome);
	HOLDS("rule 16: what a handler gets is not dropped",
	      !is_token(value) || !world.token_drops[outcome_of(value)]);
}

static avow_value react(avow_value value, void *arg)
{
	const uint8_t record = record_of(arg);
	const uint8_t depth = world.depth;
	HOLDS("a handler runs once", world.runs[record]++ == 0);
	HOLDS("rule 19: an argument is there for its handler",
	      world.drops[record] == 0);
	if (world.is_ending)
		return avow_none();
	const uint8_t p = naive_run(&world.naive);
	check_call(p, value, record);
	world.node[p] = proof_loop.running;
	note(OPERATIONS, record, 0);
	compare();
	forget(depth);
	world.is_active[depth] = true;
	const avow_value result = act(p, value);
	forget(depth);
	world.is_active[depth] = false;
	return result;
}

/* ------------------------------------------------------------ The driver */

static void on_wake(avow_loop *loop)
{
	(void)loop;
	world.is_fed = true;
}

static void on_turn(avow_loop *loop)
{
	(void)loop;
	HOLDS("bound: a drain ends within its budget", world.is_ending);
}

static void on_look_again(avow_loop *loop)
{
	(void)loop;
	world.is_nested_left = true;
}

static unsigned on_depth(const avow_loop *loop)
{
	(void)loop;
	return world.depth;
}

static void on_nothing(avow_loop *loop)
{
	(void)loop;
}

static void on_keep_alive(avow_loop *loop, bool on)
{
	(void)loop;
	(void)on;
}

static void on_close(avow_loop *loop)
{
	(void)loop;
	world.is_closed = true;
}

static const struct avow__driver driver = {
	.wake = on_wake,
	.turn = on_turn,
	.look_again = on_look_again,
	.depth = on_depth,
	.ring = on_nothing,
	.listen = on_nothing,
	.keep_alive = on_keep_alive,
	.close = on_close,
	.free = on_nothing,
};

static void on_report(avow_loop *loop, const avow_report *report, void *arg)
{
	(void)loop;
	(void)arg;
	HOLDS("rule 24: a cancellation is not reported",
	      outcome_of(report->error) != CANCELLED_ERROR);
}

/* The event loop goes on at `depth`, if the library has asked it to. */
static void drain(uint8_t depth)
{
	HOLDS("rule 2: the driver is woken when there is work",
	      world.is_fed || !(world.naive.queued || proof_loop.jobs));
	const bool was_active = world.is_active[depth];
	world.is_active[depth] = false;
	while (world.is_fed) {
		world.is_fed = false;
		avow__drain(&proof_loop, depth);
	}
	HOLDS("order: every handler that is due has run",
	      naive_run(&world.naive) == NOBODY);
	compare();
	world.is_active[depth] = was_active;
	forget(depth);
}

/* --------------------------------------------------------------- States */

static char *slabs[2];
static struct avow_loop loop_at_first;
static struct avow__seat seat_at_first;
static struct avow__slab slab_at_first[2];

static void *arena_alloc(size_t size)
{
	static char arena[8192] __attribute__((aligned(16)));
	static size_t used;
	HOLDS("memory: only nodes are allocated",
	      !loop_at_first.driver && used + size <= sizeof(arena));
	used += size;
	return memset(arena + used - size, 0, size);
}

static void *arena_aligned(size_t alignment, size_t size)
{
	static unsigned used;
	HOLDS("memory: two slabs are enough", used < 2);
	void *const slab = aligned_alloc(alignment, size);
	slabs[used++] = slab;
	return slab;
}

static void arena_free(void *ptr)
{
	(void)ptr;
}

static void open_world(void)
{
	static const avow_allocator allocator = { arena_alloc, arena_aligned,
						  arena_free };
	avow_set_allocator(&allocator);
	world.depth = DEPTH_BASE;
	if (!avow__loop_open(&proof_loop, &driver))
		exit(1);
	avow_loop_budget(&proof_loop, 1u << 20, 3600.);
	avow_loop_on_report(&proof_loop, on_report, NULL);
	world.is_active[DEPTH_BASE] = true;
	loop_at_first = proof_loop;
	seat_at_first = avow__seats[proof_loop.seat];
	for (int i = 0; i < 2; i++)
		memcpy(&slab_at_first[i], slabs[i], sizeof(*slab_at_first));
}

struct state {
	struct world world;
	struct avow_loop loop;
	unsigned high;
	char nodes[HEAP_MAX * NODE_SIZE];
};

static void save(struct state *s)
{
	s->world = world;
	s->loop = proof_loop;
	s->high = heap_high();
	memcpy(s->nodes, heap_node(SLAB_HEADER_NODES),
	       (s->high - SLAB_HEADER_NODES) * NODE_SIZE);
}

static void restore(const struct state *s)
{
	world = s->world;
	proof_loop = s->loop;
	for (int i = 0; i < 2; i++)
		memcpy(slabs[i], &slab_at_first[i], sizeof(*slab_at_first));
	memcpy(heap_node(SLAB_HEADER_NODES), s->nodes,
	       (s->high - SLAB_HEADER_NODES) * NODE_SIZE);
}

/* Open addressing; the byte in front says with how many operations left. */
static struct seen_table {
	struct heap_print *at;
	size_t mask, count;
} table;

/* Was it met with as many operations left? */
static bool seen(struct heap_print key, uint8_t left)
{
	key.a = (key.a & ~0xffull) | 1;
	size_t i = (key.b ^ key.a >> 8) & table.mask;
	for (;; i = (i + 1) & table.mask) {
		struct heap_print *const at = &table.at[i];
		if (!at->a) {
			at->a = (key.a & ~0xffull) | (left + 1u);
			at->b = key.b;
			HOLDS("bound: more states than the table can hold",
			      ++table.count < table.mask / 8 * 7);
			return false;
		}
		if (at->b != key.b || (at->a ^ key.a) >> 8)
			continue;
		if ((at->a & 0xff) > left)
			return true;
		at->a = (key.a & ~0xffull) | (left + 1u);
		return false;
	}
}

/* ---------------------------------------------------------------- Endings */

/* Circles through a handler wait for ever, as the rules say: what is pending
 * must lead into one. */
static bool leads_to_circle(const avow_promise *p)
{
	for (unsigned n = 0; n < HEAP_MAX; n++) {
		if (avow__is_settled(p) ||
		    (p->word & ROOT && !(p->word & FOLLOWING)))
			return false;
		p = p->source;
	}
	return true;
}

static void check_nothing_left(void)
{
	bool is_circle = false, is_any = false;
	for (unsigned i = SLAB_HEADER_NODES; i < heap_high(); i++) {
		const avow_promise *const p = heap_node(i);
		if (p->word & (DEAD | RAW | IMMORTAL))
			continue;
		is_any = true;
		is_circle |= !avow__is_settled(p);
		HOLDS("rules 7, 11: what waits for ever is in a circle",
		      avow__is_settled(p) || leads_to_circle(p));
	}
	/* A circle may have a use of what is settled: heap_check() counts. */
	HOLDS("rule 11: nothing is left", !is_any || is_circle);
	for (unsigned i = 1; i <= world.token_count && !is_circle; i++)
		HOLDS("rule 16: every value is dropped in the end",
		      world.token_drops[i] == 1);
	for (unsigned i = 0; i < world.naive.count && !is_circle; i++)
		HOLDS("rule 19: every drop(arg) comes in the end",
		      world.drops[i] == world.has_drop[i]);
}

static void end_by_settling(void)
{
	const struct offer turn = { .what = END_CALLBACK };
	world.left = 0;
	for (uint8_t i = 0; i < world.naive.count; i++) {
		const struct naive *const p = &world.naive.p[i];
		const struct offer release = { RELEASE, i, 0 };
		const struct offer resolve = { RESOLVE, i, 0 };
		if (!p->state && p->kind == ROOT_KIND && !p->is_locked)
			perform(&resolve);
		if (p->holds)
			perform(&release);
	}
	note(turn.what, 0, 0);
	forget(DEPTH_BASE);
	drain(DEPTH_BASE);
	heap_check();
	check_nothing_left();
}

static void end_by_freeing(void)
{
	world.is_ending = true;
	avow_loop_free(&proof_loop);
	HOLDS("rule 28: the loop is freed", world.is_closed);
	for (unsigned i = 1; i <= world.token_count; i++)
		HOLDS("rules 16, 28: every value is dropped at the end",
		      world.token_drops[i] == 1);
	for (unsigned i = 0; i < world.naive.count; i++)
		HOLDS("rules 19, 28: every drop(arg) comes at the end",
		      world.drops[i] == world.has_drop[i]);
	avow__seats[proof_loop.seat] = seat_at_first;
}

/* -------------------------------------------------------------- Exploring */

static uint64_t transitions;

static void end_callback(void)
{
	note(END_CALLBACK, 0, 0);
	forget(DEPTH_BASE);
	drain(DEPTH_BASE);
	HOLDS("rule 2: a drain leaves no job", !proof_loop.jobs);
	for (unsigned depth = 0; depth <= DEPTH_MAX; depth++)
		HOLDS("rule 11: between callbacks nothing is parked",
		      !proof_loop.parked[depth]);
}

/* One step from here, whichever is chosen. */
static void step_once(void)
{
	offers.count = 0;
	if (world.left)
		offer_operations();
	offer(END_CALLBACK, 0, 0);
	const struct offer chosen = offers.list[choose(offers.count)];
	if (chosen.what == END_CALLBACK) {
		end_callback();
	} else {
		world.left--;
		perform(&chosen);
	}
	alarm(20);
	heap_check();
	transitions++;
}

static void explore(unsigned level)
{
	static struct state states[40];
	struct state *const here = &states[level];
	const unsigned from = choice.count;
	HOLDS("bound", level + 1 < 40);
	save(here);
	do {
		restore(here);
		choice.at = from;
		step_once();
		if (!seen(heap_print(), world.left))
			explore(level + 1);
	} while (choose_next(from));
	restore(here);
	end_by_settling();
	restore(here);
	end_by_freeing();
	restore(here);
}

/* ------------------------------------------------------------------- Laps */

/* A loop of promises, each lap awaited by the one before: rule 9 says that it
 * takes no more memory however long it goes on. */
enum { LAPS = 150, LAP_NODES = 8 };
static struct {
	unsigned left;
	bool is_later; /* a lap ends in a callback of its own */
	avow_promise *gate;
} laps;

static unsigned heap_live(void)
{
	unsigned live = 0;
	for (unsigned i = SLAB_HEADER_NODES; i < heap_high(); i++)
		live += !(heap_node(i)->word & DEAD);
	return live;
}

static avow_value lap(avow_value value, void *arg)
{
	(void)value;
	HOLDS("rule 9: following takes constant memory",
	      heap_live() <= LAP_NODES);
	if (laps.left-- == 0) {
		laps.gate = NULL;
		return avow_none();
	}
	avow_promise *const p =
		laps.is_later ? avow_pending_at("", &proof_loop)
			      : avow_resolved_at("", &proof_loop, avow_none());
	laps.gate = p;
	return avow_await(avow_then_at("", p, lap, arg));
}

static void run_laps(bool is_later)
{
	static struct state before;
	struct offer turn = { .what = END_CALLBACK };
	save(&before);
	laps.left = LAPS;
	laps.is_later = is_later;
	laps.gate = avow_pending_at("", &proof_loop);
	avow_then_at("", laps.gate, lap, NULL);
	while (laps.gate) {
		avow_promise *const gate = laps.gate;
		if (avow_state_of(gate) == AVOW_PENDING)
			avow_resolve(gate, avow_none());
		note(turn.what, 0, 0);
		drain(DEPTH_BASE);
	}
	HOLDS("rule 9: all laps are run", laps.left == UINT_MAX);
	HOLDS("rule 11: nothing is left", heap_live() == 1);
	restore(&before);
}

static void run_profile(const struct profile *profile, unsigned bound,
			size_t table_size)
{
	struct timespec begin, end;
	clock_gettime(CLOCK_MONOTONIC, &begin);
	table.at = calloc(table_size, sizeof(*table.at));
	if (!table.at)
		exit(1);
	table.mask = table_size - 1;
	table.count = 0;
	transitions = 0;
	allowed = profile->operations;
	world.left = (uint8_t)bound;
	world.naive.is_ecmascript = profile->is_ecmascript;
	avow_loop_ecmascript_order(&proof_loop, profile->is_ecmascript);
	explore(0);
	clock_gettime(CLOCK_MONOTONIC, &end);
	printf("proved  %-9s all programs of up to %u operations: "
	       "%zu states, %llu steps, %ld s\n",
	       profile->name, bound, table.count,
	       (unsigned long long)transitions,
	       (long)(end.tv_sec - begin.tv_sec));
	fflush(stdout);
	free(table.at);
}

int main(int argc, char **argv)
{
	const char *const more = getenv("PROOF_MORE");
	const size_t table_size = (size_t)1 << 25;
	static const int signals[] = { SIGABRT, SIGSEGV, SIGBUS, SIGALRM };
	int count = 0;
	for (unsigned i = 0; i < sizeof(signals) / sizeof(*signals); i++)
		signal(signals[i], on_signal);
	open_world();
	for (unsigned i = 0; i < sizeof(profiles) / sizeof(*profiles); i++) {
		if (argc > 1 && strcmp(argv[1], profiles[i].name) != 0)
			continue;
		run_profile(&profiles[i],
			    argc > 2
				    ? (unsigned)atoi(argv[2])
				    : profiles[i].bound +
					      (more ? (unsigned)atoi(more) : 0),
			    table_size);
		count++;
	}
	avow_loop_ecmascript_order(&proof_loop, false);
	run_laps(false);
	run_laps(true);
	printf("proved  laps      %d laps take %d nodes at most\n", LAPS,
	       LAP_NODES);
	count++;
	printf("%d passed, 0 failed\n", count);
	return !count;
}
