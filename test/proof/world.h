/*
 * SPDX-License-Identifier: MIT
 *
 * world.h - one program of the proof and all that it has made: the real loop,
 * the naive promises beside it, the values and arguments that must end once,
 * and which handles the rules allow the program to use.
 *
 * A state of the world is copied aside and brought back byte for byte, so
 * everything that a program can change is in `world`, `proof_loop` and the
 * nodes of one slab; nothing points outside of them.
 */
#ifndef AVOW_PROOF_WORLD_H
#define AVOW_PROOF_WORLD_H

#include "naive.h"
#include "refute.h"

#include "../../src/lifecycle.h"

#include <stdio.h>

enum {
	TOKENS_MAX = 40,
	STEPS_MAX = 64,
	DEPTHS = 3,    /* of nested drains, from DEPTH_BASE up */
	HEAP_MAX = 256 /* nodes of a slab that a program may reach */
};

struct step {
	uint8_t what, p, q, depth;
};

struct world {
	naive_world naive;
	avow_promise *node[NAIVE_MAX]; /* of each naive promise, if known */
	bool is_valid[NAIVE_MAX];      /* the program may use its handle */
	uint8_t got[NAIVE_MAX]; /* the depth of the callback that got it */
	bool has_drop[NAIVE_MAX];
	uint8_t runs[NAIVE_MAX], drops[NAIVE_MAX];
	uint8_t token_count, token_drops[TOKENS_MAX];
	uint8_t depth;		    /* of the callback or drain on top */
	bool is_active[DEPTHS + 2]; /* a callback of that depth is on the stack */
	bool is_fed, is_nested_left, is_closed, is_freed, is_ending;
	uint8_t left; /* operations that may still be done */
	uint8_t step_count;
	struct step step[STEPS_MAX];
};

extern struct world world;
extern struct avow_loop proof_loop;

/* The tokens themselves: numbers from 1 up, which are values with a drop. */
extern char tokens[TOKENS_MAX];
extern const avow_type token_type, bad_type;

/* What `value` is among the outcomes of naive.h. */
uint8_t outcome_of(avow_value value);

/* heap.c: every node that is handed out and not freed, and what it must be. */
unsigned heap_high(void);
avow_promise *heap_node(unsigned index);
void heap_check(void);
/* A number for the state, the same for states that no program can tell apart by
 * the addresses of their nodes; 128 bits. */
struct heap_print {
	uint64_t a, b;
};
struct heap_print heap_print(void);

/* What the arguments of handlers and of drops are, for whoever looks into the
 * nodes: a number of the naive world, or NOBODY. */
uint8_t record_of(const void *arg);
void record_drop(void *arg);

#endif
