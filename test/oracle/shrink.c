/*
 * SPDX-License-Identifier: MIT
 *
 * shrink.c - making a failing program smaller: operations are taken out or
 * replaced by simpler ones for as long as it still fails in the same way.
 */
#include "shrink.h"

#include <stddef.h>

enum { SHRINK_MAX = 20000 };

/* Take the operation out, with what is in its body. */
static bool shrink_remove(struct program *program, int i)
{
	if (program->ops[i].kind == OP_NOTHING)
		return false;
	for (int k = 0; k < program->count; k++) {
		if (k == i || program_is_inside(program, k, i))
			program->ops[k].kind = OP_NOTHING;
	}
	return true;
}

/* The body of the operation, and then the operation, go where it stands. */
static bool shrink_hoist(struct program *program, int i)
{
	bool is_any = false;
	for (int k = 0; k < program->count; k++) {
		if (program->ops[k].where == i &&
		    program->ops[k].kind != OP_NOTHING) {
			program->ops[k].where = program->ops[i].where;
			is_any = true;
		}
	}
	return is_any && program->ops[i].kind != OP_THENABLE;
}

static bool shrink_set(int8_t *member, int value)
{
	if (*member == value)
		return false;
	*member = (int8_t)value;
	return true;
}

/* A promise that is just there takes the place of one that comes of others. */
static bool shrink_plain(struct program *program, int i)
{
	struct op *const op = &program->ops[i];
	if (op->kind < OP_THEN || !op_makes_promise(op))
		return false;
	(void)shrink_remove(program, i);
	op->kind = OP_RESOLVED;
	op->result = IS_NONE;
	op->of = op->arg = -1;
	op->count = 0;
	return true;
}

enum { SHRINKS = 10 };

/* One way to make operation `i` simpler; false when it is so simple already. */
static bool shrink_step(struct program *program, int i, int way)
{
	struct op *const op = &program->ops[i];
	if (op->kind == OP_NOTHING)
		return false;
	switch (way) {
	case 0:
		return shrink_remove(program, i);
	case 1:
		return op->kind != OP_REJECTED && op->kind != OP_REJECT &&
		       shrink_set(&op->result, IS_NONE);
	case 2:
		return op->kind != OP_REJECTED && op->kind != OP_REJECT &&
		       op->kind != OP_THENABLE && op->result != IS_NONE &&
		       shrink_set(&op->result, IS_INT);
	case 3:
		return op->count > 0 && op->kind != OP_CATCH_CODE &&
		       shrink_set(&op->count, op->count - 1);
	case 4:
		return op->where < -1 && shrink_set(&op->where, op->where + 1);
	case 5:
		return shrink_hoist(program, i);
	case 6:
		return op->kind == OP_BOTH && shrink_set(&op->kind, OP_THEN);
	case 7:
		return shrink_plain(program, i);
	case 8:
		return op->kind == OP_RESOLVED && op->result != IS_NONE &&
		       op->result != IS_PROMISE &&
		       shrink_set(&op->result, IS_NONE);
	default:
		return op->of >= 0 && program->ops[op->of].of >= 0 &&
		       op_is_handler(op) &&
		       shrink_set(&op->of, program->ops[op->of].of);
	}
}

/* Close the gaps that were left in the numbers. */
static void shrink_renumber(struct program *program)
{
	int8_t number[OPS_MAX];
	int count = 0;
	for (int i = 0; i < program->count; i++)
		number[i] = program->ops[i].kind == OP_NOTHING
				    ? (int8_t)-1
				    : (int8_t)count++;
	for (int i = 0; i < program->count; i++) {
		struct op op = program->ops[i];
		int8_t *const links[] = { &op.where, &op.arg, &op.of };
		if (number[i] < 0)
			continue;
		for (size_t n = 0; n < sizeof(links) / sizeof(*links); n++) {
			if (*links[n] >= 0)
				*links[n] = number[*links[n]];
		}
		for (int n = 0; n < op.count && op_is_list(&op); n++) {
			if (op.list[n] >= 0)
				op.list[n] = number[op.list[n]];
		}
		program->ops[number[i]] = op;
	}
	program->count = (uint8_t)count;
}

void shrink(struct program *program, verdict_fn *verdict, void *arg)
{
	const char *const wrong = verdict(program, arg);
	bool is_smaller = true;
	int tries = 0;
	while (is_smaller && tries < SHRINK_MAX) {
		is_smaller = false;
		for (int n = 0; n < program->count * SHRINKS; n++) {
			struct program simpler = *program;
			const int i = program->count - 1 - n % program->count;
			if (!shrink_step(&simpler, i, n / program->count))
				continue;
			tries++;
			if (verdict(&simpler, arg) != wrong)
				continue;
			*program = simpler;
			is_smaller = true;
		}
	}
	/* What is on the heap, and which function attaches, goes by number: it
	 * may be another failure then. */
	struct program dense = *program;
	shrink_renumber(&dense);
	if (verdict(&dense, arg) == wrong)
		*program = dense;
}
