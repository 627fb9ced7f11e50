/*
 * SPDX-License-Identifier: MIT
 *
 * program.c - making random promise programs.
 *
 * An operation refers to promises that are there for certain: those of the
 * bodies around its own, and those of earlier turns.  So the outcome does not
 * depend on which of two chains is faster, but where the program says so (two
 * that settle one promise, a race); wild programs refer to anything.
 *
 * No program has a cycle of promises that follow each other, but of length one:
 * JavaScript waits for ever where avow rejects.
 */
#include "program.h"

#include <string.h>

const char *const kind_names[KINDS] = {
	"nothing",     "pending",   "resolved",	  "rejected", "resolve",
	"reject",      "then",	    "catch",	  "both",     "finally",
	"tap",	       "tap_catch", "catch_code", "pass",     "all",
	"all_settled", "any",	    "race",	  "post",     "ladder",
	"thenable",    "give",
};

/* ------------------------------------------------------------ Random numbers */

struct maker {
	struct program *program;
	uint64_t state;
	/* owner[t]: whose outcome the thenable t gives, or -1. */
	int owner[OPS_MAX];
	int wanted; /* so many operations are to be made */
	int deep;   /* of 8: how likely an operation stands in a handler */
};

/* splitmix64 */
static uint64_t maker_random(struct maker *m)
{
	uint64_t z = m->state += 0x9e3779b97f4a7c15u;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static int maker_below(struct maker *m, int n)
{
	return (int)(maker_random(m) >> 33) % n;
}

static bool maker_chance(struct maker *m, int of_hundred)
{
	return maker_below(m, 100) < of_hundred;
}

/* -------------------------------------------------------------- Who sees whom */

bool program_is_inside(const struct program *program, int i, int body)
{
	for (int at = program->ops[i].where;; at = program->ops[at].where) {
		if (at == body)
			return true;
		if (at < 0)
			return false;
	}
}

/* The turn in which it can run at the earliest, as a body. */
static int program_turn(const struct program *program, int body)
{
	while (body >= 0)
		body = program->ops[body].where;
	return body;
}

/* Is the promise `r` there for certain, or certainly not, in `body`? */
static bool maker_sees(const struct maker *m, int body, int r)
{
	const struct program *const program = m->program;
	if (program->is_wild)
		return true;
	const int home = program->ops[r].where;
	for (int at = body;; at = program->ops[at].where) {
		if (at == home)
			return true;
		if (at < 0)
			break;
	}
	/* Turns are numbered downwards. */
	return (body < 0 || home < 0) &&
	       program_turn(program, home) > program_turn(program, body);
}

/* A promise that `body` sees, mostly a late one; -1 when there is none. */
static int maker_promise(struct maker *m, int body)
{
	int found[OPS_MAX];
	int count = 0;
	for (int r = 0; r < m->program->count; r++) {
		if (op_makes_promise(&m->program->ops[r]) &&
		    maker_sees(m, body, r))
			found[count++] = r;
	}
	if (!count)
		return -1;
	const int a = maker_below(m, count);
	const int b = maker_below(m, count);
	return found[maker_chance(m, 70) && b > a ? b : a];
}

static int maker_of_kind(struct maker *m, int body, enum kind kind)
{
	int found[OPS_MAX];
	int count = 0;
	for (int r = 0; r < m->program->count; r++) {
		if (m->program->ops[r].kind == (int)kind &&
		    maker_sees(m, body, r))
			found[count++] = r;
	}
	return count ? found[maker_below(m, count)] : -1;
}

/* ------------------------------------------------------------------ Following */

/* Whose outcome the result of this operation gives; -1 for nobody's. */
static int maker_follower(const struct maker *m, int i)
{
	const struct op *const op = &m->program->ops[i];
	if (op->kind == OP_RESOLVE)
		return op->of;
	if (op->kind == OP_GIVE)
		return m->owner[op->of];
	return op_makes_promise(op) ? i : -1;
}

/* Does `p` follow `q`, or may it, through however many others? */
static bool maker_follows(const struct maker *m, int p, int q, int depth)
{
	if (p == q)
		return true;
	if (depth > OPS_MAX)
		return true;
	for (int i = 0; i < m->program->count; i++) {
		const struct op *const op = &m->program->ops[i];
		if (op->result == IS_PROMISE && op->arg >= 0 && op->arg != p &&
		    maker_follower(m, i) == p &&
		    maker_follows(m, op->arg, q, depth + 1))
			return true;
	}
	return false;
}

/* May the result of operation `i` be the promise `q`?  Itself is fine, but for
 * a finally: there JavaScript waits for ever. */
static bool maker_may_follow(const struct maker *m, int i, int q)
{
	const int p = maker_follower(m, i);
	if (p < 0)
		return false;
	if (p == q)
		return !op_keeps(&m->program->ops[p]);
	return !maker_follows(m, q, p, 0);
}

/* ----------------------------------------------------------------- Operations */

static struct op *maker_add(struct maker *m, enum kind kind, int body)
{
	struct program *const program = m->program;
	if (program->count == OPS_MAX)
		return NULL;
	const int i = program->count++;
	struct op *const op = &program->ops[i];
	*op = (struct op){ .kind = (int8_t)kind,
			   .where = (int8_t)body,
			   .arg = -1,
			   .of = -1,
			   .list = { -1, -1, -1, -1 } };
	m->owner[i] = -1;
	return op;
}

static void maker_result(struct maker *m, int i, int body);

/* A thenable, used in `body` as the result of `user`, and who settles it: at
 * once, from a job, twice, later, or nobody. */
static void maker_thenable(struct maker *m, int user, int body)
{
	struct program *const program = m->program;
	struct op *const op = maker_add(m, OP_THENABLE, body);
	if (!op)
		return;
	const int t = program->count - 1;
	program->ops[user].result = IS_THENABLE;
	program->ops[user].arg = (int8_t)t;
	m->owner[t] = maker_follower(m, user);
	op->result = maker_chance(m, 15) ? IS_ERROR : IS_NONE;
	const int gives = maker_chance(m, 8) ? 0 : 1 + maker_chance(m, 25);
	for (int n = 0; n < gives; n++) {
		int at = t;
		if (maker_chance(m, 25) && maker_add(m, OP_POST, t))
			at = program->count - 1;
		else if (maker_chance(m, 10))
			at = -1 - maker_below(m, TURNS);
		struct op *const give = maker_add(m, OP_GIVE, at);
		if (!give)
			return;
		give->of = (int8_t)t;
		maker_result(m, program->count - 1, at);
	}
}

/* The result of operation `i`, which `body` works out. */
static void maker_result(struct maker *m, int i, int body)
{
	struct op *const op = &m->program->ops[i];
	const int roll = maker_below(m, 100);
	if (roll < 12)
		op->result = IS_NONE;
	else if (roll < 40)
		op->result = IS_INT;
	else if (roll < 50 && op_is_handler(op))
		op->result = IS_SAME;
	else if (roll < 62)
		op->result = IS_ERROR;
	else if (roll < 88)
		op->result = IS_PROMISE;
	else
		maker_thenable(m, i, body);
	/* A handler's is chosen when its body is there. */
	if (op->result != IS_PROMISE || op_is_handler(op))
		return;
	const int q = maker_promise(m, body);
	if (q >= 0 && maker_may_follow(m, i, q))
		op->arg = (int8_t)q;
	else
		op->result = IS_INT;
}

static enum kind maker_kind(struct maker *m)
{
	static const struct {
		enum kind kind;
		int weight;
	} weights[] = {
		{ OP_PENDING, 8 }, { OP_RESOLVED, 12 }, { OP_REJECTED, 5 },
		{ OP_RESOLVE, 9 }, { OP_REJECT, 3 },	{ OP_THEN, 20 },
		{ OP_CATCH, 8 },   { OP_BOTH, 5 },	{ OP_FINALLY, 9 },
		{ OP_TAP, 2 },	   { OP_TAP_CATCH, 2 }, { OP_CATCH_CODE, 3 },
		{ OP_PASS, 3 },	   { OP_ALL, 4 },	{ OP_ALL_SETTLED, 3 },
		{ OP_ANY, 4 },	   { OP_RACE, 3 },	{ OP_POST, 5 },
		{ OP_LADDER, 2 },
	};
	int sum = 0;
	for (size_t w = 0; w < sizeof(weights) / sizeof(*weights); w++)
		sum += weights[w].weight;
	int roll = maker_below(m, sum);
	size_t w = 0;
	while ((roll -= weights[w].weight) >= 0)
		w++;
	return weights[w].kind;
}

/* The body of an operation to come: a turn, or that of an earlier one. */
static int maker_body(struct maker *m)
{
	const struct program *const program = m->program;
	if (maker_below(m, 8) < m->deep) {
		for (int tries = 0; program->count && tries < 6; tries++) {
			const int i = maker_below(m, program->count);
			if (op_has_body(&program->ops[i]))
				return i;
		}
	}
	return maker_chance(m, 75) ? -1 : -1 - maker_below(m, TURNS);
}

static void maker_list(struct maker *m, struct op *op, int body)
{
	op->count = (int8_t)maker_below(m, LIST_MAX + 1);
	for (int n = 0; n < op->count; n++)
		op->list[n] = (int8_t)maker_promise(m, body);
	/* Nothing to wait for yet: an empty list, then. */
	if (op->count && op->list[0] < 0)
		op->count = 0;
}

/*
 * A promise loop: a handler that returns what a handler in its body returns,
 * and so on.  That is where avow collapses what follows, so some of these
 * are attached to once more.
 */
static void maker_nest(struct maker *m, int body)
{
	struct program *const program = m->program;
	int before = -1;
	for (int depth = 1 + maker_below(m, 5); depth >= 0; depth--) {
		const int root = program->count;
		struct op *op = maker_add(m, OP_RESOLVED, body);
		const int lap = program->count;
		op = op ? maker_add(m, depth % 3 ? OP_THEN : OP_BOTH, body)
			: op;
		if (!op)
			return;
		op->of = (int8_t)root;
		op->result = IS_PROMISE;
		if (before >= 0)
			program->ops[before].arg = (int8_t)lap;
		if (maker_chance(m, 20)) {
			op = maker_add(m,
				       maker_chance(m, 50) ? OP_THEN : OP_PASS,
				       body);
			if (op)
				op->of = (int8_t)lap;
		}
		before = body = lap;
	}
	program->ops[before].result = IS_NONE;
	maker_result(m, before, before);
}

/*
 * A line of followers, of which the last may begin to follow while the handles
 * of those before it are still used: these must not be collapsed away.
 */
static void maker_line(struct maker *m, int body)
{
	struct program *const program = m->program;
	const int root = program->count;
	const int end = root + 1;
	if (!maker_add(m, OP_PENDING, body) || !maker_add(m, OP_PENDING, body))
		return;
	int last = root;
	for (int n = 1 + maker_below(m, 3); n >= 0; n--) {
		struct op *const op = maker_add(m, OP_RESOLVED, body);
		if (!op)
			return;
		op->result = IS_PROMISE;
		op->arg = (int8_t)last;
		last = program->count - 1;
	}
	struct op *op = maker_add(m, OP_RESOLVE, body);
	if (!op)
		return;
	op->of = (int8_t)root;
	op->result = IS_PROMISE;
	op->arg = (int8_t)end;
	op = maker_add(m, OP_BOTH, body);
	if (op)
		op->of = (int8_t)(end + 1 + maker_below(m, last - end));
	op = maker_add(m, OP_RESOLVE, body);
	if (op) {
		op->of = (int8_t)end;
		maker_result(m, program->count - 1, body);
	}
}

/* One operation, with what it brings along. */
static void maker_step(struct maker *m)
{
	struct program *const program = m->program;
	const enum kind kind = maker_kind(m);
	const int body = maker_body(m);
	int of = -1;
	if (maker_chance(m, 3)) {
		maker_nest(m, body);
		return;
	}
	if (maker_chance(m, 1)) {
		maker_line(m, body);
		return;
	}
	if (kind == OP_RESOLVE || kind == OP_REJECT)
		of = maker_of_kind(m, body, OP_PENDING);
	else if (kind >= OP_THEN && kind <= OP_PASS)
		of = maker_promise(m, body);
	const bool needs = kind == OP_RESOLVE || kind == OP_REJECT ||
			   (kind >= OP_THEN && kind <= OP_PASS);
	if (needs && of < 0)
		return;
	struct op *const op = maker_add(m, kind, body);
	if (!op)
		return;
	const int i = program->count - 1;
	op->of = (int8_t)of;
	if (kind == OP_CATCH_CODE)
		op->count = (int8_t)maker_below(m, i);
	if (kind == OP_REJECTED || kind == OP_REJECT)
		op->result = IS_ERROR;
	else if (kind == OP_RESOLVED || kind == OP_RESOLVE)
		maker_result(m, i, body);
	else if (op_is_handler(op))
		maker_result(m, i, i);
	else if (op_is_list(op))
		maker_list(m, op, body);
	else if (kind == OP_LADDER)
		op->count = (int8_t)(3 + maker_below(m, 10));
}

/* ---------------------------------------------------------------- The program */

/* What handlers return, now that their bodies are there: a promise made in the
 * body, mostly. */
static void maker_returns(struct maker *m)
{
	struct program *const program = m->program;
	for (int i = 0; i < program->count; i++) {
		struct op *const op = &program->ops[i];
		if (!op_is_handler(op) || op->result != IS_PROMISE ||
		    op->arg >= 0)
			continue;
		int q = maker_promise(m, i);
		for (int r = i + 1; r < program->count; r++) {
			if (program->ops[r].where == i &&
			    op_makes_promise(&program->ops[r]) &&
			    maker_chance(m, 60))
				q = r;
		}
		if (q >= 0 && maker_may_follow(m, i, q))
			op->arg = (int8_t)q;
		else
			op->result = IS_INT;
	}
}

static void maker_hold(struct program *program, int r, int body)
{
	if (r >= 0 && program->ops[r].where != body)
		program->ops[r].is_held = true;
}

/* A handle is good in the callback in which it was made; what is used in
 * another is held. */
static void maker_holds(struct maker *m)
{
	struct program *const program = m->program;
	const bool all = maker_chance(m, 50);
	for (int i = 0; i < program->count; i++) {
		const struct op *const op = &program->ops[i];
		if (all)
			program->ops[i].is_held = true;
		maker_hold(program, op->of, op->where);
		if (op->result == IS_PROMISE)
			maker_hold(program, op->arg,
				   op_is_handler(op) ? i : op->where);
		for (int n = 0; n < op->count && op_is_list(op); n++)
			maker_hold(program, op->list[n], op->where);
	}
}

void program_make(struct program *program, uint64_t seed, uint64_t number)
{
	struct maker m = { .program = program };
	m.state = seed * 0xd1342543de82ef95u + number;
	(void)maker_random(&m);
	m.state ^= maker_random(&m);
	program->count = 0;
	program->is_wild = maker_chance(&m, 20);
	m.wanted = 3 + maker_below(&m, 1 + maker_below(&m, 45));
	m.deep = 1 + maker_below(&m, 5);
	if (maker_chance(&m, 60)) {
		struct op *const op = maker_add(&m, OP_LADDER, -1);
		op->count = (int8_t)(4 + maker_below(&m, 12));
	}
	for (int tries = 0; tries < 2 * m.wanted && program->count < m.wanted;
	     tries++)
		maker_step(&m);
	maker_returns(&m);
	maker_holds(&m);
}
