/*
 * SPDX-License-Identifier: MIT
 *
 * program.h - a random promise program: what it is, how it is made, and how it
 * reads as JavaScript.
 *
 * A program is a list of operations.  Each stands in a body: a turn of the
 * event loop, the handler of another operation, a job, or the `then` of a
 * thenable.  A body runs at most once, so an operation does as well, and the
 * promise that it makes is known by its number.  Operations that refer to a
 * promise which is not there do nothing.
 *
 * oracle.mjs has the same numbers of kinds and of results, and reads `struct
 * op` as OP_SIZE signed bytes in the order of its members.
 */
#ifndef AVOW_TEST_ORACLE_PROGRAM_H
#define AVOW_TEST_ORACLE_PROGRAM_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { OPS_MAX = 96, TURNS = 3, LIST_MAX = 4 };

enum kind {
	OP_NOTHING,  /* what shrinking leaves of an operation */
	OP_PENDING,  /* a promise that others settle */
	OP_RESOLVED, /* a promise resolved with a result */
	OP_REJECTED, /* a promise rejected with an error */
	OP_RESOLVE,  /* settle the pending one `of` with a result */
	OP_REJECT,   /* the same with an error */
	OP_THEN,     /* attach a handler to `of` */
	OP_CATCH,
	OP_BOTH, /* one handler for either outcome */
	OP_FINALLY,
	OP_TAP, /* the three have no other name in JavaScript */
	OP_TAP_CATCH,
	OP_CATCH_CODE, /* of the error of operation `count` alone */
	OP_PASS,       /* then() with no handler */
	OP_ALL,	       /* of `count` promises of `list` */
	OP_ALL_SETTLED,
	OP_ANY,
	OP_RACE,
	OP_POST,     /* a job of its own: queueMicrotask() */
	OP_LADDER,   /* a chain of `count` thens that tick: the clock of hops */
	OP_THENABLE, /* a thenable: its `then` is the body */
	OP_GIVE,     /* settle the thenable `of` with a result */
	KINDS
};

/* What a handler returns, a promise is resolved with, a thenable gives. */
enum result {
	IS_NONE,     /* undefined */
	IS_INT,	     /* the operation's number */
	IS_SAME,     /* what the handler was given: thrown again if an error */
	IS_ERROR,    /* thrown; its code is the operation's number */
	IS_PROMISE,  /* the promise `arg` */
	IS_THENABLE, /* the thenable `arg` */
	RESULTS
};

struct op {
	int8_t kind;
	int8_t where; /* its body: an operation, or -1 - turn */
	int8_t result;
	int8_t arg;
	int8_t of;
	int8_t count;
	int8_t list[LIST_MAX];
	int8_t is_held; /* its promise is held to the end, and looked at */
};

enum { OP_SIZE = sizeof(struct op) };

struct program {
	uint8_t count;
	/* May refer to what another chain makes: the outcome depends on the
	 * order of chains. */
	bool is_wild;
	struct op ops[OPS_MAX];
};

extern const char *const kind_names[KINDS];

static inline bool op_makes_promise(const struct op *op)
{
	return (op->kind >= OP_PENDING && op->kind <= OP_REJECTED) ||
	       (op->kind >= OP_THEN && op->kind <= OP_RACE);
}

static inline bool op_is_handler(const struct op *op)
{
	return op->kind >= OP_THEN && op->kind <= OP_CATCH_CODE;
}

/* Does the outcome of `of` pass on, whatever the handler returns? */
static inline bool op_keeps(const struct op *op)
{
	return op->kind >= OP_FINALLY && op->kind <= OP_TAP_CATCH;
}

static inline bool op_is_list(const struct op *op)
{
	return op->kind >= OP_ALL && op->kind <= OP_RACE;
}

/* Has it a body of its own? */
static inline bool op_has_body(const struct op *op)
{
	return op_is_handler(op) || op->kind == OP_POST ||
	       op->kind == OP_THENABLE;
}

/* Is the operation `i` in the body `body`, at whatever depth? */
bool program_is_inside(const struct program *program, int i, int body);

/* The program of this number: the same for ever. */
void program_make(struct program *program, uint64_t seed, uint64_t number);

/* As JavaScript that runs by itself and logs its trace. */
void program_print(const struct program *program, FILE *out);

#endif
